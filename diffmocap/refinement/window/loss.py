"""The loss of a window of motion: what was observed, and what physics has to say.

The law stands once, in :mod:`diffmocap.refinement.kernels.terms`: compiled functions of one window and one motion, with
their gradients. Here they are put to tensors: batches row by row, any device by way of the CPU, single precision by way
of double. Terms and their units are those of :class:`diffmocap.refinement.window.weights.RefinementWeights`. Which
points touch is read off the reference motion once, with hysteresis; how readily they take force is smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffmocap.body.rotations import gradient_from_turns
from diffmocap.compiler import array
from diffmocap.errors import SettingsError
from diffmocap.physics.contact_forces import ContactForces
from diffmocap.physics.contact_state import ContactLevels
from diffmocap.physics.motion import MIN_FRAMES
from diffmocap.physics.wrench import Wrench
from diffmocap.refinement.kernels.records import Evaluation, Forces, Weights
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.contacts import LIFTED_LEVELS, contacts_of
from diffmocap.refinement.window.data import given_of
from diffmocap.refinement.window.parameters import WindowParameters
from diffmocap.refinement.window.weights import UNITS, RefinementWeights
from diffmocap.refinement.window.window import Window

#: Newton iterations of the contact forces at most; five are the rule for the hardest of 30 frames.
CONTACT_ITERATIONS = 12
#: The same where forces themselves are asked for.
CONVERGED_ITERATIONS = 30


@dataclass(frozen=True)
class TermReport:
    """One term of the loss: ``size`` [B] in ``unit`` before it is weighed, and its ``cost`` [B] in the loss."""

    size: torch.Tensor
    unit: str
    cost: torch.Tensor


@dataclass(frozen=True)
class WindowDynamics:
    """Forces of a window's motion at its T - 2 inner frames.

    Attributes:
        contacts: forces at the contact points and the residual wrench, in the motion's axes.
        torques: [B, T-2, 3, 23] of joints 1 to 23 on their children, in the frame's axes [N m].
    """

    contacts: ContactForces
    torques: torch.Tensor


class WindowLoss:
    """Loss of motions that refine a window, in float64 on the CPU; results have the motion's dtype and device.

    Args:
        window: what is known.
        points: the body.
        rotations, pelvis: the reference motion, [B, T, 24, 3, 3] and [B, T, 3] m: smooth, and near what is sought.
        weights: of the terms. levels: of contacts. touching: [B, T, P] bool, the contacts of the reference; None reads
            them off it.

    Attributes:
        touching: [B, T, P] bool, the contacts of the reference.
    """

    def __init__(
        self, window: Window, points: BodyPoints, rotations: torch.Tensor, pelvis: torch.Tensor,
        weights: RefinementWeights | None = None, levels: ContactLevels | None = None,
        touching: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        if tuple(pelvis.shape) != (window.batch, window.frames, 3):
            raise SettingsError(
                f"the reference must have {window.batch} x {window.frames} frames, got {list(pelvis.shape)}"
            )
        self.dt_s, self.ground = window.dt_s, window.ground
        self.points = points.to("cpu", window.pelvis.dtype)
        self.weights, self.levels = weights or RefinementWeights(), levels or LIFTED_LEVELS
        with torch.no_grad():
            self.touching = self.contacts_of(rotations, pelvis) if touching is None else touching
            self._given = given_of(window, pelvis, self.touching, self.levels)
        self._weights = _weights_of(self.weights, window.pelvis.dtype)

    def __call__(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Loss [B] of motions [B, T, 24, 3, 3] and [B, T, 3] m; differentiable once, and at least zero."""
        return self.squares(rotations, pelvis) @ torch.from_numpy(self._weights.terms).to(pelvis)

    def squares(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Terms [B, terms] before they are weighed, in squares of their units and in the order of ``UNITS``.

        Differentiable once; gradients of rotations are those of turns: so what comes through anything but rotations,
        such as a matrix that is none, is left out.
        """
        return _Squares.apply(rotations, pelvis, self)

    def gradient(self, parameters: WindowParameters, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss [B] and its gradient [B, N] by unknowns x [B, N], without a graph."""
        from diffmocap.refinement.kernels.kinematics import decode, decode_vjp

        losses, gradients = [], []
        for row, (knots, unknowns) in enumerate(parameters.by_row(x)):
            rotations, pelvis, jacobians = decode(knots, unknowns)
            found = self.evaluate(row, rotations, pelvis, with_gradient=True)
            losses.append(self.value_of(found))
            gradients.append(decode_vjp(found.of_turns, found.of_pelvis, unknowns, jacobians))
        return torch.tensor(losses, dtype=torch.float64).to(x), torch.from_numpy(np.stack(gradients)).flatten(1).to(x)

    def report(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> dict[str, TermReport]:
        """Every term by its name; their costs sum to the loss."""
        with torch.no_grad():
            squares = self.squares(rotations, pelvis)
        return {
            name: TermReport(square if UNITS[name] == "nat" else square.sqrt(), UNITS[name], square * weight)
            for name, square, weight in zip(UNITS, squares.unbind(-1), self._weights.terms.tolist(), strict=True)
        }

    def dynamics(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> WindowDynamics:
        """Forces and torques of motions of at least 3 frames, converged."""
        if pelvis.shape[1] < MIN_FRAMES:
            raise SettingsError(f"forces need at least {MIN_FRAMES} frames, got {pelvis.shape[1]}")
        alone = self._weights._replace(terms=np.zeros(len(UNITS)), iterations=CONVERGED_ITERATIONS)
        found = [
            self.evaluate(row, *motion, weights=alone).forces for row, motion in enumerate(_rows(rotations, pelvis))
        ]
        force, left, centre, torques = _stacked(found, pelvis, "forces", "left", "centre", "torques")
        residual = Wrench(left[..., :3], left[..., 3:], centre)
        return WindowDynamics(ContactForces(force.mT, residual), torques)

    def contacts_of(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Contact state [B, T, P] bool of motions, with hysteresis."""
        return contacts_of(self.points, rotations, pelvis, self.ground, self.dt_s, self.levels)

    @property
    def weighs_forces(self) -> bool:
        """Whether contact forces are looked for."""
        return self._weights.iterations > 0

    def value_of(self, found: Evaluation) -> float:
        """The loss that an evaluation comes to."""
        return float(found.squares @ self._weights.terms)

    def evaluate(
        self, row: int, rotations: np.ndarray, pelvis: np.ndarray, with_gradient: bool = False,
        weights: Weights | None = None,
    ) -> Evaluation:  # fmt: skip
        """A motion [T, 24, 3, 3], [T, 3] m of window ``row``, float64 and in one piece. One window serves all rows.

        Raises:
            SettingsError: there are several windows and not that one, or the motion is of another length.
        """
        from diffmocap.refinement.kernels.terms import evaluate  # compiling may take a while

        row, frames = 0 if len(self._given) == 1 else row, len(pelvis)
        if row >= len(self._given) or len(self._given[row].lifted) != frames:
            raise SettingsError(
                f"the loss is of {len(self._given)} windows of {len(self._given[0].lifted)} frames; "
                f"got motion {row} of {frames}"
            )
        body, given = self.points.constants, self._given[row]
        return evaluate(rotations, pelvis, body, given, weights or self._weights, with_gradient)


class _Squares(torch.autograd.Function):
    """Terms [B, terms] from local rotations and the pelvis."""

    @staticmethod
    def forward(ctx, rotations, pelvis, loss):
        ctx.save_for_backward(rotations, pelvis)
        ctx.loss = loss
        found = [loss.evaluate(row, *motion) for row, motion in enumerate(_rows(rotations, pelvis))]
        return _stacked(found, pelvis, "squares")[0]

    @staticmethod
    @once_differentiable
    def backward(ctx, above):
        rotations, pelvis = ctx.saved_tensors
        found = []
        for row, (motion, terms) in enumerate(zip(_rows(rotations, pelvis), array(above), strict=True)):
            weights = ctx.loss._weights._replace(terms=terms)
            found.append(ctx.loss.evaluate(row, *motion, with_gradient=True, weights=weights))
        turns, moves = _stacked(found, rotations, "of_turns", "of_pelvis")
        return gradient_from_turns(turns, rotations), moves, None


def _rows(rotations: torch.Tensor, pelvis: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(array(rotations), array(pelvis), strict=True))


def _stacked(found: Sequence[Evaluation | Forces], like: torch.Tensor, *names: str) -> list[torch.Tensor]:
    """Fields of what was found for each row, in one tensor each, of the type and on the device of another."""
    return [torch.from_numpy(np.stack([getattr(one, name) for one in found])).to(like) for name in names]


@lru_cache(maxsize=16)
def _weights_of(weights: RefinementWeights, dtype: torch.dtype) -> Weights:
    """In float64, rounded to the window's type as all that is known of it."""
    forces = any((weights.root_force, weights.root_moment, weights.torque, weights.torque_rate))
    return Weights(
        array(torch.tensor([getattr(weights, name) for name in UNITS], dtype=dtype)), float(weights.robust_m),
        float(weights.robust_force), float(weights.robust_moment), CONTACT_ITERATIONS if forces else 0,
    )  # fmt: skip
