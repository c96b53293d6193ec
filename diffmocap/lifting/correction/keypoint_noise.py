"""How noisy the keypoints are, judged by their own image: the evidence of several candidates of the noise.

Keypoints hang together: a head or a foot is rigid, limbs have lengths, and the network's errors have a measured
covariance. So the residual that the network's pose leaves tells whether the keypoints are exact, noisy, or have the
errors of the detector. Every candidate is weighed by its marginal likelihood (MacKay 1992, "Bayesian interpolation"),
and the noise that is used is the candidates' mean by these weights. Independent noise and noise like the detector's are
as likely beforehand.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.compiler import compiled_within
from diffmocap.lifting.correction.cholesky import eliminate, is_number, log_density
from diffmocap.lifting.correction.outliers import inflated_variance, wrong_variance
from diffmocap.lifting.correction.records import ROWS, Candidates

#: Independent noise: standard deviations over the box's half-size; of depths [m].
IMAGE_NOISE = (0.0015, 0.006, 0.02, 0.05)
DEPTH_NOISE_M = (0.003, 0.02, 0.06, 0.15)
#: Noise like the detector's: factors of its measured standard deviations.
DETECTOR_SCALES = (0.6, 1.5)
#: The network's errors in this image: factors of the measured covariance.
ERROR_SCALES = (1.0, 4.0)

_IMAGE = 2 * NUM_KEYPOINTS
_LEVELS, _DEPTHS, _SCALES, _ERRORS = len(IMAGE_NOISE), len(DEPTH_NOISE_M), len(DETECTOR_SCALES), len(ERROR_SCALES)
#: Candidates of one scale of errors: every level of the image with every one of the depths, then the detector's.
_PAIRS = _LEVELS * _DEPTHS
_KINDS = _PAIRS + _SCALES
#: How many are weighed.
CANDIDATES = _ERRORS * _KINDS
_LOG_PAIRS, _LOG_SCALES = math.log(_PAIRS), math.log(_SCALES)


def candidates(detector: np.ndarray) -> Candidates:
    """For the covariance [75, 75] of the detector's errors."""
    image, depth = np.square(IMAGE_NOISE), np.square(DEPTH_NOISE_M)
    # The detector's noise has a floor, that of the most exact keypoints.
    floor = np.full(ROWS, image[0])
    floor[_IMAGE:] = depth[0]
    return Candidates(
        np.ascontiguousarray(detector), detector.diagonal().copy(), floor, wrong_variance(), image, depth,
        np.square(DETECTOR_SCALES), np.array(ERROR_SCALES),
    )  # fmt: skip


@compiled_within
def combine(errors, covariances, expected, size, out):
    """Upper triangle of ``errors * from_errors + from_body`` into ``out`` [size, size], ``expected`` beside it."""
    from_errors, from_body = covariances.from_errors, covariances.from_body
    for i in range(size):
        row, a, b = out[i, i:size], from_errors[i, i:size], from_body[i, i:size]
        for c in range(len(row)):
            row[c] = errors * a[c] + b[c]
        out[i, size] = expected[i]


@compiled_within
def add_noise(candidates, independent, scale, wrong, packed, factors, out):
    """Adds noise to the upper triangle of ``out`` [n, n], for the packed rows.

    It is ``diag(independent) + scale * D`` with the detector's covariance D, each row's standard deviation as much
    larger as its probability ``wrong`` to be wrong says.

    Args:
        independent, wrong: [N] of all rows. factors: [n], room.
    """
    size = 2 * packed.counts[0] + packed.counts[1]
    for i in range(size):
        at = packed.row[i]
        variance = independent[at] + scale * candidates.variance[at]
        squared = inflated_variance(variance, wrong[at], candidates.wrong[at]) / variance
        factors[i] = math.sqrt(squared)
        out[i, i] += independent[at] * squared
    if scale != 0.0:
        for i in range(size):
            at, factor = packed.row[i], scale * factors[i]
            for c in range(i, size):
                out[i, c] += factor * factors[c] * candidates.detector[at, packed.row[c]]


@compiled_within
def weigh(candidates, expected, relative_noise, packed, covariances, level):
    """The mean of the candidates by their evidence, into ``level``, whose ``wrong`` is given.

    Args:
        expected: [n] residual of the packed rows. relative_noise: [N] of all rows.
        covariances: of the residual, by the network's errors and by place and shape.
    """
    evidence, trial, tail = covariances.evidence, covariances.trial, covariances.tail
    images, depths, size = 2 * packed.counts[0], packed.counts[1], 2 * packed.counts[0] + packed.counts[1]
    for i in range(len(relative_noise)):
        level.independent[i] = candidates.floor[i] * relative_noise[i] * relative_noise[i]
    for e in range(_ERRORS):
        first = e * _KINDS
        for kind in range(_LEVELS + _SCALES):
            combine(candidates.errors[e], covariances, expected, size, trial)
            if kind >= _LEVELS:  # like the detector's
                s = kind - _LEVELS
                scale, room = candidates.scales[s], covariances.sums[3]
                add_noise(candidates, level.independent, scale, level.wrong, packed, room, trial)
                eliminate(trial, 0, size, size, size + 1)
                evidence[first + _PAIRS + s] = log_density(trial, 0, size, size) - _LOG_SCALES
                continue
            # Independent noise: first the evidence of the image's rows, then that of the depths given these.
            _add_level(candidates.image[kind], relative_noise, packed, candidates, level.wrong, 0, images, trial)
            eliminate(trial, 0, images, size, size + 1)
            known = log_density(trial, 0, images, size) - _LOG_PAIRS
            for deeper in range(_DEPTHS):
                for i in range(depths):
                    row, out = trial[images + i, images : size + 1], tail[i]
                    for c in range(i, depths + 1):
                        out[c] = row[c]
                variance = candidates.depth[deeper]
                _add_level(variance, relative_noise, packed, candidates, level.wrong, images, size, tail)
                eliminate(tail, 0, depths, depths, depths + 1)
                evidence[first + kind * _DEPTHS + deeper] = known + log_density(tail, 0, depths, depths)
    greatest = -math.inf
    for i in range(len(evidence)):
        if not is_number(evidence[i]):
            evidence[i] = -1e30
        greatest = max(greatest, evidence[i])
    total = 0.0
    for i in range(len(evidence)):
        evidence[i] = math.exp(evidence[i] - greatest)
        total += evidence[i]
    image, depth, of_scales, scale, errors = 0.0, 0.0, 0.0, 0.0, 0.0
    for e in range(_ERRORS):
        for kind in range(_KINDS):
            weight = evidence[e * _KINDS + kind] / total
            errors += weight * math.log(candidates.errors[e])
            if kind < _PAIRS:
                image += weight * candidates.image[kind // _DEPTHS]
                depth += weight * candidates.depth[kind % _DEPTHS]
            else:
                of_scales += weight
                scale += weight * candidates.scales[kind - _PAIRS]
    for i in range(len(relative_noise)):
        variance = (image if i < _IMAGE else depth) + of_scales * candidates.floor[i]
        level.independent[i] = variance * relative_noise[i] * relative_noise[i]
    level.factors[0], level.factors[1] = scale, math.exp(errors)


@compiled_within
def _add_level(variance, relative_noise, packed, candidates, wrong, begin, end, out):
    """Adds independent noise to the diagonal of ``out``, whose first row is the packed row ``begin``."""
    for i in range(begin, end):
        at = packed.row[i]
        own = variance * relative_noise[at] * relative_noise[at]
        out[i - begin, i - begin] += inflated_variance(own, wrong[at], candidates.wrong[at])
