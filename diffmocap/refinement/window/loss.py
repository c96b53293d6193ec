"""The loss of a window of motion: what was observed, and what physics has to say.

    rotations, pelvis -> points of the body -> keypoints, contacts, jerk
                                            -> accelerations -> contact forces -> residual, torques

Terms and their units are those of :class:`diffmocap.refinement.window.weights.RefinementWeights`. Which points touch is
read off the reference motion once, with hysteresis; how readily they take force is smooth. No term is negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.autograd.function import once_differentiable

from diffmocap import compiler
from diffmocap.errors import SettingsError
from diffmocap.physics.contact_forces import ground_axes
from diffmocap.physics.contact_state import ContactLevels
from diffmocap.physics.motion import MIN_FRAMES
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.contacts import LIFTED_LEVELS, ContactMotion
from diffmocap.refinement.window.data import HypothesisTerm, Pull, ReprojectionTerm
from diffmocap.refinement.window.dynamics import STRENGTH, WindowDynamics, WindowForces
from diffmocap.refinement.window.joint_limits import LimitExcess
from diffmocap.refinement.window.weights import UNITS, RefinementWeights
from diffmocap.refinement.window.window import Window

if TYPE_CHECKING:
    from diffmocap.refinement.kernels.window import CompiledLoss

#: Newton iterations of the contact forces at most; five are the rule for the hardest of 30 frames.
CONTACT_ITERATIONS = 12


@dataclass(frozen=True)
class TermReport:
    """One term of the loss: ``size`` [B] in ``unit`` before it is weighed, and its ``cost`` [B] in the loss."""

    size: torch.Tensor
    unit: str
    cost: torch.Tensor


class WindowLoss:
    """Loss of motions that refine a window, in its dtype and on its device.

    Args:
        window: what is known.
        points: the body.
        rotations, pelvis: the reference motion, [B, T, 24, 3, 3] and [B, T, 3] m: smooth, and near what is sought.
        weights: of the terms. levels: of contacts.

    Attributes:
        touching: [B, T, P] bool, the contacts of the reference.
    """

    def __init__(
        self, window: Window, points: BodyPoints, rotations: torch.Tensor, pelvis: torch.Tensor,
        weights: RefinementWeights | None = None, levels: ContactLevels | None = None,
    ) -> None:  # fmt: skip
        if tuple(pelvis.shape) != (window.batch, window.frames, 3):
            raise SettingsError(
                f"the reference must have {window.batch} x {window.frames} frames, got {list(pelvis.shape)}"
            )
        like = window.pelvis
        self.dt_s, self.ground = window.dt_s, window.ground
        self.points = points.to(like.device, like.dtype)
        self.weights, self.levels = weights or RefinementWeights(), levels or LIFTED_LEVELS
        self._weight = like.new_tensor([getattr(self.weights, name) for name in UNITS])
        self._strength = like.new_tensor(STRENGTH)
        self._limits = LimitExcess(like)
        self._reprojection, self._hypotheses = ReprojectionTerm.of(window, pelvis), HypothesisTerm.of(window)
        self._axes, self._gravity = ground_axes(window.ground.up.double()), window.ground.gravity
        with torch.no_grad():
            self.touching = self.contacts_of(rotations, pelvis)
            held = self.touching.to(like)
            both = held[:, 1:] * held[:, :-1]
            # Shares of each contact in the mean over all contacts of the window; none: no mean, no cost.
            self._held = held / held.sum((1, 2), keepdim=True).clamp_min(1.0)
            self._held_steps = both / both.sum((1, 2), keepdim=True).clamp_min(1.0)

    def __call__(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Loss [B] of motions [B, T, 24, 3, 3] and [B, T, 3] m; differentiable, and at least zero."""
        return self.squares(rotations, pelvis) @ self._weight

    def report(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> dict[str, TermReport]:
        """Every term by its name; their costs sum to the loss."""
        with torch.no_grad():
            squares = self.squares(rotations, pelvis)
        return {
            name: TermReport(square if UNITS[name] == "nat" else square.sqrt(), UNITS[name], square * weight)
            for name, square, weight in zip(UNITS, squares.unbind(-1), self._weight, strict=True)
        }

    @torch.no_grad()
    def dynamics(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> WindowDynamics:
        """Forces and torques of motions of at least 3 frames, converged."""
        if pelvis.shape[1] < MIN_FRAMES:
            raise SettingsError(f"forces need at least {MIN_FRAMES} frames, got {pelvis.shape[1]}")
        return self._motion(rotations, pelvis, iterations=30).forces.dynamics()

    @torch.no_grad()
    def assess(
        self, rotations: torch.Tensor, pelvis: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, WindowDynamics | None]:
        """Loss [B], contact state [B, T, P] bool and, where forces count, dynamics: for little more than the loss."""
        motion = self._motion(rotations, pelvis, CONTACT_ITERATIONS if self._weighs_forces else 0)
        dynamics = None if motion.forces is None else motion.forces.dynamics()
        return motion.squares()[0] @ self._weight, motion.contacts.touching(self.levels), dynamics

    @torch.no_grad()
    def contacts_of(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Contact state [B, T, P] bool of motions, with hysteresis."""
        if self._machine_code:
            from diffmocap.refinement.kernels.window import contacts_of

            return contacts_of(self.points, rotations, pelvis, self.ground, self.dt_s, self.levels)
        return self._motion(rotations, pelvis).contacts.touching(self.levels)

    def squares(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Terms [B, 11] before they are weighed, in squares of their units and in the order of ``UNITS``."""
        return _Squares.apply(rotations, self.points.placed(rotations), pelvis, self)

    @cached_property
    def rows(self) -> list[CompiledLoss] | None:
        """The loss of each window as machine code; None on another device or without a compiler."""
        if not self._machine_code:
            return None
        from diffmocap.refinement.kernels.window import CompiledLoss  # compiling may take a while

        return [CompiledLoss(self, row) for row in range(len(self.touching))]

    @property
    def _machine_code(self) -> bool:
        return self._weight.device.type == "cpu" and compiler.available()

    @property
    def _weighs_forces(self) -> bool:
        weights = self.weights
        return any((weights.root_force, weights.root_moment, weights.torque, weights.torque_rate))

    def _motion(self, rotations: torch.Tensor, pelvis: torch.Tensor, iterations: int = 0) -> _Motion:
        return _Motion(self, rotations, self.points.placed(rotations), pelvis, iterations)


class _Squares(torch.autograd.Function):
    """Terms [B, 11] from local rotations, points relative to the pelvis, and the pelvis."""

    @staticmethod
    def forward(ctx, rotations, relative, pelvis, loss):
        motion = _Motion(loss, rotations, relative, pelvis, CONTACT_ITERATIONS if loss._weighs_forces else 0)
        squares, ctx.pull = motion.squares()
        return squares

    @staticmethod
    @once_differentiable
    def backward(ctx, above):
        return *ctx.pull(above), None


class _Motion:
    """A motion [B, T], its points with their coordinates first, and what follows from them.

    Args:
        relative: [B, T, 3, N] m of the body's points to the pelvis. iterations: of the contact forces; 0: no forces.
    """

    def __init__(
        self, loss: WindowLoss, rotations: torch.Tensor, relative: torch.Tensor, pelvis: torch.Tensor,
        iterations: int = 0,
    ) -> None:  # fmt: skip
        self.loss, self.rotations, self.relative, self.pelvis = loss, rotations, relative, pelvis
        self.absolute = relative + pelvis[..., None]
        points, ground = loss.points, loss.ground
        sizes = points.sizes
        self.joints, self.masses, centres, self.keypoints = self.absolute.split(sizes, -1)
        placed = relative.split(sizes, -1)[2]
        self.contacts = ContactMotion.of(placed, centres, points.radius, ground.up, ground.height, loss.dt_s)
        self.forces = None
        if iterations and pelvis.shape[1] >= MIN_FRAMES:
            active, self._pull_activity = self.contacts.activity(loss.levels)
            self._active = loss.touching[:, 1:-1].to(active)
            self.forces = WindowForces(
                points, relative, self.absolute, self.contacts.places[:, 1:-1], active * self._active, loss._axes,
                loss._gravity, loss.dt_s, iterations,
            )  # fmt: skip

    def squares(self) -> tuple[torch.Tensor, Pull]:
        """Terms [B, 11], and what takes their gradient to that of rotations, relative points and pelvis."""
        loss, weights, pelvis = self.loss, self.loss.weights, self.pelvis
        frames = pelvis.shape[1]
        found = dict.fromkeys(UNITS, pelvis.new_zeros(len(pelvis)))
        pulls = {}
        if weights.reprojection:
            found["reprojection"], pulls["keypoints"] = loss._reprojection.evaluate(self.keypoints, weights.robust_m)
        if weights.hypotheses:
            found["hypotheses"], pulls["hypotheses"] = loss._hypotheses.evaluate(self.rotations, pelvis)
        if weights.joint_limits:
            excess, pulls["limits"] = loss._limits.evaluate(self.rotations)
            found["joint_limits"] = excess.square().sum((-1, -2)).mean(1)
        gap, steps = self.contacts.gap, self.contacts.steps
        below = gap.clamp_max(0.0)
        found["slip"] = (loss._held_steps * steps.square().sum(-2)).sum((1, 2))
        found["contact_gap"] = (loss._held * gap.square()).sum((1, 2))
        found["penetration"] = below.square().sum((1, 2)) / frames
        jerk = None
        if frames > MIN_FRAMES and weights.jerk:
            jerk = self.joints.diff(n=3, dim=1) / loss.dt_s**3
            found["jerk"] = jerk.square().sum((1, 2, 3)) / (jerk.shape[1] * jerk.shape[3])
        if self.forces is not None:
            residual, share = self.forces.residual.unflatten(-1, (2, 3)), self.forces.torques / loss._strength
            robust = residual.new_tensor([weights.robust_force, weights.robust_moment])
            root = (residual.square().sum(-1) / robust.square() + 1.0).sqrt()  # [B, T-2, 2]
            # Pseudo-Huber: the square where it is small, twice ``robust`` times its root where it is large.
            square = 2.0 * robust.square() * (root - 1.0).mean(1)
            found["root_force"], found["root_moment"] = square.unbind(-1)
            found["torque"] = share.square().sum(-2).mean((1, 2))
            if frames > MIN_FRAMES:
                rate = share.diff(dim=1) / loss.dt_s
                found["torque_rate"] = rate.square().sum(-2).mean((1, 2))

        def pull(above: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            of = dict(zip(UNITS, above[:, :, None, None].unbind(1), strict=True))  # [B, 1, 1] each
            of_absolute, of_relative = torch.zeros_like(self.absolute), None
            of_rotations, of_pelvis = torch.zeros_like(self.rotations), torch.zeros_like(pelvis)
            joints, masses, contacts, keypoints = of_absolute.split(loss.points.sizes, -1)
            if "keypoints" in pulls:
                keypoints.copy_(pulls["keypoints"](of["reprojection"][:, 0, 0]))
            if "hypotheses" in pulls:
                of_rotations, of_pelvis = pulls["hypotheses"](of["hypotheses"][:, 0, 0])
            if "limits" in pulls:
                of_rotations = of_rotations + pulls["limits"]((2.0 / frames) * of["joint_limits"][..., None] * excess)
            if jerk is not None:
                scale = 2.0 / (jerk.shape[1] * jerk.shape[3] * loss.dt_s**3) * of["jerk"][..., None]
                _undo_differences(joints, jerk * scale, (-1.0, 3.0, -3.0, 1.0))
            of_gap = (2.0 * of["contact_gap"]) * loss._held * gap + (2.0 / frames * of["penetration"]) * below
            of_steps = ((2.0 * of["slip"]) * loss._held_steps)[:, :, None] * steps
            if self.forces is not None:
                scale = 2.0 / (share.shape[1] * share.shape[3])
                of_share = (scale * of["torque"])[..., None] * share
                if frames > MIN_FRAMES:
                    scale = 2.0 / (rate.shape[1] * rate.shape[3] * loss.dt_s)
                    _undo_differences(of_share, (scale * of["torque_rate"])[..., None] * rate, (-1.0, 1.0))
                of_root = torch.cat([of["root_force"], of["root_moment"]], -1) * (2.0 / share.shape[1]) / root
                of_residual = (of_root[..., None] * residual).flatten(-2)
                at_joints, at_masses, accelerations, at_places, active = self.forces.pull(
                    of_share / loss._strength, of_residual
                )
                of_relative = at_joints, at_masses, at_places
                _undo_differences(masses, accelerations / loss.dt_s**2, (1.0, -2.0, 1.0))
                inner_gap, inner_steps = self._pull_activity(active * self._active)
                of_gap[:, 1:-1] += inner_gap
                _undo_differences(of_steps, inner_steps, (0.5, 0.5))
            contacts.copy_(self.contacts.pull(of_gap, of_steps))
            of_pelvis = of_pelvis + of_absolute.sum(-1)
            if of_relative is not None:
                of_absolute[:, 1:-1, :, : -keypoints.shape[-1]] += torch.cat(of_relative, -1)
            return of_rotations, of_absolute, of_pelvis

        return torch.stack(list(found.values()), -1), pull


def _undo_differences(into: torch.Tensor, above: torch.Tensor, weights: tuple[float, ...]) -> None:
    """Adds to ``into`` [B, T, ...] its gradient for that of ``sum_k weights[k] into(t + k)``, [B, T-K+1, ...]."""
    for k, weight in enumerate(weights):
        into[:, k : k + above.shape[1]].add_(above, alpha=weight)
