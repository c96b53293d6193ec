"""Rates of rotations between the frames of a motion.

Rotations live on a manifold: the step between two frames is ``log(R[t+1] R[t]^T)``, the constant angular velocity in
the motion's frame (not the segment's) that leads from one to the other.
"""

from __future__ import annotations

import torch

from diffmocap.body.rotations import rotation_vector

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
