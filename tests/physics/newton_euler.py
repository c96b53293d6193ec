"""Newton and Euler over the whole body and over every joint, in torch: what the compiled dynamics are compared with.

Newton-Euler in an inertial frame needs no recursion: the load of a joint is the sum over the segments that it carries,
and that sum is a product with a constant matrix (:mod:`diffmocap.physics.tree`). The result is that of the recursive
algorithm (Featherstone 2008, section 5.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import subtree_matrix
from diffmocap.physics.wrench import Wrench
from tests.physics.segment_motion import SegmentMotion


@dataclass(frozen=True)
class JointLoads:
    """What crosses each joint from the parent's side to the child's, in the motion's axes.

    Entry 0 is what would have to hold the pelvis from outside: zero where contacts explain the motion.

    Attributes:
        force: [..., 24, 3] on the child [N].
        torque: [..., 24, 3] on the child, about the joint [N m]; the parent feels the opposite.
    """

    force: torch.Tensor
    torque: torch.Tensor


def centre_of_mass(centres: torch.Tensor, segments: BodySegments) -> torch.Tensor:
    """Centre of mass [..., 3] m of the body, from its segments' centres [..., 24, 3]; takes their rates as well."""
    return (segments.mass / segments.total_mass) @ centres


def momentum(motion: SegmentMotion, segments: BodySegments) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear [kg m/s] and angular momentum about the centre of mass [kg m^2/s], both [..., 3]."""
    inertia = _turned_inertia(motion, segments)
    linear = segments.mass[:, None] * motion.velocity
    arm = motion.centres - centre_of_mass(motion.centres, segments)[..., None, :]
    spin = (inertia @ motion.angular_velocity[..., None])[..., 0]
    return linear.sum(-2), (torch.linalg.cross(arm, linear) + spin).sum(-2)


def momentum_rates(
    motion: SegmentMotion, segments: BodySegments, gravity: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Force and moment [..., 24, 3] that each segment needs beside gravity, the moment about its own centre.

    ``m (a - g)`` [N] and ``I alpha + omega x I omega`` [N m]. ``gravity`` is [3] or [..., 3] in the motion's axes.
    """
    force = segments.mass[:, None] * (motion.acceleration - gravity[..., None, :])
    # R I R^T v as three products with vectors: turning 24 tensors takes longer.
    omega = motion.in_segment_axes(motion.angular_velocity)
    alpha = motion.in_segment_axes(motion.angular_acceleration)
    rate = (segments.inertia @ torch.stack([alpha, omega], -1)).unbind(-1)
    moment = rate[0] + torch.linalg.cross(omega, rate[1])
    return force, (motion.rotations @ moment[..., None])[..., 0]


def needed_wrench(motion: SegmentMotion, segments: BodySegments, gravity: torch.Tensor) -> Wrench:
    """What the world beside gravity must do to the body for it to move so: the rate of its momentum less its weight.

    Zero in free fall; m g upwards at rest. Shapes [..., T-2, 3].
    """
    force, moment = momentum_rates(motion, segments, gravity)
    centre = centre_of_mass(motion.centres, segments)
    arm = motion.centres - centre[..., None, :]
    return Wrench(force.sum(-2), (torch.linalg.cross(arm, force) + moment).sum(-2), centre)


def joint_loads(
    motion: SegmentMotion,
    segments: BodySegments,
    gravity: torch.Tensor,
    contact_force: torch.Tensor | None = None,
    contact_position: torch.Tensor | None = None,
    contact_segment: torch.Tensor | None = None,
) -> JointLoads:
    """Inverse dynamics: the load of every joint.

    Args:
        motion: of the segments, [..., T-2, 24, 3] and so on.
        segments: the body.
        gravity: [3] or [..., 3] in the motion's axes [m/s^2].
        contact_force: [..., T-2, P, 3] of the world on the body [N].
        contact_position: [..., T-2, P, 3] where they act [m].
        contact_segment: [P] the segment that each acts on.
    """
    force, moment = momentum_rates(motion, segments, gravity)
    # About the pelvis, not the frame's origin: moments stay small far from it, which float32 needs.
    pelvis = motion.joints[..., :1, :]
    moment = moment + torch.linalg.cross(motion.centres - pelvis, force)
    if contact_force is not None:
        outer = torch.linalg.cross(contact_position - pelvis, contact_force)
        force = force.index_add(-2, contact_segment, contact_force, alpha=-1)
        moment = moment.index_add(-2, contact_segment, outer, alpha=-1)
    force, moment = carry_inwards(torch.cat([force, moment], -1)).split(3, -1)
    return JointLoads(force, moment - torch.linalg.cross(motion.joints - pelvis, force))


def carry_inwards(x: torch.Tensor) -> torch.Tensor:
    """Sum of x [..., 24, D] over each joint and everything beyond it."""
    return subtree_matrix(x.device, x.dtype) @ x


def _turned_inertia(motion: SegmentMotion, segments: BodySegments) -> torch.Tensor:
    return motion.rotations @ segments.inertia @ motion.rotations.transpose(-1, -2)
