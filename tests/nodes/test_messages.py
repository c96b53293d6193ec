from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from sensor_msgs.msg import CameraInfo

from diffmocap.camera.message_images import ns_from_stamp
from diffmocap.camera.message_info import intrinsics_from_camera_info
from diffmocap.errors import KeypointError
from diffmocap.nodes.messages import camera_info_to_message, keypoints_from_message, keypoints_to_message, stamp_from_ns
from diffmocap.types import CameraIntrinsics, Keypoints2D

STAMP_NS = 1_700_000_000_123_456_789


def test_stamps_round_trip_to_the_nanosecond():
    assert ns_from_stamp(stamp_from_ns(STAMP_NS)) == STAMP_NS


def test_keypoints_round_trip():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0, 1, 25).astype(np.float32)
    confidence[[3, 20]] = 0
    points = rng.uniform(0, 480, (25, 2)).astype(np.float32)
    points[[3, 20]] = 0
    sent = Keypoints2D(points, confidence, 640, 480, STAMP_NS)
    message = keypoints_to_message(sent, "optical")
    assert message.points[2] == points[1, 0] and message.header.frame_id == "optical"
    received = keypoints_from_message(message)
    assert (received.points_px == points).all() and (received.confidence == confidence).all()
    assert (received.width, received.height, received.stamp_ns) == (640, 480, STAMP_NS)


def test_bad_keypoints_say_what_is_wrong():
    good = Keypoints2D(np.ones((25, 2), np.float32), np.ones(25, np.float32), 640, 480)
    for field, value, why in (
        ("points", np.nan, r"keypoints \[0\]"),
        ("confidence", np.nan, "finite"),
        ("confidence", 1.5, r"\[0, 1\]"),
    ):
        message = keypoints_to_message(good, "")
        getattr(message, field)[0] = value
        with pytest.raises(KeypointError, match=why):
            keypoints_from_message(message)
    message = keypoints_to_message(good, "")
    message.width = 0
    with pytest.raises(KeypointError, match="0 x 480"):
        keypoints_from_message(message)


def test_missing_keypoints_may_hold_anything():
    message = keypoints_to_message(Keypoints2D(np.ones((25, 2), np.float32), np.ones(25, np.float32), 640, 480), "")
    message.confidence[4] = 0
    message.points[8] = np.nan
    assert (keypoints_from_message(message).points_px[4] == 0).all()


@pytest.mark.parametrize(
    "distortion, model",
    [
        ((), "plumb_bob"),
        ((-0.2, 0.1, 0.0, 0.001, 0.0), "plumb_bob"),
        ((0.1,) * 8, "rational_polynomial"),
        ((0.1, -0.02, 0.0, 0.003), "equidistant"),
    ],
)
def test_camera_info_round_trips(distortion, model):
    fisheye = model == "equidistant"
    sent = CameraIntrinsics(640, 480, 500.0, 510.0, 321.0, 239.0, distortion, fisheye=fisheye)
    message = camera_info_to_message(sent, STAMP_NS, "optical")
    assert message.distortion_model == model and len(message.d) == (len(distortion) or 5)
    assert intrinsics_from_camera_info(message, 640, 480) == sent
    assert ns_from_stamp(message.header.stamp) == STAMP_NS
    assert message.p[0] == 500.0 and message.r[0] == 1.0
    half = intrinsics_from_camera_info(message, 320, 240)
    assert (half.width, half.fx, half.cx) == (320, 250.0, 160.5)


def test_a_camera_that_nobody_calibrated_is_told_by_zeros():
    message = camera_info_to_message(CameraIntrinsics.from_fov(640, 480, 70.0), 0, "")
    assert not message.k.any() and (message.width, message.height) == (640, 480)
    received = intrinsics_from_camera_info(message, 640, 480, vertical_fov_deg=70.0)
    assert received.is_default and received == CameraIntrinsics.from_fov(640, 480, 70.0)
    assert intrinsics_from_camera_info(CameraInfo(), 64, 48).is_default
