"""Errors of estimated 3D poses against the truth, shared by every benchmark.

Positions are arrays [T, J, 3] in metres; both sides list the same joints. Errors come back in millimetres.
"""

from __future__ import annotations

import numpy as np

from diffmocap.errors import SettingsError


def mpjpe_mm(estimate: np.ndarray, truth: np.ndarray, root: tuple[int, ...] = ()) -> float:
    """Mean per-joint position error [mm] after both sides were moved to a common root.

    ``root`` names the columns whose mean is the origin (the two hips, say); empty compares positions as they are.
    """
    estimate, truth = _checked(estimate, truth)
    if root:
        columns = list(root)
        estimate = estimate - estimate[:, columns].mean(axis=1, keepdims=True)
        truth = truth - truth[:, columns].mean(axis=1, keepdims=True)
    return 1e3 * float(np.linalg.norm(estimate - truth, axis=-1).mean())


def pa_mpjpe_mm(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Mean per-joint position error [mm] after the best similarity transform of every frame (Procrustes)."""
    estimate, truth = _checked(estimate, truth)
    return 1e3 * float(np.linalg.norm(procrustes(estimate, truth) - truth, axis=-1).mean())


def procrustes(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """``estimate`` [T, J, 3] after the rotation, scale and translation of each frame that fit ``truth`` best.

    Least squares over proper rotations (Umeyama 1991). An estimate that is a single point stays one.
    """
    estimate, truth = _checked(estimate, truth)
    mean_estimate, mean_truth = estimate.mean(axis=1, keepdims=True), truth.mean(axis=1, keepdims=True)
    x, y = estimate - mean_estimate, truth - mean_truth
    u, s, vt = np.linalg.svd(np.einsum("tji,tjk->tik", y, x))  # y^T x = U S V^T
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))  # no reflections
    rotation = (u * sign[:, None, :]) @ vt
    spread = np.maximum((x**2).sum(axis=(1, 2)), 1e-12)
    scale = (s * sign).sum(axis=1) / spread
    return scale[:, None, None] * x @ rotation.transpose(0, 2, 1) + mean_truth


def keypoint_error_px(estimate: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean distance [px] of keypoints [T, K, 2], over those with a positive weight [T, K]; NaN if there are none."""
    distance = np.linalg.norm(np.asarray(estimate, float) - np.asarray(truth, float), axis=-1)
    if weight is None:
        return float(distance.mean())
    seen = np.asarray(weight) > 0
    return float(distance[seen].mean()) if seen.any() else float("nan")


def _checked(estimate: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    if estimate.shape != truth.shape or estimate.ndim != 3 or estimate.shape[-1] != 3 or estimate.size == 0:
        raise SettingsError(
            f"expected two arrays [T, J, 3] of the same frames and joints, got {estimate.shape} and {truth.shape}"
        )
    if not (np.isfinite(estimate).all() and np.isfinite(truth).all()):
        raise SettingsError("positions must be finite; leave out frames without an estimate")
    return estimate, truth
