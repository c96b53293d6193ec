"""A motion of any length, simulated: one window of controls after the other, each going on where the last was left.

A receding horizon (Mayne and Michalska 1990): controls are found for a window of about a second, the first part of what
they simulate is kept, and the next window begins in the state that it ends in, with the same controls there, so that
neither the motion nor the drives' targets have a seam. What is beyond the kept part keeps a window from ending in a
fall. So the cost grows with the length of the motion, where one simulation of it all has gradients that say nothing
after a second or two.

Where the simulated body strays from the motion the window is tried once more from the motion's own state. Where it
strays again the motion stays as it was for the part that would have been kept. A *run* is a stretch of frames that were
simulated without a break; it begins in the motion's own state, and where it is broken off it goes over into the motion,
which is smooth, within ``blend_s``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

import roma
import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.stopping import Budget
from diffmocap.physics.ground import Ground
from diffmocap.physics.motion import rotation_steps
from diffmocap.physics.self_contact import SelfContact
from diffmocap.physics.simulation import BodyMotionState, SimulatedMotion, Simulator
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.diffphy.controls import JOINT_SETS, KNOT_RATE_HZ, ControlTrajectory
from diffmocap.refinement.diffphy.feedforward import first_knots, leading_turns
from diffmocap.refinement.diffphy.observation import SeenKeypoints
from diffmocap.refinement.diffphy.observed_motion import ObservedMotion
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.diffphy.task import DiffphyTask, DiffphyWeights
from diffmocap.refinement.window.body_points import BodyPoints

#: Knots that a window takes over from the last one: as many as the targets at its first frame depend on.
HELD_KNOTS = 3


@dataclass
class Progress:
    """How far a simulation of T frames has come; all tensors on the CPU, float64 unless they say otherwise.

    Attributes:
        frame: [] int64, the next window's first.
        run: [T] int64, number of the run that simulated a frame, -1: none.
        rotations: [T, 24, 3, 3] local. pelvis: [T, 3] m. torques: [T, 24, 3] N m. points: [T, P, 3] m.
        forces: [T, P, 3] N; all of frames that were simulated.
        losses: [W, 2] of the windows that were kept: with the motion itself as targets, and with the controls found.
        state_rotations, state_pelvis, state_velocity: to go on from, see :class:`BodyMotionState`; empty: a run begins.
        knots: [K, D] rad of the last window, from the next one's first on.
    """

    frame: torch.Tensor
    run: torch.Tensor
    rotations: torch.Tensor
    pelvis: torch.Tensor
    torques: torch.Tensor
    points: torch.Tensor
    forces: torch.Tensor
    losses: torch.Tensor
    state_rotations: torch.Tensor
    state_pelvis: torch.Tensor
    state_velocity: torch.Tensor
    knots: torch.Tensor

    @classmethod
    def begin(cls, frames: int, points: int) -> Progress:
        """Nothing is simulated yet."""
        empty = torch.zeros(0, dtype=torch.float64)
        zeros = [torch.zeros(frames, *size, dtype=torch.float64) for size in
                 ((NUM_JOINTS, 3, 3), (3,), (NUM_JOINTS, 3), (points, 3), (points, 3))]  # fmt: skip
        return cls(
            torch.tensor(0), torch.full((frames,), -1), *zeros, torch.zeros(0, 2, dtype=torch.float64), empty, empty,
            empty, empty,
        )  # fmt: skip

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it by name, to be kept."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def state(self) -> BodyMotionState | None:
        """Where the current run has come to; None where one begins."""
        if not len(self.state_pelvis):
            return None
        return BodyMotionState(self.state_rotations, self.state_pelvis, self.state_velocity)

    def break_off(self) -> None:
        """The next window begins a run."""
        empty = torch.zeros(0, dtype=torch.float64)
        self.state_rotations = self.state_pelvis = self.state_velocity = self.knots = empty


@dataclass(frozen=True)
class SimulatedStretch:
    """A motion of T frames, simulated where that went well; float64.

    Attributes:
        rotations: [T, 24, 3, 3] local, entry 0 turns the body into the frame. pelvis: [T, 3] m.
        simulated: [T] bool: the frame is the simulation's; elsewhere it is the motion's own, or between both.
        torques: [T, 24, 3] N m of the joints on their children, in the frame's axes. contact_points: [T, P, 3] m.
        contact_forces: [T, P, 3] N of the ground on the body; all zero where ``simulated`` is false.
        losses: mean over the kept windows: with the motion itself as targets, and with the controls found; nan
            where there are none.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    simulated: torch.Tensor
    torques: torch.Tensor
    contact_points: torch.Tensor
    contact_forces: torch.Tensor
    losses: tuple[float, float]


@dataclass
class HorizonSimulator:
    """Simulates motions of one body on one ground.

    Args:
        simulator: in float64: stray states grow. solver: of the controls. weights: of the loss.
        points, self_contact: of the body, see :class:`DiffphyTask`; None: their terms are left out, and without points
            the first guess of the targets are the observed poses, not what leads these by the motion's torques.
    """

    simulator: Simulator
    solver: Optimizer
    settings: SimulationSettings = field(default_factory=SimulationSettings)
    weights: DiffphyWeights = field(default_factory=DiffphyWeights)
    points: BodyPoints | None = None
    self_contact: SelfContact | None = None

    def simulate(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, touching: torch.Tensor, dt_s: float,
        progress: Progress | None = None, told: Callable[[Progress], None] = lambda progress: None,
        seen: SeenKeypoints | None = None,
    ) -> SimulatedStretch:  # fmt: skip
        """A motion [T, 24, 3, 3] (local), [T, 3] m whose frames are ``dt_s`` apart.

        Args:
            touching: [T, P] bool, the body's contact points that touch the ground.
            progress: of a simulation of the same motion that was interrupted. told: hears of it after every window.
            seen: keypoints of its T frames.
        """
        if len(pelvis) < 2 or not dt_s > 0:
            raise SettingsError(f"a simulation needs two frames and positive times, got {len(pelvis)} and {dt_s} s")
        rotations, pelvis = rotations.double(), pelvis.double()
        if progress is None:
            progress = Progress.begin(len(pelvis), len(self.simulator.body.points.names))
        leading = None
        if self.points is not None:
            ground = Ground(self.simulator.up, self.simulator.height)
            drives = self.simulator.drives
            leading = leading_turns(rotations, pelvis, dt_s, ground, touching, self.points, drives)
        for _ in self._windows(ObservedMotion(rotations, pelvis, touching, leading, seen), dt_s, progress):
            told(progress)
        return self._stretch(rotations, pelvis, dt_s, progress)

    def _windows(self, motion: ObservedMotion, dt_s: float, progress: Progress) -> Iterator[None]:
        """Goes on to the end, yields after every window."""
        spacing, hop, length = window_frames(self.settings, dt_s)
        frames = len(motion)
        while int(progress.frame) < frames - 1:
            start = int(progress.frame)
            stop = min(start + length, frames)
            kept = stop - start if stop == frames else hop
            part, found = motion.frames(slice(start, stop)), None
            if progress.state is not None:
                found = self._tried(part, dt_s, spacing, progress.state, progress.knots, kept)
            run = int(progress.run[max(start - 1, 0)])
            if found is None:
                run = int(progress.run.max()) + 1
                own = state_at(motion.rotations, motion.pelvis, start, dt_s, self.simulator)
                found = self._tried(part, dt_s, spacing, own, None, kept)
            if found is None:
                progress.break_off()
            else:
                self._keep(progress, *found, start, kept, run, hop // spacing)
            progress.frame = torch.tensor(frames - 1 if stop == frames else start + hop)
            yield

    def _tried(
        self, part: ObservedMotion, dt_s: float, spacing: int, state: BodyMotionState, known: torch.Tensor | None,
        kept: int,
    ) -> tuple[SimulatedMotion, torch.Tensor, tuple[float, float]] | None:  # fmt: skip
        """A window's motion, all its knots [K, D] rad and its loss before and after; None where it strays.

        Args:
            state: to begin with; where a run begins it is the motion's own, and unknown if the settings say so.
            known: knots of the last window, this one's first among them; None: a run begins.
        """
        held = None if known is None else known[:HELD_KNOTS]
        controls = ControlTrajectory.every(len(part), spacing, JOINT_SETS[self.settings.joints], held)
        task = DiffphyTask(
            self.simulator, part.rotations[None], part.pelvis[None], dt_s, controls, self.weights, state,
            part.touching[None], self.points, part.seen, self.self_contact,
            free_start=known is None and self.settings.free_start,
        )  # fmt: skip
        x = task.init(1)
        found = x.new_zeros(0, controls.shape[1]) if known is None else known[HELD_KNOTS:][: controls.shape[0]]
        task.knots(x)[:] = first_knots(controls, part.leading, found.to(x))
        result = self.solver.minimize(task, x, Budget(evaluations=self.settings.evaluations))
        with torch.no_grad():
            motion = task.simulate(result.x)
            away = (motion.joints - task.joints)[0, :kept].norm(dim=-1).mean(-1)
            if not bool((away <= self.settings.stray_m).all()):
                return None
            knots = controls.knots(task.knots(result.x.double()))[0]
        return motion, knots, (float(result.losses[0, 0]), float(result.loss[0]))

    def _keep(
        self, progress: Progress, motion: SimulatedMotion, knots: torch.Tensor, losses: tuple[float, float], start: int,
        kept: int, run: int, hop_knots: int,
    ) -> None:  # fmt: skip
        body = self.simulator.body
        part = slice(start, start + kept)
        progress.rotations[part] = motion.local_rotations(body)[0, :kept]
        progress.pelvis[part] = motion.pelvis[0, :kept]
        torque = torch.cat([motion.torque[0, :1], motion.torque[0]])  # a frame's is that of the step that leads to it
        if start and int(progress.run[start - 1]) == run:
            torque[0] = progress.torques[start]
        progress.torques[part] = torque[:kept]
        progress.points[part] = motion.positions[0, :kept, NUM_JOINTS:]
        progress.forces[part] = motion.contact_force[0, :kept]
        progress.run[part] = run
        progress.losses = torch.cat([progress.losses, torch.tensor([losses], dtype=torch.float64)])
        if start + kept < len(progress.run):
            # The frame that the next window begins with, should that go on from here.
            progress.torques[start + kept] = torque[kept]
            progress.state_rotations, progress.state_pelvis = motion.rotations[:, kept], motion.pelvis[:, kept]
            progress.state_velocity = motion.velocity[:, kept]
            progress.knots = knots[hop_knots:]

    def _stretch(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, progress: Progress
    ) -> SimulatedStretch:
        share = run_weights(progress.run, round(self.settings.blend_s / dt_s))
        simulated = share >= 1.0
        turned, moved = rotations.clone(), pelvis.clone()
        some = share > 0
        way = roma.rotmat_to_rotvec(rotations[some].mT @ progress.rotations[some])
        turned[some] = rotations[some] @ roma.rotvec_to_rotmat(share[some, None, None] * way)
        moved[some] = torch.lerp(pelvis[some], progress.pelvis[some], share[some, None])
        turned[simulated], moved[simulated] = progress.rotations[simulated], progress.pelvis[simulated]
        forces = [torch.where(simulated[:, None, None], x, 0.0)
                  for x in (progress.torques, progress.points, progress.forces)]  # fmt: skip
        losses = progress.losses.mean(0).tolist() if len(progress.losses) else [float("nan")] * 2
        return SimulatedStretch(turned, moved, simulated, *forces, (losses[0], losses[1]))


def window_frames(settings: SimulationSettings, dt_s: float) -> tuple[int, int, int]:
    """Frames between knots, from one window to the next, and of a window, its first and last included.

    Knots are never closer than at :data:`KNOT_RATE_HZ`, so that a second has no more than the measured metric knows
    (:mod:`diffmocap.refinement.diffphy.control_metric`), whatever the rate of frames.
    """
    spacing = math.ceil(1.0 / (KNOT_RATE_HZ * dt_s) - 0.01)
    hop = max(round((settings.window_s - settings.overlap_s) / (dt_s * spacing)), 1) * spacing
    return spacing, hop, hop + max(round(settings.overlap_s / dt_s), 1) + 1


def state_at(
    rotations: torch.Tensor, pelvis: torch.Tensor, frame: int, dt_s: float, simulator: Simulator
) -> BodyMotionState:
    """A motion's [T, 24, 3, 3], [T, 3] m own state at a frame, its velocity by central differences."""
    first, last = max(frame - 1, 0), min(frame + 2, len(pelvis))
    turned, _ = global_poses(rotations[first:last], pelvis[first:last], simulator.body.segments.offsets)
    steps = torch.cat([pelvis[first:last].diff(dim=0)[:, None] / dt_s, rotation_steps(turned, dt_s)], 1)
    here = frame - first
    return BodyMotionState(turned[here][None], pelvis[frame][None], steps.mean(0)[None])


def run_weights(run: torch.Tensor, blend: int) -> torch.Tensor:
    """[T] how much the simulation counts for each frame, from its run [T], -1: none.

    A run that is followed by anything but the motion's end fades out over its last ``blend`` frames, by the quintic
    without velocity and acceleration at its ends: what follows begins in the motion's own state.
    """
    frames = len(run)
    weights = (run >= 0).double()
    ends = [t for t in range(frames - 1) if run[t] >= 0 and run[t + 1] != run[t]]
    for end in ends:
        same = run[: end + 1] == run[end]
        length = min(blend, int(same.sum()))
        left = torch.arange(length, 0, -1, dtype=torch.float64) / (length + 1)
        weights[end + 1 - length : end + 1] = left**3 * (10.0 - 15.0 * left + 6.0 * left**2)
    return weights
