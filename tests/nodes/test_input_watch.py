"""The share of dropped messages; what is said of an input is tested over DDS, in tests/ros/test_stream.py."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diffmocap.nodes.health.input_watch import WINDOW_S, Share


def test_the_share_is_that_of_the_last_seconds():
    share = Share()
    assert share.of_all(0.0) == 0.0
    for i in range(100):
        share.received(0.1 * i)
        if i >= 50 and i % 4 == 0:
            share.dropped(0.1 * i, 2)
    assert share.of_all(9.9) == pytest.approx(0.5, abs=0.05)
    assert share.of_all(9.9 + WINDOW_S + 0.1) == 0.0
