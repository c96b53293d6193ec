"""Stands in for joint_state_publisher_gui: all joints of robot_description at zero, as its sliders begin, 10 Hz."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import spinning
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String


class JointStatePublisher(Node):
    def __init__(self) -> None:
        super().__init__("joint_state_publisher_gui")
        self._names: list[str] = []
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(String, "robot_description", self._receive, latched)
        self._publisher = self.create_publisher(JointState, "joint_states", 10)
        self.create_timer(0.1, self._publish)

    def _receive(self, message: String) -> None:
        joints = ElementTree.fromstring(message.data).iter("joint")
        self._names = [j.get("name") for j in joints if j.get("type") in ("revolute", "continuous", "prismatic")]

    def _publish(self) -> None:
        if self._names:
            message = JointState(name=self._names, position=[0.0] * len(self._names))
            message.header.stamp = self.get_clock().now().to_msg()
            self._publisher.publish(message)


def main() -> int:
    return spinning.run(JointStatePublisher)
