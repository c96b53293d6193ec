"""What is said of images that brought no pose."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diffmocap.nodes.pose.track_report import TrackReport
from diffmocap.pipeline.result import Outcome, PoseResult

IMAGE_NS = 33_333_333


@pytest.fixture()
def problems():
    """The problems that stand, by name, in a stand-in for the diagnostics."""
    standing = {}
    return SimpleNamespace(
        standing=standing,
        count=lambda name, by=1: None,
        set=lambda name, value: None,
        problem=lambda name, text, level=None: standing.__setitem__(name, text),
        solved=lambda name: standing.pop(name, None),
    )


@pytest.mark.parametrize(
    ("stale", "told"),
    [
        pytest.param(lambda i: i > 0, True, id="stamps that stand still"),
        pytest.param(lambda i: i % 2 == 1, True, id="two clocks that take turns"),
        pytest.param(lambda i: i in (7, 21), False, id="two late images"),
        pytest.param(lambda i: i == 0, False, id="the first one alone"),
    ],
)
def test_stamps_that_do_not_advance_are_said_once_in_the_log_and_as_long_as_they_last(problems, stale, told):
    said = []
    report = TrackReport(problems, said.append)
    for i in range(30):
        outcome = Outcome.STALE if stale(i) else Outcome.UNSEEN
        report.tell(PoseResult(outcome, i * IMAGE_NS, {}), intrinsics=None)
    assert ("stamps" in problems.standing) == told
    assert len(said) == int(told)
    assert not told or "their stamps are not newer" in said[0]
