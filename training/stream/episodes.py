"""Streams that a batch of episodes walks along, frame by frame, as the live refinement does."""

from __future__ import annotations

import torch

from diffmocap.physics.ground import Ground
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.kernels.units import KNOT_SIZE
from diffmocap.refinement.stream.descent import metric_of
from diffmocap.refinement.stream.metric_descent import SHORT, MetricDescent
from diffmocap.refinement.stream.reference import live_reference, still_in_window
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.sliding_unknowns import SlidingKnots
from diffmocap.refinement.stream.task import LiveTask, live_window, without_ground
from diffmocap.refinement.stream.window_buffer import WindowBuffer
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.metric import WindowMetric
from training.motions.live_streams import FPS, UP, LiveStream

#: Share of the episodes in which nothing is known of a ground, and of the frames that are lost on the way.
WITHOUT_GROUND, LOST = 0.3, 0.02


class Episode:
    """A stretch of one stream, and where the refinement is on it.

    Attributes:
        steps: pairs and step length of limited-memory BFGS on the metric. metric: of the present window.
        left: frames until it ends. frame: the number of the newest in the stream.
    """

    #: Whether the last step of a frame leaves a pair: live, its loss is known without a gradient.
    learns_last = False

    def __init__(
        self, stream: LiveStream, points: BodyPoints, settings: LiveSettings, begin: int, frames: int,
        with_ground: bool, lost: float = 0.0, seed: int = 0,
    ) -> None:  # fmt: skip
        self.stream, self.points, self.settings = stream, points, settings
        self.frame, self.left = begin - 1, min(frames, len(stream.frames) - begin)
        self.ground = Ground(torch.tensor(UP), torch.tensor(stream.ground_height), "given") if with_ground else None
        self.weights = settings.weights if with_ground else without_ground(settings.weights)
        self.steps = MetricDescent()
        self.metric: WindowMetric | None = None
        self._buffer = WindowBuffer(settings.window_frames, settings.hypotheses)
        self.knots = SlidingKnots(settings.window_frames, settings.spacing)
        self._reference: tuple[torch.Tensor, torch.Tensor] | None = None
        self._lost, self._generator = lost, torch.Generator().manual_seed(seed)

    @property
    def dimension(self) -> int:
        """N."""
        return self.knots.count * KNOT_SIZE

    def encodes_anew(self, task: LiveTask) -> bool:
        """Whether the encoders are to run for this frame though no knot has moved on."""
        return task.window.frames <= SHORT

    def next_task(self, x: torch.Tensor) -> tuple[LiveTask | None, int]:
        """The next frame's problem from the last solution x [N], already moved on as the number says; how many knots
        the window has left behind. None where no frame of the window has a pose."""
        moved = 1
        self.frame += 1
        self.left -= 1
        while self.left > 0 and self._buffer.count and torch.rand((), generator=self._generator) < self._lost:
            self.frame, self.left, moved = self.frame + 1, self.left - 1, moved + 1
        self._buffer.push(self.stream.frames[self.frame], moved / FPS)
        window = live_window(self._buffer, self.ground, self.settings)
        if not bool(window.lifted.any()):
            return None, 0
        previous, gone = self._reference, 0
        if previous is not None:
            previous = still_in_window(previous, moved, window.frames)
            for _ in range(moved):
                x = self.knots.advance(x[None])[0]
                if self.knots.phase == 0:
                    gone += 1
                    self.steps.knots_moved(KNOT_SIZE)
                    self.metric = None
        self._reference = live_reference(window, previous)
        spline = self.knots.spline(window.frames)
        task = LiveTask(window, self.points, self._reference, spline, x[None], self.weights)
        if self.metric is None or window.frames <= SHORT:
            self.metric = metric_of(task, self.points, self.settings.spacing)
        return task, gone

    def error_m(self, task: LiveTask, x: torch.Tensor) -> torch.Tensor:
        """[24, 3] how far the newest frame's joints are from the true ones, of the motion that x [N] stands for;
        differentiable."""
        rotations, pelvis = task.parameters.decode(x[None])
        joints = global_poses(rotations[0, -1:], pelvis[0, -1:], self.points.bones)[1]
        truth = self.stream.rotations[self.frame][None], self.stream.pelvis[self.frame][None]
        return (joints - global_poses(*truth, self.points.bones)[1])[0]
