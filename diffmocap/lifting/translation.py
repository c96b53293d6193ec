"""Root translation from projection: where the posed body must stand to cover its keypoints."""

from __future__ import annotations

import torch

from diffmocap.camera.projection import NEAREST_M


def solve_translation(
    points: torch.Tensor, rays: torch.Tensor, weights: torch.Tensor, iterations: int = 3, huber: float = 0.05
) -> torch.Tensor:
    """Weighted least squares for t in ``project(points + t) = rays``.

    Multiplying the projection by its depth makes it linear: ``t_xy - r t_z = r p_z - p_xy``, a 3x3 system a row.
    Rows are then divided by the depth found and down-weighted beyond ``huber`` (in units of the keypoints' spread),
    so that the result minimises the robust image error and a few wild keypoints do not move the body.

    Args:
        points: [B, N, 3] keypoints of the body with its pelvis at the origin [m].
        rays: [B, N, 2] observed keypoints on the plane at depth 1.
        weights: [B, N] >= 0; 0 ignores a keypoint. At least two must be positive.

    Returns:
        [B, 3] translation of the pelvis [m]; its depth is at least :data:`~diffmocap.camera.projection.NEAREST_M`.
    """
    r, p = rays, points
    spread = (rays * (weights > 0)[..., None]).abs().amax((1, 2)).clamp_min(1e-3)
    rhs = r * p[..., 2:] - p[..., :2]
    w = weights
    t = torch.zeros_like(points[:, 0])
    for i in range(iterations):
        sw, swr = w.sum(1), (w[..., None] * r).sum(1)
        swrr = (w * (r * r).sum(-1)).sum(1)
        b_xy = (w[..., None] * rhs).sum(1)
        b_z = -(w * (r * rhs).sum(-1)).sum(1)
        # Eliminate t_xy = (b_xy + swr t_z) / sw from the normal equations.
        denominator = (swrr - (swr * swr).sum(-1) / sw).clamp_min(1e-9)
        t_z = (b_z + (swr * b_xy).sum(-1) / sw) / denominator
        t_z = t_z.clamp_min(NEAREST_M)
        t_xy = (b_xy + swr * t_z[:, None]) / sw[:, None]
        t = torch.cat([t_xy, t_z[:, None]], -1)
        if i + 1 < iterations:
            depth = (p[..., 2] + t[:, None, 2]).clamp_min(NEAREST_M)
            projected = (p[..., :2] + t[:, None, :2]) / depth[..., None]
            residual = (projected - r).norm(dim=-1) / spread[:, None]
            robust = torch.where(residual > huber, huber / residual.clamp_min(1e-9), torch.ones_like(residual))
            w = weights * robust * (t[:, 2:] / depth) ** 2
    return t
