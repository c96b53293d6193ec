"""The window part of ``benchmarks.refinement``: lifted motion before and after refinement, and beside filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from benchmarks.refinement.cache import Cache
from benchmarks.refinement.clips import Cut, labels
from benchmarks.refinement.filters import Kalman, OneEuro, at_equal_jitter, tune
from benchmarks.refinement.metrics import Referee, Truth, rollout
from benchmarks.refinement.scores import Curves
from benchmarks.refinement.solvers import Solved, Solver, progress, solve, solve_alone
from diffmocap.evaluation.motion_metrics import acceleration_variation, mpjpe_global_mm
from diffmocap.optim.stopping import Budget
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.ground import Ground
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.task import WindowTask
from diffmocap.refinement.window.window import Window
from training.lifting.noisy_keypoints import FRAME_S
from training.motions.lifted_windows import LiftedMotion, MotionLifter, view_of, window_of

#: Lifting follows a person for so many frames before a window begins.
LEAD = 16
#: Rounds of refinement; in each but the first contacts are read anew and the last motion is the reference.
ROUNDS = 2


@dataclass(frozen=True)
class Windows:
    """Lifted windows of cuts, one each and in their order."""

    cuts: list[Cut]
    motions: list[LiftedMotion]
    truth: Truth

    def raw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What lifting follows, rotations [B, T, 24, 3, 3] and pelvis [B, T, 3], float64; frames of which it made
        nothing repeat the nearest one."""
        nearest = [_nearest(m.lifted) for m in self.motions]
        return (
            torch.stack([m.rotations[0][i] for m, i in zip(self.motions, nearest)]).double(),
            torch.stack([m.pelvis[0][i] for m, i in zip(self.motions, nearest)]).double(),
        )

    def window(self, rows: slice) -> Window:
        """Some of them as a batch, float32."""
        return window_of(self.motions[rows])


def _nearest(known: torch.Tensor) -> torch.Tensor:
    """Of each frame the nearest one that is known [T]."""
    frames = torch.nonzero(known)[:, 0]
    return frames[(torch.arange(len(known))[:, None] - frames).abs().argmin(1)]


@dataclass(frozen=True)
class WindowBench:
    """Windows of cuts, and what comes of solvers and filters on them.

    Args:
        points: of the referee's body, float32. batch: windows side by side. seed: of the cameras and the noise.
    """

    points: BodyPoints
    referee: Referee
    cache: Cache
    batch: int = 16
    seed: int = 0

    def lifted(self, cuts: Sequence[Cut], lifter: MotionLifter | None = None) -> Windows:
        """Windows that lifting makes of cuts from random sides, kept; takes seconds per window."""

        def measure() -> dict:
            made, generator = [], torch.Generator().manual_seed(self.seed)
            with_models = lifter or MotionLifter()
            for cut in progress(cuts, "lifting"):
                lead = min(cut.start, LEAD)
                stretch = cut.take.frames(cut.start - lead, cut.start + cut.frames)
                motion = with_models.lift(stretch, frames=lead + cut.frames, **view_of(generator))
                made.append(motion.frames(lead, lead + cut.frames))
            return {f"{i}.{f.name}": getattr(m, f.name).clone() for i, m in enumerate(made) for f in fields(m)}

        kept = self.cache.get(measure, what="lifted", cuts=[c.name for c in cuts],
                              frames=sorted({c.frames for c in cuts}), lead=LEAD, seed=self.seed)  # fmt: skip
        motions = [LiftedMotion(**{f.name: kept[f"{i}.{f.name}"] for f in fields(LiftedMotion)})
                   for i in range(len(cuts))]  # fmt: skip
        seen = [i for i, motion in enumerate(motions) if bool(motion.lifted.any())]
        cuts, motions = [cuts[i] for i in seen], [motions[i] for i in seen]
        return Windows(cuts, motions, self._truth(cuts, motions))

    def _truth(self, cuts: Sequence[Cut], motions: Sequence[LiftedMotion]) -> Truth:
        window = window_of(list(motions))
        rotations, pelvis, up, height, K, camera = (x.double().numpy() for x in (
            torch.stack([m.true_rotations for m in motions]), torch.stack([m.true_pelvis for m in motions]),
            window.ground.up, window.ground.height, window.K, window.T_camera_motion,
        ))  # fmt: skip
        return Truth(
            rotations, pelvis, FRAME_S, up, height, labels(cuts, self.referee.judge), K, camera,
            tuple(c.take.name for c in cuts), tuple(c.take.subject for c in cuts),
        )  # fmt: skip

    def tasks(self, windows: Windows) -> tuple[list[WindowTask], list[int]]:
        """All windows in batches, from the smoothed followed hypothesis, and how many each has."""
        parts = [windows.window(slice(a, a + self.batch)) for a in range(0, len(windows.cuts), self.batch)]
        return [WindowTask(w, self.points, reference_motion(w, 0)) for w in parts], [w.batch for w in parts]

    def start(self, windows: Windows) -> tuple[torch.Tensor, torch.Tensor]:
        """The smoothed motions that every solver begins with, float64."""
        references = [task.reference for task in self.tasks(windows)[0]]
        return tuple(torch.cat(x).double() for x in zip(*references, strict=True))

    def solved(self, solver: Solver, windows: Windows, cap: int, stop=None) -> Solved:
        """One solver's runs from the reference, kept."""
        kept = self.cache.get(
            lambda: solve(solver, *self.tasks(windows), cap, stop).kept(), what="window", cap=cap, stop=repr(stop),
            **self._key(solver, windows),
        )  # fmt: skip
        return Solved.from_kept(kept)

    def timed(self, solver: Solver, windows: Windows, which: Sequence[int], cap: int) -> Curves:
        """Runs of one problem at a time, kept."""

        def measure() -> dict:
            tasks, _ = self.tasks(windows)
            curves = solve_alone(solver, [tasks[i // self.batch].row(i % self.batch) for i in which], cap)
            return {"best": curves.best, "seconds": curves.seconds}

        return Curves(**self.cache.get(measure, what="window timed", which=list(which), cap=cap,
                                       **self._key(solver, windows)))  # fmt: skip

    def refined(self, solver: Solver, windows: Windows, evaluations: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Motions after :data:`ROUNDS` rounds that share the evaluations, float64."""

        def measure() -> dict:
            rotations, pelvis = [], []
            for task, count in progress(list(zip(*self.tasks(windows))), f"{solver.name}, {ROUNDS} rounds"):
                for left in range(ROUNDS, 0, -1):
                    budget = Budget(evaluations=max(1, evaluations // ROUNDS))
                    x = solver.optimizer.minimize(task, task.init(count), budget).x.to(task.window.pelvis)
                    if left > 1:
                        task = task.around(x)
                motion = task.refined(x)
                rotations.append(motion.rotations)
                pelvis.append(motion.pelvis)
            return {"rotations": torch.cat(rotations).double(), "pelvis": torch.cat(pelvis).double()}

        kept = self.cache.get(measure, what="refined", evaluations=evaluations, rounds=ROUNDS,
                              **self._key(solver, windows))  # fmt: skip
        return kept["rotations"], kept["pelvis"]

    def _key(self, solver: Solver, windows: Windows) -> dict:
        return {"solver": solver.name, "key": solver.key, "cuts": [c.name for c in windows.cuts], "seed": self.seed,
                "frames": windows.cuts[0].frames, "batch": self.batch}  # fmt: skip

    def jitter_of(self, motions: tuple[torch.Tensor, torch.Tensor], windows: Windows) -> float:
        """Mean TV [m/s^2] of motions."""
        joints = [self.referee.judge.poses(r.numpy(), p.numpy())[1] for r, p in zip(*motions, strict=True)]
        return float(np.mean([acceleration_variation(j, 1 / windows.truth.dt_s) for j in joints]))

    def errors_of(self, candidate: OneEuro | Kalman, windows: Windows) -> tuple[float, float]:
        """Mean MPJPE-G [mm] and TV [m/s^2] of a filter's motions."""
        poses, truth = self.referee.judge.poses, windows.truth
        motions = candidate(windows.raw(), truth.dt_s)
        joints = [poses(r.numpy(), p.numpy())[1] for r, p in zip(*motions, strict=True)]
        wanted = [poses(truth.rotations[b], truth.pelvis[b])[1] for b in range(len(truth))]
        errors = [mpjpe_global_mm(a, b) for a, b in zip(joints, wanted, strict=True)]
        return float(np.mean(errors)), self.jitter_of(motions, windows)

    def tuned(self, kind: type[OneEuro] | type[Kalman], windows: Windows) -> OneEuro | Kalman:
        """The filter of least MPJPE-G on windows of the held-out subject."""
        return tune(kind.grid(), lambda candidate: self.errors_of(candidate, windows)[0])

    def at_jitter(self, shape: OneEuro | Kalman, windows: Windows, tv: float) -> OneEuro | Kalman:
        """The shape at the strength that leaves a mean TV of ``tv`` on these windows."""
        return at_equal_jitter(shape, lambda candidate: self.errors_of(candidate, windows)[1], tv)

    def shaped(self, kind: type[OneEuro] | type[Kalman], windows: Windows, tv: float) -> OneEuro | Kalman:
        """The shape of least MPJPE-G on windows of the held-out subject among those that leave a TV of ``tv``."""
        candidates = [self.at_jitter(shape, windows, tv) for shape in progress(kind.shapes(), kind.name)]
        return tune(candidates, lambda candidate: self.errors_of(candidate, windows)[0])

    def rollouts(
        self, motions: tuple[torch.Tensor, torch.Tensor], windows: Windows, body: ArticulatedBody
    ) -> tuple[np.ndarray, np.ndarray]:
        """PyBullet's seconds [B] and whether censored; see :func:`benchmarks.refinement.metrics.rollout`."""
        found = []
        for b in progress(range(len(windows.cuts)), "PyBullet"):
            up, height = (torch.as_tensor(x[b]).double() for x in (windows.truth.up, windows.truth.height))
            found.append(rollout(motions[0][b], motions[1][b], windows.truth.dt_s, Ground(up, height), body))
        return np.array([r.seconds for r in found]), np.array([r.censored for r in found])
