"""Velocities and accelerations of the segments, from the frames of a motion.

Rotations live on a manifold: the step between two frames is ``log(R[t+1] R[t]^T)``, the constant angular velocity in
the motion's frame (not the segment's) that leads from one to the other. Half-way steps before and after a frame give
its angular velocity (their mean) and acceleration (their difference), second order in the frame's duration like the
central differences of the positions. Centres of mass are differenced themselves, not their joints, so that a body in
free fall keeps its momentum exactly, whatever the rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import global_poses

#: Frames a central difference of second order takes; a motion loses its first and its last.
MIN_FRAMES = 3
#: No segment turns faster [rad/s], so that the explicit part of a step stays tame. Below half of it the bound takes
#: less than a thousandth of the speed in a step; limbs of runners stay below a third.
MAX_RATE = 60.0


@dataclass(frozen=True)
class SegmentMotion:
    """The 24 segments over the T - 2 inner frames of a motion, in the motion's inertial frame.

    Attributes:
        rotations: [..., T-2, 24, 3, 3] global.
        joints: [..., T-2, 24, 3] m.
        centres: [..., T-2, 24, 3] centres of mass of the segments [m].
        velocity, acceleration: [..., T-2, 24, 3] of the centres [m/s, m/s^2].
        angular_velocity, angular_acceleration: [..., T-2, 24, 3] in the motion's axes [rad/s, rad/s^2];
            :meth:`in_segment_axes` turns them.
    """

    rotations: torch.Tensor
    joints: torch.Tensor
    centres: torch.Tensor
    velocity: torch.Tensor
    acceleration: torch.Tensor
    angular_velocity: torch.Tensor
    angular_acceleration: torch.Tensor

    def in_segment_axes(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors [..., T-2, 24, 3] of the motion's axes in each segment's own axes."""
        return (vectors[..., None, :] @ self.rotations)[..., 0, :]  # R^T v


def segment_motion(rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, segments: BodySegments) -> SegmentMotion:
    """Motion of the segments by central differences; differentiable.

    Args:
        rotations: [..., T, 24, 3, 3] local rotations, entry 0 turns the body into the motion's frame; T >= 3.
        pelvis: [..., T, 3] position of the pelvis joint in that frame [m].
        dt_s: time between frames [s].
        segments: the body, of the same dtype and device.
    """
    if rotations.shape[-4] < MIN_FRAMES:
        raise SettingsError(f"accelerations need at least {MIN_FRAMES} frames, got {rotations.shape[-4]}")
    if not dt_s > 0:
        raise SettingsError(f"the time between frames must be positive, got {dt_s} s")
    turned, joints = global_poses(rotations, pelvis, segments.offsets)
    centres = joints + (turned @ segments.centre[..., None])[..., 0]
    steps = rotation_steps(turned, dt_s)  # velocity half-way between frames
    paces = centres.diff(dim=-3) / dt_s
    return SegmentMotion(
        rotations=turned[..., 1:-1, :, :, :],
        joints=joints[..., 1:-1, :, :],
        centres=centres[..., 1:-1, :, :],
        velocity=0.5 * (paces[..., 1:, :, :] + paces[..., :-1, :, :]),
        acceleration=paces.diff(dim=-3) / dt_s,
        angular_velocity=0.5 * (steps[..., 1:, :, :] + steps[..., :-1, :, :]),
        angular_acceleration=steps.diff(dim=-3) / dt_s,
    )


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
