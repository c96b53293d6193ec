"""Steps of Gauss-Newton from one pose, and one step by another pose's gain, as machine code.

A step is the iterated extended Kalman filter's update (Bell and Cathey 1993): it needs the prior's covariance and no
inverse of it, so that a prior may be as tight as it likes. All of it is float64: an unknown place and exact keypoints
lie eight digits apart.
"""

from __future__ import annotations

import math

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import compiled
from diffmocap.lifting.correction.cholesky import eliminate, is_number, solve_upper, subtract_four, whiten
from diffmocap.lifting.correction.keypoint_jacobian import pose
from diffmocap.lifting.correction.noise_level import add_noise, combine, weigh
from diffmocap.lifting.correction.observation import differentiate, gather, is_finite, pack, residual, step_moves
from diffmocap.lifting.correction.outliers import wrong_probabilities
from diffmocap.lifting.correction.records import ROWS, SHAPES, STEP, TANGENT
from diffmocap.lifting.correction.tangent import exponential

#: Standard deviation of the body's place about where the network's pose must stand [m]: next to no prior.
PLACE_M = 1.0
#: Standard deviation of the ten numbers of the body's shape, which is neither known nor estimated.
SHAPE = 0.8
#: No joint turns farther in one step [rad].
LARGEST_TURN = 1.0


@compiled
def correct_all(body, candidates, observation, rotations, pelvis, covariance, steps, mean_first, work, found):
    """Corrects rotations [B, K, 24, 3, 3] with the pelvis at [B, K, 3] m into ``found``.

    Args:
        covariance: [B, 72, 72] of these rotations' errors, right tangent vectors [rad^2].
        mean_first: of each condition's samples the first is corrected, the others by its gain; else each by itself.
    """
    rows = observation.values.shape[1]
    for b in range(rotations.shape[0]):
        for k in range(rotations.shape[1]):
            start, place = rotations[b, k], pelvis[b, k]
            out = found.rotations[b, k]
            if k == 0 or not mean_first:
                best = correct(body, candidates, observation, b, start, place, covariance[b], steps, work)
                out[:] = work.tried.rotations[best]
                _moved(place, work.tried.step[best], found.pelvis[b, k])
                found.changed[b, k] = best > 0
            else:
                better = correct_by_gain(body, observation, b, start, place, covariance[b], work)
                if better:
                    out[:] = work.tried.rotations[1]
                else:
                    out[:] = start
                found.pelvis[b, k] = place
                if better:
                    _moved(place, work.tried.step[1], found.pelvis[b, k])
                found.changed[b, k] = better
            found.independent[b, k] = work.level.independent[:rows]
            found.factors[b, k] = work.level.factors
            found.wrong[b, k] = work.level.wrong[:rows]


@compiled
def correct(body, candidates, observation, b, start, place, covariance, steps, work):
    """Which of the start and the poses after each step, ``work.tried``, is the likeliest one, for one pose [24, 3, 3] of
    image ``b``.

    ``work`` then holds the noise, and what a gain is made of. Where a pose is no number, nothing is tried.
    """
    derivatives, packed, tried, level = work.derivatives, work.packed, work.tried, work.level
    values, seen, half_size = observation.values[b], observation.seen[b], observation.half_size[b]
    relative = observation.relative_noise[b]
    tried.step[0], tried.information[0] = 0.0, 0.0
    tried.rotations[0] = start
    # At first, independent noise as large as the detector's, and nothing is known to be wrong.
    for r in range(len(relative)):
        level.independent[r] = candidates.variance[r] * relative[r] * relative[r]
    level.factors[0], level.factors[1] = 0.0, 1.0
    level.wrong[:] = 0.0
    packed.counts[:] = 0
    if not is_finite(start, place):
        return 0
    pose(body, start, work.posed)
    tried.turns[:] = work.posed.rotations
    residual(values, half_size, work.posed, place, tried.residual[0])
    here, expected, target, information = tried.vector[0, :3], work.covariances.sums[4], tried.vector[1], tried.vector[2]
    for i in range(steps):
        step = tried.step[i]
        _moved(place, step, here)
        pack(seen, work.posed, here[2], packed)
        size = 2 * packed.counts[0] + packed.counts[1]
        differentiate(body, work.posed, here, half_size, tried.turns, packed, derivatives)
        for r in range(size):
            expected[r] = tried.residual[i, packed.row[r]]
            if i > 0:
                expected[r] += step_moves(body, packed, derivatives, r, step)
        _spread(body, covariance, packed, derivatives, work.covariances)
        # The first pose may be far off, where a straight line says little: all is judged again at each next one.
        _judge(candidates, expected, packed, work.covariances, level)
        weigh(candidates, expected, relative, packed, work.covariances, level)
        factor = work.covariances.factor
        combine(level.factors[1], work.covariances, size, factor)
        add_noise(
            candidates, level.independent, level.factors[0], level.wrong, packed, work.covariances.sums[3], factor
        )
        factor[:size, size] = expected[:size]
        eliminate(factor, 0, size, size, size + 1)
        for r in range(size):
            expected[r] = factor[r, size]
        solve_upper(factor, size, expected[:size])
        solved = _kalman(body, covariance, packed, derivatives, level.factors[1], expected, information, target)
        if not solved:  # keeps what it has
            target[:], information[:] = step, tried.information[i]
        for c in range(STEP):
            target[c] -= step[c]
        share = largest_share(target)
        for c in range(STEP):
            tried.step[i + 1, c] = step[c] + share * target[c]
            before = tried.information[i, c]
            tried.information[i + 1, c] = before + share * (information[c] - before)
        _turn(start, tried.step[i + 1], tried.rotations[i + 1], tried.turns)
        pose(body, tried.rotations[i + 1], work.posed)
        _turn_to_world(work.posed.rotations, tried.turns)
        _moved(place, tried.step[i + 1], here)
        residual(values, half_size, work.posed, here, tried.residual[i + 1])
    _whitening(candidates, packed, derivatives, work.covariances, level)
    return _best(seen, steps, packed, work.covariances.whitening, tried)


@compiled
def correct_by_gain(body, observation, b, start, place, covariance, work):
    """Whether one step by the gain in ``work`` betters a pose near to the one that it is of; the pose and its step then
    are ``work.tried``'s second."""
    packed, tried = work.packed, work.tried
    size = 2 * packed.counts[0] + packed.counts[1]
    values, half_size = observation.values[b], observation.half_size[b]
    if size == 0 or not is_finite(start, place):
        return False
    pose(body, start, work.posed)
    residual(values, half_size, work.posed, place, tried.residual[0])
    before, after, gain = tried.vector[0], tried.vector[3], work.covariances.sums[4]
    information, step, here = tried.vector[2], tried.step[1], tried.vector[1, :3]
    for r in range(size):
        before[r] = gain[r] = tried.residual[0, packed.row[r]]
    whiten(work.covariances.factor, size, gain[:size])
    solve_upper(work.covariances.factor, size, gain[:size])
    if not _kalman(body, covariance, packed, work.derivatives, work.level.factors[1], gain, information, step):
        return False
    share = largest_share(step)
    for c in range(STEP):
        step[c] *= share
    _turn(start, step, tried.rotations[1], tried.turns)
    pose(body, tried.rotations[1], work.posed)
    _moved(place, step, here)
    residual(values, half_size, work.posed, here, tried.residual[1])
    for r in range(size):
        after[r] = tried.residual[1, packed.row[r]]
    for vector in (before, after):
        whiten(work.covariances.whitening, size, vector[:size])
    return _square(after[:size]) < _square(before[:size])


@compiled
def _moved(place, step, out):
    """Where a step [75] brings the pelvis."""
    for a in range(3):
        out[a] = place[a] + step[TANGENT + a]


@compiled
def _square(vector):
    total = 0.0
    for i in range(len(vector)):
        total += vector[i] * vector[i]
    return total


@compiled
def _spread(body, covariance, packed, derivatives, covariances):
    """Covariances of the packed rows by the network's errors, and by the body's place and shape."""
    size = 2 * packed.counts[0] + packed.counts[1]
    spread, columns = covariances.rows, covariances.columns
    for i in range(size):
        row, k = spread[i], packed.keypoint[i]
        row[:] = 0.0
        for n in range(body.mover_count[k]):
            _add_three(row, derivatives.by_joints[i], covariance, 3 * body.movers[k, n], 0, TANGENT)
        for c in range(TANGENT):
            columns[c, i] = row[c]
    for i in range(size):
        row, k = covariances.from_errors[i, i:size], packed.keypoint[i]
        row[:] = 0.0
        for n in range(body.mover_count[k]):
            _add_three(row, derivatives.by_joints[i], columns, 3 * body.movers[k, n], i, size)
    # The same for the body, whose loadings are columns of the derivatives times standard deviations.
    loadings = covariances.loadings
    _load_shape(size, derivatives, loadings)
    for i in range(size):
        row = covariances.from_body[i, i:size]
        row[:] = 0.0
        _add_shape(row, loadings, i, size)
        x, y, z = derivatives.by_place[i, 0], derivatives.by_place[i, 1], derivatives.by_place[i, 2]
        for c in range(len(row)):
            other = derivatives.by_place[i + c]
            row[c] += PLACE_M * PLACE_M * (x * other[0] + y * other[1] + z * other[2])


@compiled
def _add_three(row, factors, matrix, first, begin, end):
    """``row += factors[first : first + 3] @ matrix[first : first + 3, begin:end]``."""
    a, b, c = factors[first], factors[first + 1], factors[first + 2]
    p, q, r = matrix[first, begin:end], matrix[first + 1, begin:end], matrix[first + 2, begin:end]
    for i in range(len(row)):
        row[i] += a * p[i] + b * q[i] + c * r[i]


@compiled
def _load_shape(size, derivatives, loadings):
    for i in range(size):
        for s in range(SHAPES):
            loadings[s, i] = SHAPE * derivatives.by_shape[i, s]


@compiled
def _add_shape(row, loadings, i, size):
    """Adds the covariance of row ``i`` with those from it on by the body's shape."""
    for s in range(0, SHAPES, 2):
        a, b, p, q = loadings[s, i], loadings[s + 1, i], loadings[s, i:size], loadings[s + 1, i:size]
        for c in range(len(row)):
            row[c] += a * p[c] + b * q[c]


@compiled
def _judge(candidates, expected, packed, covariances, level):
    """Replaces each row's probability to be wrong, ``level.wrong``, given the one before and the noise before."""
    size, trial, surplus = 2 * packed.counts[0] + packed.counts[1], covariances.trial, covariances.sums[3]
    combine(level.factors[1], covariances, size, trial)
    add_noise(candidates, level.independent, level.factors[0], level.wrong, packed, surplus, trial)
    for i in range(size):
        at = packed.row[i]
        # The factor of the standard deviation has been written here.
        nominal = level.independent[at] + level.factors[0] * candidates.variance[at]
        surplus[i] = nominal * (surplus[i] * surplus[i] - 1.0)
    trial[:size, size] = expected[:size]
    eliminate(trial, 0, size, size, size + 1)
    wrong_probabilities(trial, packed, surplus, covariances.inverse, covariances.sums, level.wrong)


@compiled
def _kalman(body, covariance, packed, derivatives, errors, gain, information, step):
    """``step`` [75] = prior covariance @ ``information`` [75], which is ``derivatives^T gain``; whether both are numbers.

    Args:
        errors: factor of the covariance of the rotations.
    """
    gather(body, packed, derivatives, gain, information)
    total = 0.0
    for c in range(STEP):
        step[c] = 0.0
    for c in range(0, TANGENT, 4):
        subtract_four(step[:TANGENT], information[c : c + 4], covariance, c, 0, TANGENT)
    for c in range(STEP):
        step[c] = -errors * step[c] if c < TANGENT else PLACE_M * PLACE_M * information[c]
        total += abs(step[c]) + abs(information[c])
    return is_number(total)


@compiled
def largest_share(change):
    """How much of a change of the step [75] is made, so that no joint turns too far."""
    largest = LARGEST_TURN * LARGEST_TURN
    for j in range(NUM_JOINTS):
        x, y, z = change[3 * j], change[3 * j + 1], change[3 * j + 2]
        largest = max(largest, x * x + y * y + z * z)
    return LARGEST_TURN / math.sqrt(largest)


@compiled
def _turn(start, step, rotations, jacobians):
    """``rotations`` = start exp(step), and the exponentials' right Jacobians."""
    for j in range(NUM_JOINTS):
        # The turn itself stands where the Jacobian is to be, until it has been applied.
        exponential(step[3 * j : 3 * j + 3], rotations[j], jacobians[j])
        for c in range(3):
            x, y, z = rotations[j, 0, c], rotations[j, 1, c], rotations[j, 2, c]
            for a in range(3):
                rotations[j, a, c] = start[j, a, 0] * x + start[j, a, 1] * y + start[j, a, 2] * z


@compiled
def _turn_to_world(rotations, jacobians):
    """Each joint's rotation times its Jacobian, in place."""
    for j in range(NUM_JOINTS):
        for c in range(3):
            x, y, z = jacobians[j, 0, c], jacobians[j, 1, c], jacobians[j, 2, c]
            for a in range(3):
                jacobians[j, a, c] = rotations[j, a, 0] * x + rotations[j, a, 1] * y + rotations[j, a, 2] * z


@compiled
def _whitening(candidates, packed, derivatives, covariances, level):
    """The covariance of what the likeliest pose leaves, noise and the body's shape, with room for all residuals."""
    size, out = 2 * packed.counts[0] + packed.counts[1], covariances.whitening
    _load_shape(size, derivatives, covariances.loadings)
    for i in range(size):
        row = out[i, i:size]
        row[:] = 0.0
        _add_shape(row, covariances.loadings, i, size)
    add_noise(candidates, level.independent, level.factors[0], level.wrong, packed, covariances.sums[3], out)


@compiled
def _best(seen, steps, packed, whitening, tried):
    """Which of what was tried has the highest posterior; the start, where none is better or a number.

    ``whitening`` becomes the Cholesky factor that makes residuals independent. What is seen and not used counts as it is.
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
