"""Contact forces of frames and their gradient: the problem of :mod:`diffmocap.physics.contact_forces`, solved.

With z the multiplier, y = a G^T z at each contact, p = P(y) / rho the projection onto the cones, J its derivative and
H = 1 + sum a^2 G J G^T / rho: differentiating ``z + sum a G p = w`` and ``f = a p`` and taking the incoming gradient v
of f to the left gives ``lambda = H^-1 sum a^2 G J v / rho`` for w and ``s = a J (v - G^T lambda) / rho`` against
d(a G^T) z, ``-p`` against d(a G^T) lambda.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diffmocap.compiler import compiled_within, inlined
from diffmocap.physics.compiled.cholesky import factorise, solve
from diffmocap.physics.compiled.friction_cone import derivative, project
from diffmocap.physics.compiled.vectors import add_cross, add_force, add_velocity, dot, times

#: rho: what it alone leaves unexplained of a person's standing on one foot is about 1 %.
REGULARISATION = 1e-3
_DAMPING = 1.0 / REGULARISATION
#: Lengths that are tried where a whole step goes up.
_LENGTHS = np.array([1.0, 0.5, 0.2, 0.05, 0.01])
#: Of the gradient, in units of the weight; one more step after it squares what is left.
TOLERANCE = 1e-6
#: What values may grow by rounding.
ROUNDING = 1e-14


class Contacts(NamedTuple):
    """Contacts of one frame, and what the solver fills in.

    Attributes:
        arms: [3, P] from the centre of mass over the moments' arm. activity: [P].
        wrench: w [6] that is needed, over the weight, moments also over their arm.
        axes: [3, 3] rows: the ground's normal and two tangents. friction: coefficient.
        multiplier: z [6]. factor: [6, 6] Cholesky factor of H in its lower half. shares: [3, P] forces before the
            activity, p, over the weight; zero where there is no activity.
    """

    arms: np.ndarray
    activity: np.ndarray
    wrench: np.ndarray
    axes: np.ndarray
    friction: float
    multiplier: np.ndarray
    factor: np.ndarray
    shares: np.ndarray


@compiled_within
def gradient_at(contacts, z, out):
    """Gradient [6] of what z minimises, and its value; fills the shares."""
    wrench, force, square, linear = contacts.wrench, np.empty(3), 0.0, 0.0
    for r in range(6):
        out[r] = z[r] - wrench[r]
        linear += z[r] * (wrench[r] - 0.5 * z[r])
    for p in range(len(contacts.activity)):
        share = contacts.shares[:, p]
        share[:] = 0.0
        if contacts.activity[p] == 0.0:
            continue
        _unprojected(contacts, p, z, force)
        square += project(force, contacts.axes, contacts.friction, share)
        share *= _DAMPING
        add_force(share, contacts.arms[:, p], contacts.activity[p], out)
    return square - 2.0 * REGULARISATION * linear


@compiled_within
def factorise_hessian(contacts, z, everywhere):
    """Fills the factor of H at z; ``everywhere``: J = 1, as if all forces were inside their cones."""
    force, jacobian, row, hessian = np.empty(3), np.zeros((3, 3)), np.empty((6, 3)), contacts.factor
    hessian[:] = 0.0
    for r in range(6):
        hessian[r, r] = 1.0
    for p in range(len(contacts.activity)):
        a, arm = contacts.activity[p], contacts.arms[:, p]
        if a == 0.0:
            continue
        if everywhere:
            jacobian[0, 0] = jacobian[1, 1] = jacobian[2, 2] = 1.0
        else:
            _unprojected(contacts, p, z, force)
            derivative(force, contacts.axes, contacts.friction, jacobian)
        row[:] = 0.0
        for i in range(3):
            add_force(jacobian[i], arm, 1.0, row[:, i])
        for r in range(6):
            add_force(row[r], arm, _DAMPING * a * a, hessian[r])
    factorise(hessian)


@compiled_within
def solve_contacts(contacts, iterations):
    """Fills the multiplier, factor and shares: semismooth Newton with a line search, and one more step at the end."""
    z, step, slope, moved = contacts.multiplier, np.empty(6), np.empty(6), np.empty(6)
    factorise_hessian(contacts, z, True)
    z[:] = contacts.wrench
    solve(contacts.factor, z)
    value = gradient_at(contacts, z, slope)
    for k in range(iterations + 1):
        factorise_hessian(contacts, z, False)
        step[:] = slope
        solve(contacts.factor, step)
        if k == iterations or not np.abs(slope).max() >= TOLERANCE:
            break
        least, best = np.inf, 0
        for n in range(len(_LENGTHS)):
            moved[:] = z - _LENGTHS[n] * step
            after = gradient_at(contacts, moved, slope)
            if n == 0 and not after > value + ROUNDING:
                break
            if after < least:
                least, best = after, n
        z -= _LENGTHS[best] * step
        value = gradient_at(contacts, z, slope)
    z -= step
    gradient_at(contacts, z, slope)


@compiled_within
def contacts_vjp(contacts, of_forces, of_wrench, of_arms, of_activity):
    """Replaces ``of_wrench`` [6], the gradient of the multiplier (the wrench that no contact explains), by that of the
    needed wrench. Fills the gradients of arms [3, P] and activity [P], zero where there is no activity, for the
    gradient ``of_forces`` [3, P] of activity times shares."""
    z, force, push, slope, jacobian = contacts.multiplier, np.empty(3), np.empty(3), np.empty(3), np.empty((3, 3))
    of_arms[:], of_activity[:] = 0.0, 0.0
    for p in range(len(of_activity)):
        a = contacts.activity[p]
        if a != 0.0:
            _derivative_times(contacts, p, of_forces[:, p], jacobian, slope)
            add_force(slope, contacts.arms[:, p], a, of_wrench)
    solve(contacts.factor, of_wrench)
    for p in range(len(of_activity)):
        a, arm, share = contacts.activity[p], contacts.arms[:, p], contacts.shares[:, p]
        if a == 0.0:
            continue
        push[:] = of_forces[:, p]
        add_velocity(of_wrench, arm, -1.0, push)
        _derivative_times(contacts, p, push, jacobian, slope)
        force[:] = 0.0
        add_velocity(z, arm, 1.0, force)
        of_activity[p] = dot(slope, force) + dot(share, push)
        add_cross(slope, z[3:], a, of_arms[:, p])
        add_cross(share, of_wrench[3:], -a, of_arms[:, p])


@inlined
def _unprojected(contacts, p, z, out):
    """y = a G^T z [3] of contact p."""
    out[:] = 0.0
    add_velocity(z, contacts.arms[:, p], contacts.activity[p], out)


@inlined
def _derivative_times(contacts, p, vector, jacobian, out):
    """a J v / rho [3] of contact p for a vector v [3]; fills J."""
    _unprojected(contacts, p, contacts.multiplier, out)
    derivative(out, contacts.axes, contacts.friction, jacobian)
    times(jacobian, vector, out)
    out *= _DAMPING * contacts.activity[p]
