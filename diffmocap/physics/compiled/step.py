"""Parts of a step of the simulation, as :mod:`diffmocap.physics.articulated` has them, and their vector-Jacobian
products (vjp): places and velocities along the tree, the matrix, what moving takes, turns."""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.physics.compiled.tree_matrix import clear
from diffmocap.physics.compiled.vectors import (
    add,
    add_cross,
    dot,
    product,
    times,
    times_transposed,
)
from diffmocap.physics.motion import MAX_RATE

_PARENTS = np.array(PARENTS)


@compiled
def placed(rotations, pelvis, body, edges, joints, levers, centres, moments, inertias):
    """Fills edges [24, 3] from each joint's parent, joints [24, 3], contact points' levers and centres [P, 3], moments
    [24, 3] and inertias [24, 3, 3] of a pose: constants of the body, turned with their segments."""
    offsets, segment, offset, _, moment, inertia, _ = body
    turned = np.empty((3, 3))
    for j in range(NUM_JOINTS):
        if j == 0:
            edges[0] = 0.0
            joints[0] = pelvis
        else:
            times(rotations[_PARENTS[j]], offsets[j], edges[j])
            joints[j] = joints[_PARENTS[j]] + edges[j]
        times(rotations[j], moment[j], moments[j])
        product(rotations[j], inertia[j], turned)
        times_transposed(turned, rotations[j], inertias[j])
    for k in range(len(segment)):
        times(rotations[segment[k]], offset[k], levers[k])
        centres[k] = joints[segment[k]] + levers[k]


@compiled
def velocities(u, edges, levers, segment, of_joints, of_points):
    """Velocities of joints [24, 3] and contact points [P, 3] under u [25, 3]."""
    of_joints[0] = u[0]
    for j in range(1, NUM_JOINTS):
        of_joints[j] = of_joints[_PARENTS[j]]
        add_cross(u[1 + _PARENTS[j]], edges[j], 1.0, of_joints[j])
    for k in range(len(segment)):
        of_points[k] = of_joints[segment[k]]
        add_cross(u[1 + segment[k]], levers[k], 1.0, of_points[k])


@compiled
def velocities_vjp(u, edges, levers, segment, of_joints, of_points, of_edges, of_levers, of_u):
    """Adds to the gradients of edges, levers and u for those of :func:`velocities`; ``of_joints`` is used up."""
    for k in range(len(segment)):
        s = segment[k]
        add(of_points[k], 1.0, of_joints[s])
        add_cross(of_points[k], u[1 + s], 1.0, of_levers[k])
        add_cross(levers[k], of_points[k], 1.0, of_u[1 + s])
    for j in range(NUM_JOINTS - 1, 0, -1):
        up = _PARENTS[j]
        add(of_joints[j], 1.0, of_joints[up])
        add_cross(of_joints[j], u[1 + up], 1.0, of_edges[j])
        add_cross(edges[j], of_joints[j], 1.0, of_u[1 + up])
    add(of_joints[0], 1.0, of_u[0])


@compiled
def add_block(h, row, column, lower, upper, scale):
    """Adds ``scale`` [upper]x^T-like products: the block -[lower]x [upper]x of two angular velocities."""
    inner = dot(lower, upper)
    for r in range(3):
        for c in range(3):
            h[row + r, column + c] += scale * ((inner if r == c else 0.0) - upper[r] * lower[c])


@compiled
def system(body, edges, moments, inertias, levers, resistance, drag, push, up, dt, h):
    """Fills H [75, 75], below its diagonal: mass matrix, drives (``resistance`` [24]) and contacts (``push``, ``drag``
    [P], resistances along ``up`` and along the ground)."""
    _, segment, _, _, _, _, total = body
    clear(h)
    for r in range(3):
        h[r, r] = total
    for j in range(NUM_JOINTS):
        row = 3 * (j + 1)
        for r in range(3):
            for c in range(r + 1):
                h[row + r, row + c] += inertias[j, r, c]
        s = moments[j]
        h[row, 1] -= s[2]
        h[row, 2] += s[1]
        h[row + 1, 0] += s[2]
        h[row + 1, 2] -= s[0]
        h[row + 2, 0] -= s[1]
        h[row + 2, 1] += s[0]
        child, above = j, _PARENTS[j]
        while above >= 0:  # -[s]x [d]x
            add_block(h, row, 3 * (above + 1), s, edges[child], 1.0)
            child, above = above, _PARENTS[above]
        if j:
            over = 3 * (_PARENTS[j] + 1)
            for r in range(3):
                h[row + r, row + r] += dt * resistance[j]
                h[over + r, over + r] += dt * resistance[j]
                h[row + r, over + r] -= dt * resistance[j]
    arms, starts = np.empty((NUM_JOINTS + 1, 3)), np.empty(NUM_JOINTS + 1, np.int64)
    for k in range(len(segment)):
        if push[k] == 0.0 and drag[k] == 0.0:
            continue
        count, j = 0, segment[k]
        arms[0], starts[0] = levers[k], 3 * (j + 1)
        while j >= 0:
            count += 1
            if _PARENTS[j] >= 0:
                arms[count], starts[count] = edges[j], 3 * (_PARENTS[j] + 1)
            j = _PARENTS[j]
        _add_contact(h, arms, starts, count, up, dt * drag[k], dt * (push[k] - drag[k]))


@compiled
def _add_contact(h, arms, starts, count, up, drag, rest):
    """Adds J^T (drag + rest up up^T) J of a point with arms [count, 3] to the joints on its way to the pelvis."""
    lifts = np.zeros((count, 3))
    for a in range(count):
        add_cross(arms[a], up, 1.0, lifts[a])
    for a in range(count):
        row = starts[a]
        for b in range(a, count):
            inner = dot(arms[a], arms[b])
            for r in range(3):
                for c in range(r + 1 if a == b else 3):
                    value = (inner if r == c else 0.0) - arms[b, r] * arms[a, c]
                    h[row + r, starts[b] + c] += drag * value + rest * lifts[a, r] * lifts[b, c]
        arm = arms[a]  # [arm]x against the pelvis's velocity
        h[row, 1] -= drag * arm[2]
        h[row, 2] += drag * arm[1]
        h[row + 1, 0] += drag * arm[2]
        h[row + 1, 2] -= drag * arm[0]
        h[row + 2, 0] -= drag * arm[1]
        h[row + 2, 1] += drag * arm[0]
        for r in range(3):
            for c in range(3):
                h[row + r, c] += rest * lifts[a, r] * up[c]
    for r in range(3):
        h[r, r] += drag
        for c in range(r + 1):
            h[r, c] += rest * up[r] * up[c]


@compiled
def loads(u, edges, moments, inertias, gravity, joint_force, own):
    """What keeping the velocities u takes, beside the pelvis's weight: fills forces at the joints [24, 3] and moments
    [24, 3]. Returns the accelerations [24, 3] of the joints, less gravity."""
    reached, spin, heavy = np.empty((NUM_JOINTS, 3)), np.empty(3), np.empty(3)
    for j in range(NUM_JOINTS):
        w = u[1 + j]
        if j == 0:
            reached[0] = -gravity
        else:
            up = u[1 + _PARENTS[j]]
            reached[j] = reached[_PARENTS[j]]
            spin[:] = 0.0
            add_cross(up, edges[j], 1.0, spin)
            add_cross(up, spin, 1.0, reached[j])
        spin[:] = 0.0
        add_cross(w, moments[j], 1.0, spin)
        joint_force[j] = 0.0
        add_cross(w, spin, 1.0, joint_force[j])
        times(inertias[j], w, heavy)
        own[j] = 0.0
        add_cross(moments[j], reached[j], 1.0, own[j])
        add_cross(w, heavy, 1.0, own[j])
    return reached


@compiled
def bounded(w, out):
    """Velocities [25, 3] with angular ones below :data:`diffmocap.physics.motion.MAX_RATE`."""
    out[0] = w[0]
    for j in range(1, NUM_JOINTS + 1):
        share = (dot(w[j], w[j]) / MAX_RATE**2) ** 4
        scale = (1.0 + share) ** -0.125
        for c in range(3):
            out[j, c] = w[j, c] * scale


@compiled
def bounded_vjp(w, above, out):
    """The gradient ``out`` [25, 3] of velocities before they are bounded."""
    out[0] = above[0]
    for j in range(1, NUM_JOINTS + 1):
        square = dot(w[j], w[j])
        share = (square / MAX_RATE**2) ** 4
        scale = (1.0 + share) ** -0.125
        inner = 0.0
        if square > 0.0:
            inner = -dot(w[j], above[j]) * scale * share / ((1.0 + share) * square)
        for c in range(3):
            out[j, c] = scale * above[j, c] + inner * w[j, c]


@compiled
def turned(rotation, omega, dt, out):
    """The rotation [3, 3] after ``dt`` seconds of omega [3], by Cayley's map."""
    a = np.empty(3)
    for c in range(3):
        a[c] = 0.5 * dt * omega[c]
    stretch = 1.0 + dot(a, a) / 3.0
    for c in range(3):
        a[c] *= stretch
    scale, column, once, twice = 2.0 / (1.0 + dot(a, a)), np.empty(3), np.empty(3), np.empty(3)
    for k in range(3):
        for r in range(3):
            column[r] = rotation[r, k]
        once[:], twice[:] = 0.0, 0.0
        add_cross(a, column, 1.0, once)
        add_cross(a, once, 1.0, twice)
        for r in range(3):
            out[r, k] = column[r] + scale * (once[r] + twice[r])


@compiled
def turned_vjp(omega, dt, of_turn, of_omega):
    """Adds to the gradient of omega [3], and replaces that of the turn after the step by that before the step."""
    a, h, once, twice = np.empty(3), np.empty(3), np.zeros(3), np.zeros(3)
    for c in range(3):
        a[c] = 0.5 * dt * omega[c]
    square = dot(a, a)
    for c in range(3):
        h[c] = a[c] * (1.0 + square / 3.0)
    scale = 2.0 / (1.0 + dot(h, h))
    # A change of h turns by scale (1 + [h]x) dh, so the gradient of h is scale (1 - [h]x) of_turn.
    add_cross(h, of_turn, 1.0, once)
    of_h = np.empty(3)
    for c in range(3):
        of_h[c] = scale * (of_turn[c] - once[c])
    inner = dot(a, of_h)
    for c in range(3):
        of_omega[c] += 0.5 * dt * ((1.0 + square / 3.0) * of_h[c] + 2.0 / 3.0 * inner * a[c])
    # Backwards: the transposed turn is that by -h.
    add_cross(h, once, 1.0, twice)
    for c in range(3):
        of_turn[c] += scale * (twice[c] - once[c])
