"""Intrinsics of a ROS CameraInfo message, or of whatever has its fields; needs no ROS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from diffmocap.camera.intrinsics import Readout, from_arrays
from diffmocap.types import DEFAULT_FOV_DEG, CameraIntrinsics

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo

_RECTIFIED_WORDS = {"rect", "rectified", "undistorted"}


def is_rectified_name(topic: str) -> bool:
    """Whether a topic's name says that its images are rectified: ``image_rect_color``, ``rect/image``."""
    return not _RECTIFIED_WORDS.isdisjoint(re.split(r"[/_]", topic.lower()))


def intrinsics_from_camera_info(
    message: CameraInfo, width: int, height: int, vertical_fov_deg: float = DEFAULT_FOV_DEG, rectified: bool = False
) -> CameraIntrinsics:
    """Intrinsics for images of ``width`` x ``height`` pixels.

    Raw images follow K and D, rectified ones P without distortion (K, where P is not given). Both matrices are of the
    full resolution, of which binning and the region of interest say what the image shows. An fx of zero gives the
    default field of view with ``is_default`` set.

    Raises:
        SettingsError: where the matrix or the distortion cannot be used.
    """
    matrix, distortion = np.asarray(message.k, float).reshape(3, 3), np.asarray(message.d, float)
    if rectified:
        projection = np.asarray(message.p, float).reshape(3, 4)
        matrix = projection[:, :3] if projection[0, 0] != 0.0 else matrix
        distortion = np.zeros(0)
    return from_arrays(
        matrix,
        distortion,
        (message.width, message.height),
        (width, height),
        distortion_model=message.distortion_model,
        vertical_fov_deg=vertical_fov_deg,
        readout=readout_of(message),
    )


def readout_of(message: CameraInfo) -> Readout:
    """The part of the full resolution that the images show."""
    roi = message.roi
    return Readout(roi.x_offset, roi.y_offset, roi.width, roi.height, message.binning_x, message.binning_y)
