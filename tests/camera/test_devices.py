from __future__ import annotations

import shlex

import pytest

from diffmocap.camera import devices
from diffmocap.camera.devices import Source, explain_device, hidden_source, parse_source
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


def test_a_folder_of_videos_names_them(tmp_path):
    (tmp_path / "walk.mp4").write_bytes(b"x")
    with pytest.raises(CameraError, match="name one of those in it: walk.mp4"):
        parse_source(str(tmp_path))


@pytest.mark.parametrize("name", ["run.mcap", "run.db3", "odd ones/run_0.db3", "named_otherwise"])
def test_a_bag_says_which_command_plays_it(tmp_path, name):
    bag = tmp_path / name
    bag.parent.mkdir(exist_ok=True)
    bag.write_bytes(b"\x89MCAP0\r\n")
    source = bag.parent if "/" in name else bag
    with pytest.raises(CameraError) as caught:
        parse_source(str(source))
    assert f"ros2 launch diffmocap replay.launch.py bag:={shlex.quote(str(source))}" in str(caught.value)


def test_a_bag_of_ros_1_says_how_to_convert_it(tmp_path):
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(CameraError, match="ROS 1.*rosbags-convert"):
        parse_source(str(tmp_path / "old.bag"))


def test_an_address_without_its_scheme_keeps_its_password():
    with pytest.raises(CameraError, match="scheme") as caught:
        parse_source("admin:secret@192.168.1.2/live?token=secret")
    assert "secret" not in str(caught.value)


def test_an_address_with_a_password_goes_through_the_environment(monkeypatch):
    monkeypatch.delenv("DIFFMOCAP_SOURCE", raising=False)
    address = "rtsp://user:secret@host/live?token=secret"
    handed_on = hidden_source(address)
    assert handed_on == "$DIFFMOCAP_SOURCE" and parse_source(handed_on).target == address
    assert "secret" not in parse_source(handed_on).label
    assert hidden_source("rtsp://host/live") == "rtsp://host/live" and hidden_source("0") == "0"
    monkeypatch.setenv("MY_CAMERA", "3")
    assert parse_source("${MY_CAMERA}") == Source("device", 3, "camera 3")
    with pytest.raises(CameraError, match="environment variable NOT_SET_AT_ALL, which is not set"):
        parse_source("$NOT_SET_AT_ALL")


def test_a_missing_camera_names_those_that_are_there(monkeypatch):
    monkeypatch.setattr(devices, "list_devices", lambda: [("/dev/video4", "Desk camera")])
    text = explain_device(parse_source(97))
    assert "no /dev/video97" in text and "/dev/video4 (Desk camera)" in text and "video file" in text
