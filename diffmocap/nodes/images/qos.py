"""Quality of service of the image topics.

REP-2003: a driver publishes reliably, so that every subscriber matches it, and who consumes sensor data subscribes with
best effort. That holds where images fit into the middleware's shared memory. Under an install's defaults they do not,
and best effort loses most of them: so images are subscribed to reliably wherever their driver offers it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from diffmocap.camera.message_images import ns_from_stamp
from diffmocap.nodes.node_clock import steady_timer

RELIABILITY_CHOICES = ("best_effort", "reliable")
SUBSCRIPTION_CHOICES = ("auto", *RELIABILITY_CHOICES)
#: Images that wait in the middleware for a subscriber that is busy, a third of a second of a camera.
RECEIVED_DEPTH = 10
MATCH_PERIOD_S = 0.2


def sensor_qos(reliability: str = "reliable", depth: int = 5) -> QoSProfile:
    """A volatile profile for images, with the reliability to choose."""
    policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=policy)


class ImageSubscription:
    """A subscription to images whose reliability is that of the topic's publishers, or fixed.

    Where no publisher is known yet it begins with best effort, which hears every one, and becomes reliable once all of
    them are. The old subscription lives until the new one has heard its first image, and none is handed on twice.
    """

    def __init__(
        self, node: Node, kind: type, topic: str, receive: Callable[[Any, dict[str, Any]], None],
        events: SubscriptionEventCallbacks | None = None, reliability: str = "auto",
    ) -> None:  # fmt: skip
        """Subscribes to messages of type ``kind``; ``receive`` gets each with rclpy's information about it, ``events``
        what the middleware says of the subscription; ``reliability`` as in SUBSCRIPTION_CHOICES."""
        self._node, self._kind, self._topic, self._hand_on, self._events = node, kind, topic, receive, events
        self._seen: deque[int] | None = None
        self._replaced: Subscription | None = None
        self.reliability = reliability
        if reliability == "auto":
            self.reliability = self._offered(node.resolve_topic_name(topic)) or "best_effort"
        self._subscription = self._subscribe()
        self._timer = steady_timer(node, MATCH_PERIOD_S, self._match) if reliability == "auto" else None

    @property
    def topic_name(self) -> str:
        """The full name of the topic."""
        return self._subscription.topic_name

    def close(self) -> None:
        """Ends the subscription."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._forget_replaced()
        self._node.destroy_subscription(self._subscription)

    def _offered(self, topic: str) -> str | None:
        """What all publishers of a topic offer; None while none is known."""
        offers = [p.qos_profile.reliability for p in self._node.get_publishers_info_by_topic(topic)]
        if not offers:
            return None
        return "reliable" if all(offer == ReliabilityPolicy.RELIABLE for offer in offers) else "best_effort"

    def _match(self) -> None:
        wanted = self._offered(self.topic_name)
        if wanted in (None, self.reliability):
            return
        self._forget_replaced()
        self.reliability, self._replaced = wanted, self._subscription
        self._seen = deque(maxlen=4 * RECEIVED_DEPTH)
        self._subscription = self._subscribe()

    def _subscribe(self) -> Subscription:
        qos = sensor_qos(self.reliability, RECEIVED_DEPTH)
        made: list[Subscription] = []

        def receive(message: Any, info: dict[str, Any]) -> None:
            self._receive(message, info, made)

        made.append(self._node.create_subscription(self._kind, self._topic, receive, qos, event_callbacks=self._events))
        return made[0]

    def _receive(self, message: Any, info: dict[str, Any], source: list[Subscription]) -> None:
        if self._seen is not None:
            stamp_ns = ns_from_stamp(message.header.stamp)
            if stamp_ns in self._seen and stamp_ns:
                return
            self._seen.append(stamp_ns)
            if source[0] is self._subscription:
                if self._replaced is None:
                    self._seen = None  # what comes now cannot be of the previous subscription
                self._forget_replaced()
        self._hand_on(message, info)

    def _forget_replaced(self) -> None:
        if self._replaced is not None:
            self._node.destroy_subscription(self._replaced)
            self._replaced = None
