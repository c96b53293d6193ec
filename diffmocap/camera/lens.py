"""Lens distortion: the models that are known, and taking it out of keypoints."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from diffmocap.errors import SettingsError
from diffmocap.types import COEFFICIENTS, CameraIntrinsics, Keypoints2D

#: Distortion models by ROS name, with the numbers of coefficients that they may have. An empty name is OpenCV's own.
LENGTHS = {
    "plumb_bob": (4, 5),
    "rational_polynomial": COEFFICIENTS[1:],
    "thin_prism": (12, 14),
    "": COEFFICIENTS[1:],
    "equidistant": (4,),
}
FISHEYE_MODEL = "equidistant"
#: Other names of the same.
_ALIASES = {"fisheye": FISHEYE_MODEL}
#: A point farther from the optical axis has no useful place in the image of an ideal pinhole [degrees].
MAX_ANGLE_DEG = 80.0
#: Undistorted points must come back to where they were seen [px]; beyond the range of a calibration they do not.
TOLERANCE_PX = 0.5
#: OpenCV's five iterations leave pixels where the lens bends much; so Newton's method goes on.
_NEWTON_STEPS, _DERIVATIVE_STEP, _CONVERGED_PX = 8, 1e-5, 1e-3


def lens_of(model: str, coefficients: np.ndarray) -> tuple[tuple[float, ...], bool]:
    """OpenCV's coefficients, none for an ideal pinhole, and whether they are those of its fisheye model.

    Zero distortion is an ideal pinhole, whatever the model is called. Zeros behind the coefficients are left out.

    Raises:
        SettingsError: for a model that is not known, or coefficients that are not its.
    """
    coefficients = np.asarray(coefficients, float).reshape(-1)
    if not coefficients.any():
        return (), False
    name = _ALIASES.get(model, model)
    if name not in LENGTHS:
        raise SettingsError(
            f"the distortion model '{model}' is not supported, expected {', '.join(filter(None, LENGTHS))}; "
            "rectify the images first (image_proc) and use the rectified topic, with pose_node's parameter "
            "rectified: true where its name has no 'rect'"
        )
    allowed = LENGTHS[name]
    used = len(coefficients)
    if used not in allowed:
        used = max((n for n in allowed if n < used and not coefficients[n:].any()), default=0)
    if not used or not np.isfinite(coefficients).all():
        raise SettingsError(
            f"'{model}' distortion takes {', '.join(map(str, (0, *allowed)))} finite coefficients, "
            f"got {coefficients[:16].tolist()}; calibrate the camera again"
        )
    return tuple(coefficients[:used].tolist()), name == FISHEYE_MODEL


def model_name(intrinsics: CameraIntrinsics) -> str:
    """ROS's name of the lens's distortion model; an ideal pinhole is a plumb bob without distortion."""
    if intrinsics.fisheye:
        return FISHEYE_MODEL
    return "rational_polynomial" if len(intrinsics.distortion) > 5 else "plumb_bob"


def distort(positions: np.ndarray, intrinsics: CameraIntrinsics) -> np.ndarray:
    """Pixels [N, 2] where the camera sees what has the positions [N, 2] on the image plane at depth 1."""
    positions = np.asarray(positions, np.float64).reshape(-1, 1, 2)
    k, coefficients = intrinsics.matrix, np.array(intrinsics.distortion)
    if intrinsics.fisheye:
        return cv2.fisheye.distortPoints(positions, k, coefficients).reshape(-1, 2)
    points = np.concatenate([positions, np.ones_like(positions[..., :1])], -1)
    return cv2.projectPoints(points, np.zeros(3), np.zeros(3), k, coefficients)[0].reshape(-1, 2)


def undistort(points_px: np.ndarray, intrinsics: CameraIntrinsics) -> np.ndarray:
    """Positions [N, 2] on the image plane at depth 1 of pixels [N, 2] that the camera sees.

    NaN for those that an ideal pinhole cannot show, or which lie where the distortion has no inverse.
    """
    points = np.asarray(points_px, np.float64).reshape(-1, 1, 2)
    k, coefficients = intrinsics.matrix, np.array(intrinsics.distortion)
    if intrinsics.fisheye:
        ideal = cv2.fisheye.undistortPoints(points, k, coefficients).reshape(-1, 2)
    else:
        ideal = _refined(cv2.undistortPoints(points, k, coefficients).reshape(-1, 2), points[:, 0], intrinsics)
    with np.errstate(invalid="ignore"):
        known = np.linalg.norm(ideal, axis=-1) < math.tan(math.radians(MAX_ANGLE_DEG))
        back = distort(np.where(known[:, None], ideal, 0.0), intrinsics)
        known &= np.linalg.norm(back - points[:, 0], axis=-1) < TOLERANCE_PX
    return np.where(known[:, None], ideal, np.nan)


def _refined(ideal: np.ndarray, points_px: np.ndarray, intrinsics: CameraIntrinsics) -> np.ndarray:
    """Positions [N, 2] that the camera sees at ``points_px`` [N, 2], by Newton's method from rough ones."""
    limit = 2.0 * math.tan(math.radians(MAX_ANGLE_DEG))
    steps = _DERIVATIVE_STEP * np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    for _ in range(_NEWTON_STEPS):
        ideal = np.clip(np.nan_to_num(ideal), -limit, limit)
        seen, *sides = distort(ideal + steps[:, None], intrinsics).reshape(5, -1, 2)
        missing_px = points_px - seen
        if np.abs(missing_px).max() < _CONVERGED_PX:
            break
        (ux, vx), (uy, vy) = ((sides[i] - sides[i + 1]).T / (2.0 * _DERIVATIVE_STEP) for i in (0, 2))
        determinant = ux * vy - uy * vx
        determinant = np.where(np.abs(determinant) > 1e-6, determinant, np.inf)  # no step where the lens folds over
        du, dv = missing_px.T
        ideal = ideal + np.stack([vy * du - uy * dv, ux * dv - vx * du], -1) / determinant[:, None]
    return ideal


def undistort_keypoints(keypoints: Keypoints2D, intrinsics: CameraIntrinsics) -> Keypoints2D:
    """Keypoints as an ideal pinhole with the same K would see them; missing ones stay zero.

    One that an ideal pinhole cannot show (80 degrees from the axis of a fisheye lens) becomes a missing one.
    """
    seen = keypoints.confidence > 0
    if not intrinsics.distortion or not seen.any():
        return keypoints
    ideal = undistort(keypoints.points_px[seen], intrinsics)
    ideal = ideal * [intrinsics.fx, intrinsics.fy] + [intrinsics.cx, intrinsics.cy]
    known = np.isfinite(ideal).all(-1)
    points_px, confidence = np.zeros_like(keypoints.points_px), keypoints.confidence.copy()
    points_px[seen] = np.where(known[:, None], ideal, 0.0)
    confidence[seen] *= known
    return replace(keypoints, points_px=points_px, confidence=confidence)
