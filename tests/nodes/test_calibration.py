"""The newest camera_info wins; what nobody calibrated is assumed, and that is said once; rectified images follow P."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS 2: run `make test`, or source a ROS 2 install")

from sensor_msgs.msg import CameraInfo, RegionOfInterest  # noqa: E402

from diffmocap.camera.message_info import is_rectified_name  # noqa: E402
from diffmocap.nodes.images import calibration as module
from diffmocap.nodes.images.calibration import Calibration  # noqa: E402
from diffmocap.types import CameraIntrinsics  # noqa: E402

K = np.array([[600.0, 0.0, 310.0], [0.0, 620.0, 250.0], [0.0, 0.0, 1.0]])
P = np.array([[500.0, 0.0, 305.0, 0.0], [0.0, 510.0, 245.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
PLUMB_BOB = [-0.28, 0.09, 0.001, -0.0007, 0.02]


def info(k=K, width=640, height=480, **fields) -> CameraInfo:
    return CameraInfo(width=width, height=height, k=np.asarray(k, float).flatten(), **fields)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def calibration(said) -> Calibration:
    return Calibration(lambda summary, text: said.append(text))


def test_a_calibration_is_used_and_scaled_to_the_image(calibration, said):
    calibration.receive(info())
    assert np.allclose(calibration.intrinsics(640, 480, 50.0).matrix, K)
    half = calibration.intrinsics(320, 240, 50.0)
    assert (half.fx, half.cy) == (300.0, 125.0)
    assert not said


def test_zero_k_falls_back_loudly_but_once(calibration, said):
    for _ in range(3):
        calibration.receive(info(np.zeros((3, 3))))
        assert calibration.intrinsics(640, 480, 60.0) == CameraIntrinsics.from_fov(640, 480, 60.0)
    assert len(said) == 1 and "60 degrees" in said[0] and "vertical_fov_deg" in said[0]


def test_a_calibration_takes_the_warning_back_once(said):
    solved = []
    calibration = Calibration(lambda summary, text: said.append(text), lambda: solved.append(True))
    for k in (K, np.zeros((3, 3)), K, K):
        calibration.receive(info(k))
        calibration.intrinsics(640, 480, 50.0)
    assert len(said) == len(solved) == 1


def test_a_calibration_that_cannot_be_used_names_the_reason(calibration, said):
    for changes, why in (
        ({"distortion_model": "Kannala-Brandt", "d": [0.1] * 4}, "Kannala-Brandt"),
        ({"k": np.eye(3)}, "no camera has the focal lengths"),
        ({"roi": RegionOfInterest(x_offset=600, width=100, height=100)}, "region of interest"),
    ):
        for _ in range(2):
            calibration.receive(info(**changes))
            assert calibration.intrinsics(640, 480, 50.0).is_default
        assert why in said[-1] and "50 degrees" in said[-1]
    assert len(said) == 3


def test_another_aspect_ratio_is_told_once_and_taken_back(said):
    summaries, solved = [], []
    calibration = Calibration(
        lambda summary, text: (summaries.append(summary), said.append(text)), lambda: solved.append(True)
    )
    calibration.receive(info())
    for _ in range(3):
        assert calibration.intrinsics(1280, 720, 50.0).fx == 1200.0
    assert len(said) == 1 and "640 x 480" in said[0] and "1280 x 720" in said[0]
    assert summaries == ["the calibration has another aspect ratio"]
    calibration.intrinsics(1280, 960, 50.0)
    assert solved == [True]


def test_a_window_of_the_sensor_is_no_other_aspect_ratio(calibration, said):
    roi = RegionOfInterest(x_offset=120, y_offset=90, width=320, height=200, do_rectify=True)
    calibration.receive(info(roi=roi, binning_x=2, binning_y=2))
    made = calibration.intrinsics(160, 100, 50.0)
    assert (made.fx, made.fy, made.cx, made.cy) == (300.0, 310.0, 95.0, 80.0)
    assert not said
    # The window moves: the newest counts.
    calibration.receive(info(roi=RegionOfInterest(x_offset=200, y_offset=90, width=320, height=200)))
    assert calibration.intrinsics(320, 200, 50.0).cx == 110.0


def rectified(topics, wanted="auto", **fields) -> tuple[float, tuple]:
    calibration = Calibration(lambda summary, text: None, image_topics=lambda: topics)
    fields = {"p": P.flatten(), "d": PLUMB_BOB, "distortion_model": "plumb_bob"} | fields
    calibration.receive(info(**fields))
    made = calibration.intrinsics(640, 480, 50.0, wanted)
    return made.fx, made.distortion, calibration.source


def test_rectified_images_follow_p_without_distortion():
    raw, ideal = (600.0, tuple(PLUMB_BOB)), (500.0, ())
    assert rectified(["/camera/image_rect_color"])[:2] == ideal
    assert rectified(["/camera/image_raw"])[:2] == raw
    assert rectified([])[:2] == raw
    assert rectified(["/camera/image_rect"], "false")[:2] == raw
    assert rectified(["/camera/image_raw"], "true")[:2] == ideal
    assert "P" in rectified([], "true")[2] and "K and D" in rectified([])[2]


def test_rectified_images_of_a_lens_that_is_not_known_can_be_used():
    fields = {"distortion_model": "Kannala-Brandt", "d": [0.1] * 6}
    assert rectified(["/image_rect"], **fields)[:2] == (500.0, ())
    assert rectified(["/image_rect"], distortion_model="equidistant", d=[0.1] * 4)[:2] == (500.0, ())


def test_without_p_rectified_images_follow_k_without_distortion():
    assert rectified(["/image_rect"], p=np.zeros(12))[:2] == (600.0, ())


def test_p_alone_is_of_rectified_images():
    assert rectified(["/image"], k=np.zeros((3, 3)))[:2] == (500.0, ())


def test_p_is_of_the_full_resolution_too():
    calibration = Calibration(lambda summary, text: None)
    calibration.receive(info(p=P.flatten(), roi=RegionOfInterest(x_offset=100, width=320, height=480)))
    assert calibration.intrinsics(320, 480, 50.0, "true").cx == 205.0


def test_the_topic_of_the_images_is_asked_for_until_it_is_known(monkeypatch):
    topics: list[str] = []
    calibration = Calibration(lambda summary, text: None, image_topics=lambda: list(topics))
    calibration.receive(info(p=P.flatten()))
    monkeypatch.setattr(module, "SEARCH_S", 0.0)
    assert calibration.intrinsics(640, 480, 50.0).fx == 600.0
    topics.append("/camera/image_rect")
    assert calibration.intrinsics(640, 480, 50.0).fx == 500.0
    topics.clear()  # not every time: the graph is not asked 30 times a second
    assert calibration.intrinsics(640, 480, 50.0).fx == 500.0


@pytest.mark.parametrize(
    "topic, expected",
    [
        ("/camera/image_rect", True),
        ("/camera/image_rect_color/compressed", True),
        ("/zed/rgb/image_rect_color", True),
        ("/camera/rect/image", True),
        ("/camera/rectified", True),
        ("/camera/undistorted/image", True),
        ("/image_raw", False),
        ("/direct_camera/image_raw", False),
        ("/corrected/rectangle/image", False),
        ("/image_unrectified", False),
    ],
)
def test_names_of_rectified_topics(topic, expected):
    assert is_rectified_name(topic) == expected


def test_no_camera_info_is_told_after_a_while_only(calibration, said, monkeypatch):
    assert calibration.intrinsics(640, 480, 50.0).is_default
    assert not said
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    calibration.intrinsics(640, 480, 50.0)
    calibration.intrinsics(640, 480, 50.0)
    assert len(said) == 1 and "no camera_info" in said[0]


def test_a_calibration_that_comes_later_replaces_the_assumption(calibration):
    assert calibration.intrinsics(640, 480, 50.0).is_default
    calibration.receive(info())
    assert not calibration.intrinsics(640, 480, 50.0).is_default
    calibration.receive(info(np.diag([2.0, 2.0, 1.0]) @ K))
    assert calibration.intrinsics(640, 480, 50.0).fx == 1200.0


def test_the_assumed_field_of_view_can_change_live(calibration):
    assert calibration.intrinsics(640, 480, 50.0).fy > calibration.intrinsics(640, 480, 80.0).fy
