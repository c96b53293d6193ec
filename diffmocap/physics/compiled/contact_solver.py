"""Contact forces of frames and their gradient: the problem of :mod:`diffmocap.physics.contact_forces`, solved.

With M [6, 3, P] the columns a_p G_p, z the multiplier, y = M^T z, p = P(y) / rho the projection onto the cones, J its
derivative and H = 1 + M J M^T / rho: differentiating ``z + M p = w`` and ``f = a p`` and taking the incoming gradient v
of f to the left gives ``lambda = H^-1 M J a v`` for w and ``s = J (a v - M^T lambda)`` against dM^T z, ``-p`` against
dM^T lambda.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from diffmocap.compiler import compiled
from diffmocap.physics.compiled.friction_cone import derivative, projected

#: rho: what it alone leaves unexplained of a person's standing on one foot is about 1 %.
REGULARISATION = 1e-3
_DAMPING = 1.0 / REGULARISATION
#: Lengths that are tried where a whole step goes up.
_LENGTHS = np.array([1.0, 0.5, 0.2, 0.05, 0.01])
#: Of the gradient, in units of the weight; one more step after it squares what is left.
TOLERANCE = 1e-6
#: What values may grow by rounding.
ROUNDING = 1e-14


class ContactProblem(NamedTuple):
    """Contacts of one frame: ``arms`` [3, P] from the centre of mass over the moments' arm, ``activity`` [P], ``axes``
    [3, 3] whose rows are the ground's normal and two tangents, ``friction``; ``matrix`` [6, 3, P] is filled."""

    arms: np.ndarray
    activity: np.ndarray
    axes: np.ndarray
    friction: float
    matrix: np.ndarray


class ContactSolution(NamedTuple):
    """The ``multiplier`` z [6], ``unprojected`` y [3, P], forces before the activity ``shares`` [3, P], and the
    ``hessian`` [6, 6] of the last step."""

    multiplier: np.ndarray
    unprojected: np.ndarray
    shares: np.ndarray
    hessian: np.ndarray


@compiled
def fill_columns(problem):
    """M [6, 3, P] of a problem."""
    arms, activity, axes, matrix = problem.arms, problem.activity, problem.axes, problem.matrix
    for p in range(len(activity)):
        a = activity[p]
        for i in range(3):
            for c in range(3):
                d, e = (c + 1) % 3, (c + 2) % 3
                matrix[c, i, p] = a * axes[i, c]
                matrix[3 + c, i, p] = a * (arms[d, p] * axes[i, e] - arms[e, p] * axes[i, d])


@compiled
def solve_positive(matrix, right, out):
    """x [6] with A x = y for symmetric positive definite A [6, 6], of which the lower half counts."""
    low = np.empty((6, 6))
    for i in range(6):
        for j in range(i + 1):
            rest = matrix[i, j]
            for k in range(j):
                rest -= low[i, k] * low[j, k]
            low[i, j] = math.sqrt(rest) if i == j else rest / low[j, j]
    for i in range(6):
        rest = right[i]
        for k in range(i):
            rest -= low[i, k] * out[k]
        out[i] = rest / low[i, i]
    for i in range(5, -1, -1):
        rest = out[i]
        for k in range(i + 1, 6):
            rest -= low[k, i] * out[k]
        out[i] = rest / low[i, i]


@compiled
def unprojected(matrix, z, y):
    """y = M^T z [3, P]."""
    for i in range(3):
        for p in range(matrix.shape[2]):
            total = 0.0
            for r in range(6):
                total += matrix[r, i, p] * z[r]
            y[i, p] = total


@compiled
def gradient_at(matrix, wrench, z, y, friction, out):
    """Gradient [6] of what z minimises, and its value."""
    for r in range(6):
        out[r] = z[r] - wrench[r]
    square = 0.0
    for p in range(matrix.shape[2]):
        along, scale, _ = projected(y[0, p], y[1, p], y[2, p], friction)
        if along > 0.0:
            one, two = scale * y[1, p], scale * y[2, p]
            square += along * along + one * one + two * two
            for r in range(6):
                out[r] += _DAMPING * (matrix[r, 0, p] * along + matrix[r, 1, p] * one + matrix[r, 2, p] * two)
    return square - 2.0 * REGULARISATION * linear(wrench, z)


@compiled
def linear(wrench, z):
    """z (w - z / 2)."""
    total = 0.0
    for r in range(6):
        total += z[r] * (wrench[r] - 0.5 * z[r])
    return total


@compiled
def hessian_at(matrix, y, friction, everywhere, out):
    """1 + M J M^T / rho [6, 6]; ``everywhere``: J = 1, as if all forces were inside their cones."""
    jacobian, row = np.empty((3, 3)), np.empty((6, 3))
    for r in range(6):
        for s in range(6):
            out[r, s] = 1.0 if r == s else 0.0
    for p in range(matrix.shape[2]):
        if everywhere:
            for r in range(6):
                for i in range(3):
                    row[r, i] = matrix[r, i, p]
        else:
            derivative(y[0, p], y[1, p], y[2, p], friction, jacobian)
            if jacobian[0, 0] == 0.0:
                continue
            for r in range(6):
                for i in range(3):
                    row[r, i] = (
                        matrix[r, 0, p] * jacobian[0, i]
                        + matrix[r, 1, p] * jacobian[1, i]
                        + matrix[r, 2, p] * jacobian[2, i]
                    )
        for r in range(6):
            for s in range(r + 1):
                out[r, s] += _DAMPING * (
                    row[r, 0] * matrix[s, 0, p] + row[r, 1] * matrix[s, 1, p] + row[r, 2] * matrix[s, 2, p]
                )


@compiled
def solve_contacts(problem, wrench, iterations, solution):
    """Fills a problem's matrix and the solution's multiplier and Hessian for a wrench [6] over the weight: semismooth
    Newton with a line search, and one more step at the end."""
    fill_columns(problem)
    matrix, friction, z, hessian = problem.matrix, problem.friction, solution.multiplier, solution.hessian
    count = matrix.shape[2]
    y, turn, tried = np.empty((3, count)), np.empty((3, count)), np.empty((3, count))
    step, slope, moved = np.empty(6), np.empty(6), np.empty(6)
    hessian_at(matrix, y, friction, True, hessian)
    solve_positive(hessian, wrench, z)
    unprojected(matrix, z, y)
    value = gradient_at(matrix, wrench, z, y, friction, slope)
    for k in range(iterations + 1):
        hessian_at(matrix, y, friction, False, hessian)
        solve_positive(hessian, slope, step)
        if k == iterations or not np.abs(slope).max() >= TOLERANCE:
            break
        unprojected(matrix, step, turn)
        least, best = np.inf, 0
        for n in range(len(_LENGTHS)):
            for r in range(6):
                moved[r] = z[r] - _LENGTHS[n] * step[r]
            for i in range(3):
                for p in range(count):
                    tried[i, p] = y[i, p] - _LENGTHS[n] * turn[i, p]
            after = gradient_at(matrix, wrench, moved, tried, friction, slope)
            if after < least:
                least, best = after, n
            if n == 0 and not after > value + ROUNDING:
                least, best = after, 0
                break
        for r in range(6):
            z[r] -= _LENGTHS[best] * step[r]
        for i in range(3):
            for p in range(count):
                y[i, p] -= _LENGTHS[best] * turn[i, p]
        value = gradient_at(matrix, wrench, z, y, friction, slope)
    for r in range(6):
        z[r] -= step[r]


@compiled
def forces_of(problem, wrench, solution, forces, left):
    """Fills forces over the weight [3, P], always inside their cones, what they ``left`` [6] of the wrench, and the
    rest of the solution."""
    matrix, axes, y, shares = problem.matrix, problem.axes, solution.unprojected, solution.shares
    unprojected(matrix, solution.multiplier, y)
    for r in range(6):
        left[r] = wrench[r]
    for p in range(len(problem.activity)):
        along, scale, _ = projected(y[0, p], y[1, p], y[2, p], problem.friction)
        one, two = scale * y[1, p], scale * y[2, p]
        for c in range(3):
            shares[c, p] = _DAMPING * (axes[0, c] * along + axes[1, c] * one + axes[2, c] * two)
            forces[c, p] = problem.activity[p] * shares[c, p]
        for r in range(6):
            left[r] -= _DAMPING * (matrix[r, 0, p] * along + matrix[r, 1, p] * one + matrix[r, 2, p] * two)


@compiled
def forces_vjp(problem, solution, of_forces, of_left, of_wrench, of_arms, of_activity):
    """Gradients of wrench [6], arms [3, P] and activity [P] for those of forces [3, P] and of what is left [6]."""
    matrix, arms, activity, axes = problem.matrix, problem.arms, problem.activity, problem.axes
    z, y, shares = solution.multiplier, solution.unprojected, solution.shares
    count = len(activity)
    jacobian, scaled = np.empty((count, 3, 3)), np.empty((3, count))
    through = of_left.copy()
    for p in range(count):
        derivative(y[0, p], y[1, p], y[2, p], problem.friction, jacobian[p])
        for i in range(3):
            scaled[i, p] = 0.0
            for c in range(3):
                scaled[i, p] += activity[p] * axes[i, c] * of_forces[c, p]
        for i in range(3):
            product = 0.0
            for k in range(3):
                product += jacobian[p, k, i] * scaled[k, p]
            for r in range(6):
                through[r] += _DAMPING * matrix[r, i, p] * product
    solve_positive(solution.hessian, through, of_wrench)
    rest, slope = np.empty(3), np.empty(3)
    for p in range(count):
        for i in range(3):
            rest[i] = scaled[i, p]
            for r in range(6):
                rest[i] -= matrix[r, i, p] * of_wrench[r]
        for c in range(3):
            slope[c] = 0.0
            for i in range(3):
                turned = jacobian[p, i, 0] * rest[0] + jacobian[p, i, 1] * rest[1] + jacobian[p, i, 2] * rest[2]
                slope[c] += _DAMPING * axes[i, c] * turned
        of_activity[p] = 0.0
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            in_arm = slope[d] * z[3 + e] - slope[e] * z[3 + d]
            in_arm -= shares[d, p] * of_wrench[3 + e] - shares[e, p] * of_wrench[3 + d]
            of_arms[c, p] = activity[p] * in_arm
            turned = z[3 + d] * arms[e, p] - z[3 + e] * arms[d, p]
            pushed = of_wrench[3 + d] * arms[e, p] - of_wrench[3 + e] * arms[d, p]
            of_activity[p] += slope[c] * (z[c] + turned) + shares[c, p] * (of_forces[c, p] - of_wrench[c] - pushed)
