"""All that the terms look at, of a window's rotations and pelvis, and the way of their gradients back."""

from __future__ import annotations

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import compiled
from diffmocap.refinement.kernels.contacts import contact_motion, contact_motion_vjp
from diffmocap.refinement.kernels.kinematics import place, place_vjp
from diffmocap.refinement.kernels.records import Motion


@compiled
def motion_of(rotations, pelvis, body, given):
    """:class:`Motion` of local rotations and pelvis."""
    frames, points = len(pelvis), body.matrix.shape[1]
    columns, flat = place(rotations, body.matrix)
    relative = flat.reshape(frames, 3, points)
    absolute = relative + pelvis.reshape(frames, 3, 1)
    first = NUM_JOINTS + len(body.mass)
    centres = absolute[:, :, first : first + len(body.radius)]
    gap, steps = contact_motion(centres, body.radius, given.up, given.height, given.dt_s)
    return Motion(rotations, pelvis, columns, relative, absolute, gap, steps)


@compiled
def motion_vjp(motion, body, given, adjoint, of_turns):
    """From the adjoint of all that follows from a motion to that of its turns, [T, 24, 3], and of its pelvis."""
    first = NUM_JOINTS + len(body.mass)
    of_centres = adjoint.absolute[:, :, first : first + len(body.radius)]
    contact_motion_vjp(adjoint.gap, adjoint.steps, given.up, given.dt_s, of_centres)
    frames, _, points = motion.relative.shape
    for t in range(frames):
        for c in range(3):
            total = 0.0
            for n in range(points):
                total += adjoint.absolute[t, c, n]
                adjoint.relative[t, c, n] += adjoint.absolute[t, c, n]
            adjoint.pelvis[t, c] += total
    rotations, of_rotations = motion.rotations, adjoint.rotations.reshape(frames, NUM_JOINTS, 3, 3)
    # Turning R in its parent's axes is worth the sum of R_c x G_c over its columns, G the gradient of its entries.
    for t in range(frames):
        for j in range(NUM_JOINTS):
            for k in range(3):
                c, d = (k + 1) % 3, (k + 2) % 3
                for i in range(3):
                    of_turns[t, j, k] += rotations[t, j, c, i] * of_rotations[t, j, d, i]
                    of_turns[t, j, k] -= rotations[t, j, d, i] * of_rotations[t, j, c, i]
    place_vjp(adjoint.relative.reshape(3 * frames, points), body.matrix, motion.columns, of_turns)
