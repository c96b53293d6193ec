"""From the unknowns of a window to its points, and gradients back.

Shapes: T frames, K knots, N points; coordinates stand before points, as in
:mod:`diffmocap.refinement.window.body_points`.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.physics.compiled.vectors import add, add_cross, dot, product, transposed_times, turn_of
from diffmocap.refinement.kernels.units import PELVIS_UNIT, ROTATION_UNIT

_PARENTS = np.array(PARENTS)


@compiled
def decode(x, unknowns):
    """Local rotations [T, 24, 3, 3], pelvis [T, 3] m and increments at the frames [T, 75] of knots x [Q, 75]."""
    steps, reference = np.dot(unknowns.spline, x), unknowns.rotations
    rotations, pelvis, turn = np.empty_like(reference), unknowns.pelvis.copy(), np.empty((3, 3))
    for t in range(len(steps)):
        add(steps[t, 3 * NUM_JOINTS :], PELVIS_UNIT, pelvis[t])
        for j in range(NUM_JOINTS):
            exponential(steps[t, 3 * j : 3 * j + 3], turn)
            product(reference[t, j], turn, rotations[t, j])
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
    of_steps, b, once, twice, v = np.zeros_like(steps), np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for t in range(len(steps)):
        for j in range(NUM_JOINTS):
            of_step = of_steps[t, 3 * j : 3 * j + 3]
            for c in range(3):
                v[c] = ROTATION_UNIT * steps[t, 3 * j + c]
                once[c] = twice[c] = 0.0
            transposed_times(unknowns.rotations[t, j], of_turns[t, j], b)
            add_cross(v, b, 1.0, once)
            add_cross(v, once, 1.0, twice)
            square = dot(v, v) + 4e-20
            angle = math.sqrt(square)
            half = math.sin(0.5 * angle) / angle
            add(b, ROTATION_UNIT, of_step)
            add(once, -2.0 * half * half * ROTATION_UNIT, of_step)
            add(twice, (1.0 - math.sin(angle) / angle) / square * ROTATION_UNIT, of_step)
        add(of_pelvis[t], PELVIS_UNIT, of_steps[t, 3 * NUM_JOINTS :])
    return np.dot(unknowns.spline.T, of_steps)


@compiled
def place(rotations, matrix):
    """Global rotations [T, 3, 24, 3], rows before joints, and points relative to the pelvis [T, 3, N], for local
    rotations [T, 24, 3, 3]."""
    frames = len(rotations)
    columns = np.empty((frames, 3, NUM_JOINTS, 3))
    for t in range(frames):
        columns[t, :, 0] = rotations[t, 0]
        for j in range(1, NUM_JOINTS):
            product(columns[t, :, _PARENTS[j]], rotations[t, j], columns[t, :, j])
    return columns, np.dot(columns.reshape(3 * frames, 3 * NUM_JOINTS), matrix).reshape(frames, 3, matrix.shape[1])


@compiled
def place_vjp(of_relative, matrix, columns, of_turns):
    """Adds to the gradient ``of_turns`` [T, 24, 3] of the local rotations' turns, in the parents' axes, what comes
    through the points [T, 3, N]. A joint's turn turns all that it carries."""
    frames, _, points = of_relative.shape
    slopes = np.dot(of_relative.reshape(3 * frames, points), matrix.T).reshape(columns.shape)
    carried, turn = np.empty((NUM_JOINTS, 3)), np.empty(3)
    for t in range(frames):
        carried[:] = 0.0
        for j in range(NUM_JOINTS - 1, -1, -1):
            turn_of(columns[t, :, j], slopes[t, :, j], 1.0, carried[j])
            if j == 0:
                add(carried[0], 1.0, of_turns[t, 0])
            else:
                add(carried[j], 1.0, carried[_PARENTS[j]])
                transposed_times(columns[t, :, _PARENTS[j]], carried[j], turn)
                add(turn, 1.0, of_turns[t, j])
