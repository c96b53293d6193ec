"""Inverse dynamics of a window from the accelerations of its mass points: Newton's law summed over the tree.

See :mod:`diffmocap.refinement.window.body_points`. Against :mod:`diffmocap.physics.dynamics`, whose angular
accelerations are differences of logarithms, the second differences of points are chords for arcs: both are of second
order in the frames' distance, and this one takes a fraction of the operations. Coordinates come first: [..., 3, N].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.joint_angles import joint_kind
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.body.urdf import EFFORT
from diffmocap.physics.contact_forces import FRICTION, MOMENT_ARM, ContactForces, ForceSolution
from diffmocap.physics.dynamics import STANDARD_GRAVITY, Wrench
from diffmocap.refinement.window.body_points import BodyPoints

#: Strongest torque of joints 1 to 23 [N m], as in the URDF.
STRENGTH = tuple(EFFORT[joint_kind(j)] for j in range(1, NUM_JOINTS))


@dataclass(frozen=True)
class Loads:
    """What the joints carry at the T - 2 inner frames before any contact is counted.

    Attributes:
        force_and_moment: [B, T-2, 6, 24] of everything beyond each joint: force [N] and moment about the pelvis [N m].
        needed: wrench [B, T-2, 3] on the whole body, about its centre of mass relative to the pelvis.
        force: [B, T-2, 3, 96] of each mass point [N].
    """

    force_and_moment: torch.Tensor
    needed: Wrench
    force: torch.Tensor


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
    return Loads(carried, Wrench(whole[..., :3], moment, centre), force)


def beyond_contacts(points: BodyPoints, found: Loads, force: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """[B, T-2, 6, 24] force and moment that joints carry beside what contacts do.

    Args:
        force: [B, T-2, 3, P] of the contacts [N]. places: [B, T-2, 3, P] where they act, relative to the pelvis [m].
    """
    contact = torch.cat([force, cross(places, force)], -2)
    return found.force_and_moment - contact @ points.contact_carried


def joint_torques(joints: torch.Tensor, load: torch.Tensor) -> torch.Tensor:
    """Torques [B, T-2, 3, 23] N m of joints 1 to 23 on their children, in the frame's axes.

    Args:
        joints: [B, T-2, 3, 24] relative to the pelvis [m]. load: [B, T-2, 6, 24], see :func:`beyond_contacts`.
    """
    return load[..., 3:, 1:] - cross(joints[..., 1:], load[..., :3, 1:])


@dataclass(frozen=True)
class WindowDynamics:
    """Forces of a window's motion at its T - 2 inner frames.

    Attributes:
        contacts: forces at the contact points and the residual wrench; positions are relative to the pelvis.
        torques: [B, T-2, 3, 23] of joints 1 to 23 on their children, in the frame's axes [N m].
    """

    contacts: ContactForces
    torques: torch.Tensor


class WindowForces:
    """Loads, contact forces and torques of a motion, and the gradient through them, written out.

    Args:
        points: the body. relative, absolute: [B, T, 3, N] m of all its points.
        places: [B, T-2, 3, P] of the contacts, relative to the pelvis [m]. activity: [B, T-2, P].
        axes: [B, 3, 3] of the ground, see :func:`diffmocap.physics.contact_forces.ground_axes`, float64.
        gravity: [B, 1, 3] m/s^2. dt_s: time between frames [s].
        iterations: of the contact forces.

    Attributes:
        torques: [B, T-2, 3, 23] N m.
        residual: [B, T-2, 6] force and moment about the centre of mass that no contact explains, over the body's
            mass [N/kg, N m/kg].
    """

    def __init__(
        self, points: BodyPoints, relative: torch.Tensor, absolute: torch.Tensor, places: torch.Tensor,
        activity: torch.Tensor, axes: torch.Tensor, gravity: torch.Tensor, dt_s: float, iterations: int,
    ) -> None:  # fmt: skip
        self._points, self._places, self._dt_s = points, places, dt_s
        joints, masses = (slice(0, points.sizes[0]), slice(points.sizes[0], sum(points.sizes[:2])))
        self._joints, self._masses = relative[:, 1:-1, :, joints], relative[:, 1:-1, :, masses]
        self._loads = found = loads(points, relative[..., masses], absolute[..., masses], gravity, dt_s)
        needed, self._weight = found.needed, points.total_mass * STANDARD_GRAVITY
        self._scale = torch.stack([self._weight, self._weight * MOMENT_ARM]).repeat_interleave(3)
        wrench = (torch.cat([needed.force, needed.moment], -1) / self._scale).double().flatten(0, 1)
        arms = ((places - needed.centre[..., None]) / MOMENT_ARM).double().flatten(0, 1)
        if len(axes) > 1:
            axes = axes.repeat_interleave(places.shape[1], 0)
        self._solution = solution = ForceSolution(
            wrench, arms, activity.double().flatten(0, 1), axes, FRICTION, iterations
        )
        self.force = solution.force.to(places).view_as(places) * self._weight  # [B, T-2, 3, P]
        left = solution.left(wrench).to(places).view(*places.shape[:2], 6)
        self._per_mass = self._scale / points.total_mass
        self.residual = left * self._per_mass
        self._load = beyond_contacts(points, found, self.force, places)
        self.torques = joint_torques(self._joints, self._load)

    def dynamics(self) -> WindowDynamics:
        """What was found, in the units of the world."""
        force, moment = (self.residual * self._points.total_mass).split(3, -1)
        contacts = ContactForces(self.force.mT, Wrench(force, moment, self._loads.needed.centre))
        return WindowDynamics(contacts, self.torques)

    def pull(self, of_torques: torch.Tensor, of_residual: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """From the gradient of torques and residual to those, all [B, T-2, ...], of joints [.., 3, 24] and mass points
        [.., 3, 96] relative to the pelvis, accelerations of the mass points, contacts' places and activity."""
        points, places, force, whole = self._points, self._places, self.force, self._loads.needed
        load = torch.zeros_like(self._load)
        load[..., 3:, 1:] = of_torques
        load[..., :3, 1:] = cross(self._joints[..., 1:], of_torques)
        joints = torch.zeros_like(self._joints)
        joints[..., 1:] = cross(of_torques, self._load[..., :3, 1:])
        # What contacts take from the joints.
        pushed, turned = (load @ points.contact_carried.T).neg_().split(3, -2)
        above = ((pushed + cross(turned, places)) * self._weight).flatten(0, 1).double()
        wrench, arms, activity = self._solution.gradient(above, (of_residual * self._per_mass).flatten(0, 1).double())
        arms = arms.to(places).view_as(places) / MOMENT_ARM
        of_places = cross(force, turned) + arms
        # The wrench is what the pelvis carries, about the centre of mass.
        of_force, of_moment = (wrench.to(places).view(of_residual.shape) / self._scale).split(3, -1)
        load[..., :3, 0] = of_force + torch.linalg.cross(whole.centre, of_moment)
        load[..., 3:, 0] = of_moment
        of_centre = torch.linalg.cross(of_moment, whole.force) - arms.sum(-1)
        of_force, of_moment = (load @ points.carried.T).split(3, -2)
        masses = cross(self._loads.force, of_moment)
        masses.addcmul_(of_centre[..., None], points.mass / points.total_mass)
        accelerations = (of_force + cross(of_moment, self._masses)) * points.mass
        return joints, masses, accelerations, of_places, activity.to(places).view(*places.shape[:2], -1)


def cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cross products of vectors whose coordinates stand in the last but one dimension."""
    return torch.linalg.cross(a, b, dim=-2)
