"""From the unknowns of a window to its points, and gradients back.

Shapes: T frames, K knots, N points; coordinates stand before points, as in
:mod:`diffmocap.refinement.window.body_points`.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.refinement.kernels.units import PELVIS_UNIT, ROTATION_UNIT

_PARENTS = np.array(PARENTS)


@compiled
def cross(a, b, out):
    """Cross product of two vectors [3]."""
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@compiled
def decode(x, unknowns):
    """Local rotations [T, 24, 3, 3], pelvis [T, 3] m and increments at the frames [T, 75] of knots x [Q, 75]."""
    steps = np.dot(unknowns.spline, x)
    reference = unknowns.rotations
    rotations, pelvis, turn = np.empty_like(reference), np.empty_like(unknowns.pelvis), np.empty((3, 3))
    for t in range(len(steps)):
        for c in range(3):
            pelvis[t, c] = unknowns.pelvis[t, c] + PELVIS_UNIT * steps[t, 3 * NUM_JOINTS + c]
        for j in range(NUM_JOINTS):
            exponential(steps[t, 3 * j : 3 * j + 3], turn)
            for r in range(3):
                for c in range(3):
                    rotations[t, j, r, c] = (
                        reference[t, j, r, 0] * turn[0, c]
                        + reference[t, j, r, 1] * turn[1, c]
                        + reference[t, j, r, 2] * turn[2, c]
                    )
    return rotations, pelvis, steps


@compiled
def exponential(step, out):
    """Rotation [3, 3] by ``step`` [3] in units of the unknowns."""
    x, y, z = ROTATION_UNIT * step[0], ROTATION_UNIT * step[1], ROTATION_UNIT * step[2]
    half = math.sqrt(0.25 * (x * x + y * y + z * z) + 1e-20)
    scale, w = 0.5 * math.sin(half) / half, math.cos(half)
    x, y, z = x * scale, y * scale, z * scale
    out[0, 0], out[0, 1], out[0, 2] = 1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)
    out[1, 0], out[1, 1], out[1, 2] = 2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)
    out[2, 0], out[2, 1], out[2, 2] = 2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)


@compiled
def decode_vjp(of_turns, of_pelvis, unknowns, steps):
    """Gradient [Q, 75] of the knots for that of each local rotation's turn [T, 24, 3], in its parent's axes, and of the
    pelvis [T, 3].

    What an increment dv turns a rotation R = R_ref Exp(v) by is ``R_ref J(v) dv``, J the left Jacobian of the
    exponential: ``J^T b = b - (1 - cos a) / a^2 v x b + (a - sin a) / a^3 v x (v x b)`` for the angle a of v.
    """
    reference = unknowns.rotations
    of_steps = np.empty_like(steps)
    b, once, twice, v = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for t in range(len(steps)):
        for j in range(NUM_JOINTS):
            for c in range(3):
                v[c] = ROTATION_UNIT * steps[t, 3 * j + c]
                b[c] = 0.0
                for r in range(3):
                    b[c] += reference[t, j, r, c] * of_turns[t, j, r]
            cross(v, b, once)
            cross(v, once, twice)
            square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + 4e-20
            angle = math.sqrt(square)
            half = math.sin(0.5 * angle) / angle
            second = (1.0 - math.sin(angle) / angle) / square
            for c in range(3):
                of_steps[t, 3 * j + c] = ROTATION_UNIT * (b[c] - 2.0 * half * half * once[c] + second * twice[c])
        for c in range(3):
            of_steps[t, 3 * NUM_JOINTS + c] = PELVIS_UNIT * of_pelvis[t, c]
    return np.dot(unknowns.spline.T, of_steps)


@compiled
def place(rotations, matrix):
    """Global rotations [T * 3, 72], column c of segment j in 3 j + c, and points relative to the pelvis [T * 3, N], for
    local rotations [T, 24, 3, 3]."""
    columns = np.empty((3 * len(rotations), 3 * NUM_JOINTS))
    for t in range(len(rotations)):
        for j in range(NUM_JOINTS):
            up = 3 * _PARENTS[j]
            for r in range(3):
                for c in range(3):
                    if j == 0:
                        columns[3 * t + r, c] = rotations[t, 0, r, c]
                    else:
                        columns[3 * t + r, 3 * j + c] = (
                            columns[3 * t + r, up] * rotations[t, j, 0, c]
                            + columns[3 * t + r, up + 1] * rotations[t, j, 1, c]
                            + columns[3 * t + r, up + 2] * rotations[t, j, 2, c]
                        )
    return columns, np.dot(columns, matrix)


@compiled
def place_vjp(of_relative, matrix, columns, of_turns):
    """Adds to the gradient ``of_turns`` [T, 24, 3] of the local rotations' turns, in the parents' axes, what comes
    through the points [T * 3, N]. A joint's turn turns all that it carries."""
    slopes = np.dot(of_relative, matrix.T)
    carried = np.empty((NUM_JOINTS, 3))
    for t in range(len(of_turns)):
        x, y, z = 3 * t, 3 * t + 1, 3 * t + 2
        for j in range(NUM_JOINTS):
            for r in range(3):
                carried[j, r] = 0.0
            for i in range(3 * j, 3 * j + 3):
                carried[j, 0] += columns[y, i] * slopes[z, i] - columns[z, i] * slopes[y, i]
                carried[j, 1] += columns[z, i] * slopes[x, i] - columns[x, i] * slopes[z, i]
                carried[j, 2] += columns[x, i] * slopes[y, i] - columns[y, i] * slopes[x, i]
        for j in range(NUM_JOINTS - 1, 0, -1):
            up = _PARENTS[j]
            for r in range(3):
                carried[up, r] += carried[j, r]
                i = 3 * up + r
                of_turns[t, j, r] += (
                    columns[x, i] * carried[j, 0] + columns[y, i] * carried[j, 1] + columns[z, i] * carried[j, 2]
                )
        for r in range(3):
            of_turns[t, 0, r] += carried[0, r]
