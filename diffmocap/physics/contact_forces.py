"""Forces at the contacts that explain the wrench a motion needs.

For every frame: ``min over u in cones  |w - G f|^2 / 2 + rho |u|^2 / 2  with f = a u``, where w is the needed wrench in
units of the body's weight (moments over :data:`MOMENT_ARM`), G collects forces into a wrench about the centre of mass,
and a is each point's activity in [0, 1]. The small rho shares forces out evenly where many distributions do; rho / a^2
grows as a point leaves the ground, which is the softened complementarity: a = 0 means no force, exactly.

With the residual ``z = w - G f`` optimality is ``u = P(a G_p^T z) / rho``, P the projection onto the cone. That leaves
six unknowns a frame, ``z + G P(G^T z) / rho = w``, the gradient of a strictly convex function: a semismooth Newton
method (Qi and Sun 1993) with a line search solves it for all frames side by side, however many the points. It begins at
the solution without cones, a linear system: often that is the solution, and on motion capture eight iterations do
from there where three times as many did from elsewhere, the solution of a motion near by included.

Gradients come from the implicit function theorem: they are exact at the solution and cost a 6 x 6 solve, where
differentiating the iterations would cost them all again.

The solver is compiled, :mod:`diffmocap.physics.compiled.contact_solver`, and runs on the CPU in float64 whatever the
tensors' device and type: rho asks for it, and six unknowns a frame cost the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffmocap.compiler import array
from diffmocap.errors import SettingsError
from diffmocap.physics.dynamics import STANDARD_GRAVITY, Wrench

#: Moments count as the forces that make them at this distance [m]: half the height of a person's centre of mass.
MOMENT_ARM = 0.5
#: Skin, shoe or sock on a usual floor.
FRICTION = 0.8


@dataclass(frozen=True)
class ContactForces:
    """What the ground does to the body, and what it cannot do.

    Attributes:
        force: [..., P, 3] on the body at each contact point, inside its friction cone [N].
        residual: the part of the needed wrench that no contact explains, about the centre of mass.
    """

    force: torch.Tensor
    residual: Wrench


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
        needed: wrench [..., 3] as from :func:`diffmocap.physics.dynamics.needed_wrench` [N, N m].
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
    axes = ground_axes(up.detach().double())
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
        from diffmocap.physics.compiled.contact_solver import solve_all  # compiling may take a while

        ctx.problem = (*(array(x) for x in (wrench, arms, activity, axes)), float(friction), int(iterations))
        forces = np.empty_like(ctx.problem[1])
        solve_all(*ctx.problem, forces)
        return torch.from_numpy(forces).to(wrench)

    @staticmethod
    @once_differentiable
    def backward(ctx, above):
        from diffmocap.physics.compiled.contact_solver import solve_all_vjp

        gradients = [np.empty_like(x) for x in ctx.problem[:3]]
        solve_all_vjp(*ctx.problem, array(above), *gradients)
        return *(torch.from_numpy(x).to(above) for x in gradients), None, None, None


def ground_axes(up: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] rows: the ground's normal ``up`` [..., 3] and two directions perpendicular to it and each other."""
    least = torch.nn.functional.one_hot(up.abs().argmin(-1), 3).to(up)
    tangent = torch.nn.functional.normalize(torch.linalg.cross(up, least), dim=-1)
    return torch.stack([up, tangent, torch.linalg.cross(up, tangent)], -2)
