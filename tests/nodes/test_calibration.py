"""The newest camera_info wins; what nobody calibrated is assumed, and that is said once."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS 2: run `make test`, or source a ROS 2 install")

from sensor_msgs.msg import CameraInfo  # noqa: E402

from diffmocap.nodes import calibration as module  # noqa: E402
from diffmocap.nodes.calibration import Calibration  # noqa: E402
from diffmocap.types import CameraIntrinsics  # noqa: E402

K = np.array([[600.0, 0.0, 310.0], [0.0, 620.0, 250.0], [0.0, 0.0, 1.0]])


def info(k=K, width=640, height=480, **fields) -> CameraInfo:
    return CameraInfo(width=width, height=height, k=np.asarray(k, float).flatten(), **fields)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def calibration(said) -> Calibration:
    return Calibration(said.append)


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
    calibration = Calibration(said.append, lambda: solved.append(True))
    for k in (K, np.zeros((3, 3)), K, K):
        calibration.receive(info(k))
        calibration.intrinsics(640, 480, 50.0)
    assert len(said) == len(solved) == 1


def test_a_calibration_that_cannot_be_used_names_the_reason(calibration, said):
    calibration.receive(info(distortion_model="equidistant", d=[0.1] * 4))
    assert calibration.intrinsics(640, 480, 50.0).is_default
    assert "equidistant" in said[0]


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
    calibration.receive(info(2 * K))
    assert calibration.intrinsics(640, 480, 50.0).fx == 1200.0


def test_the_assumed_field_of_view_can_change_live(calibration):
    assert calibration.intrinsics(640, 480, 50.0).fy > calibration.intrinsics(640, 480, 80.0).fy
