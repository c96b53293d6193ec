"""Single poses: the nearest rotations to matrices, and standing points held where they are."""

from __future__ import annotations

import numpy as np

from diffmocap.body.exponential import exponential
from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.physics.compiled.cholesky import factorise, solve
from diffmocap.physics.compiled.vectors import add_cross, product
from diffmocap.refinement.kernels.kinematics import place
from diffmocap.refinement.kernels.units import KNOT_SIZE, KNOT_UNITS, PELVIS_UNIT, ROTATION_UNIT

_PARENTS = np.array(PARENTS)
#: Matrices with a smaller determinant are left to a method without a division by it.
_LEAST_DETERMINANT = 1e-3
_ITERATIONS, _CONVERGED = 30, 1e-24


@compiled
def nearest_rotations(matrices, out):
    """Rotations [M, 3, 3] nearest to matrices [M, 3, 3]; False where one of them is too near to none.

    The orthogonal part of the polar decomposition by Newton's method (Higham, "Computing the polar decomposition",
    1986): X <- (X + X^-T) / 2 from the matrix, quadratically.
    """
    cofactors = np.empty((3, 3))
    for m in range(len(matrices)):
        x = out[m]
        x[:] = matrices[m]
        for _ in range(_ITERATIONS):
            for r in range(3):
                a, b = (r + 1) % 3, (r + 2) % 3
                for c in range(3):
                    d, e = (c + 1) % 3, (c + 2) % 3
                    cofactors[r, c] = x[a, d] * x[b, e] - x[a, e] * x[b, d]
            determinant = x[0, 0] * cofactors[0, 0] + x[0, 1] * cofactors[0, 1] + x[0, 2] * cofactors[0, 2]
            if not determinant > _LEAST_DETERMINANT:
                return False
            change = 0.0
            for r in range(3):
                for c in range(3):
                    step = 0.5 * (cofactors[r, c] / determinant - x[r, c])
                    x[r, c] += step
                    change += step * step
            if change < _CONVERGED:
                break
    return True


@compiled
def hold_standing(rotations, pelvis, firm, still, creep, stiffness_m, across_m, along_m, up, steps, body):
    """Rotations [24, 3, 3] and pelvis [3] of a pose after damped least-squares steps that hold points in place.

    See :mod:`diffmocap.refinement.stream.published_motion`.

    Args:
        rotations, pelvis: [3, 24, 3, 3] local and [3, 3] m: the pose, the previous one, and the solution's.
        firm: [P] of the contact points. still: [P] bool, held in all directions, else along the ground.
        creep: [P] share of the way to the solution's place.
        stiffness_m: that a turn by a radian counts as at least.
        across_m, along_m: distances from the solution's place, across the view and along it, at which a still point is
            held a quarter as firmly.
        up: [3]. steps: number of them. body: its constants.
    """
    count, first_contact, contact_segment = len(firm), NUM_JOINTS + len(body.mass), body.contact_segment
    columns, relative = place(rotations, body.matrix)
    places, weight = np.empty((count, 3)), firm.copy()
    for p in range(count):
        n, far, ray, along = first_contact + p, 0.0, 0.0, 0.0
        for c in range(3):
            before, solved = relative[1, c, n] + pelvis[1, c], relative[2, c, n] + pelvis[2, c]
            places[p, c] = before + creep[p] * (solved - before)
            far += (before - solved) ** 2
            ray += before * before
            along += before * (before - solved)
        if still[p] and ray > 0.0:
            depth = along * along / ray
            off = (far - depth) / across_m**2 + depth / along_m**2
            weight[p] /= (1.0 + off) ** 2
    pose, moved = rotations[0].copy(), pelvis[0].copy()
    turn, right, turned = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    whole, held = np.empty((3 * NUM_JOINTS, KNOT_SIZE)), np.empty((3 * count, KNOT_SIZE))
    away, row, nothing = np.empty(3 * count), np.empty((3, KNOT_SIZE)), np.zeros(3)
    for number in range(steps):
        if number:
            columns, relative = place(pose.reshape(1, NUM_JOINTS, 3, 3), body.matrix)
        whole[:], held[:], away[:] = 0.0, 0.0, 0.0
        for j in range(NUM_JOINTS):
            _jacobian(columns[0], relative[0], j, j, whole[3 * j : 3 * j + 3])
        for p in range(count):
            if weight[p] == 0.0:
                continue
            root, n, level = np.sqrt(weight[p]), first_contact + p, nothing if still[p] else up
            row[:] = 0.0
            _jacobian(columns[0], relative[0], n, contact_segment[p], row)
            _along(row, level, root, held[3 * p : 3 * p + 3])
            for c in range(3):
                away[3 * p + c] = places[p, c] - (relative[0, c, n] + moved[c])
            rise = away[3 * p] * level[0] + away[3 * p + 1] * level[1] + away[3 * p + 2] * level[2]
            for c in range(3):
                away[3 * p + c] = root * (away[3 * p + c] - rise * level[c])
        system = np.dot(whole.T, whole) / NUM_JOINTS + np.dot(held.T, held)
        for i in range(KNOT_SIZE):
            system[i, i] += (stiffness_m * ROTATION_UNIT) ** 2
        step = np.dot(held.T, away)
        factorise(system)
        solve(system, step)
        step *= KNOT_UNITS
        for j in range(NUM_JOINTS):
            exponential(step[3 * j : 3 * j + 3], turn, right)
            product(pose[j], turn, turned)
            pose[j] = turned
        moved += step[3 * NUM_JOINTS :]
    return pose, moved


@compiled
def _jacobian(columns, relative, point, segment, out):
    """Adds what turns of all joints, in their own axes, and moves of the pelvis do to a point that rides on a segment
    of the first pose: [3, 75] m per unit."""
    j, arm = segment, np.empty(3)
    while j >= 0:
        for c in range(3):
            arm[c] = relative[c, point] - relative[c, j]
        for a in range(3):
            add_cross(columns[:, j, a], arm, ROTATION_UNIT, out[:, 3 * j + a])
        j = _PARENTS[j]
    for c in range(3):
        out[c, 3 * NUM_JOINTS + c] += PELVIS_UNIT


@compiled
def _along(row, up, scale, out):
    """The part of rows [3, 75] along the ground, times ``scale``."""
    for i in range(row.shape[1]):
        rise = row[0, i] * up[0] + row[1, i] * up[1] + row[2, i] * up[2]
        for c in range(3):
            out[c, i] = scale * (row[c, i] - rise * up[c])
