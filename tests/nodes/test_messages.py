from __future__ import annotations

from array import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
import cv2
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from diffmocap.errors import ImageError, KeypointError
from diffmocap.nodes.messages import (
    camera_info_to_message,
    frame_from_compressed,
    frame_from_image,
    image_to_message,
    intrinsics_from_camera_info,
    keypoints_from_message,
    keypoints_to_message,
    ns_from_stamp,
    stamp_from_ns,
)
from diffmocap.types import CameraIntrinsics, Keypoints2D

STAMP_NS = 1_700_000_000_123_456_789


@pytest.fixture()
def picture():
    """Smooth, so that encodings with shared colour lose little of it."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([2 * y + 40, 3 * x, 255 - x - 2 * y], -1).astype(np.uint8)


def message_of(data: np.ndarray, encoding: str, padding: int = 0) -> Image:
    height, width = data.shape[:2]
    rows = data.reshape(height, -1)
    rows = np.hstack([rows, np.full((height, padding), 99, np.uint8)])
    message = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.data = array("B", rows.tobytes())
    message.header.stamp = stamp_from_ns(STAMP_NS)
    return message


def yuy2_of(bgr: np.ndarray) -> np.ndarray:
    """Packed Y0 U Y1 V with colour from each pair's mean; BT.601 as cameras send it (16 to 235)."""
    b, g, r = (bgr[..., i].astype(float) for i in range(3))
    y = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    u = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    v = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    packed = np.empty((*bgr.shape[:2], 2))
    packed[..., 0] = y
    packed[:, 0::2, 1] = (u[:, 0::2] + u[:, 1::2]) / 2
    packed[:, 1::2, 1] = (v[:, 0::2] + v[:, 1::2]) / 2
    return np.clip(np.round(packed), 0, 255).astype(np.uint8)


def test_stamps_round_trip_to_the_nanosecond():
    assert ns_from_stamp(stamp_from_ns(STAMP_NS)) == STAMP_NS


def test_images_round_trip(picture):
    message = image_to_message(picture, STAMP_NS, "optical")
    frame = frame_from_image(message)
    assert (frame.image == picture).all() and frame.stamp_ns == STAMP_NS
    assert message.header.frame_id == "optical" and message.step == 192
    assert isinstance(message.data, array)


def test_a_part_of_an_image_is_sent_right(picture):
    assert (frame_from_image(image_to_message(picture[5:20, ::-2], 0, "")).image == picture[5:20, ::-2]).all()


@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize(
    "encoding", ["bgr8", "8UC3", "rgb8", "bgra8", "rgba8", "mono8", "8UC1", "yuv422_yuy2", "yuv422"]
)
def test_every_encoding_gives_the_picture(picture, encoding, padding):
    grey = np.full((*picture.shape[:2], 1), 255, np.uint8)
    mono = picture[..., :1]
    data, expected, tolerance = {
        "bgr8": (picture, picture, 0),
        "8UC3": (picture, picture, 0),
        "rgb8": (picture[..., ::-1], picture, 0),
        "bgra8": (np.dstack([picture, grey]), picture, 0),
        "rgba8": (np.dstack([picture[..., ::-1], grey]), picture, 0),
        "mono8": (mono, np.repeat(mono, 3, 2), 0),
        "8UC1": (mono, np.repeat(mono, 3, 2), 0),
        "yuv422_yuy2": (yuy2_of(picture), picture, 8),
        "yuv422": (yuy2_of(picture)[..., ::-1], picture, 8),
    }[encoding]
    frame = frame_from_image(message_of(np.ascontiguousarray(data), encoding, padding))
    assert frame.image.shape == picture.shape and frame.stamp_ns == STAMP_NS
    assert np.abs(frame.image.astype(int) - expected).max() <= tolerance


def test_bgr_is_not_copied(picture):
    message = image_to_message(picture, 0, "")
    assert np.shares_memory(frame_from_image(message).image, np.frombuffer(message.data, np.uint8))


def test_the_padding_of_the_last_row_may_be_missing(picture):
    message = message_of(picture, "bgr8", padding=5)
    del message.data[-5:]
    assert (frame_from_image(message).image == picture).all()


@pytest.mark.parametrize(
    "change, why",
    [
        ({"width": 0}, "no pixels: 0 x 48"),
        ({"height": 0}, "no pixels: 64 x 0"),
        ({"height": 49}, "9408 bytes of data, got 9216"),
        ({"width": 65}, "step of at least 195"),
        ({"step": 0}, "row step 0"),
        ({"step": 200}, "got 9216"),
        ({"width": 2**32 - 1, "height": 2**32 - 1}, "row step"),
        ({"encoding": "bayer_rggb8"}, "'bayer_rggb8'; expected one of bgr8"),
        ({"encoding": ""}, "encoding ''"),
        ({"encoding": "yuv422_yuy2", "width": 63}, "even width"),
        ({"data": array("B")}, "got 0"),
    ],
)
def test_bad_images_say_what_is_wrong(picture, change, why):
    message = image_to_message(picture, 0, "")
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(ImageError, match=why):
        frame_from_image(message)


def test_compressed_images(picture):
    for extension, tolerance in ((".png", 0), (".jpg", 24)):
        data = cv2.imencode(extension, picture)[1].tobytes()
        message = CompressedImage(format=extension[1:], data=array("B", data))
        message.header.stamp = stamp_from_ns(STAMP_NS)
        frame = frame_from_compressed(message)
        assert np.abs(frame.image.astype(int) - picture).max() <= tolerance and frame.stamp_ns == STAMP_NS


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0"])
def test_compressed_images_that_are_none(data):
    with pytest.raises(ImageError, match=f"{len(data)} bytes, format 'jpeg'; expected JPEG or PNG"):
        frame_from_compressed(CompressedImage(format="jpeg", data=array("B", data)))


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


@pytest.mark.parametrize("distortion", [(), (-0.2, 0.1, 0.0, 0.001, 0.0), (0.1,) * 8])
def test_camera_info_round_trips(distortion):
    sent = CameraIntrinsics(640, 480, 500.0, 510.0, 321.0, 239.0, distortion)
    message = camera_info_to_message(sent, STAMP_NS, "optical")
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
