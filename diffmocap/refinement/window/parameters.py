"""The few unknowns of a window of motion: knots of a spline of increments in the tangent space of a reference motion.

``R_j(t) = R_ref,j(t) Exp(v_j(t))`` for the 24 local rotations and ``p(t) = p_ref(t) + u(t)`` for the pelvis, with
``[v, u](t) = sum_k B_k(t) x_k``: B_k are uniform cubic B-splines (de Boor, "A Practical Guide to Splines", 1978), which
are twice differentiable and sum to one. So increments have no accelerations that knots at that distance cannot show,
and a window of 32 frames with a knot every 4 has 10 x 75 unknowns instead of 2400.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffmocap.compiler import array
from diffmocap.errors import SettingsError
from diffmocap.refinement.kernels.records import Unknowns
from diffmocap.refinement.kernels.units import KNOT_SIZE
from diffmocap.refinement.window.b_splines import cubic_b_splines


def spline_matrix(frames: int, spacing: int) -> torch.Tensor:
    """Values [T, knots] of the B-splines at the frames, float64; rows sum to one. One frame has one knot."""
    if frames < 1 or spacing < 1:
        raise SettingsError(f"a window needs at least 1 frame and 1 frame between knots, got {frames} and {spacing}")
    if frames == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    # Intervals are stretched to end at the last frame, so that every knot has frames that it moves.
    intervals = math.ceil((frames - 1) / spacing)
    return cubic_b_splines(torch.arange(frames, dtype=torch.float64) * (intervals / (frames - 1)), intervals + 3)


@dataclass(frozen=True)
class WindowParameters:
    """Turns unknowns x [B, knots * 75] into motions around a reference; x = 0 is the reference itself.

    A knot's entries are 24 rotation vectors in the joints' own axes, then the pelvis in the motion's axes, in the units
    of :mod:`diffmocap.refinement.kernels.units`.

    Attributes:
        rotations: [B, T, 24, 3, 3] local rotations of the reference.
        pelvis: [B, T, 3] m of the reference.
        spline: [T, knots].
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    spline: torch.Tensor

    @classmethod
    def around(cls, rotations: torch.Tensor, pelvis: torch.Tensor, spacing: int = 4) -> WindowParameters:
        """Unknowns around a reference motion, a knot every ``spacing`` frames."""
        spline = spline_matrix(rotations.shape[1], spacing)
        return cls(rotations.detach(), pelvis.detach(), spline.to(pelvis))

    @property
    def shape(self) -> tuple[int, int]:
        """(knots, 75)."""
        return self.spline.shape[1], KNOT_SIZE

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> WindowParameters:
        """The same on another device or in another floating-point type."""
        return WindowParameters(*(x.to(device, dtype) for x in (self.rotations, self.pelvis, self.spline)))

    def row(self, index: int) -> WindowParameters:
        """Those of window ``index`` alone, a batch of one."""
        one = slice(index, index + 1) if index >= 0 else slice(index, index + 1 or None)
        return WindowParameters(self.rotations[one], self.pelvis[one], self.spline)

    @cached_property
    def rows(self) -> list[Unknowns]:
        """Each window's."""
        spline = array(self.spline)
        pairs = zip(array(self.rotations), array(self.pelvis), strict=True)
        return [Unknowns(spline, rotations, pelvis) for rotations, pelvis in pairs]

    def by_row(self, x: torch.Tensor) -> list[tuple[np.ndarray, Unknowns]]:
        """Knots [Q, 75] of each row of x [B, N], and what turns them into a motion; one window serves all rows."""
        knots, rows = array(x).reshape(-1, *self.shape), self.rows
        if len(rows) not in (1, len(knots)):
            raise SettingsError(f"there are {len(rows)} windows, got unknowns of {len(knots)}")
        return list(zip(knots, rows if len(rows) == len(knots) else rows * len(knots), strict=True))

    def motion(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """:meth:`decode` without a graph."""
        with torch.no_grad():
            return self.decode(x)

    def decode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Local rotations [B, T, 24, 3, 3] and pelvis [B, T, 3] m for unknowns [B, knots * 75]; differentiable once,
        for gradients as :meth:`diffmocap.refinement.window.loss.WindowLoss.squares` gives them."""
        return _Decoded.apply(x, self)


class _Decoded(torch.autograd.Function):
    """:meth:`WindowParameters.decode`."""

    @staticmethod
    def forward(ctx, x, parameters):
        from diffmocap.refinement.kernels.kinematics import decode  # compiling may take a while

        found = [decode(knots, unknowns) for knots, unknowns in parameters.by_row(x)]
        rotations, pelvis, ctx.jacobians = zip(*found, strict=True)
        rotations, pelvis = (torch.from_numpy(np.stack(part)).to(parameters.pelvis) for part in (rotations, pelvis))
        ctx.parameters, ctx.shape = parameters, x.shape
        ctx.save_for_backward(x, rotations)
        return rotations, pelvis

    @staticmethod
    @once_differentiable
    def backward(ctx, of_rotations, of_pelvis):
        from diffmocap.refinement.kernels.kinematics import decode_vjp

        x, rotations = ctx.saved_tensors
        # Turning R in its parent's axes is worth the sum of R_c x G_c over its columns, G the gradient of its entries.
        turns = array(torch.linalg.cross(rotations, of_rotations, dim=-2).sum(-1))
        rows = zip(turns, array(of_pelvis), ctx.parameters.by_row(x), ctx.jacobians, strict=True)
        found = [decode_vjp(turn, move, unknowns, jacobians) for turn, move, (_, unknowns), jacobians in rows]
        return torch.from_numpy(np.stack(found)).reshape(ctx.shape).to(x), None
