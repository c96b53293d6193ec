"""A camera's name, by which its calibration is saved and found again."""

from __future__ import annotations

import re

import pytest

from diffmocap.camera.calibration import saved_calibration
from diffmocap.camera.calibration.saved_calibration import camera_name, saved_calibration_path
from diffmocap.camera.devices import Source, parse_source


def test_a_device_is_named_by_its_model_however_it_is_addressed(monkeypatch, tmp_path):
    (tmp_path / "video2").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "video2")
    devices = [("/dev/video0", "Integrated Camera: HD"), (str(tmp_path / "video2"), "C920")]
    monkeypatch.setattr(saved_calibration, "list_devices", lambda: devices)
    assert camera_name(parse_source(0)) == camera_name(parse_source("/dev/video0")) == "integrated_camera_hd"
    assert camera_name(Source("device", str(tmp_path / "by-id"), "")) == "c920"


@pytest.mark.parametrize("devices", [[], [("/dev/video3", "unknown")]])
def test_a_device_without_a_known_model_is_named_by_its_path(monkeypatch, devices):
    monkeypatch.setattr(saved_calibration, "list_devices", lambda: devices)
    assert camera_name(parse_source(3)) == camera_name(parse_source("/dev/video3")) == "video3"


def test_streams_and_files_are_named_by_where_they_are_without_secrets(tmp_path, monkeypatch):
    assert camera_name(parse_source("rtsp://user:secret@10.0.0.5:554/live?token=hush")) == (
        "rtsp_10_0_0_5_554_live_token"
    )
    monkeypatch.chdir(tmp_path)
    names = []
    for folder in ("a", "b", "long" * 60):
        path = tmp_path / folder / "walk.mp4"
        path.parent.mkdir()
        path.touch()
        names.append(camera_name(parse_source(str(path))))
    assert len(set(names)) == 3 and names[0] == camera_name(parse_source("a/walk.mp4"))
    assert all(re.fullmatch(r"\w{1,60}", name) for name in names)
    assert camera_name(Source("url", "", "://***")) == "camera"


def test_the_file_is_where_ros_drivers_have_theirs(tmp_path, monkeypatch):
    source = Source("url", "", "rtsp://host/live")
    monkeypatch.delenv("ROS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert saved_calibration_path(source) == tmp_path / ".ros/camera_info/rtsp_host_live.yaml"
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    assert saved_calibration_path(source) == tmp_path / "ros/camera_info/rtsp_host_live.yaml"

    def nobody() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("ROS_HOME")
    monkeypatch.setattr(saved_calibration.Path, "home", nobody)
    assert saved_calibration_path(source) is None
