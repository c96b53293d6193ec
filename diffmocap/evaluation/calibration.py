"""Does the spread of K samples predict the error? Rank correlation, reliability and coverage of an ensemble.

Samples are [N, K, J, 3], truth [N, J, 3], in one unit of length and one frame.
"""

from __future__ import annotations

import numpy as np


def spread(samples: np.ndarray) -> np.ndarray:
    """[N, J] standard deviation of the K >= 2 samples about their mean (root of the variances' sum over the axes)."""
    variance = samples.var(axis=1, ddof=1).sum(axis=-1)
    return np.sqrt(variance)


def error_of_mean(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[N, J] distance of the samples' mean from the truth."""
    return np.linalg.norm(samples.mean(axis=1) - truth, axis=-1)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho of two [N]; equal values share their mean rank. NaN where one of them is constant."""
    a, b = _ranks(np.asarray(x)), _ranks(np.asarray(y))
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else float("nan")


def rank_correlation_by_joint(spread: np.ndarray, error: np.ndarray) -> np.ndarray:
    """[J] Spearman's rho over the frames between spread and error [N, J]."""
    return np.array([rank_correlation(s, e) for s, e in zip(spread.T, error.T, strict=True)])


def reliability(spread: np.ndarray, error: np.ndarray, samples: int, bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and observed root mean square error in ``bins`` equally filled bins of the spread.

    An ensemble drawn from the truth's own distribution has the error (1 + 1/K)^(1/2) spread about its mean: the two
    results [bins] are then equal.
    """
    order = np.argsort(spread, axis=None, kind="stable")
    groups = np.array_split(order, bins)
    predicted = [np.sqrt((1 + 1 / samples) * np.mean(spread.reshape(-1)[g] ** 2)) for g in groups]
    observed = [np.sqrt(np.mean(error.reshape(-1)[g] ** 2)) for g in groups]
    return np.array(predicted), np.array(observed)


def coverage(samples: np.ndarray, truth: np.ndarray, share: float) -> np.ndarray:
    """[N, J] in [0, 1], whether the truth lies in the region that should hold it with probability ``share``.

    The region is a ball about the mean. Of the K samples and the truth, each has a rank by its distance from the mean
    of all K + 1, and the truth is inside where its rank is among the first ``share`` of them (a multivariate rank
    histogram, Gneiting et al. 2008, section 2). The share of K + 1 ranks is seldom a whole number: the rank that it
    ends in counts in part, and equal distances share their ranks. The mean is therefore ``share``, for any K and any
    distribution, where truth and samples are drawn alike; less says that the samples are too sure.
    """
    count = samples.shape[1]
    pooled = np.concatenate([truth[:, None], samples], axis=1)
    distance = np.linalg.norm(pooled - pooled.mean(axis=1, keepdims=True), axis=-1)
    true, others = distance[:, :1], distance[:, 1:]
    rank = (others < true).sum(axis=1) + 0.5 * (others == true).sum(axis=1)
    return np.clip(share * (count + 1) - rank, 0.0, 1.0)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - 0.5 * (count - 1))[group]
