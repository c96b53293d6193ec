"""Stands in for RViz: reads the configuration, and subscribes to what its displays show."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import spinning
import yaml
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

TYPES = {"Image": Image, "MarkerArray": MarkerArray, "RobotModel": String}


class Viewer(Node):
    def __init__(self, configuration: dict) -> None:
        super().__init__("rviz2")
        self.create_subscription(TFMessage, "/tf", lambda message: None, 100)
        displays = configuration["Visualization Manager"]["Displays"]
        topics = [topic for display in displays if (topic := self._show(display))]
        self.get_logger().info(f"stand-in, shows {', '.join(topics)}")

    def _show(self, display: dict) -> str | None:
        """Subscribes as the display does; returns its topic."""
        kind = display["Class"].rpartition("/")[2]
        topic = display.get("Description Topic" if kind == "RobotModel" else "Topic")
        if kind not in TYPES or not topic:
            return None
        reliable = topic.get("Reliability Policy") != "Best Effort"
        qos = QoSProfile(
            depth=int(topic.get("Depth", 5)),
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        if topic.get("Durability Policy") == "Transient Local":
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        self.create_subscription(TYPES[kind], topic["Value"], lambda message: None, qos)
        return topic["Value"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-d", "--display-config", type=Path, required=True)
    arguments = parser.parse_args(remove_ros_args(sys.argv)[1:])
    configuration = yaml.safe_load(arguments.display_config.read_text())
    return spinning.run(lambda: Viewer(configuration))
