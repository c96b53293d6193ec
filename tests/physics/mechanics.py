"""Mechanics that laws are checked with: the energy of a motion, and accelerations under torques."""

from __future__ import annotations

import torch

from diffmocap.physics.articulated import ArticulatedBody, Configuration
from diffmocap.physics.segments import BodySegments
from tests.physics.segment_motion import SegmentMotion


def energy(motion: SegmentMotion, segments: BodySegments, gravity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Kinetic and potential energy [...] J; the potential is zero at the frame's origin. ``gravity`` [..., 3] m/s^2."""
    rate = (motion.angular_velocity[..., None, :] @ motion.rotations)[..., 0, :]  # in the segments' own axes
    turning = torch.einsum("...ja,jab,...jb->...j", rate, segments.inertia, rate)
    moving = segments.mass * motion.velocity.square().sum(-1) + turning
    height = -(motion.centres * gravity[..., None, :]).sum(-1)
    return 0.5 * moving.sum(-1), (segments.mass * height).sum(-1)


def forward_dynamics(
    body: ArticulatedBody, at: Configuration, u: torch.Tensor, torque: torch.Tensor, gravity: torch.Tensor
) -> torch.Tensor:
    """Accelerations [B, 25, 3] (pelvis m/s^2, segments rad/s^2) under joint torques [B, 24, 3] N m alone."""
    force = body.joint_force(torque) - body.bias(at, u, gravity)
    return torch.linalg.solve(body.mass_matrix(at), force).view_as(u)
