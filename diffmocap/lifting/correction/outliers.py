"""Keypoints that are wrong altogether: the contaminated normal distribution (Tukey 1960).

A keypoint is predicted from all others, the network's pose among them. What lies so far off that a gross error explains
it better than noise is believed accordingly less.
"""

from __future__ import annotations

import math

import torch

from diffmocap.lifting.correction.error_covariance import IMAGE_ROWS, ROWS

#: Share of keypoints that are wrong, and their standard deviations: over the box's half-size; of depths [m].
SHARE, IMAGE_ERROR, DEPTH_ERROR_M = 0.02, 0.25, 0.5


def inflation_of(variance: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    """Factors [..., n] of the standard deviation of rows that are ``wrong`` [..., n] with some probability.

    Precisions are averaged, as expectation maximisation does: ``1 / v -> (1 - wrong) / v + wrong / v_wrong``.
    """
    gross = torch.full_like(variance[..., :1], IMAGE_ERROR**2)
    if variance.shape[-1] == ROWS:
        depth = torch.full_like(variance[..., :1], DEPTH_ERROR_M**2)
        gross = torch.cat([gross.expand(*variance.shape[:-1], IMAGE_ROWS), depth.expand(*variance.shape[:-1], ROWS - IMAGE_ROWS)], -1)
    return ((1 - wrong) + wrong * variance / gross).rsqrt()


def outlier_probability(
    covariance: torch.Tensor, residual: torch.Tensor, noise: torch.Tensor, nominal: torch.Tensor, seen: torch.Tensor
) -> torch.Tensor:
    """[B, n] probability of each row's keypoint, or depth, to be wrong.

    Args:
        covariance: [B, n, n] of the residual. residual: [B, n], 0 where not seen.
        noise: [B, n] variances that ``covariance`` has for the rows' own noise. nominal: [B, n], those of right rows.
        seen: [B, n] bool.
    """
    precision = torch.cholesky_inverse(torch.linalg.cholesky_ex(covariance)[0])
    weighted = (precision @ residual[..., None])[..., 0]
    # The error of each block, predicted from all other rows, is C^-1 (S^-1 r) with its block C of S^-1.
    image = slice(0, IMAGE_ROWS)
    diagonal, w = precision.diagonal(dim1=-2, dim2=-1), weighted[:, image].unflatten(1, (-1, 2))
    xx, yy = diagonal[:, image].unflatten(1, (-1, 2)).unbind(-1)
    xy = precision.diagonal(offset=1, dim1=-2, dim2=-1)[:, 0:IMAGE_ROWS:2]
    determinant = (xx * yy - xy * xy).clamp_min(1e-300)
    vx, vy, vxy = yy / determinant, xx / determinant, -xy / determinant
    ex, ey = vx * w[..., 0] + vxy * w[..., 1], vxy * w[..., 0] + vy * w[..., 1]
    less = (nominal - noise)[:, image].unflatten(1, (-1, 2))
    vx, vy = vx + less[..., 0], vy + less[..., 1]

    def log_density(added: float) -> torch.Tensor:
        a, b = vx + added, vy + added
        det = (a * b - vxy * vxy).clamp_min(1e-300)
        return -0.5 * det.log() - 0.5 * (b * ex * ex - 2 * vxy * ex * ey + a * ey * ey) / det

    odds = math.log(SHARE / (1 - SHARE))
    wrong = [(log_density(IMAGE_ERROR**2) - log_density(0.0) + odds).sigmoid().repeat_interleave(2, 1)]
    if covariance.shape[-1] == ROWS:
        depth = slice(IMAGE_ROWS, ROWS)
        variance = 1 / diagonal[:, depth].clamp_min(1e-300)
        error = variance * weighted[:, depth]
        variance = (variance + (nominal - noise)[:, depth]).clamp_min(1e-12)
        more = variance + DEPTH_ERROR_M**2
        ratio = 0.5 * (variance / more).log() + 0.5 * error.square() * (1 / variance - 1 / more)
        wrong.append((ratio + odds).sigmoid())
    return torch.cat(wrong, 1) * seen
