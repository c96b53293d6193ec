"""Rates of rotations between the frames of a motion.

Rotations live on a manifold: the step between two frames is ``log(R[t+1] R[t]^T)``, the constant angular velocity in
the motion's frame (not the segment's) that leads from one to the other.
"""

from __future__ import annotations

import torch

#: Frames a central difference of second order takes; a motion loses its first and its last.
MIN_FRAMES = 3
#: No segment turns faster [rad/s], so that the explicit part of a step stays tame. Below half of it the bound takes
#: less than a thousandth of the speed in a step; limbs of runners stay below a third.
MAX_RATE = 60.0


def rotation_steps(rotations: torch.Tensor, dt_s: float) -> torch.Tensor:
    """Angular velocity [..., T-1, J, 3] rad/s half-way between the frames of rotations [..., T, J, 3, 3].

    In the axes that the rotations lead into. A half turn between two frames has no direction: the result is
    then finite and at most pi / dt_s long, but its gradient is not to be trusted.
    """
    step = rotations[..., 1:, :, :, :] @ rotations[..., :-1, :, :, :].transpose(-1, -2)
    return rotation_vector(step) / dt_s


def rotation_vector(matrix: torch.Tensor) -> torch.Tensor:
    """Logarithm [..., 3] rad of rotation matrices [..., 3, 3] that turn by less than pi.

    Fewer operations than by way of quaternions, and smooth at the identity: theta / sin(theta) from atan2.
    """
    m = matrix.flatten(-2)
    doubled = torch.stack([m[..., 7] - m[..., 5], m[..., 2] - m[..., 6], m[..., 3] - m[..., 1]], dim=-1)  # 2 sin
    sine = (doubled.square().sum(-1) + 1e-20).sqrt()
    cosine = m[..., 0] + m[..., 4] + m[..., 8] - 1.0
    return doubled * (torch.atan2(sine, cosine) / sine)[..., None]
