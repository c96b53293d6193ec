"""The window loss: its terms and their gradients, of one motion.

    rotations, pelvis -> points of the body -> keypoints, contacts, jerk
                                            -> accelerations -> contact forces -> residual, torques

Every term is a function of the motion, the body, what is given, and its weight: it returns its value before that, and
adds its weighted gradient to the adjoint. No term is negative. :func:`evaluate` leaves out terms without a weight where
they take time.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.camera.projection import NEAREST_M
from diffmocap.compiler import compiled, compiled_within, inlined
from diffmocap.physics.compiled.vectors import add, dot, times
from diffmocap.refinement.kernels.forces import forces_in, forces_in_vjp
from diffmocap.refinement.kernels.motion import motion_of, motion_vjp, no_slope
from diffmocap.refinement.kernels.records import Evaluation

#: Terms, in the order of :data:`diffmocap.refinement.window.weights.UNITS`.
REPROJECTION, HYPOTHESES, ROOT_FORCE, ROOT_MOMENT, SLIP, GAP, PENETRATION, TORQUE, TORQUE_RATE, LIMITS, JERK = range(11)


@compiled
def evaluate(rotations, pelvis, body, given, weights, with_gradient):
    """:class:`Evaluation` of a motion [T, 24, 3, 3] local, [T, 3] m."""
    motion = motion_of(rotations, pelvis, body, given)
    adjoint = no_slope(motion)
    weigh, squares = weights.terms, np.zeros(len(weights.terms))
    if weigh[REPROJECTION] != 0.0:
        squares[REPROJECTION] = reprojection(motion, given, weights.robust_m, weigh[REPROJECTION], adjoint)
    if weigh[HYPOTHESES] != 0.0:
        squares[HYPOTHESES] = hypotheses(motion, given, weigh[HYPOTHESES], adjoint)
    if weigh[LIMITS] != 0.0:
        squares[LIMITS] = joint_limits(motion, body, weigh[LIMITS], adjoint)
    if weigh[JERK] != 0.0:
        squares[JERK] = jerk(motion, given, weigh[JERK], adjoint)
    squares[SLIP] = slip(motion, given, weigh[SLIP], adjoint)
    squares[GAP] = contact_gap(motion, given, weigh[GAP], adjoint)
    squares[PENETRATION] = penetration(motion, weigh[PENETRATION], adjoint)
    forces = forces_in(motion, body, given, weights.iterations)
    if len(forces.left):
        of_left, of_torques = np.zeros_like(forces.left), np.zeros_like(forces.torques)
        left = forces.left
        squares[ROOT_FORCE] = residual(left[:, :3], body, weights.robust_force, weigh[ROOT_FORCE], of_left[:, :3])
        squares[ROOT_MOMENT] = residual(left[:, 3:], body, weights.robust_moment, weigh[ROOT_MOMENT], of_left[:, 3:])
        squares[TORQUE] = torque(forces, body, weigh[TORQUE], of_torques)
        squares[TORQUE_RATE] = torque_rate(forces, body, given, weigh[TORQUE_RATE], of_torques)
        if with_gradient:
            forces_in_vjp(motion, body, given, forces, of_torques, of_left, adjoint)
    of_turns = np.zeros((len(pelvis), NUM_JOINTS, 3))
    if with_gradient:
        motion_vjp(motion, body, given, adjoint, of_turns)
    return Evaluation(squares, of_turns, adjoint.pelvis, motion.gap, motion.steps, forces)


@compiled_within
def reprojection(motion, given, robust_m, weight, adjoint):
    """m^2: Cauchy's robust square of distances in the image, weighed by confidence.

    Pixels are turned into metres at the distance of the reference's pelvis. That is a constant, so that standing
    farther away makes no error smaller.
    """
    first, camera, total = motion.points.shape[2] - NUM_KEYPOINTS, given.camera, 0.0
    for t in range(len(motion.pelvis)):
        scale = given.metres_per_pixel[t]
        for k in range(NUM_KEYPOINTS):
            share = given.confidence[t, k]
            if share == 0.0:
                continue
            n = first + k
            x, y, z = motion.points[t, 0, n], motion.points[t, 1, n], motion.points[t, 2, n]
            depth = camera[2, 0] * x + camera[2, 1] * y + camera[2, 2] * z + camera[2, 3]
            if not depth > NEAREST_M:
                if depth != depth:
                    return depth
                continue
            u = (camera[0, 0] * x + camera[0, 1] * y + camera[0, 2] * z + camera[0, 3]) / depth
            v = (camera[1, 0] * x + camera[1, 1] * y + camera[1, 2] * z + camera[1, 3]) / depth
            across, down = (u - given.observed[t, 0, k]) * scale, (v - given.observed[t, 1, k]) * scale
            relative = (across * across + down * down) / (robust_m * robust_m)
            total += share * math.log1p(relative)
            slope = 2.0 * weight * share * scale / ((relative + 1.0) * depth)
            across, down = across * slope, down * slope
            along = -(across * u + down * v)
            for c in range(3):
                adjoint.points[t, c, n] += camera[0, c] * across + camera[1, c] * down + camera[2, c] * along
    return robust_m * robust_m * total


@compiled_within
def hypotheses(motion, given, weight, adjoint):
    """Nats: minus the logarithm of a mixture of Gaussians, one on each hypothesis of the frame; the mean over frames.

    ``-log sum_k w_k exp(-d_k^2 / 2)``, ``d_k^2 = n / 24 sum_j |R_j - H_kj|^2 / (2 s_j^2) + (p - p_k)^T Q (p - p_k)``
    with n = :data:`diffmocap.refinement.window.data.INDEPENDENT_JOINTS`: squares of angles for small ones, and at most
    4 rad^2 for any. The gradient is that of the nearest hypotheses, and which are near may change. At least zero, as
    the weights sum to one. The sum over joints is a single product, as ``|R - H|^2 = 6 - 2 <R, H>``.
    """
    target, log_weights = given.target, given.log_weights
    frames, count = target.shape[:2]
    rotations, of_rotations = motion.rotations.reshape(frames, -1), adjoint.rotations.reshape(frames, -1)
    exponent, turned, weighed = np.empty(count), np.empty(count), np.empty((count, 3))
    total = 0.0
    for t in range(frames):
        if given.lifted[t] == 0.0:
            continue
        largest = -np.inf
        for k in range(count):
            exponent[k] = -np.inf
            if log_weights[t, k] == -np.inf:
                continue
            turned[k] = given.constant[t] - np.dot(target[t, k], rotations[t])
            away = motion.pelvis[t] - given.places[t, k]
            times(given.precision[t], away, weighed[k])
            apart = dot(weighed[k], away)
            if turned[k] != turned[k] or apart != apart:
                return np.nan
            # Rounding may leave a little less than nothing of a difference of large numbers.
            exponent[k] = log_weights[t, k] - 0.5 * (max(turned[k], 0.0) + apart)
            largest = max(largest, exponent[k])
        exponent[:] = np.exp(exponent - largest)
        mass = exponent.sum()
        total -= given.lifted[t] * (largest + math.log(mass))
        for k in range(count):
            share = weight * given.lifted[t] * exponent[k] / mass
            if share == 0.0:
                continue
            add(weighed[k], share, adjoint.pelvis[t])
            if turned[k] > 0.0:
                of_rotations[t] -= 0.5 * share * target[t, k]
    return total


@compiled_within
def joint_limits(motion, body, weight, adjoint):
    """rad^2 that the 69 angles are beyond their limits; their sum, the mean over frames.

    As :func:`diffmocap.body.joint_angles.limit_excess` where no joint is in gimbal lock; there, finite gradients. A
    joint in lock is beyond its limits already, as middle angles are limited to less than 90 degrees.
    """
    total, frames = 0.0, len(motion.pelvis)
    rotations, of_rotations = motion.rotations.reshape(frames, -1), adjoint.rotations.reshape(frames, -1)
    entries, signs, middle, half = body.limit_entries, body.limit_signs, body.limit_middle, body.limit_half
    sines, cosines, of_sine, of_cosine = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for t in range(frames):
        for j in range(NUM_JOINTS - 1):
            ac, bc, cc = rotations[t, entries[0, j]], rotations[t, entries[1, j]], rotations[t, entries[2, j]]
            ab, aa = rotations[t, entries[3, j]], rotations[t, entries[4, j]]
            across = math.sqrt(aa * aa + 1e-12 + ab * ab)
            sines[0], sines[1], sines[2] = bc * signs[0, j], ac * signs[1, j], ab * signs[2, j]
            cosines[0], cosines[1], cosines[2] = cc, across, aa
            bent = False
            for i in range(3):
                of_sine[i] = of_cosine[i] = 0.0
                beyond = math.atan2(sines[i], cosines[i]) - middle[i, j]
                excess = abs(beyond) - half[i, j]
                if excess > 0.0:
                    bent = True
                    total += excess * excess
                    turning = 2.0 * weight / frames * excess * (1.0 if beyond > 0.0 else -1.0)
                    turning /= max(sines[i] * sines[i] + cosines[i] * cosines[i], 1e-30)
                    of_sine[i], of_cosine[i] = turning * cosines[i] * signs[i, j], -turning * sines[i]
            if bent:
                ratio = of_cosine[1] / across
                of_rotations[t, entries[0, j]] += of_sine[1]
                of_rotations[t, entries[1, j]] += of_sine[0]
                of_rotations[t, entries[2, j]] += of_cosine[0]
                of_rotations[t, entries[3, j]] += of_sine[2] + ratio * ab
                of_rotations[t, entries[4, j]] += of_cosine[2] + ratio * aa
    return total / frames


@compiled_within
def jerk(motion, given, weight, adjoint):
    """(m/s^3)^2 of the joints' positions; the mean over joints and over sets of four frames."""
    sets = max(len(motion.pelvis) - 3, 0)
    shares = np.full((sets, NUM_JOINTS), 1.0 / (sets * NUM_JOINTS * given.dt_s**6))
    return squares_of(motion.points, (-1.0, 3.0, -3.0, 1.0), shares, weight, adjoint.points)


@compiled_within
def slip(motion, given, weight, adjoint):
    """(m/s)^2 along the ground between two frames that a point touches in; the mean over all such."""
    return squares_of(motion.steps, (1.0,), given.held_steps, weight, adjoint.steps)


@compiled_within
def contact_gap(motion, given, weight, adjoint):
    """m^2 between the ground and a point that touches; the mean over all such."""
    return squares_of(in_one(motion.gap), (1.0,), given.held, weight, in_one(adjoint.gap))


@compiled_within
def penetration(motion, weight, adjoint):
    """m^2 of depth below the ground; the sum over contact points, the mean over frames."""
    below = np.where(motion.gap < 0.0, 1.0 / len(motion.gap), 0.0)
    return squares_of(in_one(motion.gap), (1.0,), below, weight, in_one(adjoint.gap))


@compiled_within
def residual(left, body, robust, weight, of_left):
    """(N/kg)^2 or (N m/kg)^2 that no contact explains, for ``left`` [F, 3] N or N m. Pseudo-Huber: the square where it
    is small, twice ``robust`` times its root where it is large; the mean over inner frames."""
    total, inner, mass = 0.0, len(left), body.mass.sum()
    for t in range(inner):
        root = math.sqrt(dot(left[t], left[t]) / (mass * robust) ** 2 + 1.0)
        total += 2.0 * robust * robust * (root - 1.0) / inner
        add(left[t], weight * 2.0 / (inner * root * mass * mass), of_left[t])
    return total


@compiled_within
def torque(forces, body, weight, of_torques):
    """Squares of joints' torques over what they can give; the mean over joints and inner frames."""
    return squares_of(forces.torques, (1.0,), strength_shares(body, len(forces.torques), 1.0), weight, of_torques)


@compiled_within
def torque_rate(forces, body, given, weight, of_torques):
    """1/s^2: squares of the rates of joints' torques over what they can give; the mean over joints and frames."""
    shares = strength_shares(body, len(forces.torques) - 1, given.dt_s)
    return squares_of(forces.torques, (-1.0, 1.0), shares, weight, of_torques)


@compiled_within
def strength_shares(body, frames, dt_s):
    """[F, 23] of squares of torques' changes in ``dt_s``, over what joints can give, in the mean over all."""
    shares = np.empty((frames, NUM_JOINTS - 1))
    shares[:] = 1.0 / (shares.size * (dt_s * body.strength) ** 2)
    return shares


@compiled_within
def squares_of(values, stencil, shares, weight, adjoint):
    """The sum of squares of differences in time, with their ``shares`` [F, N]: of ``values`` [T, C, N'] at the first N
    columns, F frames for each of which ``stencil`` weighs as many in a row. Adds the weighted gradient to ``adjoint``.
    """
    total = 0.0
    for t in range(len(shares)):
        for c in range(values.shape[1]):
            for n in range(shares.shape[1]):
                change = 0.0
                for k in range(len(stencil)):
                    change += stencil[k] * values[t + k, c, n]
                total += shares[t, n] * change * change
                slope = 2.0 * weight * shares[t, n] * change
                for k in range(len(stencil)):
                    adjoint[t + k, c, n] += stencil[k] * slope
    return total


@inlined
def in_one(values):
    """Values [T, N] as those of one coordinate [T, 1, N]."""
    return values.reshape(len(values), 1, values.shape[1])
