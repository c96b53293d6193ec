"""Inverse dynamics of a window from the accelerations of its mass points: Newton's law summed over the tree.

See :mod:`diffmocap.refinement.body_points`. Against :mod:`diffmocap.physics.dynamics`, whose angular accelerations are
differences of logarithms, the second differences of points are chords for arcs: both are of second order in the
frames' distance, and this one takes a fraction of the operations. Coordinates come first: [..., 3, N].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.joint_angles import joint_kind
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.body.urdf import EFFORT
from diffmocap.physics.contact_forces import ContactForces, contact_forces
from diffmocap.physics.dynamics import Wrench
from diffmocap.refinement.body_points import BodyPoints

#: Strongest torque of joints 1 to 23 [N m], as in the URDF.
STRENGTH = tuple(EFFORT[joint_kind(j)] for j in range(1, NUM_JOINTS))


@dataclass(frozen=True)
class Loads:
    """What the joints carry at the T - 2 inner frames before any contact is counted.

    Attributes:
        force_and_moment: [B, T-2, 6, 24] of everything beyond each joint: force [N] and moment about the pelvis [N m].
        needed: wrench [B, T-2, 3] on the whole body, about its centre of mass relative to the pelvis.
    """

    force_and_moment: torch.Tensor
    needed: Wrench


def loads(points: BodyPoints, relative: torch.Tensor, absolute: torch.Tensor, gravity, dt_s: float) -> Loads:
    """Loads of a motion of the mass points.

    Args:
        points: the body.
        relative, absolute: [B, T, 3, 96] m of the mass points, to the pelvis and in the frame.
        gravity: [B, 1, 3] m/s^2.
        dt_s: time between frames [s].
    """
    acceleration = (absolute[:, 2:] - 2.0 * absolute[:, 1:-1] + absolute[:, :-2]) / dt_s**2
    force = points.mass * (acceleration - gravity[..., None])
    inner = relative[:, 1:-1]
    carried = torch.cat([force, cross(inner, force)], -2) @ points.carried
    whole = carried[..., 0]
    centre = inner @ (points.mass / points.total_mass)
    moment = whole[..., 3:] - torch.linalg.cross(centre, whole[..., :3])
    return Loads(carried, Wrench(whole[..., :3], moment, centre))


def ground_forces(
    found: Loads, places: torch.Tensor, activity: torch.Tensor, up: torch.Tensor, mass: torch.Tensor,
    iterations: int, start: torch.Tensor | None,
) -> ContactForces:  # fmt: skip
    """Forces at contacts ``places`` [B, T-2, 3, P] m relative to the pelvis; see
    :func:`diffmocap.physics.contact_forces.contact_forces`."""
    return contact_forces(
        found.needed, places.transpose(-1, -2), activity, up[:, None], mass, iterations=iterations, start=start
    )


def joint_torques(
    points: BodyPoints, found: Loads, joints: torch.Tensor, force: torch.Tensor, places: torch.Tensor
) -> torch.Tensor:
    """Torques [B, T-2, 3, 23] N m of joints 1 to 23 on their children, in the frame's axes.

    Args:
        joints: [B, T-2, 3, 24] relative to the pelvis [m].
        force: [B, T-2, P, 3] of the contacts [N]. places: [B, T-2, 3, P] where they act, relative to the pelvis [m].
    """
    pushed = force.transpose(-1, -2)
    contact = torch.cat([pushed, cross(places, pushed)], -2) @ points.contact_carried
    load = (found.force_and_moment - contact)[..., 1:]
    return load[..., 3:, :] - cross(joints[..., 1:], load[..., :3, :])


def cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cross products of vectors whose coordinates stand in the last but one dimension."""
    return torch.linalg.cross(a, b, dim=-2)
