"""Velocities and accelerations of the segments, from the frames of a motion.

Half-way steps before and after a frame give its angular velocity (their mean) and acceleration (their difference),
second order in the frame's duration like the central differences of the positions. Centres of mass are differenced
themselves, not their joints, so that a body in free fall keeps its momentum exactly, whatever the rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.physics.motion import MIN_FRAMES, rotation_steps
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import global_poses


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
