"""Root translation from projection: where the posed body must stand to cover its keypoints."""

from __future__ import annotations

import numpy as np
import torch

from diffmocap import compiler
from diffmocap.camera.projection import NEAREST_M
from diffmocap.compiler import array
from diffmocap.errors import SettingsError


def solve_translation(
    points: torch.Tensor, rays: torch.Tensor, weights: torch.Tensor, iterations: int = 3, huber: float = 0.05
) -> torch.Tensor:
    """Weighted least squares for t in ``project(points + t) = rays``.

    Multiplying the projection by its depth makes it linear: ``t_xy - r t_z = r p_z - p_xy``, a 3x3 system a row.
    Rows are then divided by the depth found and down-weighted beyond ``huber`` (in units of the keypoints' spread),
    so that the result minimises the robust image error and a few wild keypoints do not move the body.

    It is computed in float64, by machine code or, where nothing compiles, by NumPy; no gradient passes.

    Args:
        points: [B, N, 3] keypoints of the body with its pelvis at the origin [m].
        rays: [B, N, 2] observed keypoints on the plane at depth 1.
        weights: [B, N] >= 0; 0 ignores a keypoint. At least two must be positive.

    Returns:
        [B, 3] translation of the pelvis [m]; its depth is at least :data:`~diffmocap.camera.projection.NEAREST_M`.

    Raises:
        SettingsError: arrays of other shapes, or no iteration.
    """
    p, r, given = array(points), array(rays), array(weights)
    if r.shape != (*p.shape[:2], 2) or given.shape != p.shape[:2] or iterations < 1:
        raise SettingsError(
            f"a translation takes points [B, N, 3], rays [B, N, 2], weights [B, N] and at least 1 iteration, got "
            f"{list(p.shape)}, {list(r.shape)}, {list(given.shape)} and {iterations}"
        )
    if compiler.available():
        from diffmocap.lifting.correction.translation_kernel import translations  # here, as it needs Numba

        found = np.empty((len(p), 3))
        translations(p, r, given, iterations, huber, found)
        return torch.from_numpy(found).to(points)
    spread = np.maximum(np.abs(r * (given > 0)[..., None]).max((1, 2)), 1e-3)[:, None]
    rhs = r * p[..., 2:] - p[..., :2]
    # What the normal equations are weighted sums of.
    terms = np.concatenate(
        [np.ones_like(r[..., :1]), r, rhs, (r * r).sum(-1, keepdims=True), (r * rhs).sum(-1, keepdims=True)], -1
    )
    w, t = given, np.zeros_like(p[:, 0])
    for i in range(iterations):
        sw, x, y, b_x, b_y, squares, b_z = (w[:, None] @ terms)[:, 0].T
        # Eliminate t_xy = (b_xy + swr t_z) / sw from the normal equations.
        denominator = np.maximum(squares - (x * x + y * y) / sw, 1e-9)
        z = np.maximum(((x * b_x + y * b_y) / sw - b_z) / denominator, NEAREST_M)
        t[:, 0], t[:, 1], t[:, 2] = (b_x + x * z) / sw, (b_y + y * z) / sw, z
        if i + 1 < iterations:
            placed = p + t[:, None]
            depth = np.maximum(placed[..., 2], NEAREST_M)
            off = placed[..., :2] / depth[..., None] - r
            residual = np.sqrt((off * off).sum(-1)) / spread
            w = given * (huber / np.maximum(residual, huber)) * (z[:, None] / depth) ** 2
    return torch.from_numpy(t).to(points)
