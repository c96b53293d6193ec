"""Steps of Gauss-Newton from one pose, and one step by another pose's gain, as machine code.

A step is the iterated extended Kalman filter's update (Bell and Cathey 1993): it needs the prior's covariance and no
inverse of it, so that a prior may be as tight as it likes. All of it is float64: an unknown place and exact keypoints
lie eight digits apart.
"""

from __future__ import annotations

import math

from diffmocap.body.exponential import exponential
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import compiled, compiled_within
from diffmocap.lifting.correction.cholesky import eliminate, is_number, solve_upper, whiten
from diffmocap.lifting.correction.keypoint_jacobian import pose
from diffmocap.lifting.correction.keypoint_noise import add_noise, combine, weigh
from diffmocap.lifting.correction.observation import differentiate, gather, is_finite, pack, residual, step_moves
from diffmocap.lifting.correction.outliers import wrong_probabilities
from diffmocap.lifting.correction.prior import PLACE_M, spread, spread_shape
from diffmocap.lifting.correction.records import STEP, TANGENT

#: No joint turns farther in one step [rad].
LARGEST_TURN = 1.0


@compiled
def correct(body, candidates, values, seen, half_size, relative_noise, start, place, covariance, steps, work):
    """Which of the start and the poses after each step, ``work.tried``, is the likeliest one.

    ``work`` then holds the noise, and what a gain is made of. Where the start is NaN, nothing is tried.

    Args:
        values, seen, relative_noise: [n] and half_size, one image of an ``Observation``.
        start: [24, 3, 3], place: [3] m of the pelvis. covariance: [72, 72] of the start's error, right tangent vectors
            [rad^2].
    """
    derivatives, packed, covariances = work.derivatives, work.packed, work.covariances
    posed, tried, level = work.posed, work.tried, work.level
    tried.step[0], tried.information[0] = 0.0, 0.0
    _copy_pose(start, tried.rotations[0])
    # At first, independent noise as large as the detector's, and nothing is known to be wrong.
    for r in range(len(relative_noise)):
        level.independent[r] = candidates.variance[r] * relative_noise[r] * relative_noise[r]
    level.factors[0], level.factors[1] = 0.0, 1.0
    level.wrong[:] = 0.0
    packed.counts[:] = 0
    if not is_finite(start, place):
        return 0
    pose(body, start, posed)
    _copy_pose(posed.rotations, tried.turns)
    residual(values, half_size, posed, place, tried.residual[0])
    here, expected, target, information = tried.vector[0, :3], covariances.sums[4], tried.vector[1], tried.vector[2]
    for i in range(steps):
        step = tried.step[i]
        _move(place, step, here)
        pack(seen, posed, here[2], packed)
        size = 2 * packed.counts[0] + packed.counts[1]
        differentiate(body, posed, here, half_size, tried.turns, packed, derivatives)
        for r in range(size):
            expected[r] = tried.residual[i, packed.row[r]] + step_moves(body, packed, derivatives, r, step)
        spread(body, covariance, packed, derivatives, covariances)
        # The first pose may be far off, where a straight line says little: all is judged again at each next one.
        _judge(candidates, expected, packed, covariances, level)
        weigh(candidates, expected, relative_noise, packed, covariances, level)
        _solve(candidates, expected, packed, covariances, level)
        solved = _kalman(body, covariance, packed, derivatives, level.factors[1], expected, information, target)
        for c in range(STEP):  # what was not solved keeps what it has
            target[c] = target[c] - step[c] if solved else 0.0
            information[c] = information[c] - tried.information[i, c] if solved else 0.0
        share = largest_share(target)
        for c in range(STEP):
            tried.step[i + 1, c] = step[c] + share * target[c]
            tried.information[i + 1, c] = tried.information[i, c] + share * information[c]
        _turn(start, tried.step[i + 1], tried.rotations[i + 1], tried.turns)
        pose(body, tried.rotations[i + 1], posed)
        _turn_to_world(posed.rotations, tried.turns)
        _move(place, tried.step[i + 1], here)
        residual(values, half_size, posed, here, tried.residual[i + 1])
    _load_whitening(candidates, packed, derivatives, covariances, level)
    return best_tried(seen, steps, packed, covariances.whitening, tried)


@compiled
def correct_by_gain(body, values, half_size, starts, places, covariance, work, rotations, pelvis, better):
    """Corrects K poses near to one that was corrected, by its gain in ``work``, in one step each: a tenth of the work.

    Args:
        values, half_size, covariance: as of that pose. starts: [K, 24, 3, 3], places: [K, 3] m.
        rotations, pelvis, better: [K] bool, are written. A step that brings nothing is not made.
    """
    packed, tried, posed, covariances = work.packed, work.tried, work.posed, work.covariances
    size, factor, whitening = 2 * packed.counts[0] + packed.counts[1], covariances.factor, covariances.whitening
    before, after, gain = tried.vector[0], tried.vector[3], covariances.sums[4]
    information, step, here, turned = tried.vector[2], tried.step[1], tried.vector[1, :3], tried.rotations[1]
    for k in range(len(starts)):
        better[k] = False
        _copy_pose(starts[k], rotations[k])
        for a in range(3):
            pelvis[k, a] = places[k, a]
        if size == 0 or not is_finite(starts[k], places[k]):
            continue
        pose(body, starts[k], posed)
        residual(values, half_size, posed, places[k], tried.residual[0])
        for r in range(size):
            before[r] = gain[r] = tried.residual[0, packed.row[r]]
        whiten(factor, size, gain)
        solve_upper(factor, size, gain)
        if not _kalman(body, covariance, packed, work.derivatives, work.level.factors[1], gain, information, step):
            continue
        share = largest_share(step)
        for c in range(STEP):
            step[c] *= share
        _turn(starts[k], step, turned, tried.turns)
        pose(body, turned, posed)
        _move(places[k], step, here)
        residual(values, half_size, posed, here, tried.residual[1])
        for r in range(size):
            after[r] = tried.residual[1, packed.row[r]]
        whiten(whitening, size, before)
        whiten(whitening, size, after)
        gained = 0.0
        for r in range(size):
            gained += before[r] * before[r] - after[r] * after[r]
        if gained > 0.0:
            better[k] = True
            _copy_pose(turned, rotations[k])
            _move(places[k], step, pelvis[k])


@compiled_within
def _copy_pose(rotations, out):
    for j in range(NUM_JOINTS):
        for a in range(3):
            for c in range(3):
                out[j, a, c] = rotations[j, a, c]


@compiled_within
def _move(place, step, out):
    """Where a step [75] brings the pelvis."""
    for a in range(3):
        out[a] = place[a] + step[TANGENT + a]


@compiled_within
def _judge(candidates, expected, packed, covariances, level):
    """Replaces each row's probability to be wrong, ``level.wrong``, given the one before and the noise before."""
    size, trial, surplus = 2 * packed.counts[0] + packed.counts[1], covariances.trial, covariances.sums[3]
    combine(level.factors[1], covariances, expected, size, trial)
    add_noise(candidates, level.independent, level.factors[0], level.wrong, packed, surplus, trial)
    for i in range(size):
        at = packed.row[i]
        # The factor of the standard deviation has been written here.
        nominal = level.independent[at] + level.factors[0] * candidates.variance[at]
        surplus[i] = nominal * (surplus[i] * surplus[i] - 1.0)
    eliminate(trial, 0, size, size, size + 1)
    wrong_probabilities(trial, packed, surplus, covariances.inverse, covariances.sums, level.wrong)


@compiled_within
def _solve(candidates, expected, packed, covariances, level):
    """Replaces the rows' residual ``expected`` by ``S^-1 expected`` of their covariance S, whose factor is kept."""
    size, factor = 2 * packed.counts[0] + packed.counts[1], covariances.factor
    combine(level.factors[1], covariances, expected, size, factor)
    add_noise(candidates, level.independent, level.factors[0], level.wrong, packed, covariances.sums[3], factor)
    eliminate(factor, 0, size, size, size + 1)
    for r in range(size):
        expected[r] = factor[r, size]
    solve_upper(factor, size, expected)


@compiled_within
def _kalman(body, covariance, packed, derivatives, errors, gain, information, step):
    """``step`` [75] = prior covariance @ ``information`` [75], that = ``derivatives^T gain``; whether both are numbers.

    Args:
        errors: factor of the covariance of the rotations.
    """
    gather(body, packed, derivatives, gain, information)
    total = 0.0
    for c in range(STEP):
        step[c] = 0.0
    for j in range(0, TANGENT, 3):
        x, y, z = errors * information[j], errors * information[j + 1], errors * information[j + 2]
        p, q, r = covariance[j], covariance[j + 1], covariance[j + 2]
        for c in range(TANGENT):
            step[c] += x * p[c] + y * q[c] + z * r[c]
    for c in range(TANGENT, STEP):
        step[c] = PLACE_M * PLACE_M * information[c]
    for c in range(STEP):
        total += abs(step[c]) + abs(information[c])
    return is_number(total)


@compiled_within
def largest_share(change):
    """How much of a change of the step [75] is made, so that no joint turns too far."""
    largest = LARGEST_TURN * LARGEST_TURN
    for j in range(NUM_JOINTS):
        x, y, z = change[3 * j], change[3 * j + 1], change[3 * j + 2]
        largest = max(largest, x * x + y * y + z * z)
    return LARGEST_TURN / math.sqrt(largest)


@compiled_within
def _turn(start, step, rotations, jacobians):
    """``rotations`` = start exp(step), and the exponentials' right Jacobians."""
    for j in range(NUM_JOINTS):
        # The turn itself stands where the Jacobian is to be, until it has been applied.
        exponential(step[3 * j : 3 * j + 3], rotations[j], jacobians[j])
        for c in range(3):
            x, y, z = rotations[j, 0, c], rotations[j, 1, c], rotations[j, 2, c]
            for a in range(3):
                rotations[j, a, c] = start[j, a, 0] * x + start[j, a, 1] * y + start[j, a, 2] * z


@compiled_within
def _turn_to_world(rotations, jacobians):
    """Each joint's rotation times its Jacobian, in place."""
    for j in range(NUM_JOINTS):
        for c in range(3):
            x, y, z = jacobians[j, 0, c], jacobians[j, 1, c], jacobians[j, 2, c]
            for a in range(3):
                jacobians[j, a, c] = rotations[j, a, 0] * x + rotations[j, a, 1] * y + rotations[j, a, 2] * z


@compiled_within
def _load_whitening(candidates, packed, derivatives, covariances, level):
    """The covariance of what the likeliest pose leaves, noise and the body's shape, with room for all residuals."""
    size, out = 2 * packed.counts[0] + packed.counts[1], covariances.whitening
    spread_shape(size, derivatives.by_shape, covariances.loadings, out)
    add_noise(candidates, level.independent, level.factors[0], level.wrong, packed, covariances.sums[3], out)


@compiled_within
def best_tried(seen, steps, packed, whitening, tried):
    """Which of what was tried has the highest posterior; the start, where none is better or a number.

    ``whitening`` becomes the Cholesky factor that makes residuals independent. What is seen and not used counts as it
    is.
    """
    size = 2 * packed.counts[0] + packed.counts[1]
    for r in range(size):
        for t in range(steps + 1):
            whitening[r, size + t] = tried.residual[t, packed.row[r]]
    eliminate(whitening, 0, size, size, size + steps + 1)
    best, least = 0, math.inf
    for t in range(steps + 1):
        cost = 0.0
        for r in range(len(seen)):
            if seen[r] and not packed.used[r]:
                cost += tried.residual[t, r] * tried.residual[t, r]
        for r in range(size):
            cost += whitening[r, size + t] * whitening[r, size + t]
        for c in range(STEP):
            cost += tried.step[t, c] * tried.information[t, c]
        if is_number(cost) and cost < least:
            best, least = t, cost
    return best
