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
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffmocap import compiler
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.refinement.window.b_splines import cubic_b_splines

if TYPE_CHECKING:
    from diffmocap.refinement.kernels.window import CompiledUnknowns

#: Unknowns of one knot: an increment of 24 rotations [rad] and of the pelvis.
KNOT_SIZE = 3 * NUM_JOINTS + 3
#: One unit of a rotation's unknown [rad] and of a pelvis's [m]: about what lifting is off by (5.7 degrees, 5 cm).
ROTATION_UNIT, PELVIS_UNIT = 0.1, 0.05


def knot_count(frames: int, spacing: int) -> int:
    """Number of knots for so many frames: cubic splines reach one knot beyond either end."""
    return 1 if frames == 1 else math.ceil((frames - 1) / spacing) + 3


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

    A knot's entries are 24 rotation vectors in units of :data:`ROTATION_UNIT` rad, in the joints' own axes, then the
    pelvis in units of :data:`PELVIS_UNIT` m in the motion's axes.

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
    def rows(self) -> list[CompiledUnknowns]:
        """Each window's for the compiled loss."""
        from diffmocap.refinement.kernels.window import CompiledUnknowns

        return [CompiledUnknowns(self, row) for row in range(len(self.pelvis))]

    def motion(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """:meth:`decode` without a graph, by machine code where there is any."""
        if x.device.type != "cpu" or not compiler.available():
            with torch.no_grad():
                return self.decode(x)
        knots = x.detach().double().view(-1, *self.shape).contiguous().numpy()
        parts = zip(*(row.decode(k)[:2] for row, k in zip(self.rows, knots, strict=True)), strict=True)
        return tuple(torch.from_numpy(np.stack(part)).to(self.pelvis) for part in parts)

    def decode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Local rotations [B, T, 24, 3, 3] and pelvis [B, T, 3] m for unknowns [B, knots * 75]; differentiable
        once."""
        return _Decoded.apply(x.view(-1, *self.shape), self.rotations, self.pelvis, self.spline)


class _Decoded(torch.autograd.Function):
    """:meth:`WindowParameters.decode` for knots [B, knots, 75].

    With R = R_ref Exp(v) and G the gradient of R, turning R in the frame's axes is worth ``sum_c R_c x G_c`` over its
    columns; what dv turns it by is ``R_ref J(v) dv``, J the left Jacobian of the exponential.
    """

    @staticmethod
    def forward(ctx, knots, reference, pelvis, spline):
        steps = spline @ knots
        turns = (ROTATION_UNIT * steps[..., :-3]).unflatten(-1, (NUM_JOINTS, 3))
        rotations = reference @ exponential(turns)
        ctx.save_for_backward(turns, rotations, reference, spline)
        return rotations, torch.add(pelvis, steps[..., -3:], alpha=PELVIS_UNIT)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_rotations, of_pelvis):
        turns, rotations, reference, spline = ctx.saved_tensors
        turning = torch.linalg.cross(rotations, of_rotations, dim=-2).sum(-1)
        turning = (reference * turning[..., None]).sum(-2)
        # J^T b = b - (1 - cos a) / a^2 v x b + (a - sin a) / a^3 v x (v x b) for the angle a of v.
        square = turns.square().sum(-1, keepdim=True).add_(4e-20)
        angle = square.sqrt()
        once = torch.linalg.cross(turns, turning)
        twice = torch.linalg.cross(turns, once)
        half = (0.5 * angle).sin_() / angle
        slope = torch.addcmul(turning, half.square().mul_(-2.0), once)
        slope.addcmul_((1.0 - angle.sin() / angle).div_(square), twice)
        steps = torch.cat([ROTATION_UNIT * slope.flatten(-2), PELVIS_UNIT * of_pelvis], -1)
        return spline.T @ steps, None, None, None


def exponential(vectors: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [..., 3, 3] of rotation vectors [..., 3] rad; smooth at zero.

    By the unit quaternion, whose products are the matrix's entries up to a constant linear map: a third of the
    operations of assembling them.
    """
    half = (0.25 * vectors.square().sum(-1, keepdim=True) + 1e-20).sqrt()
    quaternion = torch.cat([vectors * (0.5 * half.sin() / half), half.cos()], -1)
    products = quaternion[..., :, None] * quaternion[..., None, :]
    entries = products.flatten(-2) @ _entries(vectors.device, vectors.dtype)
    return entries.unflatten(-1, (3, 3))


def _entry_table() -> torch.Tensor:
    """[16, 9]: entries of the rotation matrix from products of the quaternion (x, y, z, w)."""
    table = torch.zeros(4, 4, 3, 3)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        table[3, 3, i, i] = table[i, i, i, i] = 1.0
        table[j, j, i, i] = table[k, k, i, i] = -1.0
        table[i, j, i, j] = table[i, j, j, i] = 2.0
        table[3, k, j, i], table[3, k, i, j] = 2.0, -2.0
    return table.reshape(16, 9)


_TABLE = _entry_table()


def _entries(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    return _TABLE.to(device=device, dtype=dtype)
