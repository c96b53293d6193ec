"""The YAML file of a camera's calibration, as ROS's camera_calibration writes it and camera drivers read it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from diffmocap.camera.intrinsics import from_arrays
from diffmocap.camera.lens import model_name
from diffmocap.errors import SettingsError
from diffmocap.files.yaml_file import parse_yaml
from diffmocap.types import CameraIntrinsics

#: A calibration takes less than 2 kB.
MAX_BYTES = 100_000
MAX_IMAGE_SIZE = 100_000

_ADVICE = (
    "make one with `diffmocap calibrate` or camera_calibration's cameracalibrator, or leave it out to use the default "
    "field of view"
)


def load_calibration(path: str | Path) -> CameraIntrinsics:
    """Reads the YAML file that ``diffmocap calibrate`` and ROS's camera_calibration write.

    Raises:
        SettingsError: where the file is missing, holds no calibration, or one that cannot be used.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"cannot read the camera calibration '{path}': {error.strerror}; {_ADVICE}") from error
    try:
        if len(content) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES // 1000} kB")
        document = parse_yaml(content)
        k = np.array(_numbers(document["camera_matrix"]["data"])).reshape(3, 3)
        coefficients = np.array(_numbers((document.get("distortion_coefficients") or {}).get("data") or []))
        size = _size(document["image_width"]), _size(document["image_height"])
        model = document.get("distortion_model") or ""
        if not isinstance(model, str):
            raise TypeError("distortion_model is no text")
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise SettingsError(
            f"'{path}' is no camera calibration: expected image_width, image_height and camera_matrix.data with "
            f"9 numbers ({type(error).__name__}: {error}); {_ADVICE}"
        ) from error
    try:
        made = from_arrays(k, coefficients, size, size, model)
    except SettingsError as error:
        raise SettingsError(f"the calibration in '{path}' cannot be used: {error}") from error
    if made.is_default:
        raise SettingsError(f"the calibration in '{path}' says that nobody calibrated the camera (fx is 0); {_ADVICE}")
    return made


def write_calibration(path: str | Path, intrinsics: CameraIntrinsics, camera_name: str) -> None:
    """Writes the file, whole or not at all.

    Its projection matrix is, as cameracalibrator's, the one that keeps of the rectified image what is inside the raw.
    """
    path = Path(path).expanduser()
    part = path.with_name(f"{path.name}.part")
    part.write_text(calibration_text(intrinsics, camera_name), encoding="utf-8")
    part.replace(path)


def calibration_text(intrinsics: CameraIntrinsics, camera_name: str) -> str:
    """The text of the file."""
    distortion = intrinsics.distortion or (0.0,) * 5
    projection = np.hstack([projection_matrix(intrinsics), np.zeros((3, 1))])
    document = {
        "image_width": intrinsics.width,
        "image_height": intrinsics.height,
        "camera_name": camera_name,
        "camera_matrix": _matrix(intrinsics.matrix),
        "distortion_model": model_name(intrinsics),
        "distortion_coefficients": _matrix(np.array([distortion])),
        "rectification_matrix": _matrix(np.eye(3)),
        "projection_matrix": _matrix(projection),
    }
    # Lists in one line, as people and the C++ parser of camera_calibration_parsers know them.
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=1000)


def projection_matrix(intrinsics: CameraIntrinsics) -> np.ndarray:
    """[3, 3] of the rectified image: as large as all of its pixels are seen (camera_calibration's alpha of 0)."""
    k, size = intrinsics.matrix, (intrinsics.width, intrinsics.height)
    if not intrinsics.distortion:
        return k
    coefficients = np.array(intrinsics.distortion)
    if intrinsics.fisheye:
        return cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(k, coefficients, size, np.eye(3), balance=0.0)
    return cv2.getOptimalNewCameraMatrix(k, coefficients, size, 0.0)[0]


def _matrix(values: np.ndarray) -> dict[str, Any]:
    rows, cols = values.shape
    return {"rows": rows, "cols": cols, "data": [round(float(value), 9) for value in values.reshape(-1)]}


def _numbers(values: Iterable[Any]) -> list[float]:
    """A short flat list of numbers; others, nested by aliases, would grow without bounds in an array."""
    # YAML takes 1e-05 for a text.
    if (
        not isinstance(values, list)
        or len(values) > 16
        or not all(type(value) in (int, float, str) for value in values)
    ):
        raise ValueError("data has to be a list of at most 16 numbers")
    return [float(value) for value in values]


def _size(value: Any) -> int:
    if type(value) is not int or not 0 < value <= MAX_IMAGE_SIZE:
        raise ValueError("image_width and image_height have to be whole numbers above 0")
    return value
