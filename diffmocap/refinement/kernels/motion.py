"""All that the terms look at, of a window's rotations and pelvis, and the way of their gradients back."""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import compiled, compiled_within, inlined
from diffmocap.physics.compiled.vectors import add, dot, turn_of
from diffmocap.refinement.kernels.kinematics import place, place_vjp
from diffmocap.refinement.kernels.records import Motion


@compiled
def motion_of(rotations, pelvis, body, given):
    """:class:`Motion` of local rotations and pelvis."""
    columns, points = place(rotations, body.matrix)
    points += pelvis.reshape(len(pelvis), 3, 1)
    gap, steps = contact_motion(at_contacts(points, body), body.radius, given.up, given.height, given.dt_s)
    return Motion(rotations, pelvis, columns, points, gap, steps)


@inlined
def at_contacts(points, body):
    """Those of all points [..., N] that are contact points, as a view [..., P]."""
    first = NUM_JOINTS + len(body.mass)
    return points[..., first : first + len(body.radius)]


@compiled_within
def no_slope(motion):
    """An adjoint of zeros."""
    return Motion(
        np.zeros_like(motion.rotations), np.zeros_like(motion.pelvis), np.zeros_like(motion.columns),
        np.zeros_like(motion.points), np.zeros_like(motion.gap), np.zeros_like(motion.steps),
    )  # fmt: skip


@compiled_within
def motion_vjp(motion, body, given, adjoint, of_turns):
    """From the adjoint of all that follows from a motion to that of its turns, [T, 24, 3], and of its pelvis."""
    contact_motion_vjp(adjoint.gap, adjoint.steps, given.up, given.dt_s, at_contacts(adjoint.points, body))
    for t in range(len(motion.pelvis)):
        for c in range(3):
            adjoint.pelvis[t, c] += adjoint.points[t, c].sum()
        for j in range(NUM_JOINTS):
            turn_of(motion.rotations[t, j], adjoint.rotations[t, j], 1.0, of_turns[t, j])
    place_vjp(adjoint.points, body.matrix, motion.columns, of_turns)


@compiled
def contact_motion(centres, radius, up, height, dt_s):
    """Gaps [T, P] m above the ground and velocities along it between frames [T-1, 3, P] m/s, of centres [T, 3, P] m."""
    frames, count = len(centres), len(radius)
    gap, steps = np.empty((frames, count)), np.zeros((max(frames - 1, 0), 3, count))
    for t in range(frames):
        for p in range(count):
            gap[t, p] = dot(centres[t, :, p], up) - (radius[p] + height)
            if t:
                step = steps[t - 1, :, p]
                add(centres[t, :, p], 1.0 / dt_s, step)
                add(centres[t - 1, :, p], -1.0 / dt_s, step)
                add(up, -dot(step, up), step)
    return gap, steps


@compiled_within
def contact_motion_vjp(of_gap, of_steps, up, dt_s, of_centres):
    """Adds to ``of_centres`` [T, 3, P] for the gradients of gaps and steps; the latter is used up."""
    frames, count = of_gap.shape
    for t in range(frames):
        for p in range(count):
            add(up, of_gap[t, p], of_centres[t, :, p])
            if t:
                of_step = of_steps[t - 1, :, p]
                add(up, -dot(of_step, up), of_step)
                add(of_step, 1.0 / dt_s, of_centres[t, :, p])
                add(of_step, -1.0 / dt_s, of_centres[t - 1, :, p])
