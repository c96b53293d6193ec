"""The calibration of pictures with left and right exchanged, from that of the pictures as they are published."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from sensor_msgs.msg import CameraInfo

from diffmocap.camera.mirror import mirrored_distortion

_FLIP = np.diag([-1.0, 1.0, 1.0])


def mirrored_camera_info(info: CameraInfo, width: int) -> CameraInfo:
    """``info`` as of the mirrored pictures.

    Args:
        info: of the pictures as they are published.
        width: of the pictures at hand [px], for a message that leaves its own out.
    """
    made = deepcopy(info)
    full_width = info.width or info.roi.x_offset + (info.roi.width or width * max(info.binning_x, 1))
    k, p = np.array(info.k).reshape(3, 3), np.array(info.p).reshape(3, 4)
    if k[0, 0]:
        k[0, 2], k[0, 1] = full_width - k[0, 2], -k[0, 1]
    if p[0, 0]:
        p[0, 2], p[0, 1], p[0, 3] = full_width - p[0, 2], -p[0, 1], -p[0, 3]
    made.k, made.p = k.reshape(9), p.reshape(12)
    made.r = (_FLIP @ np.array(info.r).reshape(3, 3) @ _FLIP).reshape(9)
    made.d = list(mirrored_distortion(info.d, info.distortion_model in ("equidistant", "fisheye")))
    if info.roi.width:
        made.roi.x_offset = max(0, full_width - info.roi.x_offset - info.roi.width)
    return made
