"""Warns where another node publishes to the same topic: joints of two bodies would be mixed there."""

from __future__ import annotations

from rclpy.node import Node

from diffmocap.nodes.health.diagnostics import WARN, Diagnostics
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.nodes.publishers import publishers_of

PERIOD_S = 1.0
#: Seen so often in a row it is no node that is just ending.
_PATIENCE = 3


class OutputWatch:
    """Looks after a topic that one node alone may publish; problem ``output`` (WARN) in the diagnostics."""

    def __init__(self, node: Node, diagnostics: Diagnostics, topic: str) -> None:
        self._node, self._diagnostics = node, diagnostics
        self._topic = node.resolve_topic_name(topic)
        self._seen = 0
        self._told = ""
        self._timer = steady_timer(node, PERIOD_S, self.check)

    def close(self) -> None:
        """Ends the watch, and takes back what was said."""
        self._node.destroy_timer(self._timer)
        self._diagnostics.solved("output")

    def check(self) -> None:
        """Looks, once a second."""
        names = [publisher.node for publisher in publishers_of(self._node, self._topic)]
        own = self._node.get_fully_qualified_name()
        if own in names:
            names.remove(own)
        self._seen = self._seen + 1 if names else 0
        if self._seen < _PATIENCE:
            self._told = self._told if names else ""
            self._diagnostics.solved("output")
            return
        twin = " (another node of the same name)" if own in names else ""
        text = (
            f"{self._topic} is published by {', '.join(names)}{twin}, too: listeners get the joints of two bodies as "
            "one; end one of them, or give each graph a namespace of its own"
        )
        self._diagnostics.problem("output", text, WARN)
        if text != self._told:
            self._told = text
            self._node.get_logger().warning(text)
