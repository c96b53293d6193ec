"""What is said of images whose frame nothing places."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from geometry_msgs.msg import TransformStamped
from tf2_msgs.msg import TFMessage

from diffmocap.nodes.pose import image_frame_watch
from diffmocap.nodes.pose.image_frame_watch import PATIENCE_S, ImageFrameWatch
from diffmocap.nodes.static_frames import StaticFrames


def placed(parent: str, child: str) -> TFMessage:
    transform = TransformStamped(child_frame_id=child)
    transform.header.frame_id = parent
    return TFMessage(transforms=[transform])


def test_a_frame_that_nothing_places_is_told_once_until_something_does(monkeypatch):
    now, said, problems, frames = SimpleNamespace(s=10.0), [], {}, StaticFrames()
    monkeypatch.setattr(image_frame_watch.time, "monotonic", lambda: now.s)
    diagnostics = SimpleNamespace(
        problem=lambda name, text, level: problems.__setitem__(name, text), solved=lambda name: problems.pop(name, None)
    )
    watch = ImageFrameWatch(diagnostics, said.append, frames)

    def after(seconds: float, frame: str = "default_cam") -> int:
        now.s += seconds
        watch.tell(frame, "map")
        return len(said)

    assert after(100.0) == 0 and not problems, "without any static transform nobody looks from a map"
    frames.receive(placed("map", "camera_link"))
    assert after(0.1) == 0 and "frame" in problems, "its transform may come a moment later"
    frames.receive(placed("camera_link", "camera_optical_frame"))
    frames.receive(placed("default_cam", "stage"))
    assert after(PATIENCE_S) == 1 and after(60.0) == 1
    assert "camera_frame:=default_cam" in said[0] and problems["frame"] == said[0]
    assert after(0.1, "camera_optical_frame") == 1 and not problems
    frames.receive(placed("camera_link", "default_cam"))
    assert after(60.0) == 1 and not problems
