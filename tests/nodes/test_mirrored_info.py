"""The calibration of mirrored pictures says the same as that of the pictures, seen in a mirror."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS 2")

from sensor_msgs.msg import CameraInfo, RegionOfInterest  # noqa: E402

from diffmocap.camera.message_info import intrinsics_from_camera_info  # noqa: E402
from diffmocap.camera.mirror import mirrored  # noqa: E402
from diffmocap.nodes.images.calibration import Calibration  # noqa: E402
from diffmocap.nodes.images.mirrored_info import mirrored_camera_info  # noqa: E402

K = np.array([[600.0, 0, 310], [0, 610, 250], [0, 0, 1]])
P = np.array([[580.0, 0, 300, -58], [0, 590, 245, 0], [0, 0, 1, 0]])


def info(**fields) -> CameraInfo:
    made = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[-0.28, 0.09, 0.004, -0.003, 0.02])
    made.k, made.p, made.r = K.reshape(9), P.reshape(12), np.eye(3).reshape(9)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize(
    "size, fields",
    [
        ((640, 480), {}),
        ((320, 240), {"binning_x": 2, "binning_y": 2}),
        ((300, 200), {"roi": RegionOfInterest(x_offset=100, y_offset=40, width=300, height=200)}),
        ((640, 480), {"width": 0, "height": 0}),
        ((640, 480), {"distortion_model": "equidistant", "d": [0.1, 0.02, -0.01, 0.003]}),
    ],
)
def test_the_camera_is_the_mirrored_one(size, fields, rectified):
    published = intrinsics_from_camera_info(info(**fields), *size, rectified=rectified)
    made = intrinsics_from_camera_info(mirrored_camera_info(info(**fields), size[0]), *size, rectified=rectified)
    assert made == mirrored(published) != published


def test_mirroring_twice_changes_nothing_and_an_uncalibrated_camera_stays_one():
    assert mirrored_camera_info(mirrored_camera_info(info(), 640), 640) == info()
    nobody = mirrored_camera_info(CameraInfo(width=640, height=480), 640)
    assert intrinsics_from_camera_info(nobody, 640, 480).is_default


def test_pose_node_believes_who_found_the_keypoints():
    calibration = Calibration(lambda *_: None)
    calibration.receive(info())
    assert calibration.intrinsics(640, 480, 50.0).cx == 310
    calibration.receive_of_keypoints(mirrored_camera_info(info(), 640))
    calibration.receive(info())
    assert calibration.intrinsics(640, 480, 50.0).cx == 330
