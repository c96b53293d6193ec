"""What the diagnostics say of the published motion."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diffmocap.nodes.pose.motion_report import MotionReport


class Noted:
    def __init__(self):
        self.values, self.counts = {}, Counter()

    def set(self, name, value):
        self.values[name] = value

    def count(self, name, number=1):
        self.counts[name] += number


def sample(**told):
    usual = dict(predicted=False, bridging=False, waited=0, outside=0, clipped_efforts=0)  # noqa: C408
    return SimpleNamespace(motion=SimpleNamespace(**(usual | told)))


def test_what_the_limits_changed_is_counted_and_how_it_follows_is_said():
    noted = Noted()
    report = MotionReport(noted)
    assert set(noted.counts.values()) == {0}, "counters stand there from the beginning"
    for made, said in (
        (sample(waited=2, outside=3), "following"),
        (sample(bridging=True, clipped_efforts=4), "bridging"),
        (sample(predicted=True), "predicted"),
    ):
        report.tell(made, "robot")
        assert noted.values == {"profile": "robot", "motion": said}
    assert noted.counts == {
        "predicted": 1, "bridging": 1, "joints_waited": 2, "joints_outside_limits": 3, "efforts_clipped": 4,
    }  # fmt: skip
