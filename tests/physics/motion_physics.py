"""The physics of a motion in one call: contacts, forces, residual and joint torques.

kinematics -> needed wrench -> contact state -> contact forces + residual -> joint loads
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.physics.contact_forces import FRICTION, ContactForces
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.contact_state import ContactLevels, touching
from diffmocap.physics.ground import Ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.wrench import Wrench
from tests.physics.contact_forces import activity, contact_forces
from tests.physics.newton_euler import JointLoads, joint_loads, needed_wrench
from tests.physics.segment_motion import SegmentMotion, segment_motion


@dataclass(frozen=True)
class MotionPhysics:
    """Everything at the T - 2 inner frames of a motion, in its own axes.

    Attributes:
        motion: of the segments.
        needed: wrench that the ground should supply.
        contact_position: [..., T-2, P, 3] nearest skin to the ground [m].
        gap: [..., T-2, P] of it above the ground [m].
        speed: [..., T-2, P] of the contact point [m/s].
        touching: [..., T-2, P] bool.
        contacts: forces at the points, and the residual wrench.
        loads: of the joints, contact forces included.
    """

    motion: SegmentMotion
    needed: Wrench
    contact_position: torch.Tensor
    gap: torch.Tensor
    speed: torch.Tensor
    touching: torch.Tensor
    contacts: ContactForces
    loads: JointLoads


def motion_physics(
    rotations: torch.Tensor,
    pelvis: torch.Tensor,
    dt_s: float,
    segments: BodySegments,
    points: ContactPoints,
    ground: Ground,
    levels: ContactLevels | None = None,
    friction: float = FRICTION,
) -> MotionPhysics:
    """Physics of motions [..., T, 24, 3, 3] (local rotations) and [..., T, 3] (pelvis, m), ``dt_s`` seconds per frame.

    Accelerations are second differences, so noise of the poses comes through multiplied by 1 / dt_s^2: smooth first
    what a detector gave. Only points in contact take force (:func:`diffmocap.physics.contact_state.touching`).
    Differentiable in rotations and pelvis; contact states switch and pass no gradient.
    """
    motion = segment_motion(rotations, pelvis, dt_s, segments)
    needed = needed_wrench(motion, segments, ground.gravity)
    centres = points.centres(motion.rotations, motion.joints)
    position = centres - points.radius[:, None] * ground.up[..., None, None, :]
    gap = ground.gap(position)
    speed = point_speed(motion, points, centres)
    state = touching(gap.detach(), speed.detach(), levels)
    active = activity(gap, speed, levels) * state
    contacts = contact_forces(needed, position, active, ground.up[..., None, :], segments.total_mass, friction)
    loads = joint_loads(motion, segments, ground.gravity, contacts.force, position, points.segment)
    return MotionPhysics(motion, needed, position, gap, speed, state, contacts, loads)


def point_speed(motion: SegmentMotion, points: ContactPoints, centres: torch.Tensor) -> torch.Tensor:
    """Speed [..., T-2, P] m/s of contact points at ``centres`` [..., T-2, P, 3] as parts of their rigid segments."""
    arm = centres - motion.centres.index_select(-2, points.segment)
    turning = motion.angular_velocity.index_select(-2, points.segment)
    velocity = motion.velocity.index_select(-2, points.segment) + torch.linalg.cross(turning, arm)
    return (velocity.square().sum(-1) + 1e-12).sqrt()
