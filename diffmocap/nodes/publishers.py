"""Who publishes a topic, as the graph knows it."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

#: What the middleware calls a node that it does not know: one just found, whose name comes a moment later, or a
#: program that is no ROS node.
_UNKNOWN = "_NODE_NAME_UNKNOWN_"
UNNAMED = "a node whose name is not known"


@dataclass(frozen=True)
class Publisher:
    """One publisher: the full name of its node, or :data:`UNNAMED`, and of its type such as "sensor_msgs/msg/Image"."""

    node: str
    kind: str


def publishers_of(node: Node, topic: str) -> list[Publisher]:
    """Everybody who publishes ``topic`` (a full name, after remapping), in the order of their names."""
    found = [Publisher(_full_name(info), info.topic_type) for info in node.get_publishers_info_by_topic(topic)]
    return sorted(found, key=lambda publisher: (publisher.node, publisher.kind))


def _full_name(info: TopicEndpointInfo) -> str:
    return UNNAMED if info.node_name == _UNKNOWN else f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def type_name(kind: type) -> str:
    """Name of a message type as the graph tells it."""
    package, _, rest = kind.__module__.partition(".")
    return f"{package}/{rest.split('.')[0]}/{kind.__name__}"
