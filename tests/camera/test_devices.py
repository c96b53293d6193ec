from __future__ import annotations

import pytest

from diffmocap.camera import devices
from diffmocap.camera.devices import Source, explain_device, parse_source
from diffmocap.errors import CameraError


def test_sources_as_users_write_them(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    assert parse_source(0) == parse_source("0") == parse_source(" 0 ") == Source("device", 0, "camera 0")
    assert parse_source("/dev/video2").kind == "device"
    assert parse_source(str(clip)) == parse_source(f"file://{clip}") == Source("file", str(clip), f"'{clip}'")
    assert parse_source("rtsp://host/stream").kind == "url"


def test_a_password_in_a_url_is_never_shown():
    assert parse_source("rtsp://user:secret@host:554/live@1").label == "rtsp://host:554/live@1"


@pytest.mark.parametrize("source", ["", "-1", "no_such_file.mp4"])
def test_what_is_no_source_offers_cameras_and_files(source):
    with pytest.raises(CameraError, match="camera"):
        parse_source(source)


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(CameraError, match="folder, expected a video file"):
        parse_source(str(tmp_path))


def test_a_missing_camera_names_those_that_are_there(monkeypatch):
    monkeypatch.setattr(devices, "list_devices", lambda: [("/dev/video4", "Desk camera")])
    text = explain_device(parse_source(97))
    assert "no /dev/video97" in text and "/dev/video4 (Desk camera)" in text and "video file" in text
