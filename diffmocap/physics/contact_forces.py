"""Forces at the contacts that explain the wrench a motion needs.

For every frame: ``min over u in cones  |w - G f|^2 / 2 + rho |u|^2 / 2  with f = a u``, where w is the needed wrench in
units of the body's weight (moments over :data:`MOMENT_ARM`), G collects forces into a wrench about the centre of mass,
and a is each point's activity in [0, 1]. The small rho shares forces out evenly where many distributions do; rho / a^2
grows as a point leaves the ground, which is the softened complementarity: a = 0 means no force, exactly.

With the residual ``z = w - G f`` optimality is ``u = P(a G_p^T z) / rho``, P the projection onto the cone. That leaves
six unknowns a frame, ``z + G P(G^T z) / rho = w``, the gradient of a strictly convex function: a semismooth Newton
method (Qi and Sun 1993) with a line search solves it for all frames side by side, however many the points. Starting at
a larger rho takes the corners out of the function: on motion capture 16 iterations then do where 30 did not.

Gradients come from the implicit function theorem: they are exact at the solution and cost a 6 x 6 solve, where
differentiating the iterations would cost them all again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.autograd.function import once_differentiable

from diffmocap.errors import SettingsError
from diffmocap.physics.dynamics import STANDARD_GRAVITY, Wrench
from diffmocap.physics.friction_cone import project, project_with_jacobian

#: Moments count as the forces that make them at this distance [m]: half the height of a person's centre of mass.
MOMENT_ARM = 0.5
#: rho above: what it alone leaves unexplained of a person's standing on one foot is about 1 %.
REGULARISATION = 1e-3
#: Skin, shoe or sock on a usual floor.
FRICTION = 0.8

#: rho of the first iterations.
_LOOSER = (0.1, 0.01)
_STEPS = (1.0, 0.5, 0.2, 0.05, 0.01)
#: Of the gradient, in units of the weight; one more step after it squares what is left.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ContactForces:
    """What the ground does to the body, and what it cannot do.

    Attributes:
        force: [..., P, 3] on the body at each contact point, inside its friction cone [N].
        residual: the part of the needed wrench that no contact explains, about the centre of mass.
        multiplier: [..., 6] float64, what the solver came to: a start for a motion near this one.
    """

    force: torch.Tensor
    residual: Wrench
    multiplier: torch.Tensor


def contact_forces(
    needed: Wrench,
    positions: torch.Tensor,
    activity: torch.Tensor,
    up: torch.Tensor,
    mass: torch.Tensor | float,
    friction: float = FRICTION,
    iterations: int = 30,
    start: torch.Tensor | None = None,
) -> ContactForces:
    """Contact forces of every frame; differentiable with respect to everything that is a tensor but ``up``.

    Args:
        needed: wrench [..., 3] as from :func:`diffmocap.physics.dynamics.needed_wrench` [N, N m].
        positions: [..., P, 3] where the contacts act, in the same frame [m].
        activity: [..., P] in [0, 1]; exactly zero takes no force.
        up: [3] or [..., 3] the ground's normal.
        mass: of the body [kg]; it sets the scale.
        friction: coefficient of static friction.
        iterations: at most; the solver stops by itself, usually after eight to fifteen.
        start: the ``multiplier`` of a solution near by; saves most of the iterations.
    """
    if not friction >= 0:
        raise SettingsError(f"the coefficient of friction must not be negative, got {friction}")
    batch, count = activity.shape[:-1], activity.shape[-1]
    weight = mass * STANDARD_GRAVITY
    # float64: rho asks for it, and six unknowns a frame cost the same.
    wrench = torch.cat([needed.force, needed.moment / MOMENT_ARM], -1).double() / weight
    arms = ((positions - needed.centre[..., None, :]) / MOMENT_ARM).double()
    axis = up.detach().double().expand(*batch, 3).reshape(-1, 1, 3)
    begin = None if start is None else start.detach().reshape(-1, 6)
    force, residual = _Forces.apply(
        wrench.reshape(-1, 6), arms.reshape(-1, count, 3), activity.double().reshape(-1, count), axis, friction,
        iterations, begin,
    )  # fmt: skip
    force = force * weight
    force = force.reshape(*batch, count, 3).to(positions.dtype)
    arm = positions - needed.centre[..., None, :]
    left = Wrench(
        needed.force - force.sum(-2), needed.moment - torch.linalg.cross(arm, force).sum(-2), needed.centre
    )
    return ContactForces(force, left, residual.reshape(*batch, 6))


def _transposed_grasp(arms: torch.Tensor) -> torch.Tensor:
    """[N, P, 3, 6]: takes a wrench's multiplier (z_f, z_m) to z_f + z_m x r at each arm r [N, P, 3]."""
    x, y, z = arms.unbind(-1)
    zero = torch.zeros_like(x)
    turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))  # -[r]x
    identity = torch.eye(3, device=arms.device, dtype=arms.dtype).expand_as(turn)
    return torch.cat([identity, turn], -1)


class _Forces(torch.autograd.Function):
    """Forces f [N, P, 3] over the weight, and the multiplier z [N, 6], which passes no gradient.

    With M the rows a_p G_p^T, y = M z, p = P(y) / rho, J its derivative and H = 1 + M^T J M: differentiating
    ``z + M^T p = w`` and ``f = a p`` and taking the incoming gradient v of f to the left gives
    ``lambda = H^-1 M^T J a v`` for w and ``s = J (a v - M lambda)`` against dM z, ``-p`` against dM lambda.
    """

    @staticmethod
    def forward(ctx, wrench, arms, activity, axis, friction, iterations, start):
        matrix = activity[..., None, None] * _transposed_grasp(arms)
        residual, pulls, jacobian, hessian = _solve(matrix, wrench, axis, friction, iterations, start)
        # A projection of its own, so that forces are in the cone however far the solver came.
        shares = project(pulls, axis, friction) / REGULARISATION
        ctx.save_for_backward(arms, activity, matrix, residual, shares, jacobian / REGULARISATION, hessian)
        ctx.mark_non_differentiable(residual)
        return shares * activity[..., None], residual

    @staticmethod
    @once_differentiable
    def backward(ctx, above, _):
        arms, activity, matrix, residual, shares, jacobian, hessian = ctx.saved_tensors
        flat, scaled = matrix.flatten(1, 2), activity[..., None] * above
        pulled = (jacobian @ scaled[..., None]).flatten(1, 2)
        adjoint = torch.linalg.solve(hessian, (flat.transpose(1, 2) @ pulled)[..., 0])
        slope = (jacobian @ (scaled - (matrix @ adjoint[:, None, :, None])[..., 0])[..., None])[..., 0]
        z_force, z_moment = residual[:, None].split(3, -1)
        l_force, l_moment = adjoint[:, None].split(3, -1)
        in_arms = torch.linalg.cross(slope, z_moment) - torch.linalg.cross(shares, l_moment)
        along = slope * (z_force + torch.linalg.cross(z_moment, arms))
        against = shares * (above - l_force - torch.linalg.cross(l_moment, arms))
        return adjoint, activity[..., None] * in_arms, (along + against).sum(-1), None, None, None, None


def _solve(matrix, wrench, axis, friction, iterations, start) -> tuple[torch.Tensor, ...]:
    """Residual wrench z [N, 6] and its pulls M z [N, P, 3]; derivative of the projection [N, P, 3, 3] and generalised
    Hessian [N, 6, 6] of the step that led there."""
    looser = _LOOSER if start is None else ()
    identity = torch.eye(6, device=wrench.device, dtype=wrench.dtype)
    flat = matrix.flatten(1, 2)  # [N, 3P, 6]
    steps = torch.tensor(_STEPS, device=wrench.device, dtype=wrench.dtype)[:, None]
    rho = (*looser, REGULARISATION)[0]
    # A multiple of the wrench lies inside the cones if the body presses down: the first step solves all at once.
    residual = rho * wrench if start is None else start
    pulls = (flat @ residual[..., None])[..., 0].unflatten(1, (-1, 3))
    last = max(iterations, len(looser))
    for k in range(last + 1):
        next_rho = looser[k] if k < len(looser) else REGULARISATION
        residual, pulls, rho = residual * (next_rho / rho), pulls * (next_rho / rho), next_rho  # keeps the forces
        pushed, jacobian = project_with_jacobian(pulls, axis, friction)
        gradient = residual - wrench + (pushed.flatten(1)[:, None] @ flat)[:, 0] / rho
        hessian = identity + flat.transpose(1, 2) @ (jacobian @ matrix).flatten(1, 2) / rho
        step = -torch.linalg.solve(hessian, gradient)
        turn = (flat @ step[..., None])[..., 0].unflatten(1, (-1, 3))
        if k == last or (k >= len(looser) and (len(gradient) == 0 or float(gradient.abs().amax()) < _TOLERANCE)):
            return residual + step, pulls + turn, jacobian, hessian
        # The convex function at several lengths; the best one, which exists as the step goes downhill.
        tried = project(pulls + steps[..., None, None] * turn, axis, friction).square().sum((-1, -2))
        moved = residual + steps[..., None] * step
        value = 0.5 * moved.square().sum(-1) - (moved * wrench).sum(-1) + 0.5 * tried / rho
        length = steps[value.argmin(0), 0][:, None]
        residual, pulls = residual + length * step, pulls + length[..., None] * turn
    raise AssertionError("the last iteration returns")
