"""What is said of messages without stamps."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from builtin_interfaces.msg import Time

from diffmocap.nodes.arrivals import Arrivals


def test_messages_without_stamps_are_told_once_and_not_where_there_is_no_time_yet():
    said, problems, now_ns = [], [], 0
    node = SimpleNamespace(get_logger=lambda: SimpleNamespace(warning=said.append))
    diagnostics = SimpleNamespace(
        clock=SimpleNamespace(now_ns=lambda: now_ns), problem=lambda name, *_: problems.append(name)
    )
    arrivals = Arrivals(node, diagnostics, "poses")
    assert arrivals.note(Time()).stamp_ns == 0
    assert not said and not problems, "a simulated time that has not begun is another fault than the driver's"
    now_ns = 5
    for _ in range(2):
        assert arrivals.note(Time()).stamp_ns == 5
    assert len(said) == 1 and "the poses have no stamps" in said[0]
    assert problems == ["no_stamps"] * 2
