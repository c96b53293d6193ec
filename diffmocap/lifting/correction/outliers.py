"""Keypoints that are wrong altogether: the contaminated normal distribution (Tukey 1960).

A keypoint is predicted from all others, the network's pose among them. What lies so far off that a gross error explains
it better than noise is believed accordingly less.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.compiler import compiled_within
from diffmocap.lifting.correction.cholesky import invert
from diffmocap.lifting.correction.records import ROWS

#: Share of keypoints that are wrong, and their standard deviations: over the box's half-size; of depths [m].
SHARE, IMAGE_ERROR, DEPTH_ERROR_M = 0.02, 0.25, 0.5
_LOG_ODDS = math.log(SHARE / (1 - SHARE))


def wrong_variance() -> np.ndarray:
    """[75] variances of wrong rows."""
    variance = np.full(ROWS, IMAGE_ERROR**2)
    variance[2 * NUM_KEYPOINTS :] = DEPTH_ERROR_M**2
    return variance


@compiled_within
def inflated_variance(variance, wrong, wrong_variance):
    """Variance of a row that is ``wrong`` with some probability.

    Precisions are averaged, as expectation maximisation does: ``1 / v`` becomes ``(1 - wrong) / v + wrong / v_wrong``.
    """
    return variance / (1.0 - wrong * (1.0 - variance / wrong_variance))


@compiled_within
def wrong_probabilities(factor, packed, surplus, inverse, sums, wrong):
    """Probability of each row's keypoint, or depth, to be wrong; 0 where not used.

    Args:
        factor: [n, n + 1] Cholesky factor of the used rows' covariance, the residual whitened in the last column.
        surplus: [n] how much more variance the covariance gives a row's own noise than a right one has.
        inverse: [n, n], sums: [3, n]: room.
        wrong: [N] of all rows, is written.
    """
    images, depths = packed.counts[0], packed.counts[1]
    size = 2 * images + depths
    invert(factor, size, inverse)
    # Of the precision S^-1: its diagonal, the entries that couple a keypoint's x and y, and its product with the
    # residual.
    diagonal, coupling, weighted = sums[0, :size], sums[1, :images], sums[2, :size]
    diagonal[:], coupling[:], weighted[:] = 0.0, 0.0, 0.0
    for i in range(size):
        row, white = inverse[i, : i + 1], factor[i, size]
        for c in range(len(row)):
            diagonal[c] += row[c] * row[c]
            weighted[c] += row[c] * white
        if i >= images:
            x, y = inverse[i, :images], inverse[i, images : 2 * images]  # zeros right of the diagonal
            for c in range(len(x)):
                coupling[c] += x[c] * y[c]
    wrong[:] = 0.0
    # The error of a block, predicted from all other rows, is C^-1 (S^-1 r) of covariance C^-1, C its block of S^-1.
    for i in range(images):
        a, b, c = diagonal[i], coupling[i], diagonal[images + i]
        u, v = weighted[i], weighted[images + i]
        determinant = a * c - b * b
        x, y = (c * u - b * v) / determinant, (a * v - b * u) / determinant
        vx, vy = c / determinant - surplus[i], a / determinant - surplus[images + i]
        vxy = b / determinant  # of C^-1 with the sign turned
        more = IMAGE_ERROR * IMAGE_ERROR
        odds = _log_density(x, y, vx + more, vy + more, vxy) - _log_density(x, y, vx, vy, vxy) + _LOG_ODDS
        wrong[packed.row[i]] = wrong[packed.row[images + i]] = _probability(odds)
    for i in range(2 * images, size):
        variance = 1.0 / diagonal[i]
        error = variance * weighted[i]
        variance -= surplus[i]
        more = variance + DEPTH_ERROR_M * DEPTH_ERROR_M
        odds = 0.5 * (math.log(variance / more) + error * error * (1.0 / variance - 1.0 / more)) + _LOG_ODDS
        wrong[packed.row[i]] = _probability(odds)


@compiled_within
def _log_density(x, y, vx, vy, vxy):
    """Of a normal vector of two numbers, up to a constant; ``vxy`` is minus their covariance."""
    determinant = vx * vy - vxy * vxy
    return -0.5 * (math.log(determinant) + (vy * x * x + 2.0 * vxy * x * y + vx * y * y) / determinant)


@compiled_within
def _probability(log_odds):
    """Nearly singular covariances round to no variance at all: nothing is said of such rows."""
    return 0.0 if math.isnan(log_odds) else 1.0 / (1.0 + math.exp(-log_odds))
