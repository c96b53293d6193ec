"""Refinement of a stream: the last frames as a window, a few steps per frame from the last solution, one pose out.

    frame -> buffer -> window, smooth reference -> steps while there is time -> continuation of what was published

Without a lag the pose of the newest frame comes from a window in which it is the last (a filter); with a lag later
frames correct it: a fixed-lag smoother (Moore, "Discrete-time fixed-lag smoothing algorithms", 1973). How published
frames form one motion although windows differ: :mod:`diffmocap.refinement.stream.published_motion`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from diffmocap.physics.ground import Ground
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.kernels.units import KNOT_SIZE
from diffmocap.refinement.stream.descent import LiveDescent
from diffmocap.refinement.stream.ground_watch import GroundWatch
from diffmocap.refinement.stream.published_motion import PublishedMotion, Standing
from diffmocap.refinement.stream.reference import live_reference, still_in_window
from diffmocap.refinement.stream.result import LiveResult, pose_of
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.sliding_unknowns import SlidingKnots
from diffmocap.refinement.stream.still_feet import still_points
from diffmocap.refinement.stream.task import LiveTask, Motion, WindowSolution, live_window, without_ground
from diffmocap.refinement.stream.time_budget import TimeBudget
from diffmocap.refinement.stream.window_buffer import LiveFrame, WindowBuffer
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.window import Window

#: A last solution whose loss is this many times what it was fits the new frame less than the reference may.
_STALE = 3.0
#: The loss of the unrefined motion is computed every so many frames while the candidate's is below this fraction of it.
_UNREFINED_EVERY, _FAR_BELOW = 4, 0.25
#: Where refinement does not help, the published motion blends into the input unless a joint is this far from it [m].
_FARTHEST_M = 0.6
#: The published motion is continued over at most this many frames without a window; over more it starts anew.
_MOST_BRIDGED = 8


@dataclass(frozen=True)
class _Found:
    """Unknowns ``x`` [1, N], the window's motion that they stand for, and the candidate for publishing: that motion as
    the continuation of the published one."""

    x: torch.Tensor
    solution: WindowSolution
    candidate: WindowSolution


class FixedLagRefiner:
    """Takes one frame at a time; ``settings`` may be replaced between calls. On the CPU; not thread-safe.

    Args:
        points: the body.
        up: [3] direction against gravity in the optical frame, where the camera's pitch is known.
        ground_height: of the floor along it [m], where the camera's height is known: minus that height.
        clock: of the time budget, seconds.
    """

    def __init__(
        self, points: BodyPoints, settings: LiveSettings | None = None, up: torch.Tensor | None = None,
        ground_height: float | None = None, clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self.settings = settings or LiveSettings()
        self._points = points.to(dtype=torch.float32)
        self._ground = GroundWatch(up, ground_height)
        self._budget = TimeBudget(clock)
        self._descent = LiveDescent(self._points, self._budget)
        self._built: tuple[int, ...] = ()
        self._begin()

    @property
    def ground(self) -> Ground | None:
        """The ground in the optical frame, None while it is not known."""
        return self._ground.ground

    @property
    def ground_contradiction_m(self) -> float:
        """See :attr:`~diffmocap.refinement.stream.ground_watch.GroundWatch.contradiction_m`."""
        return self._ground.contradiction_m

    def reset(self, camera_moved: bool = False) -> None:
        """Forget the track; where the camera has moved, the ground that was found, too."""
        if camera_moved:
            self._ground.forget()
        self._begin()

    def _begin(self) -> None:
        settings = self.settings
        shape = (settings.window_frames, settings.hypotheses, settings.spacing)
        if shape != self._built:
            self._buffer = WindowBuffer(settings.window_frames, settings.hypotheses)
            self._built = shape
        self._buffer.clear()
        self._knots = SlidingKnots(settings.window_frames, settings.spacing)
        self._x = torch.zeros(1, self._knots.count * KNOT_SIZE)
        self._descent.begin()
        self._reference: tuple[torch.Tensor, torch.Tensor] | None = None
        self._history = PublishedMotion(self._points, settings.window_frames)
        self._loss: float | None = None
        self._unrefined_loss: float | None = None
        self._unrefined_age = 0
        self._angles: torch.Tensor | None = None
        self._since_ground = 0
        self._since_window = 0  # frames put into the buffer since the last window

    @torch.no_grad()
    def step(self, frame: LiveFrame, dt_s: float, restarted: bool = False) -> LiveResult | None:
        """Refine with one more frame; None where the frame to publish is none, or brought no pose.

        Args:
            dt_s: time since the last frame, positive; without meaning where a track begins.
            restarted: another track begins. One begins by itself where nothing is held of the last one, or not in the
                shape that the settings ask for.
        """
        self._budget.begin(self.settings.budget_ms, self.settings.iterations)
        restarted = self._take(frame, dt_s, restarted)
        moved, self._since_window = self._since_window, 0
        window = live_window(self._buffer, self._ground.ground, self.settings)
        if not bool(window.lifted.any()):
            self._begin()  # nothing to go on; wait for a pose
            return None
        task = self._task(window, moved)
        x, best, best_loss, iterations = self._descent.descend(task, self._x, self.settings)
        self._bridge(task, x, moved)
        found = self._choose(task, x, best, best_loss)
        result = self._finish(task, found, iterations, restarted)
        self._watch_ground(task, moved)
        return result

    def store(self, frame: LiveFrame, dt_s: float, restarted: bool = False) -> bool:
        """Put a frame into the buffer without refining it, where there is no time: later windows contain it.

        Returns:
            Whether a track begins with it.
        """
        return self._take(frame, dt_s, restarted)

    def _take(self, frame: LiveFrame, dt_s: float, restarted: bool) -> bool:
        """Put a frame into the buffer: whether a track begins with it."""
        settings = self.settings
        if restarted or self._built != (settings.window_frames, settings.hypotheses, settings.spacing):
            self._begin()
        restarted = not self._buffer.count
        self._since_window = min(self._since_window + self._buffer.push(frame, dt_s), settings.window_frames)
        return restarted

    def _task(self, window: Window, moved: int) -> LiveTask:
        """The problem of this frame, ``moved`` frames after the last one."""
        x, previous = self._x, self._reference
        if previous is not None:
            previous = still_in_window(previous, moved, window.frames)
        for _ in range(moved if self._reference is not None else 0):
            x = self._knots.advance(x)
            if self._knots.phase == 0:
                self._descent.knots_moved()
        self._x = x
        self._reference = live_reference(window, previous)
        weights = self.settings.weights
        weights = weights if self._ground.ground is not None else without_ground(weights)
        self._still = self._still_in(window)
        spline = self._knots.spline(window.frames)
        return LiveTask(window, self._points, self._reference, spline, x, weights)

    def _still_in(self, window: Window) -> torch.Tensor:
        """[T, P] bool contact points that stand still in the images."""
        if self.settings.still_feet and self.settings.stance:
            return still_points(window, self._reference[1][0], self._points)
        return torch.zeros(window.frames, len(self._points.contact_names), dtype=torch.bool)

    def _choose(self, task: LiveTask, x: torch.Tensor, best: torch.Tensor, best_loss: float) -> _Found:
        """The last trial point if its loss is the lowest, else the best one; the reference itself where the last
        solution is out of date."""
        self._unrefined_age += 1
        found = self._found(task, x, self._unrefined_loss is None or self._unrefined_age >= _UNREFINED_EVERY)
        if found.solution.loss > best_loss:
            found = self._found(task, best)
        if best is not x:
            self._descent.judged(found.x is x)
        if self._loss is not None and not found.solution.loss <= _STALE * self._loss:
            reference = self._found(task, torch.zeros_like(x))
            if not reference.solution.loss >= found.solution.loss:
                found = reference
                self._descent.forget()
        return found

    def _found(self, task: LiveTask, x: torch.Tensor, with_unrefined: bool = False) -> _Found:
        """Solution and candidate of x [1, N] with their losses; ``with_unrefined`` computes the unrefined loss, too."""
        motion = task.motion_of(x)
        motions = [motion, self._continued(task, motion)]
        solution, candidate, *unrefined = task.assess([*motions, task.unrefined()] if with_unrefined else motions)
        if unrefined:
            self._unrefined_loss, self._unrefined_age = unrefined[0].loss, 0
        return _Found(x, solution, candidate)

    def _continued(self, task: LiveTask, motion: Motion, hold: bool = True) -> Motion:
        """A window's motion as the continuation of the published one; ``hold``: what stands stays in place."""
        index = task.window.frames - 1 - self.settings.lag_frames
        return self._continued_at(task, motion, index, hold) if index >= 0 else motion

    def _continued_at(self, task: LiveTask, motion: Motion, index: int, hold: bool = True) -> Motion:
        settings, standing = self.settings, self._standing(task) if hold else None
        dt_s = task.window.dt_s
        return self._history.continued(motion, index, dt_s, settings.settle_s, settings.stance, standing)

    def _standing(self, task: LiveTask) -> Standing:
        ground = self._ground.ground
        return Standing(task.physics.touching[0], self._still, None if ground is None else ground.up.float())

    def _bridge(self, task: LiveTask, x: torch.Tensor, moved: int) -> None:
        """Continue the published motion over frames that were lost, or for which there was no time; over many it starts
        anew."""
        newest = task.window.frames - 1 - self.settings.lag_frames
        between = range(max(newest - moved + 1, 0), newest if len(self._history) else 0)
        if len(between) > _MOST_BRIDGED:
            self._history.forget()
        elif between:
            motion = task.motion_of(x)
            for index in between:
                self._append(task, self._continued_at(task, motion, index), index)

    def _append(self, task: LiveTask, motion: Motion, index: int) -> None:
        standing = self._standing(task)
        self._history.append(motion[0][index], motion[1][index], task.window.dt_s, standing, index)

    def _finish(self, task: LiveTask, found: _Found, iterations: int, restarted: bool) -> LiveResult | None:
        """Store the solution if its loss is below that of the unrefined motion, and give the pose to publish."""
        unrefined, candidate = task.unrefined(), found.candidate
        if self._unrefined_age and not candidate.loss <= _FAR_BELOW * self._unrefined_loss:
            self._unrefined_loss, self._unrefined_age = task.assess([unrefined])[0].loss, 0
        if not candidate.loss <= self._unrefined_loss:
            candidate = found.solution  # the loss comes from continuing the published motion: start from the solution
        most_m = self.settings.most_change_m
        helps = candidate.loss <= self._unrefined_loss and self._change_m(candidate.motion, unrefined) < most_m
        if helps:
            self._x, self._loss = found.x, found.solution.loss
        else:
            self._x, self._loss = torch.zeros_like(found.x), None
            self._descent.forget()
            itself, candidate = task.assess([unrefined, self._continued(task, unrefined, hold=False)])
            self._unrefined_loss, self._unrefined_age = itself.loss, 0
            if not candidate.loss <= itself.loss or not self._change_m(candidate.motion, unrefined) < _FARTHEST_M:
                candidate = itself
        lag = self.settings.lag_frames
        index = task.window.frames - 1 - lag
        if index >= 0:
            self._append(task, candidate.motion, index)
        if index < 0 or not bool(task.window.lifted[0, index]):
            self._budget.end()
            return None
        solution = found.solution if helps else replace(candidate, torques=None)
        pose = pose_of(task, candidate, solution, index, self._points, self._angles)
        self._angles = pose["angles"]
        return LiveResult(
            age=self._buffer.age(lag), **pose, loss_before=self._unrefined_loss, loss_after=candidate.loss,
            loss_of_window=found.solution.loss, iterations=iterations, step_ms=self._budget.step_ms, refined=helps,
            restarted=restarted, ground_source=self._ground.source, milliseconds=self._budget.end(),
        )  # fmt: skip

    def _change_m(self, a: Motion, b: Motion) -> float:
        """Largest distance of a joint between two motions in the frame to publish, else in the oldest."""
        index = max(len(a[1]) - 1 - self.settings.lag_frames, 0)
        rotations, pelvis = (torch.stack([x[index], y[index]]) for x, y in zip(a, b, strict=True))
        joints = global_poses(rotations, pelvis, self._points.bones)[1]
        return float((joints[0] - joints[1]).norm(dim=-1).max().nan_to_num(torch.inf))

    def _watch_ground(self, task: LiveTask, moved: int) -> None:
        """Once a window's length, on the reference, which does not depend on the ground."""
        self._since_ground += moved
        if self._since_ground < self.settings.window_frames:
            return
        self._since_ground = 0
        rotations, pelvis = task.parameters.rotations[0], task.parameters.pelvis[0]
        turned, joints = global_poses(rotations, pelvis, self._points.bones)
        soles = self._points.soles(turned, pelvis)
        if self._ground.observe(soles, joints, task.window.dt_s, task.window.lifted[0]):
            self._loss = self._unrefined_loss = None  # losses with another ground do not compare
            self._descent.begin()
