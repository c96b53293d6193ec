"""What camera_node publishes about its lens, and the calibration that it is sent."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.logging import get_logger  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402

from diffmocap.camera.calibration import saved_calibration
from diffmocap.camera.calibration.calibration_file import load_calibration, write_calibration  # noqa: E402
from diffmocap.camera.calibration.saved_calibration import saved_calibration_path  # noqa: E402
from diffmocap.camera.devices import Source  # noqa: E402
from diffmocap.nodes.images import camera_calibration
from diffmocap.nodes.images.camera_calibration import CameraCalibration  # noqa: E402
from diffmocap.types import CameraIntrinsics  # noqa: E402

DEVICE = Source("device", 0, "camera 0")
SENT = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[-0.1, 0.01, 0.002, 0.003, 0.0])
SENT.k = np.array([500.0, 0, 300, 0, 510, 230, 0, 0, 1])


@pytest.fixture(autouse=True)
def ros_home(tmp_path, monkeypatch):
    """No test reads or writes the calibrations of the user who runs it."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    return tmp_path / "ros"


def made(path="", fov=0.0, mirror=False, source=DEVICE):
    said = []
    return CameraCalibration(str(path), fov, mirror, source, said.append, said.append), said


@pytest.mark.parametrize("mirror, cx, p2", [(False, 300, 0.003), (True, 300, 0.003)])
def test_what_a_calibrator_sends_is_used_at_once_and_saved(tmp_path, mirror, cx, p2):
    path = tmp_path / "folder" / "camera.yaml"
    calibration, _ = made(mirror=mirror)
    calibration._path = str(path)
    assert calibration.intrinsics(640, 480).is_default
    done, text = calibration.set(SENT, 640, 480)
    assert done and str(path) in text
    now = calibration.intrinsics(640, 480)
    assert (now.fx, now.fy, now.cx, now.cy, now.distortion[3]) == (500, 510, cx, 230, p2)
    again, _ = made(path, mirror=mirror)
    assert again.intrinsics(640, 480) == now
    # The file describes the pictures as the source gives them.
    assert load_calibration(path).cx == (340 if mirror else 300)


@pytest.mark.parametrize("mirror", [False, True])
def test_without_a_file_it_is_saved_by_the_cameras_name_and_loaded_at_the_next_start(ros_home, monkeypatch, mirror):
    monkeypatch.setattr(saved_calibration, "list_devices", lambda: [("/dev/video0", "HD Pro Webcam: C920")])
    first, _ = made(mirror=mirror)
    done, text = first.set(SENT, 640, 480)
    path = ros_home / "camera_info/hd_pro_webcam_c920.yaml"
    assert done and str(path) in text and load_calibration(path).fx == 500

    again, said = made(mirror=mirror, fov=40.0)
    assert again.intrinsics(640, 480) == first.intrinsics(640, 480) and again.origin == "calibration"
    assert len(said) == 1 and str(path) in said[0] and "vertical_fov_deg 40" in said[0]
    monkeypatch.setattr(saved_calibration, "list_devices", lambda: [("/dev/video0", "another")])
    assert made()[0].intrinsics(640, 480).is_default


def test_a_named_file_counts_more_than_a_saved_calibration(tmp_path):
    path = tmp_path / "named.yaml"
    write_calibration(path, CameraIntrinsics(640, 480, 500, 510, 300, 230), "named")
    other = CameraInfo(width=640, height=480, k=np.array([700.0, 0, 320, 0, 700, 240, 0, 0, 1]))
    made()[0].set(other, 640, 480)
    assert made()[0].intrinsics(640, 480).fx == 700
    assert made(path)[0].intrinsics(640, 480).fx == 500


def test_a_damaged_saved_calibration_is_warned_of_and_not_used():
    path = saved_calibration_path(DEVICE)
    path.parent.mkdir(parents=True)
    path.write_text("image_width: 640")
    calibration, said = made()
    assert calibration.intrinsics(640, 480).is_default
    assert len(said) == 1 and "ignored" in said[0] and str(path) in said[0]


def test_what_cannot_be_used_or_saved_is_refused_with_the_reason(tmp_path, monkeypatch):
    calibration, _ = made()
    bad = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[0.1] * 3, k=SENT.k)
    done, text = calibration.set(bad, 640, 480)
    assert not done and "coefficients" in text and calibration.intrinsics(640, 480).is_default
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "file"))
    calibration, _ = made()
    done, text = calibration.set(SENT, 640, 480)
    assert not done and "cannot be saved" in text and calibration.intrinsics(640, 480).fx == 500
    done, _ = calibration.set(CameraInfo(), 640, 480)
    assert done and calibration.intrinsics(640, 480).is_default


def test_the_best_that_is_known_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(camera_calibration, "focal_length_35mm", lambda source: 26.0)
    estimated, said = made()
    intrinsics = estimated.intrinsics(1080, 1920)
    assert intrinsics.fx == pytest.approx(26.0 * math.hypot(1080, 1920) / math.hypot(36, 24))
    estimated.intrinsics(1080, 1920)
    assert not intrinsics.is_default and len(said) == 1 and "estimated" in said[0] and "estimate" in estimated.origin
    known, said = made(fov=40.0)
    assert known.intrinsics(640, 480).fy == pytest.approx(240 / math.tan(math.radians(20))) and not said
    known.set(SENT, 640, 480)
    assert known.intrinsics(640, 480).fy == 510 and known.origin == "calibration"


def test_another_aspect_ratio_is_told_once():
    calibration, said = made()
    calibration.set(SENT, 640, 480)
    for _ in range(3):
        calibration.intrinsics(1280, 720)
    assert len(said) == 1


def test_an_estimate_and_then_a_warning_can_be_logged(monkeypatch):
    """rclpy raises an error where one line of code logs with two severities, and the node would die of it."""
    log = get_logger("lens")
    monkeypatch.setattr(camera_calibration, "focal_length_35mm", lambda source: 26.0)
    calibration = CameraCalibration("", 0.0, False, DEVICE, log.info, log.warning)
    assert not calibration.intrinsics(640, 480).is_default
    calibration.set(SENT, 640, 480)
    assert calibration.intrinsics(1280, 720).fx == 1000
