"""The loss of a window of motion: what was observed, and what physics has to say.

    rotations, pelvis -> points of the body -> keypoints, contacts, jerk
                                            -> accelerations -> contact forces -> residual, torques

Terms and their units are those of :class:`diffmocap.refinement.window_weights.RefinementWeights`. Which points touch is
read off the reference motion once, with hysteresis; how readily they take force is smooth. No term is negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.physics.contact_forces import ContactForces
from diffmocap.physics.contact_state import ContactLevels
from diffmocap.physics.motion import MIN_FRAMES
from diffmocap.refinement.body_points import BodyPoints
from diffmocap.refinement.joint_limits import LimitExcess
from diffmocap.refinement.window import Window
from diffmocap.refinement.window_contacts import LIFTED_LEVELS, ContactMotion
from diffmocap.refinement.window_data import HypothesisTerm, ReprojectionTerm
from diffmocap.refinement.window_dynamics import STRENGTH, ground_forces, joint_torques, loads
from diffmocap.refinement.window_weights import UNITS, RefinementWeights

#: Newton iterations of the contact forces at most; five are the rule for the hardest of 30 frames.
CONTACT_ITERATIONS = 12


@dataclass(frozen=True)
class WindowDynamics:
    """Forces of a window's motion at its T - 2 inner frames.

    Attributes:
        contacts: forces at the contact points and the residual wrench; positions are relative to the pelvis.
        torques: [B, T-2, 3, 23] of joints 1 to 23 on their children, in the frame's axes [N m].
    """

    contacts: ContactForces
    torques: torch.Tensor


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
        start: [B, T-2, 6] multipliers of a motion near the reference, for the contact forces' solver to begin with;
            None: its own start, which depends on the motion alone and is rarely worse.

    Attributes:
        touching: [B, T, P] bool, the contacts of the reference.
    """

    def __init__(
        self, window: Window, points: BodyPoints, rotations: torch.Tensor, pelvis: torch.Tensor,
        weights: RefinementWeights | None = None, levels: ContactLevels | None = None,
        start: torch.Tensor | None = None,
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
        self._start = start
        with torch.no_grad():
            body = _Body(self, rotations, pelvis)
            self.touching = body.contacts.touching(self.levels)
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
        return _Body(self, rotations, pelvis).dynamics(iterations=30)

    @torch.no_grad()
    def assess(
        self, rotations: torch.Tensor, pelvis: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, WindowDynamics | None]:
        """Loss [B], contact state [B, T, P] bool and, where forces count, dynamics: for little more than the loss."""
        body = _Body(self, rotations, pelvis)
        dynamics = body.dynamics(CONTACT_ITERATIONS) if self._weighs_forces and pelvis.shape[1] >= MIN_FRAMES else None
        loss = self._squares(body, rotations, pelvis, dynamics) @ self._weight
        return loss, body.contacts.touching(self.levels), dynamics

    @torch.no_grad()
    def contacts_of(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Contact state [B, T, P] bool of motions, with hysteresis."""
        return _Body(self, rotations, pelvis).contacts.touching(self.levels)

    def squares(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Terms [B, 11] before they are weighed, in squares of their units and in the order of ``UNITS``."""
        body = _Body(self, rotations, pelvis)
        dynamics = body.dynamics(CONTACT_ITERATIONS) if self._weighs_forces and pelvis.shape[1] >= MIN_FRAMES else None
        return self._squares(body, rotations, pelvis, dynamics)

    @property
    def _weighs_forces(self) -> bool:
        weights = self.weights
        return any((weights.root_force, weights.root_moment, weights.torque, weights.torque_rate))

    def _squares(
        self, body: _Body, rotations: torch.Tensor, pelvis: torch.Tensor, dynamics: WindowDynamics | None
    ) -> torch.Tensor:
        weights = self.weights
        zero = pelvis.new_zeros(len(pelvis))
        found = dict.fromkeys(UNITS, zero)
        if weights.reprojection:
            found["reprojection"] = self._reprojection(body.keypoints, weights.robust_m)
        if weights.hypotheses:
            found["hypotheses"] = self._hypotheses(rotations, pelvis)
        if weights.joint_limits:
            found["joint_limits"] = self._limits(rotations).square().sum((-1, -2)).mean(1)
        found |= self._contact_squares(body.contacts)
        frames = pelvis.shape[1]
        if frames > MIN_FRAMES and weights.jerk:
            jerk = body.joints.diff(n=3, dim=1) / self.dt_s**3
            found["jerk"] = jerk.square().sum(2).mean((1, 2))
        if dynamics is not None:
            found |= self._dynamic_squares(dynamics)
        return torch.stack(list(found.values()), -1)

    def _contact_squares(self, contacts: ContactMotion) -> dict[str, torch.Tensor]:
        gap = contacts.gap
        return {
            "slip": (self._held_steps * contacts.steps.square().sum(-2)).sum((1, 2)),
            "contact_gap": (self._held * gap.square()).sum((1, 2)),
            "penetration": gap.clamp_max(0.0).square().sum(-1).mean(1),
        }

    def _dynamic_squares(self, dynamics: WindowDynamics) -> dict[str, torch.Tensor]:
        weights, mass = self.weights, self.points.total_mass
        residual = dynamics.contacts.residual
        share = dynamics.torques / self._strength
        squares = {
            "root_force": _robust((residual.force / mass).square().sum(-1), weights.robust_force).mean(1),
            "root_moment": _robust((residual.moment / mass).square().sum(-1), weights.robust_moment).mean(1),
            "torque": share.square().sum(-2).mean((1, 2)),
        }
        if share.shape[1] > 1:
            squares["torque_rate"] = (share.diff(dim=1) / self.dt_s).square().sum(-2).mean((1, 2))
        return squares


class _Body:
    """Points of a motion [B, T], coordinates first, and what follows from them."""

    def __init__(self, loss: WindowLoss, rotations: torch.Tensor, pelvis: torch.Tensor) -> None:
        self.loss, points = loss, loss.points
        relative = points.placed(rotations)
        absolute = relative + pelvis[..., None]
        sizes = points.sizes
        self._joints, self._masses, placed, _ = relative.split(sizes, -1)
        self.joints, self.masses, centres, self.keypoints = absolute.split(sizes, -1)
        ground = loss.ground
        self.contacts = ContactMotion.of(placed, centres, points.radius, ground.up, ground.height, loss.dt_s)

    def dynamics(self, iterations: int) -> WindowDynamics:
        loss, points = self.loss, self.loss.points
        found = loads(points, self._masses, self.masses, loss.ground.gravity, loss.dt_s)
        active = self.contacts.activity(loss.levels) * loss.touching[:, 1:-1]
        places = self.contacts.places[:, 1:-1]
        contacts = ground_forces(
            found, places, active, loss.ground.up, points.total_mass, iterations, loss._start
        )  # fmt: skip
        return WindowDynamics(contacts, joint_torques(points, found, self._joints[:, 1:-1], contacts.force, places))


def _robust(square: torch.Tensor, size: float) -> torch.Tensor:
    """Pseudo-Huber: the square where it is small, twice ``size`` times its root where it is large."""
    return 2.0 * size**2 * ((square / size**2 + 1.0).sqrt() - 1.0)
