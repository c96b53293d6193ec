"""Camera intrinsics: where they come from, other image sizes, and taking lens distortion out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import yaml

from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: OpenCV's distortion models by ROS name, with the numbers of coefficients that they may have.
_DISTORTION_LENGTHS = {"plumb_bob": (0, 4, 5), "rational_polynomial": (0, 4, 5, 8, 12, 14), "": (0, 4, 5, 8, 12, 14)}


def from_arrays(
    k: np.ndarray,
    distortion: np.ndarray,
    calibrated_size: tuple[int, int],
    image_size: tuple[int, int],
    distortion_model: str = "plumb_bob",
    vertical_fov_deg: float = 50.0,
) -> CameraIntrinsics:
    """Intrinsics for images of ``image_size`` from the fields of a CameraInfo message.

    Args:
        k: [3, 3] camera matrix in pixels; all zero means not calibrated.
        distortion: coefficients of ``distortion_model``; all zero or none for an ideal pinhole.
        calibrated_size: (width, height) that ``k`` refers to; (0, 0) for that of the image.
        image_size: (width, height) of the images at hand; ``k`` is scaled to it.
        vertical_fov_deg: field of view to assume where nobody calibrated the camera.

    Returns:
        The intrinsics, with ``is_default`` set where ``k`` is all zero.

    Raises:
        SettingsError: where ``k`` or the distortion cannot be used.
    """
    k = np.asarray(k, float)
    if k.shape != (3, 3):
        raise SettingsError(f"expected a camera matrix [3, 3], got {k.shape}")
    if not k.any():
        return CameraIntrinsics.from_fov(*image_size, vertical_fov_deg)
    distortion = np.asarray(distortion, float).reshape(-1)
    if distortion_model not in _DISTORTION_LENGTHS:
        raise SettingsError(
            f"the distortion model '{distortion_model}' is not supported, expected plumb_bob or rational_polynomial; "
            "rectify the images first (image_proc) and use the rectified topic"
        )
    allowed = _DISTORTION_LENGTHS[distortion_model]
    if len(distortion) not in allowed or not np.isfinite(distortion).all():
        raise SettingsError(
            f"'{distortion_model}' distortion takes {', '.join(map(str, allowed))} finite coefficients, "
            f"got {distortion.tolist()}; calibrate the camera again"
        )
    width, height = calibrated_size if all(calibrated_size) else image_size
    made = CameraIntrinsics(
        width,
        height,
        float(k[0, 0]),
        float(k[1, 1]),
        float(k[0, 2]),
        float(k[1, 2]),
        tuple(distortion.tolist()) if distortion.any() else (),
    )
    return scaled(made, *image_size)


def load_calibration(path: str | Path) -> CameraIntrinsics:
    """Reads the YAML file that ROS's camera_calibration writes.

    Raises:
        SettingsError: where the file is missing or holds no calibration.
    """
    advice = "make one with camera_calibration's cameracalibrator, or leave it out to use the default field of view"
    try:
        document = yaml.safe_load(Path(path).expanduser().read_text())
        k = np.array(document["camera_matrix"]["data"], float).reshape(3, 3)
        coefficients = np.array(document.get("distortion_coefficients", {}).get("data", []), float)
        size = int(document["image_width"]), int(document["image_height"])
        model = str(document.get("distortion_model", "plumb_bob"))
    except OSError as error:
        raise SettingsError(f"cannot read the camera calibration '{path}': {error.strerror}; {advice}") from error
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"'{path}' is no camera calibration: expected image_width, image_height and camera_matrix.data with "
            f"9 numbers ({type(error).__name__}: {error}); {advice}"
        ) from error
    return from_arrays(k, coefficients, size, size, model)


def scaled(intrinsics: CameraIntrinsics, width: int, height: int) -> CameraIntrinsics:
    """The same camera delivering images of another size, scaled and not cropped."""
    if (width, height) == (intrinsics.width, intrinsics.height):
        return intrinsics
    sx, sy = width / intrinsics.width, height / intrinsics.height
    return replace(
        intrinsics,
        width=width,
        height=height,
        fx=intrinsics.fx * sx,
        fy=intrinsics.fy * sy,
        cx=intrinsics.cx * sx,
        cy=intrinsics.cy * sy,
    )


def undistort_keypoints(keypoints: Keypoints2D, intrinsics: CameraIntrinsics) -> Keypoints2D:
    """Keypoints as an ideal pinhole with the same K would see them; missing ones stay zero."""
    seen = keypoints.confidence > 0
    if not intrinsics.distortion or not seen.any():
        return keypoints
    points = keypoints.points_px[seen].astype(np.float64).reshape(-1, 1, 2)
    k = intrinsics.matrix
    ideal = cv2.undistortPoints(points, k, np.array(intrinsics.distortion), P=k).reshape(-1, 2)
    points_px = np.zeros_like(keypoints.points_px)
    points_px[seen] = ideal
    return replace(keypoints, points_px=points_px)
