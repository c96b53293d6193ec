"""Keypoints that are wrong altogether: the contaminated normal distribution (Tukey 1960).

A keypoint is predicted from all others, the network's pose among them. What lies so far off that a gross error explains
it better than noise is believed accordingly less.
"""

from __future__ import annotations

import math

import torch

from diffmocap.body.skeleton import NUM_KEYPOINTS

#: Share of keypoints that are wrong, and their standard deviations: over the box's half-size; of depths [m].
SHARE, IMAGE_ERROR, DEPTH_ERROR_M = 0.02, 0.25, 0.5
_LOG_ODDS = math.log(SHARE / (1 - SHARE))


def wrong_variance(rows: int, device: torch.device | str) -> torch.Tensor:
    """[n] variances of wrong rows, float64."""
    variance = torch.full((rows,), IMAGE_ERROR**2, dtype=torch.float64, device=device)
    variance[2 * NUM_KEYPOINTS :] = DEPTH_ERROR_M**2
    return variance


def inflation(variance: torch.Tensor, wrong: torch.Tensor, wrong_variance: torch.Tensor) -> torch.Tensor:
    """Factors [..., n] of the standard deviation of rows that are ``wrong`` [..., n] with some probability.

    Precisions are averaged, as expectation maximisation does: ``1 / v`` becomes ``(1 - wrong) / v + wrong / v_wrong``.
    """
    return (1 - wrong * (1 - variance / wrong_variance)).rsqrt()


def wrong_probability(
    covariance: torch.Tensor, residual: torch.Tensor, surplus: torch.Tensor, used: torch.Tensor
) -> torch.Tensor:
    """[B, n] probability of each row's keypoint, or depth, to be wrong.

    Args:
        covariance: [B, n, n] of the residual. residual: [B, n], 0 where not used.
        surplus: [B, n] how much more variance ``covariance`` gives a row's own noise than a right one has.
        used: [B, n] bool.
    """
    precision = torch.cholesky_inverse(torch.linalg.cholesky_ex(covariance)[0])
    weighted, diagonal = (precision @ residual[..., None])[..., 0], precision.diagonal(dim1=-2, dim2=-1)
    k = NUM_KEYPOINTS
    # The error of a block, predicted from all other rows, is C^-1 (S^-1 r) of covariance C^-1, C its block of S^-1.
    a, c, b = diagonal[:, :k], diagonal[:, k : 2 * k], precision[:, :k, k : 2 * k].diagonal(dim1=-2, dim2=-1)
    u, v = weighted[:, :k], weighted[:, k : 2 * k]
    determinant = a * c - b * b
    ex, ey = (c * u - b * v) / determinant, (a * v - b * u) / determinant
    # Right and wrong side by side: [2, B, 25].
    added = torch.tensor([0.0, IMAGE_ERROR**2], dtype=a.dtype, device=a.device)[:, None, None]
    vx, vy = c / determinant - surplus[:, :k] + added, a / determinant - surplus[:, k : 2 * k] + added
    vxy = b / determinant  # of C^-1 with the sign turned
    determinant = vx * vy - vxy * vxy
    distance = (vy * ex * ex + 2 * vxy * ex * ey + vx * ey * ey) / determinant
    right, gross = (-0.5 * (determinant.log() + distance)).unbind(0)
    wrong = [(gross - right + _LOG_ODDS).sigmoid()] * 2
    if covariance.shape[-1] > 2 * k:
        variance = 1 / diagonal[:, 2 * k :]
        error = variance * weighted[:, 2 * k :]
        variance = variance - surplus[:, 2 * k :]
        more = variance + DEPTH_ERROR_M**2
        gain = 0.5 * ((variance / more).log() + error.square() * (1 / variance - 1 / more))
        wrong.append((gain + _LOG_ODDS).sigmoid())
    # Nearly singular covariances round to no variance at all: nothing is said of such rows.
    return (torch.cat(wrong, 1) * used).nan_to_num()
