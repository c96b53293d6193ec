"""What camera_node publishes about its lens, and the calibration that it is sent."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS 2")

from sensor_msgs.msg import CameraInfo  # noqa: E402

from diffmocap.camera.calibration.calibration_file import load_calibration  # noqa: E402
from diffmocap.camera.devices import Source  # noqa: E402
from diffmocap.nodes.images import camera_calibration
from diffmocap.nodes.images.camera_calibration import CameraCalibration  # noqa: E402

DEVICE = Source("device", 0, "camera 0")
SENT = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[-0.1, 0.01, 0.002, 0.003, 0.0])
SENT.k = np.array([500.0, 0, 300, 0, 510, 230, 0, 0, 1])


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


def test_without_a_file_it_is_saved_where_camera_drivers_save_theirs(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    calibration, _ = made()
    done, text = calibration.set(SENT, 640, 480)
    assert done and "calibration_file" in text
    assert load_calibration(tmp_path / "camera_info/diffmocap_camera.yaml").fx == 500


def test_what_cannot_be_used_or_saved_is_refused_with_the_reason(tmp_path, monkeypatch):
    calibration, _ = made()
    bad = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[0.1] * 3, k=SENT.k)
    done, text = calibration.set(bad, 640, 480)
    assert not done and "coefficients" in text and calibration.intrinsics(640, 480).is_default
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "file"))
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


def test_another_aspect_ratio_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    calibration, said = made()
    calibration.set(SENT, 640, 480)
    for _ in range(3):
        calibration.intrinsics(1280, 720)
    assert len(said) == 1
