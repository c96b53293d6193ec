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
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.autograd.function import once_differentiable

from diffmocap.errors import SettingsError
from diffmocap.physics.dynamics import STANDARD_GRAVITY, Wrench
from diffmocap.physics.friction_cone import ConeProjection

#: Moments count as the forces that make them at this distance [m]: half the height of a person's centre of mass.
MOMENT_ARM = 0.5
#: rho above: what it alone leaves unexplained of a person's standing on one foot is about 1 %.
REGULARISATION = 1e-3
#: Skin, shoe or sock on a usual floor.
FRICTION = 0.8

#: Lengths that are tried where a whole step goes up.
STEP_LENGTHS = (1.0, 0.5, 0.2, 0.05, 0.01)
#: Of the gradient, in units of the weight; one more step after it squares what is left.
TOLERANCE = 1e-6
#: What values may grow by rounding.
ROUNDING = 1e-14
#: So many frames are iterated until the last is solved; of more, those that are not.
_ALL_TOGETHER = 64


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
    # float64: rho asks for it, and six unknowns a frame cost the same.
    wrench = torch.cat([needed.force, needed.moment / MOMENT_ARM], -1).double() / weight
    arms = ((positions - needed.centre[..., None, :]) / MOMENT_ARM).double()
    axes = ground_axes(up.detach().double())
    axes = axes.expand(*batch, 3, 3).reshape(-1, 3, 3) if up.dim() > 1 else axes[None]
    force = _Forces.apply(
        wrench.reshape(-1, 6), arms.reshape(-1, count, 3).mT, activity.double().reshape(-1, count), axes, friction,
        iterations,
    )  # fmt: skip
    force = (force.mT * weight).reshape(*batch, count, 3).to(positions.dtype)
    arm = positions - needed.centre[..., None, :]
    left = Wrench(needed.force - force.sum(-2), needed.moment - torch.linalg.cross(arm, force).sum(-2), needed.centre)
    return ContactForces(force, left)


class _Forces(torch.autograd.Function):
    """:class:`ForceSolution` with its gradient for autograd: forces [N, 3, P]."""

    @staticmethod
    def forward(ctx, wrench, arms, activity, axes, friction, iterations):
        ctx.solution = ForceSolution(wrench, arms, activity, axes, friction, iterations)
        # What a graph returns and what it keeps must be two, or neither is ever let go.
        return ctx.solution.force.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, above):
        return *ctx.solution.gradient(above), None, None, None


class ForceSolution:
    """Forces over the weight for N frames of P points, coordinates first, float64.

    With M the columns a_p G_p, y = M^T z, p = P(y) / rho, J its derivative and H = 1 + M J M^T: differentiating
    ``z + M p = w`` and ``f = a p`` and taking the incoming gradient v of f to the left gives
    ``lambda = H^-1 M J a v`` for w and ``s = J (a v - M^T lambda)`` against dM^T z, ``-p`` against dM^T lambda.

    Args:
        wrench: [N, 6] in units of the weight, moments over :data:`MOMENT_ARM`.
        arms: [N, 3, P] over :data:`MOMENT_ARM`. activity: [N, P].
        axes: [N, 3, 3] or [1, 3, 3], rows are the ground's normal and two tangents.

    Attributes:
        force: [N, 3, P].
    """

    def __init__(
        self, wrench: torch.Tensor, arms: torch.Tensor, activity: torch.Tensor, axes: torch.Tensor, friction: float,
        iterations: int,
    ) -> None:  # fmt: skip
        self._arms, self._activity, self._axes = arms, activity[:, None], axes
        columns = axes.mT[..., None]  # [1, xyz, axis, 1]
        turns = torch.linalg.cross(arms[:, :, None], columns, dim=1)
        matrix = torch.empty(len(arms), 6, 3, arms.shape[-1], dtype=arms.dtype, device=arms.device)
        torch.mul(columns, activity[:, None, None], out=matrix[:, :3])
        torch.mul(turns, activity[:, None, None], out=matrix[:, 3:])
        problem = _Problem(matrix, wrench, friction)
        last = _descend(problem, problem.start(), iterations)
        self._matrix, (self._hessian, step) = problem.flat, last.newton()
        self._residual = last.residual + step
        # A projection of its own, so that forces are in the cone however far the solver came.
        self._cone = ConeProjection(problem.pulls(self._residual), friction)
        self._shares = axes.mT @ (self._cone.projected / REGULARISATION)
        self.force = self._activity * self._shares

    def left(self, wrench: torch.Tensor) -> torch.Tensor:
        """What the forces leave of the wrench [N, 6]: z, as far as the iterations came."""
        pushed = self._cone.projected.flatten(1)[..., None]
        return torch.baddbmm(wrench[..., None], self._matrix, pushed, alpha=-1.0 / REGULARISATION)[..., 0]

    def gradient(
        self, above: torch.Tensor, of_residual: torch.Tensor | float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of the wrench, the arms and the activity for that of the forces, [N, 3, P], and of z [N, 6]."""
        jacobian = self._cone.derivative() / REGULARISATION
        scaled = self._activity * (self._axes @ above)
        pulled = (jacobian * scaled[:, None]).sum(2)
        through = (self._matrix @ pulled.flatten(1)[..., None])[..., 0] + of_residual
        adjoint = _solve(self._hessian, through[..., None])[..., 0]
        rest = scaled - (adjoint[:, None] @ self._matrix).view_as(scaled)
        slope = self._axes.mT @ (jacobian * rest[:, None]).sum(2)
        z_force, z_moment = self._residual[..., None].split(3, 1)
        l_force, l_moment = adjoint[..., None].split(3, 1)
        in_arms = cross(slope, z_moment) - cross(self._shares, l_moment)
        along = slope * (z_force + cross(z_moment, self._arms))
        against = self._shares * (above - l_force - cross(l_moment, self._arms))
        return adjoint, self._activity * in_arms, (along + against).sum(1)


def cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cross products of vectors whose coordinates stand in the last but one dimension."""
    return torch.linalg.cross(a, b, dim=-2)


def ground_axes(up: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] rows: the normal ``up`` [..., 3] of the ground and two directions square to it and each other."""
    least = torch.nn.functional.one_hot(up.abs().argmin(-1), 3).to(up)
    tangent = torch.nn.functional.normalize(torch.linalg.cross(up, least), dim=-1)
    return torch.stack([up, tangent, torch.linalg.cross(up, tangent)], -2)


def _solve(matrix: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.linalg.solve_ex(matrix, right)[0]


class _Problem:
    """The convex functions of z [N, 6] whose minima are sought."""

    def __init__(self, matrix: torch.Tensor, wrench: torch.Tensor, friction: float) -> None:
        self.matrix, self.flat, self.wrench, self.friction = matrix, matrix.flatten(2), wrench, friction
        self.identity = torch.eye(6, device=wrench.device, dtype=wrench.dtype)

    def start(self) -> torch.Tensor:
        """The solution if all forces were inside their cones: one linear system, and often the solution."""
        hessian = torch.baddbmm(self.identity, self.flat, self.flat.mT, alpha=1.0 / REGULARISATION)
        return _solve(hessian, self.wrench[..., None])[..., 0]

    def pulls(self, residual: torch.Tensor) -> torch.Tensor:
        """M^T z [N, 3, P]."""
        return (residual[:, None] @ self.flat).view(len(residual), 3, -1)

    def rows(self, chosen: torch.Tensor) -> _Problem:
        return _Problem(self.matrix[chosen], self.wrench[chosen], self.friction)

    def values(self, residual: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """[..., N] at z [..., N, 6]."""
        linear = (residual * torch.add(self.wrench, residual, alpha=-0.5)).sum(-1)
        return torch.sub(projected.square().sum((-1, -2)), linear, alpha=2.0 * REGULARISATION)


class _Iterate:
    """z [N, 6] with what belongs to it."""

    def __init__(self, problem: _Problem, residual: torch.Tensor, pulls: torch.Tensor) -> None:
        self.problem, self.residual, self.pulls = problem, residual, pulls
        self.cone = ConeProjection(pulls, problem.friction)
        pushed = self.cone.projected.flatten(1)[..., None]
        away = (residual - problem.wrench)[..., None]
        self.gradient = torch.baddbmm(away, problem.flat, pushed, alpha=1.0 / REGULARISATION)

    def newton(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Generalised Hessian [N, 6, 6] and step [N, 6]."""
        root = self.cone.root(self.problem.matrix).flatten(2)
        hessian = torch.baddbmm(self.problem.identity, root, root.mT, alpha=1.0 / REGULARISATION)
        return hessian, _solve(hessian, self.gradient)[..., 0].neg_()

    def next(self) -> _Iterate:
        """A whole step where none goes up, else the best of several lengths."""
        problem, (_, step) = self.problem, self.newton()
        turn = problem.pulls(step)
        whole = _Iterate(problem, self.residual + step, self.pulls + turn)
        before = problem.values(self.residual, self.cone.projected)
        after = problem.values(whole.residual, whole.cone.projected)
        if not bool((after > before + ROUNDING).any()):
            return whole
        lengths = torch.tensor(STEP_LENGTHS, device=step.device, dtype=step.dtype)[:, None, None]
        moved, tried = self.residual + lengths * step, self.pulls + lengths[..., None] * turn
        values = problem.values(moved, ConeProjection(tried, problem.friction).projected)
        length = lengths[values.argmin(0), 0]
        return _Iterate(problem, self.residual + length * step, self.pulls + length[..., None] * turn)


def _descend(problem: _Problem, start: torch.Tensor, iterations: int) -> _Iterate:
    """The iterate that no further step is needed to than one."""
    here = _Iterate(problem, start, problem.pulls(start))
    for k in range(iterations):
        slope = here.gradient.abs().amax((1, 2))
        unsolved = slope >= TOLERANCE
        left = int(unsolved.sum())
        if not left:
            break
        if 2 * left < len(start) and len(start) > _ALL_TOGETHER:
            rest = _descend(problem.rows(unsolved), here.residual[unsolved], iterations - k)
            residual = here.residual.clone()
            residual[unsolved] = rest.residual
            return _Iterate(problem, residual, problem.pulls(residual))
        here = here.next()
    return here
