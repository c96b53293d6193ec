"""What `body_pose` is told while no pose goes out; tests/ros/test_pose_node.py has silence, over DDS."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diffmocap.nodes.pose import track_watch
from diffmocap.nodes.pose.track_watch import TrackWatch
from diffmocap.output.tracking_state import TrackingState, TrackStatus

IMAGE_S, GAP_S = 0.033, 0.5


@pytest.mark.parametrize(
    ("outcome", "states"),
    [
        ("refused", [TrackingState.LOST, TrackingState.SEARCHING, TrackingState.SEARCHING]),
        ("a pose later", []),
        ("a pose", []),
    ],
)
def test_a_track_ends_where_keypoints_come_that_cannot_be_used(monkeypatch, outcome, states):
    now, told, problems = SimpleNamespace(s=100.0), [], {}
    monkeypatch.setattr(track_watch, "steady_timer", lambda *_: None)
    monkeypatch.setattr(track_watch.time, "monotonic", lambda: now.s)
    diagnostics = SimpleNamespace(
        problem=lambda name, text, *_: problems.__setitem__(name, text),
        solved=lambda name: problems.pop(name, None),
        has_problem=problems.__contains__,
        publish=lambda: None,
    )
    tracked, lost = TrackStatus(TrackingState.TRACKED, 1), TrackStatus(TrackingState.LOST, 1)
    watch = TrackWatch(None, diagnostics, lambda: lost, lambda status, _: told.append(status.state), lambda: GAP_S)

    def images(seconds: float, used) -> None:
        for _ in range(round(seconds / IMAGE_S)):
            now.s += IMAGE_S
            watch.received()
            used()
            watch.check()

    def pose() -> None:
        watch.worked(tracked, True, round(now.s * 1e9), now.s)

    images(1.0, pose)
    assert told == []
    images(1.8, {"refused": lambda: None, "a pose later": watch.used, "a pose": pose}[outcome])
    assert told == states
    assert ("none that can be used" in problems.get("stale", "")) == bool(states)
    images(0.1, pose)
    assert told == states and not problems
