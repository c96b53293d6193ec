"""Who publishes a topic, as the graph knows it."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node


@dataclass(frozen=True)
class Publisher:
    """One publisher: the full name of its node, and the name of its type such as "sensor_msgs/msg/Image"."""

    node: str
    kind: str


def publishers_of(node: Node, topic: str) -> list[Publisher]:
    """Everybody who publishes ``topic`` (a full name, after remapping), in the order of their names."""
    found = [
        Publisher(f"{info.node_namespace.rstrip('/')}/{info.node_name}", info.topic_type)
        for info in node.get_publishers_info_by_topic(topic)
    ]
    return sorted(found, key=lambda publisher: (publisher.node, publisher.kind))


def type_name(kind: type) -> str:
    """Name of a message type as the graph tells it."""
    package, _, rest = kind.__module__.partition(".")
    return f"{package}/{rest.split('.')[0]}/{kind.__name__}"
