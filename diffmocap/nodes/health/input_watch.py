"""A node's input and what is to be said of it: nothing comes and why, too much comes, it comes from two nodes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_policy_name_from_kind

from diffmocap.nodes.health.diagnostics import ERROR, WARN, Diagnostics
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.nodes.publishers import Publisher, publishers_of, type_name

#: Silence worth a word [s].
SILENCE_S = 5.0
#: After so much of it another topic is looked for [s].
QUIET_S = 1.0
#: How often it is looked at, and how often before the first message, when each look may be the one that finds it [s].
PERIOD_S, FIRST_PERIOD_S = 0.5, 0.1
#: Messages of the last seconds that the share of dropped ones is taken of, and the share that is worth a word.
WINDOW_S, TOLERATED_SHARE = 5.0, 0.05
#: With a larger share dropped there is no keeping up, and what waits only gets older.
HOPELESS_SHARE = 1 / 3
#: What was said once is said again in the log after so much time without it [s].
REMIND_S = 60.0
#: Other nodes know a killed node for this long: the middleware's lease, and a bit [s].
LEASE_S = 25.0
#: This many messages of a window that are older than the previous one, by the publisher's own count, mean two
#: publishers.
_OUT_OF_ORDER = 3


@dataclass(frozen=True)
class Words:
    """What the input is called in messages.

    Attributes:
        what: plural of what comes, such as "images".
        start: what to do where nobody publishes.
        busy: how slow this node is, and what to do where it does not keep up.
    """

    what: str
    start: str
    busy: Callable[[], tuple[str, str]]


class Subscribed(Protocol):
    """A subscription: its topic's full name, and how to end it."""

    @property
    def topic_name(self) -> str: ...
    def close(self) -> None: ...


class PlainSubscription:
    """One of a fixed quality of service."""

    def __init__(
        self, node: Node, kind: type, topic: str, receive: Callable[[Any, dict[str, Any]], None],
        events: SubscriptionEventCallbacks | None = None, qos: QoSProfile | int = 10,
    ) -> None:  # fmt: skip
        self._node = node
        self._subscription = node.create_subscription(kind, topic, receive, qos, event_callbacks=events)

    @property
    def topic_name(self) -> str:
        """The topic's full name."""
        return self._subscription.topic_name

    def close(self) -> None:
        """Ends it."""
        self._node.destroy_subscription(self._subscription)


class InputWatch:
    """A subscription that is looked after; one per input, on the executor's thread.

    Problems in the diagnostics: ``input`` (ERROR: nothing comes), ``sources`` (WARN: two nodes publish), ``dropped``
    (WARN: this node does not keep up).

    Args:
        node, diagnostics: where to subscribe and to tell.
        words: of the messages.
        receive: gets each message.
        source: says the type and the topic to subscribe to; asked again as long as nothing comes.
        subscribe: makes the subscription: type, topic, callback with message and information about it, events.

    Attributes:
        subscription: the present one.
    """

    def __init__(
        self,
        node: Node,
        diagnostics: Diagnostics,
        words: Words,
        receive: Callable[[Any], None],
        source: Callable[[], tuple[type, str]],
        subscribe: Callable[[type, str, Callable[[Any, dict[str, Any]], None], SubscriptionEventCallbacks], Subscribed],
    ) -> None:
        self._node, self._diagnostics, self._words = node, diagnostics, words
        self._receive, self._source, self._subscribe = receive, source, subscribe
        self._told = ""
        self._found, self._found_s = "", 0.0  # why nothing comes, as found at the last look, and since when
        self._sources_told = ""
        self._several_since_s: float | None = None
        self._share = Share()
        self._out_of_order: deque[float] = deque(maxlen=_OUT_OF_ORDER)
        self._last_number: int | None = None
        self._slow = ("", "")
        self._advised, self._advised_s = "", 0.0
        self._last_s = time.monotonic()
        self._any = False
        self._due_s = 0.0
        self._open(*source())
        self._other: tuple[type, str] | None = None  # seen elsewhere at the last look
        self._timer = steady_timer(node, FIRST_PERIOD_S, self._tick)

    def close(self) -> None:
        """Ends the subscription, and takes back what was said."""
        self._node.destroy_timer(self._timer)
        self.subscription.close()
        for problem in ("input", "sources", "dropped"):
            self._diagnostics.solved(problem)

    @property
    def topic(self) -> str:
        """The full name of the topic subscribed to."""
        return self.subscription.topic_name

    def dropped(self, count: int) -> None:
        """So many messages were pushed out by newer ones, for the time that work takes now."""
        self._share.dropped(time.monotonic(), count)
        self._slow = self._words.busy()

    def depth(self, wanted: int) -> int:
        """How many messages may wait: ``wanted``, or only the newest where most are dropped anyway."""
        return 1 if self._share.of_all(time.monotonic()) > HOPELESS_SHARE else wanted

    def check(self) -> None:
        """Looks after the input."""
        now_s = time.monotonic()
        silent_s = now_s - self._last_s
        if silent_s > QUIET_S or not self._any:
            self._look_elsewhere()
        publishers = publishers_of(self._node, self.topic)
        if silent_s >= SILENCE_S:
            self._tell_silence(silent_s, publishers)
        else:
            if self._told:
                self._node.get_logger().info(f"{self._words.what} come on {self.topic}")
            self._told = ""
            self._diagnostics.solved("input")
        self._tell_sources(now_s, publishers)
        self._tell_dropped(now_s)

    def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + (PERIOD_S if self._any else 0.0)
            self.check()

    def _look_elsewhere(self) -> None:
        """Goes where the input is, once it was seen there twice: some topics of a driver are known a moment later."""
        kind, topic = self._source()
        found = None
        if (kind, self._node.resolve_topic_name(topic)) != (self._kind, self.topic):
            found = (kind, topic)
            if found == self._other:
                self.subscription.close()
                self._open(kind, topic)
                self._node.get_logger().info(f"{self._words.what} are at {self.topic} ({type_name(kind)})")
        self._other = found

    def _open(self, kind: type, topic: str) -> None:
        self._kind = kind
        self._unfit = ""
        self._last_number = None
        events = SubscriptionEventCallbacks(
            incompatible_qos=self._incompatible, incompatible_type=lambda _: None, use_default_callbacks=False
        )
        self.subscription = self._subscribe(kind, topic, self._received, events)

    def _received(self, message: Any, info: dict[str, Any]) -> None:
        now_s = time.monotonic()
        self._last_s, self._any = now_s, True
        number = info["publication_sequence_number"]
        if number is not None and self._last_number is not None and number <= self._last_number:
            self._out_of_order.append(now_s)
        self._last_number = number
        self._share.received(now_s)
        self._receive(message)

    def _incompatible(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self._unfit = (
            f"a publisher of {self.topic} offers another {policy.lower()} than is asked for here: nothing comes "
            "from it: set the parameter reliability to best_effort where this node has it, or the publisher to reliable"
        )

    def _tell_silence(self, silent_s: float, publishers: Sequence[Publisher]) -> None:
        reason, now_s = self._reason(publishers), time.monotonic()
        self._diagnostics.problem("input", f"no {self._words.what} for {silent_s:.0f} s: {reason}", ERROR)
        if reason != self._found:
            self._found, self._found_s = reason, now_s
        # The same again tells nobody anything, and a publisher that was found just now is about to send.
        if reason != self._told and now_s - self._found_s >= QUIET_S:
            self._told = reason
            self._node.get_logger().warning(f"no {self._words.what} on {self.topic} for {silent_s:.0f} s: {reason}")

    def _reason(self, publishers: Sequence[Publisher]) -> str:
        if not publishers:
            return f"nobody publishes {self.topic}; {self._words.start}"
        wanted = type_name(self._kind)
        others = [p for p in publishers if p.kind != wanted]
        if len(others) == len(publishers):
            return (
                f"{self.topic} has the type {others[0].kind} (from {others[0].node}), and {wanted} is expected; "
                f"{self._words.start}"
            )
        if self._unfit:
            return self._unfit
        names = ", ".join(sorted({p.node for p in publishers}))
        return f"{names} publishes {self.topic} and sends nothing; is it active, and does it get its own input?"

    def _tell_sources(self, now_s: float, publishers: Sequence[Publisher]) -> None:
        """Two known publishers may be one that lives and one that was killed; two that both send are told at once."""
        if len(publishers) < 2:
            self._several_since_s, self._sources_told = None, ""
            self._diagnostics.solved("sources")
            return
        self._several_since_s = self._several_since_s or now_s
        both_send = len(self._out_of_order) == _OUT_OF_ORDER and now_s - self._out_of_order[0] < WINDOW_S
        if not both_send and now_s - self._several_since_s < LEASE_S:
            return
        names = ", ".join(p.node for p in publishers)
        text = (
            f"{len(publishers)} publishers of {self.topic} ({names}): {self._words.what} of two sources are taken for "
            "one stream; end one, or give each graph a namespace of its own"
        )
        self._diagnostics.problem("sources", text, WARN)
        if text != self._sources_told:
            self._sources_told = text
            self._node.get_logger().warning(text)

    def _tell_dropped(self, now_s: float) -> None:
        share = self._share.of_all(now_s)
        if share <= TOLERATED_SHARE:
            self._diagnostics.solved("dropped")
            return
        slow, advice = self._slow
        what = f"{self._words.what} of the last {WINDOW_S:g} s"
        text = f"{100.0 * share:.0f} % of the {what} dropped: {slow}; {advice}"
        self._diagnostics.problem("dropped", text, WARN)
        if advice != self._advised or now_s - self._advised_s > REMIND_S:
            self._node.get_logger().warning(text)
        self._advised, self._advised_s = advice, now_s


class Share:
    """Share of messages of the last :data:`WINDOW_S` seconds that were dropped."""

    def __init__(self) -> None:
        self._received: deque[float] = deque()
        self._dropped: deque[float] = deque()

    def received(self, now_s: float) -> None:
        """One message came."""
        self._received.append(now_s)

    def dropped(self, now_s: float, count: int) -> None:
        """So many were dropped."""
        self._dropped.extend([now_s] * count)

    @property
    def count(self) -> int:
        """How many were dropped, as :meth:`of_all` last saw them."""
        return len(self._dropped)

    def of_all(self, now_s: float) -> float:
        """0 to 1; 0 without messages."""
        for times in (self._received, self._dropped):
            while times and now_s - times[0] > WINDOW_S:
                times.popleft()
        return min(len(self._dropped) / len(self._received), 1.0) if self._received else 0.0
