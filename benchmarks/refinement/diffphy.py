"""The DiffPhy part of ``benchmarks.refinement``: controls whose simulation looks like motion capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.refinement.cache import Cache
from benchmarks.refinement.clips import Cut, labels, stacked
from benchmarks.refinement.metrics import Referee, Truth
from benchmarks.refinement.pybullet_rollout import JUDGE, rollout_of
from benchmarks.refinement.scores import Curves
from benchmarks.refinement.solvers import Solved, Solver, progress, solve, solve_alone
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.evaluation.motion_metrics import mpjpe_global_mm
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.ground import Ground
from diffmocap.physics.ground_contact import GroundContact
from diffmocap.physics.simulation import BodyMotionState, Simulator
from diffmocap.refinement.diffphy.stages import minimize_in_stages
from diffmocap.refinement.diffphy.task import DiffphyTask

UP = torch.tensor([0.0, 1.0, 0.0])
#: The ground of controls that another engine is to follow. After 0.9 s on it the pelvises of both engines are 1 to 5 cm
#: apart (held-out walks), on the default, which is softer, 1 to 30 cm.
HARD_GROUND = GroundContact(sink_m=0.002, softening_m=0.001, slip_m_s=0.01)


@dataclass(frozen=True)
class DiffphyBench:
    """Tasks of cuts, and what comes of solvers on them.

    Args:
        body: float32. batch: problems side by side.
    """

    body: ArticulatedBody
    referee: Referee
    cache: Cache
    batch: int = 32

    def task(self, cuts: Sequence[Cut]) -> DiffphyTask:
        """One batch; takes are on the floor already (:func:`training.optim.motion_problems.on_the_floor`)."""
        simulator = Simulator(self.body, Ground(UP, torch.tensor(0.0)))
        return DiffphyTask(simulator, *stacked(cuts), 1 / cuts[0].take.fps)

    def followed_elsewhere(self, cuts: Sequence[Cut]) -> DiffphyTask:
        """One batch of long clips whose controls another engine is to follow: on :data:`HARD_GROUND`, begun with soles
        that are not in it, since engines differ in how they get out."""
        simulator = Simulator(self.body, Ground(UP, torch.tensor(0.0)), contact=HARD_GROUND, checkpoint=True)
        rotations, pelvis = stacked(cuts)
        start = BodyMotionState.of_motion(rotations, pelvis, 1 / cuts[0].take.fps, self.body)
        placed = self.body.configuration(start.rotations, start.pelvis).positions[:, NUM_JOINTS:]
        depth = (self.body.points.radius - placed @ UP).amax(1).clamp_min(0.0)
        start = replace(start, pelvis=start.pelvis + depth[:, None] * UP)
        return DiffphyTask(simulator, rotations, pelvis, 1 / cuts[0].take.fps, start=start)

    def batches(self, cuts: Sequence[Cut]) -> list[Sequence[Cut]]:
        """The cuts, so many at a time."""
        return [cuts[a : a + self.batch] for a in range(0, len(cuts), self.batch)]

    def tasks(self, cuts: Sequence[Cut]) -> tuple[list[DiffphyTask], list[int]]:
        """All cuts in batches, and how many each has."""
        parts = self.batches(cuts)
        return [self.task(part) for part in parts], [len(part) for part in parts]

    def solved(self, solver: Solver, cuts: Sequence[Cut], cap: int, stop=None) -> Solved:
        """One solver's runs, kept."""
        kept = self.cache.get(
            lambda: solve(solver, *self.tasks(cuts), cap, stop).kept(), what="diffphy", solver=solver.name,
            key=solver.key, cuts=[c.name for c in cuts], frames=cuts[0].frames, cap=cap, stop=repr(stop),
            batch=self.batch,
        )  # fmt: skip
        return Solved.from_kept(kept)

    def timed(self, solver: Solver, cuts: Sequence[Cut], cap: int) -> Curves:
        """Runs of one problem at a time, kept."""

        def measure() -> dict:
            curves = solve_alone(solver, [self.task([cut]) for cut in cuts], cap)
            return {"best": curves.best, "seconds": curves.seconds}

        return Curves(**self.cache.get(measure, what="diffphy timed", solver=solver.name, key=solver.key,
                                       cuts=[c.name for c in cuts], frames=cuts[0].frames, cap=cap))  # fmt: skip

    @torch.no_grad()
    def simulated(self, cuts: Sequence[Cut], x: Sequence[torch.Tensor] | None) -> tuple[np.ndarray, np.ndarray]:
        """Local rotations and pelvis of what parameters simulate; None: the observed poses as targets."""
        tasks, counts = self.tasks(cuts)
        rotations, pelvis = [], []
        for i, (task, count) in enumerate(zip(tasks, counts, strict=True)):
            motion = task.simulate(task.init(count) if x is None else x[i].to(task.pelvis))
            rotations.append(motion.local_rotations(self.body))
            pelvis.append(motion.pelvis)
        return torch.cat(rotations).double().numpy(), torch.cat(pelvis).double().numpy()

    def truth(self, cuts: Sequence[Cut]) -> Truth:
        """What is observed; 2D errors are those before a camera four metres in front."""
        rotations, pelvis = (x.double().numpy() for x in stacked(cuts))
        count, contacts = len(cuts), labels(cuts, self.referee.judge)
        camera = np.zeros((count, 3, 4))
        camera[:, :, :3] = np.diag([1.0, -1.0, -1.0])
        camera[:, :, 3] = -(pelvis.mean(1) + [0.0, 0.3, 4.0]) @ camera[0, :, :3].T
        K = np.broadcast_to([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]], (count, 3, 3))
        return Truth(
            rotations, pelvis, 1 / cuts[0].take.fps, np.broadcast_to(UP.double().numpy(), (count, 3)), np.zeros(count),
            contacts, K, camera, tuple(c.take.name for c in cuts), tuple(c.take.subject for c in cuts),
        )  # fmt: skip

    def mpjpe_g_mm(self, cuts: Sequence[Cut], x: Sequence[torch.Tensor]) -> np.ndarray:
        """MPJPE-G [B] of parameters."""
        found, (rotations, pelvis) = self.simulated(cuts, x), stacked(cuts)
        poses = self.referee.judge.poses
        return np.array([
            mpjpe_global_mm(poses(found[0][b], found[1][b])[1], poses(rotations[b].double().numpy(), pelvis[b])[1])
            for b in range(len(cuts))
        ])  # fmt: skip

    def long_controls(self, solver: Solver, cuts: Sequence[Cut], evaluations: int) -> tuple[torch.Tensor, np.ndarray]:
        """Controls [B, N] of long clips, found in stages, and the joints' mean distance [B] there [mm], kept."""

        def measure() -> dict:
            found, errors = [], []
            for batch in progress(self.batches(cuts), f"{solver.name}, stages"):
                task = self.followed_elsewhere(batch)
                found.append(minimize_in_stages(task, solver.optimizer, evaluations).x)
                with torch.no_grad():
                    off = (task.simulate(found[-1]).joints - task.joints).norm(dim=-1).mean((1, 2))
                errors.append(1e3 * off)
            return {"x": torch.cat(found), "mpjpe_g_mm": torch.cat(errors).double()}

        kept = self.cache.get(measure, what="long controls", **self._long_key(solver, cuts, evaluations))
        return kept["x"], kept["mpjpe_g_mm"].numpy()

    def rollouts(
        self, solver: Solver, cuts: Sequence[Cut], evaluations: int, precise: ArticulatedBody
    ) -> dict[str, np.ndarray]:
        """PyBullet's seconds before and after the controls of long clips, found in stages, and whether censored;
        ``precise`` is the body in float64."""
        x, errors = self.long_controls(solver, cuts, evaluations)

        def measure() -> dict:
            rows = []
            for b in progress(range(len(cuts)), "PyBullet"):
                task = self.followed_elsewhere(cuts[b : b + 1])
                row = [rollout_of(task, y, precise) for y in (task.init(1), x[b : b + 1])]
                rows.append([v for rollout in row for v in (rollout.seconds, float(rollout.censored))])
            return {"rows": torch.tensor(rows, dtype=torch.float64)}

        kept = self.cache.get(measure, what="rollouts", judge=JUDGE, **self._long_key(solver, cuts, evaluations))
        names = ("before_s", "before_censored", "after_s", "after_censored")
        return dict(zip(names, kept["rows"].numpy().T, strict=True)) | {"mpjpe_g_mm": errors}

    def _long_key(self, solver: Solver, cuts: Sequence[Cut], evaluations: int) -> dict:
        return {"solver": solver.name, "key": solver.key, "cuts": [c.name for c in cuts], "frames": cuts[0].frames,
                "evaluations": evaluations, "begins": f"on {HARD_GROUND}"}  # fmt: skip
