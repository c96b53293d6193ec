"""A lifted motion refined by physics: windows of the loss that the live refinement has, all of a motion at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.stopping import Budget
from diffmocap.physics.ground import Ground
from diffmocap.reconstruct.floor import Floor
from diffmocap.reconstruct.settings import ReconstructSettings
from diffmocap.reconstruct.stitching import stitched, window_starts
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.task import without_ground
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.contacts import LIFTED_LEVELS, contacts_of
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.task import WindowTask
from diffmocap.refinement.window.weights import RefinementWeights
from diffmocap.refinement.window.window import Window

#: Time between knots of the motion [s], four frames at 30 a second.
KNOT_S = 4 / 30


def solver_of(name: str) -> Optimizer:
    """The optimizer that a setting names, see :data:`~diffmocap.refinement.diffphy.settings.SOLVERS`."""
    from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
    from diffmocap.refinement.stream.optimus.weights import shipped_window_optimus
    from diffmocap.refinement.stream.whole_windows import OptimusSteps

    return {"optimus": lambda: OptimusSteps(shipped_window_optimus()), "lbfgs": Lbfgs, "bfgs": Bfgs}[name]()


@dataclass(frozen=True)
class RefinedMotion:
    """Rotations [T, 24, 3, 3] and pelvis [T, 3] m, float32, and the mean loss of the windows: of the motion that they
    began with and of the refined one, both with the contacts of the latter; nan without physics."""

    rotations: torch.Tensor
    pelvis: torch.Tensor
    losses: tuple[float, float] = (math.nan, math.nan)


class MotionRefiner:
    """Refines motions of one body.

    Args:
        points: the body, float32.
    """

    def __init__(self, points: BodyPoints, settings: ReconstructSettings) -> None:
        self._points, self._settings = points, settings
        self._solver = solver_of(settings.solver)
        live = LiveSettings()
        self._spread_rad = live.rotation_spread_rad
        self._precision = torch.diag(torch.tensor([live.across_m, live.across_m, live.along_m]).square().reciprocal())

    def refine(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, lifted: torch.Tensor, points_px: torch.Tensor,
        confidence: torch.Tensor, smooth: tuple[torch.Tensor, torch.Tensor], K: torch.Tensor, floor: Floor,
        dt_s: float, told: Callable[[float], None] = lambda share: None,
    ) -> RefinedMotion:  # fmt: skip
        """The motion, refined, in the optical frame.

        Args:
            rotations, pelvis: the lifted motion, its gaps bridged. lifted: [T] bool, frames that have a pose.
            smooth: the motion to begin with.
            points_px: [T, 25, 2] and confidence: [T, 25] keypoints of an ideal pinhole camera K [3, 3].
            told: hears which share of the work is done.
        """
        if not self._settings.physics:
            return RefinedMotion(*smooth)
        frames = len(pelvis)
        length = min(frames, max(round(self._settings.window_s / dt_s), 8))
        starts = window_starts(frames, length, min(round(self._settings.overlap_s / dt_s), length - 1))
        index = torch.tensor(starts)[:, None] + torch.arange(length)
        # A window without a pose of its own takes those of all frames: nearest in time counts most.
        dark = ~lifted[index].any(1)
        usable = lifted if not bool(dark.any()) else torch.ones_like(lifted)
        window = Window(
            dt_s=dt_s, rotations=rotations[index][:, None], pelvis=pelvis[index][:, None],
            log_weights=torch.zeros(len(starts), 1, length), lifted=usable[index],
            rotation_spread=torch.full((len(starts), length, rotations.shape[1]), self._spread_rad),
            pelvis_precision=self._precision.expand(len(starts), length, 3, 3), points_px=points_px[index],
            confidence=confidence[index], K=K.expand(len(starts), 3, 3),
            T_camera_motion=torch.eye(3, 4).expand(len(starts), 3, 4), ground=_batch(floor.ground, len(starts)),
        )  # fmt: skip
        reference = smooth[0][index], smooth[1][index]
        weights = RefinementWeights()
        weights = weights if floor.trusted else without_ground(weights)
        rows = range(len(starts))
        refined = [self._solve(window.row(i), reference[0][i : i + 1], reference[1][i : i + 1], weights,
                               lambda share, i=i: told((i + share) / len(starts))) for i in rows]  # fmt: skip
        windows = torch.cat([r for r, _ in refined]), torch.cat([p for _, p in refined])
        loss = WindowLoss(window, self._points, *windows, weights)
        losses = tuple(float(loss(*motion).mean()) for motion in (reference, windows))
        return RefinedMotion(*stitched(*windows, starts, frames), losses)

    def contacts(self, rotations: torch.Tensor, pelvis: torch.Tensor, floor: Floor, dt_s: float) -> torch.Tensor:
        """[T, P] bool contact points that touch the floor; none where that is not trusted."""
        if not floor.trusted:
            return torch.zeros(len(pelvis), len(self._points.contact_names), dtype=torch.bool)
        ground = _batch(floor.ground, 1)
        return contacts_of(self._points, rotations[None], pelvis[None], ground, dt_s, LIFTED_LEVELS)[0]

    def _solve(
        self, window: Window, rotations: torch.Tensor, pelvis: torch.Tensor, weights: RefinementWeights,
        told: Callable[[float], None],
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        settings = self._settings
        spacing = max(round(KNOT_S / window.dt_s), 1)
        task = WindowTask(window, self._points, (rotations, pelvis), weights, spacing=spacing)
        for done in range(1, settings.rounds + 1):
            x = self._solver.minimize(task, task.init(1), Budget(evaluations=settings.evaluations)).x.to(window.pelvis)
            told(done / settings.rounds)
            if done < settings.rounds:
                task = task.around(x)
        motion = task.refined(x)
        return motion.rotations, motion.pelvis


def _batch(ground: Ground, count: int) -> Ground:
    return replace(ground, up=ground.up.float().expand(count, 3), height=ground.height.float().expand(count))
