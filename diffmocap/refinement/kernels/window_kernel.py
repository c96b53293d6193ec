"""All terms of the loss of one window, and their gradient, in one pass over its frames."""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import compiled
from diffmocap.refinement.kernels.contacts import contact_motion, pull_contact_motion
from diffmocap.refinement.kernels.dynamics import frame_forces, pull_frame_forces
from diffmocap.refinement.kernels.kinematics import place, pull_place
from diffmocap.refinement.kernels.observations import hypotheses, joint_limits, reprojection

#: Terms, in the order of :data:`diffmocap.refinement.window.weights.UNITS`.
REPROJECTION, HYPOTHESES, ROOT_FORCE, ROOT_MOMENT, SLIP, GAP, PENETRATION, TORQUE, TORQUE_RATE, LIMITS, JERK = range(11)


@compiled
def evaluate(rotations, pelvis, body, window, weights, robust, iterations, with_gradient, squares, of_turns, of_pelvis,
             gap, steps, torques, forces):  # fmt: skip
    """Terms ``squares`` [11] of a motion, and the gradient of their weighted sum.

    Args:
        rotations: [T, 24, 3, 3] local. pelvis: [T, 3] m.
        body, window: constants as :class:`diffmocap.refinement.kernels.window.CompiledLoss` makes them.
        weights: [11]. robust: [3] m, N/kg, N m/kg. iterations: of the contact forces; 0: no forces.
        with_gradient: whether the gradient is wanted; else the two are left as they are.
        of_turns: [T, 24, 3] of each local rotation's turn, in its parent's axes. of_pelvis: [T, 3].
        gap, steps: [T, P] m and [T-1, 3, P] m/s. torques, forces: [T-2, 3, 23] N m and [T-2, 3, P] N; all filled.
    """
    matrix, mass, mass_segment, contact_segment, radius, strength, entries, signs, middle, half = body
    (dt_s, up, height, axes, gravity, camera, observed, confidence, metres_a_pixel, target, constant, places, precision,
     log_weights, lifted, held, held_steps, may_push, activity_rates) = window  # fmt: skip
    frames, masses, count = len(pelvis), len(mass), len(radius)
    points = matrix.shape[1]
    first_contact = NUM_JOINTS + masses
    first_keypoint = first_contact + count
    columns, relative = np.empty((3 * frames, 3 * NUM_JOINTS)), np.empty((3 * frames, points))
    place(rotations, matrix, columns, relative)
    relative = relative.reshape(frames, 3, points)
    absolute = relative + pelvis.reshape(frames, 3, 1)
    of_absolute, of_relative = np.zeros((frames, 3, points)), np.zeros((frames, 3, points))
    flat, of_flat = rotations.reshape(frames, 9 * NUM_JOINTS), np.zeros((frames, 9 * NUM_JOINTS))
    of_turns[:], of_pelvis[:], squares[:] = 0.0, 0.0, 0.0

    if weights[REPROJECTION] > 0.0:
        squares[REPROJECTION] = reprojection(
            absolute[:, :, first_keypoint:], camera, observed, confidence, metres_a_pixel, robust[0],
            weights[REPROJECTION], of_absolute[:, :, first_keypoint:],
        )  # fmt: skip
    if weights[HYPOTHESES] > 0.0:
        squares[HYPOTHESES] = hypotheses(
            flat, pelvis, target, constant, places, precision, log_weights, lifted, weights[HYPOTHESES], of_flat,
            of_pelvis,
        )  # fmt: skip
    if weights[LIMITS] > 0.0:
        squares[LIMITS] = joint_limits(flat, entries, signs, middle, half, weights[LIMITS], of_flat)
    if frames > 3 and weights[JERK] > 0.0:
        squares[JERK] = jerk(absolute, dt_s, weights[JERK], of_absolute)

    centres = absolute[:, :, first_contact:first_keypoint]
    contact_motion(centres, radius, up, height, dt_s, gap, steps)
    of_gap, of_steps = np.zeros((frames, count)), np.zeros((max(frames - 1, 0), 3, count))
    for t in range(frames):
        for p in range(count):
            below = min(gap[t, p], 0.0)
            squares[GAP] += held[t, p] * gap[t, p] * gap[t, p]
            squares[PENETRATION] += below * below / frames
            of_gap[t, p] = 2.0 * (weights[GAP] * held[t, p] * gap[t, p] + weights[PENETRATION] / frames * below)
            if t and held_steps[t - 1, p] > 0.0:
                for c in range(3):
                    step = steps[t - 1, c, p]
                    squares[SLIP] += held_steps[t - 1, p] * step * step
                    of_steps[t - 1, c, p] = 2.0 * weights[SLIP] * held_steps[t - 1, p] * step
    if iterations and frames > 2:
        _forces(
            relative, absolute, gap, steps, body, window, weights, robust, iterations, with_gradient, squares, of_gap,
            of_steps, of_absolute, of_relative, torques, forces,
        )  # fmt: skip
    if not with_gradient:
        return
    pull_contact_motion(of_gap, of_steps, up, dt_s, of_absolute[:, :, first_contact:first_keypoint])

    for t in range(frames):
        for c in range(3):
            total = 0.0
            for n in range(points):
                total += of_absolute[t, c, n]
                of_relative[t, c, n] += of_absolute[t, c, n]
            of_pelvis[t, c] += total
    _turns_of(rotations, of_flat.reshape(frames, NUM_JOINTS, 3, 3), of_turns)
    pull_place(of_relative.reshape(3 * frames, points), matrix, columns, of_turns)


@compiled
def jerk(absolute, dt_s, weight, of_absolute):
    """(m/s^3)^2 of the joints, the first points; adds to the gradient of the points [T, 3, N]."""
    frames, total = len(absolute), 0.0
    scale = 1.0 / ((frames - 3) * NUM_JOINTS * dt_s**6)
    for t in range(frames - 3):
        for c in range(3):
            for j in range(NUM_JOINTS):
                change = absolute[t + 3, c, j] - absolute[t, c, j]
                change += 3.0 * (absolute[t + 1, c, j] - absolute[t + 2, c, j])
                total += change * change
                slope = 2.0 * weight * scale * change
                of_absolute[t, c, j] -= slope
                of_absolute[t + 1, c, j] += 3.0 * slope
                of_absolute[t + 2, c, j] -= 3.0 * slope
                of_absolute[t + 3, c, j] += slope
    return total * scale


@compiled
def _turns_of(rotations, of_rotations, of_turns):
    """The gradient of turns [T, 24, 3] of rotations for that of their entries: over columns, sum of R_c x G_c."""
    for t in range(len(rotations)):
        for j in range(NUM_JOINTS):
            for k in range(3):
                c, d = (k + 1) % 3, (k + 2) % 3
                total = 0.0
                for i in range(3):
                    total += rotations[t, j, c, i] * of_rotations[t, j, d, i]
                    total -= rotations[t, j, d, i] * of_rotations[t, j, c, i]
                of_turns[t, j, k] += total


@compiled
def _forces(
    relative, absolute, gap, steps, body, window, weights, robust, iterations, with_gradient, squares, of_gap, of_steps,
    of_absolute, of_relative, torques, forces,
):  # fmt: skip
    """The terms of forces and torques, and what their gradient adds to those of gaps, steps and points."""
    _, mass, mass_segment, contact_segment, radius, strength, _, _, _, _ = body
    dt_s, up, axes, gravity, may_push, activity_rates = (
        window[0], window[1], window[3], window[4], window[17], window[18],
    )  # fmt: skip
    inner, masses, count = len(gap) - 2, len(mass), len(radius)
    a, b, c_end = NUM_JOINTS, NUM_JOINTS + masses, NUM_JOINTS + masses + count
    total, weight = mass.sum(), mass.sum() * math.sqrt(gravity[0] ** 2 + gravity[1] ** 2 + gravity[2] ** 2)
    mass_force, centre, whole = np.empty((inner, 3, masses)), np.empty((inner, 3)), np.empty((inner, 6))
    load, arms, matrix = np.empty((inner, 6, NUM_JOINTS)), np.empty((inner, 3, count)), np.empty((inner, 6, 3, count))
    z, y, shares = np.empty((inner, 6)), np.empty((inner, 3, count)), np.empty((inner, 3, count))
    hessian, left = np.empty((inner, 6, 6)), np.empty((inner, 6))
    free, activity, touch = np.empty((inner, count)), np.empty((inner, count)), np.empty((inner, 3, count))
    share, acceleration = np.empty((inner, 3, NUM_JOINTS - 1)), np.empty((3, masses))
    for t in range(inner):
        for p in range(count):
            square = 1e-12
            for c in range(3):
                touch[t, c, p] = relative[t + 1, c, b + p] - radius[p] * up[c]
                square += (0.5 * (steps[t, c, p] + steps[t + 1, c, p])) ** 2
            high = max(gap[t + 1, p], 0.0)
            free[t, p] = math.exp(-(activity_rates[0] * high * high + activity_rates[1] * square))
            activity[t, p] = free[t, p] * may_push[t, p]
        for c in range(3):
            for m in range(masses):
                acceleration[c, m] = (
                    absolute[t + 2, c, a + m] - 2.0 * absolute[t + 1, c, a + m] + absolute[t, c, a + m]
                ) / (dt_s * dt_s)
        frame_forces(
            relative[t + 1, :, :a], relative[t + 1, :, a:b], touch[t], acceleration, activity[t], mass, mass_segment,
            contact_segment, axes, gravity, weight, iterations, mass_force[t], centre[t], whole[t], load[t], arms[t],
            matrix[t], z[t], y[t], shares[t], hessian[t], forces[t], left[t], torques[t],
        )  # fmt: skip
        for c in range(3):
            for j in range(NUM_JOINTS - 1):
                share[t, c, j] = torques[t, c, j] / strength[j]

    per_force, per_moment = weight / total, 0.5 * weight / total
    of_left = np.empty((inner, 6))
    for t in range(inner):
        for i in range(2):
            scale, size = per_force if i == 0 else per_moment, robust[1 + i]
            square = 0.0
            for c in range(3):
                square += (left[t, 3 * i + c] * scale / size) ** 2
            root = math.sqrt(square + 1.0)
            squares[ROOT_FORCE + i] += 2.0 * size * size * (root - 1.0) / inner
            for c in range(3):
                of_left[t, 3 * i + c] = (
                    weights[ROOT_FORCE + i] * 2.0 / inner / root * left[t, 3 * i + c] * scale * scale
                )
    of_share = np.zeros_like(share)
    even, rated = 1.0 / (inner * (NUM_JOINTS - 1)), 1.0 / (max(inner - 1, 1) * (NUM_JOINTS - 1) * dt_s * dt_s)
    for t in range(inner):
        for c in range(3):
            for j in range(NUM_JOINTS - 1):
                squares[TORQUE] += even * share[t, c, j] ** 2
                of_share[t, c, j] += 2.0 * weights[TORQUE] * even * share[t, c, j]
                if t:
                    change = share[t, c, j] - share[t - 1, c, j]
                    squares[TORQUE_RATE] += rated * change * change
                    slope = 2.0 * weights[TORQUE_RATE] * rated * change
                    of_share[t, c, j] += slope
                    of_share[t - 1, c, j] -= slope

    if not with_gradient:
        return
    of_torques, of_acceleration, of_activity = np.empty((3, NUM_JOINTS - 1)), np.empty((3, masses)), np.empty(count)
    for t in range(inner):
        for c in range(3):
            for j in range(NUM_JOINTS - 1):
                of_torques[c, j] = of_share[t, c, j] / strength[j]
        pull_frame_forces(
            relative[t + 1, :, :a], relative[t + 1, :, a:b], touch[t], activity[t], mass, mass_segment, contact_segment,
            axes, weight, mass_force[t], centre[t], whole[t], load[t], arms[t], matrix[t], z[t], y[t], shares[t],
            hessian[t], forces[t], of_torques, of_left[t], of_relative[t + 1, :, :a], of_relative[t + 1, :, a:b],
            of_acceleration, of_relative[t + 1, :, b:c_end], of_activity,
        )  # fmt: skip
        for c in range(3):
            for m in range(masses):
                slope = of_acceleration[c, m] / (dt_s * dt_s)
                of_absolute[t, c, a + m] += slope
                of_absolute[t + 1, c, a + m] -= 2.0 * slope
                of_absolute[t + 2, c, a + m] += slope
        for p in range(count):
            along = -2.0 * of_activity[p] * may_push[t, p] * free[t, p]
            of_gap[t + 1, p] += activity_rates[0] * along * max(gap[t + 1, p], 0.0)
            for c in range(3):
                slope = 0.25 * activity_rates[1] * along * (steps[t, c, p] + steps[t + 1, c, p])
                of_steps[t, c, p] += slope
                of_steps[t + 1, c, p] += slope
