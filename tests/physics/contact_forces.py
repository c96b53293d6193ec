"""The solver of contact forces on tensors, many frames at once, with its gradient by the implicit function theorem."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffmocap.compiler import array, compiled
from diffmocap.errors import SettingsError
from diffmocap.physics.compiled.contact_solver import Contacts, contacts_vjp, solve_contacts
from diffmocap.physics.contact_forces import FRICTION, MOMENT_ARM, ContactForces, ground_axes
from diffmocap.physics.contact_state import ContactLevels, activity_rates
from diffmocap.physics.wrench import STANDARD_GRAVITY, Wrench


def activity(gap: torch.Tensor, speed: torch.Tensor, levels: ContactLevels | None = None) -> torch.Tensor:
    """How readily each point takes force, in (0, 1] and smooth: 1 for a point at rest on the ground or inside it.

    Shapes as in :func:`diffmocap.physics.contact_state.touching`.
    """
    of_gap, of_speed = activity_rates(levels)
    return torch.exp(-(of_gap * gap.clamp_min(0.0).square() + of_speed * speed.square()))


def contact_forces(
    needed: Wrench,
    positions: torch.Tensor,
    activity: torch.Tensor,
    up: torch.Tensor,
    mass: torch.Tensor | float,
    friction: float = FRICTION,
    iterations: int = 30,
) -> ContactForces:
    """Contact forces of every frame; differentiable with respect to everything that is a tensor but ``up``.

    Args:
        needed: wrench [..., 3] as from :func:`tests.physics.newton_euler.needed_wrench` [N, N m].
        positions: [..., P, 3] where the contacts act, in the same frame [m].
        activity: [..., P] in [0, 1]; exactly zero takes no force.
        up: [3] or [..., 3] the ground's normal.
        mass: of the body [kg]; it sets the scale.
        friction: coefficient of static friction.
        iterations: at most; the solver stops by itself, usually after two to eight.
    """
    if not friction >= 0:
        raise SettingsError(f"the coefficient of friction must not be negative, got {friction}")
    batch, count = activity.shape[:-1], activity.shape[-1]
    weight = mass * STANDARD_GRAVITY
    wrench = torch.cat([needed.force, needed.moment / MOMENT_ARM], -1).double() / weight
    arms = ((positions - needed.centre[..., None, :]) / MOMENT_ARM).double()
    axes = torch.from_numpy(ground_axes(up.detach().double().numpy()))
    axes = axes.expand(*batch, 3, 3).reshape(-1, 3, 3)
    force = _Forces.apply(
        wrench.reshape(-1, 6), arms.reshape(-1, count, 3).mT, activity.double().reshape(-1, count), axes, friction,
        iterations,
    )  # fmt: skip
    force = (force.mT * weight).reshape(*batch, count, 3).to(positions.dtype)
    arm = positions - needed.centre[..., None, :]
    left = Wrench(needed.force - force.sum(-2), needed.moment - torch.linalg.cross(arm, force).sum(-2), needed.centre)
    return ContactForces(force, left)


class _Forces(torch.autograd.Function):
    """Forces [N, 3, P] over the weight for wrenches [N, 6], arms [N, 3, P], activity [N, P] and axes [N, 3, 3]."""

    @staticmethod
    def forward(ctx, wrench, arms, activity, axes, friction, iterations):
        ctx.problem = (*(array(x) for x in (wrench, arms, activity, axes)), float(friction), int(iterations))
        forces = np.empty_like(ctx.problem[1])
        solve_all(*ctx.problem, forces)
        return torch.from_numpy(forces).to(wrench)

    @staticmethod
    @once_differentiable
    def backward(ctx, above):
        gradients = [np.empty_like(x) for x in ctx.problem[:3]]
        solve_all_vjp(*ctx.problem, array(above), *gradients)
        return *(torch.from_numpy(x).to(above) for x in gradients), None, None, None


@compiled
def solve_all(wrench, arms, activity, axes, friction, iterations, forces):
    """Fills ``forces`` [N, 3, P] over the weight for wrenches [N, 6], arms [N, 3, P], activity [N, P] and the ground's
    axes [N, 3, 3]."""
    for n in range(len(wrench)):
        contacts = _contacts(arms[n], activity[n], wrench[n], axes[n], friction)
        solve_contacts(contacts, iterations)
        forces[n] = activity[n] * contacts.shares


@compiled
def solve_all_vjp(wrench, arms, activity, axes, friction, iterations, of_forces, of_wrench, of_arms, of_activity):
    """Fills the gradients of the first three of :func:`solve_all` for those of the forces. Solves anew, which costs a
    few microseconds a frame."""
    of_wrench[:] = 0.0
    for n in range(len(wrench)):
        contacts = _contacts(arms[n], activity[n], wrench[n], axes[n], friction)
        solve_contacts(contacts, iterations)
        contacts_vjp(contacts, of_forces[n], of_wrench[n], of_arms[n], of_activity[n])


@compiled
def _contacts(arms, activity, wrench, axes, friction):
    return Contacts(arms, activity, wrench, axes, friction, np.empty(6), np.empty((6, 6)), np.empty_like(arms))
