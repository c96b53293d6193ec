"""From the unknowns of a window to its points, and gradients back.

Shapes: T frames, K knots, N points; coordinates stand before points, as in
:mod:`diffmocap.refinement.window.body_points`.
"""

from __future__ import annotations

import numpy as np

from diffmocap.body.exponential import exponential
from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.physics.compiled.vectors import add, product, times, transposed_times, turn_of
from diffmocap.refinement.kernels.units import KNOT_SIZE, KNOT_UNITS

_PARENTS = np.array(PARENTS)


@compiled
def decode(x, unknowns):
    """Local rotations [T, 24, 3, 3] and pelvis [T, 3] m of knots x [Q, 75], and right Jacobians [T, 24, 3, 3] of the
    rotations' increments, which :func:`decode_vjp` takes."""
    steps, reference = np.dot(unknowns.spline, x) * KNOT_UNITS, unknowns.rotations
    rotations, jacobians, turn = np.empty_like(reference), np.empty_like(reference), np.empty((3, 3))
    for t in range(len(steps)):
        for j in range(NUM_JOINTS):
            exponential(steps[t, 3 * j : 3 * j + 3], turn, jacobians[t, j])
            product(reference[t, j], turn, rotations[t, j])
    return rotations, unknowns.pelvis + steps[:, 3 * NUM_JOINTS :], jacobians


@compiled
def decode_vjp(of_turns, of_pelvis, unknowns, jacobians):
    """Gradient [Q, 75] of the knots for that of each local rotation's turn [T, 24, 3], in its parent's axes, and of the
    pelvis [T, 3].

    What an increment dv turns a rotation R = R_ref Exp(v) by is ``R_ref J^T dv``: the left Jacobian of the exponential
    is the transpose of its right one, J.
    """
    of_steps, own = np.empty((len(of_pelvis), KNOT_SIZE)), np.empty(3)
    of_steps[:, 3 * NUM_JOINTS :] = of_pelvis
    for t in range(len(of_steps)):
        for j in range(NUM_JOINTS):
            transposed_times(unknowns.rotations[t, j], of_turns[t, j], own)
            times(jacobians[t, j], own, of_steps[t, 3 * j : 3 * j + 3])
    return np.dot(unknowns.spline.T, of_steps) * KNOT_UNITS


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
