"""A subscription to images follows what the publishers offer, and hands on each image once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")

from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from diffmocap.nodes.images.qos import ImageSubscription, sensor_qos  # noqa: E402

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
INFO = {"publisher_gid": "one"}


class Topic:
    """Stands in for a node: holds the publishers that it would tell of, and the subscriptions made with it."""

    def __init__(self, *offered: ReliabilityPolicy) -> None:
        self.offered, self.subscriptions, self.match = list(offered), [], None

    def resolve_topic_name(self, topic: str) -> str:
        return f"/{topic}"

    def get_publishers_info_by_topic(self, topic: str) -> list:
        assert topic == "/image_raw"
        return [SimpleNamespace(qos_profile=QoSProfile(depth=1, reliability=policy)) for policy in self.offered]

    def create_subscription(self, kind, topic, callback, qos, *, event_callbacks=None):
        self.subscriptions.append(SimpleNamespace(topic_name=f"/{topic}", callback=callback, qos=qos))
        return self.subscriptions[-1]

    def destroy_subscription(self, subscription) -> None:
        self.subscriptions.remove(subscription)

    def create_timer(self, period_s, callback, *, clock):
        self.match = callback
        return "timer"

    def destroy_timer(self, timer) -> None:
        self.match = None

    @property
    def reliability(self) -> list[ReliabilityPolicy]:
        return [subscription.qos.reliability for subscription in self.subscriptions]


def image(sec: int) -> Image:
    message = Image()
    message.header.stamp.sec = sec
    return message


def subscribe(topic: Topic, reliability: str = "auto") -> tuple[ImageSubscription, list[int]]:
    received: list[int] = []

    def take(message: Image, info: dict) -> None:
        assert info == INFO
        received.append(message.header.stamp.sec)

    return ImageSubscription(topic, Image, "image_raw", take, reliability=reliability), received


@pytest.mark.parametrize(
    "offered, expected",
    [([], BEST_EFFORT), ([RELIABLE], RELIABLE), ([BEST_EFFORT], BEST_EFFORT), ([RELIABLE, BEST_EFFORT], BEST_EFFORT)],
)
def test_it_is_reliable_where_all_publishers_are(offered: list, expected: ReliabilityPolicy) -> None:
    known = Topic(*offered)
    subscribe(known)
    assert known.reliability == [expected]
    later = Topic()
    subscription, received = subscribe(later)
    later.offered = offered
    later.match()
    later.subscriptions[-1].callback(image(1), INFO)
    assert later.reliability == [expected] and received == [1]
    assert subscription.reliability == expected.name.lower()


@pytest.mark.parametrize("fixed", ["best_effort", "reliable"])
def test_a_fixed_reliability_stays(fixed: str) -> None:
    topic = Topic(RELIABLE, BEST_EFFORT)
    subscription, _ = subscribe(topic, fixed)
    assert topic.match is None and [policy.name.lower() for policy in topic.reliability] == [fixed]
    assert subscription.reliability == fixed


def test_while_two_subscriptions_overlap_every_image_is_handed_on_once() -> None:
    topic = Topic()
    _, received = subscribe(topic)
    topic.subscriptions[0].callback(image(1), INFO)
    topic.offered = [RELIABLE]
    topic.match()
    old, new = topic.subscriptions
    for source, sec in ((old, 2), (old, 3), (new, 2), (new, 3), (new, 4), (new, 5), (new, 6)):
        source.callback(image(sec), INFO)
    assert received == [1, 2, 3, 4, 5, 6]
    assert topic.subscriptions == [new]


def test_images_without_stamps_are_all_handed_on() -> None:
    topic = Topic()
    _, received = subscribe(topic)
    topic.offered = [RELIABLE]
    topic.match()
    for _ in range(3):
        topic.subscriptions[-1].callback(image(0), INFO)
    assert received == [0, 0, 0]


def test_closing_leaves_nothing_behind() -> None:
    topic = Topic()
    subscription, _ = subscribe(topic)
    topic.offered = [RELIABLE]
    topic.match()
    subscription.close()
    assert topic.subscriptions == [] and topic.match is None


def test_a_driver_offers_reliable_images() -> None:
    assert sensor_qos().reliability == RELIABLE
