"""Fits the mapping from MediaPipe's landmarks to the body model's keypoints, and its residuals.

Every keypoint is an affine combination of a few landmarks around it: robust least squares (Huber weights), regularised
towards the plain selection of a landmark. People and their mirror images have the same weight, so the fit is symmetric.
"""

from __future__ import annotations

import numpy as np

from benchmarks.detector.alteration import LANDMARK_MIRROR
from benchmarks.detector.crop import CropView, folds
from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES, NUM_KEYPOINTS
from diffmocap.keypoints.body25 import LANDMARK_NAMES, NUM_LANDMARKS, PLAIN
from diffmocap.keypoints.landmark_mapping import LandmarkMapping

_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_HEAD = ("nose", "left_ear", "right_ear")
_FACE = (*_HEAD, "left_eye", "right_eye", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder")
_LEG = ("left_knee", "left_ankle", "left_heel", "left_foot_index")
#: Landmarks that a keypoint may depend on, for the middle and the left; the right mirrors the left. The head tells the
#: hips which way is forward, the hips tell the toes which way is outward.
SUPPORT = {
    "Nose": _FACE, "LEye": _FACE, "LEar": _FACE, "Neck": (*_TORSO, *_HEAD),
    "LShoulder": (*_TORSO, *_HEAD, "left_elbow"), "LElbow": ("left_shoulder", "left_elbow", "left_wrist"),
    "LWrist": ("left_elbow", "left_wrist", "left_index", "left_pinky", "left_thumb"),
    "MidHip": (*_TORSO, *_HEAD), "LHip": (*_TORSO, *_HEAD),
    "LKnee": ("left_hip", "left_knee", "left_ankle", "left_foot_index"),
    "LAnkle": _LEG, "LHeel": _LEG, "LBigToe": (*_LEG, "left_hip", "right_hip"),
}  # fmt: skip

#: Pull towards the plain selection: what a squared weight costs a row, in squared half-sizes and squared metres.
POINT_RIDGE, DEPTH_RIDGE = 1e-3, 3e-4
#: Errors above these count linearly (half-sizes, metres).
POINT_HUBER, DEPTH_HUBER = 0.05, 0.15
ITERATIONS = 8


def fit_mapping(view: CropView, chosen: np.ndarray | None = None) -> LandmarkMapping:
    """The mapping of the chosen frames ([M] bool, default all)."""
    chosen = np.ones(len(view.yaw), bool) if chosen is None else chosen
    mirror = view.mirrored()
    points, depth = PLAIN.copy(), np.zeros((NUM_KEYPOINTS, NUM_LANDMARKS))
    offset = np.zeros(NUM_KEYPOINTS)
    for name, support in SUPPORT.items():
        k = KEYPOINT_NAMES.index(name)
        j = [LANDMARK_NAMES.index(s) for s in support]
        both = [(v, chosen & v.seen[:, k]) for v in (view, mirror)]
        points[k] = _fit_point(both, k, j)
        if name != "MidHip":
            torso = sorted({*j, *(LANDMARK_NAMES.index(s) for s in _TORSO)})
            depth[k], offset[k] = _fit_depth(both, k, torso)
        other = KEYPOINT_MIRROR[k]
        points[other], depth[other], offset[other] = points[k][LANDMARK_MIRROR], depth[k][LANDMARK_MIRROR], offset[k]
        if other == k:  # symmetric up to rounding; make it exact
            points[k] = 0.5 * (points[k] + points[k][LANDMARK_MIRROR])
            depth[k] = 0.5 * (depth[k] + depth[k][LANDMARK_MIRROR])
    return LandmarkMapping(points, depth, offset)


def held_out(view: CropView) -> tuple[np.ndarray, np.ndarray]:
    """Points [M, 25, 2] and depths [M, 25] m that the mapping gives for subjects that it was not fitted to."""
    fold = folds(view.group)
    points, depth = np.zeros_like(view.truth), np.zeros_like(view.depth)
    for f in np.unique(fold):
        mapping, rows = fit_mapping(view, fold != f), fold == f
        points[rows] = np.einsum("kj,njd->nkd", mapping.points, view.landmarks[rows])
        depth[rows] = view.landmark_z[rows] @ mapping.depth.T + mapping.depth_offset
    return points, depth


def _fit_point(both: list[tuple[CropView, np.ndarray]], k: int, support: list[int]) -> np.ndarray:
    rows, targets = [], []
    for view, use in both:
        plain = np.einsum("j,njd->nd", PLAIN[k], view.landmarks[use])
        rows.append((view.landmarks[use][:, support] - plain[:, None]).transpose(0, 2, 1).reshape(-1, len(support)))
        targets.append((view.truth[use, k] - plain).reshape(-1))
    a, b = np.concatenate(rows), np.concatenate(targets)
    v = robust_ridge(a, b, np.full(len(support), POINT_RIDGE), POINT_HUBER, pair=2)
    row = (1.0 - v.sum()) * PLAIN[k]
    row[support] += v
    return row


def _fit_depth(both: list[tuple[CropView, np.ndarray]], k: int, support: list[int]) -> tuple[np.ndarray, float]:
    rows, targets = [], []
    for view, use in both:
        z = view.landmark_z[use]
        plain = z @ PLAIN[k]
        rows.append(np.concatenate([plain[:, None], z[:, support] - plain[:, None], np.ones((len(z), 1))], 1))
        targets.append(view.depth[use, k] - plain)
    a, b = np.concatenate(rows), np.concatenate(targets)
    ridge = np.full(a.shape[1], DEPTH_RIDGE)
    ridge[[0, -1]] *= 0.1, 0.01  # the gain and the offset are sure
    v = robust_ridge(a, b, ridge, DEPTH_HUBER)
    row = (1.0 + v[0] - v[1:-1].sum()) * PLAIN[k]
    row[support] += v[1:-1]
    return row, float(v[-1])


def robust_ridge(a: np.ndarray, b: np.ndarray, ridge: np.ndarray, huber: float, pair: int = 1) -> np.ndarray:
    """argmin over v of the Huber loss of ``b - a v`` plus ``ridge v^2`` a row, by reweighting.

    ``pair`` rows that follow each other are one error (x and y of a point).
    """
    weight = np.ones(len(b))
    for _ in range(ITERATIONS):
        weighted = a * weight[:, None]
        v = np.linalg.solve(weighted.T @ a + len(b) * np.diag(ridge), weighted.T @ b)
        error = np.linalg.norm((b - a @ v).reshape(-1, pair), axis=1)
        weight = np.repeat(np.minimum(1.0, huber / np.maximum(error, 1e-9)), pair)
    return v
