"""The share of dropped messages, and when silence is logged; tests/ros/test_stream.py has the rest, over DDS."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from sensor_msgs.msg import Image

from diffmocap.nodes.health import input_watch
from diffmocap.nodes.health.input_watch import WINDOW_S, InputWatch, Share, Words


def test_the_share_is_that_of_the_last_seconds():
    share = Share()
    assert share.of_all(0.0) == 0.0
    for i in range(100):
        share.received(0.1 * i)
        if i >= 50 and i % 4 == 0:
            share.dropped(0.1 * i, 2)
    assert share.of_all(9.9) == pytest.approx(0.5, abs=0.05)
    assert share.of_all(9.9 + WINDOW_S + 0.1) == 0.0


@pytest.fixture()
def clock(monkeypatch):
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(input_watch.time, "monotonic", lambda: now.s)
    monkeypatch.setattr(input_watch, "steady_timer", lambda *_: None)
    return now


def watch_of(busy=lambda: ("", ""), publishers=()) -> tuple[InputWatch, list[str]]:
    """A watch over images, and the lines that it logs."""
    said: list[str] = []
    node = SimpleNamespace(
        get_publishers_info_by_topic=lambda topic: publishers,
        resolve_topic_name=lambda topic: topic,
        get_logger=lambda: SimpleNamespace(warning=said.append, info=said.append),
    )
    diagnostics = SimpleNamespace(problem=lambda *_: None, solved=lambda *_: None)
    subscription = SimpleNamespace(topic_name="/image_raw", close=lambda: None)
    words = Words("images", "start a camera", busy)
    watch = InputWatch(node, diagnostics, words, lambda _: None, lambda: (Image, "/image_raw"), lambda *_: subscription)
    return watch, said


def test_dropped_images_are_told_with_the_time_that_work_took_when_they_were(clock):
    takes_ms = [900]
    watch, said = watch_of(busy=lambda: (f"an image takes {takes_ms[0]} ms", "take smaller images"))
    for i in range(20):
        clock.s += 0.1
        watch._received(Image(), {"publication_sequence_number": i})
        if i == 10:
            watch.dropped(6)
    takes_ms[0] = 1  # it was one stall
    watch.check()
    assert said[-1].endswith("dropped: an image takes 900 ms; take smaller images")


def test_a_publisher_that_was_found_just_now_is_not_said_to_be_silent(clock):
    found = []
    watch, said = watch_of(publishers=found)

    def after(seconds: float) -> list[str]:
        for _ in range(round(10 * seconds)):
            clock.s += 0.1
            watch.check()
        new, said[:] = list(said), []
        return new

    (told,) = after(7.0)
    assert "nobody publishes /image_raw; start a camera" in told
    # The middleware knows the endpoint before the node that it belongs to.
    found.append(
        SimpleNamespace(
            node_namespace="_NODE_NAMESPACE_UNKNOWN_",
            node_name="_NODE_NAME_UNKNOWN_",
            topic_type="sensor_msgs/msg/Image",
        )  # fmt: skip
    )
    assert after(0.5) == []
    (told,) = after(2.0)
    assert "a node whose name is not known publishes /image_raw and sends nothing" in told
    found[0] = SimpleNamespace(node_namespace="/", node_name="driver", topic_type="sensor_msgs/msg/Image")
    assert after(0.5) == []
    watch._received(Image(), {"publication_sequence_number": 1})
    assert after(0.5) == ["images come on /image_raw"]
