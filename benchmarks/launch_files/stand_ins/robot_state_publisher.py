"""Stands in for robot_state_publisher: joint states become /tf, fixed joints /tf_static, the URDF a latched topic."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import spinning
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

Quaternion = tuple[float, float, float, float]  # x, y, z, w


@dataclass(frozen=True)
class Joint:
    """A joint of the URDF: ``T_parent_child`` at zero, and the axis about which it turns (None: fixed)."""

    parent: str
    child: str
    xyz: tuple[float, ...]
    rotation: Quaternion
    axis: tuple[float, ...] | None


def product(a: Quaternion, b: Quaternion) -> Quaternion:
    """Rotation ``b``, then ``a``."""
    (ax, ay, az, aw), (bx, by, bz, bw) = a, b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def about(axis: tuple[float, ...], angle: float) -> Quaternion:
    """Rotation by ``angle`` [rad] about a unit axis."""
    s = math.sin(angle / 2)
    return (s * axis[0], s * axis[1], s * axis[2], math.cos(angle / 2))


def joints_of(urdf: str) -> dict[str, Joint]:
    """Joints by name."""
    joints = {}
    for element in ElementTree.fromstring(urdf).iter("joint"):
        origin = element.find("origin")
        given = {} if origin is None else origin.attrib
        xyz = tuple(map(float, given.get("xyz", "0 0 0").split()))
        roll, pitch, yaw = map(float, given.get("rpy", "0 0 0").split())
        rotation = product(about((0, 0, 1), yaw), product(about((0, 1, 0), pitch), about((1, 0, 0), roll)))
        axis = None
        if element.get("type") in ("revolute", "continuous"):
            found = element.find("axis")
            axis = (1.0, 0.0, 0.0) if found is None else tuple(map(float, found.get("xyz").split()))
        joints[element.get("name")] = Joint(
            element.find("parent").get("link"), element.find("child").get("link"), xyz, rotation, axis
        )
    return joints


class RobotStatePublisher(Node):
    def __init__(self) -> None:
        super().__init__("robot_state_publisher")
        urdf = self.declare_parameter("robot_description", "").value
        self._prefix = self.declare_parameter("frame_prefix", "").value
        self._period_s = 1.0 / self.declare_parameter("publish_frequency", 20.0).value
        self._joints = joints_of(urdf)
        self._last_s = -math.inf
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._description = self.create_publisher(String, "robot_description", latched)
        self._description.publish(String(data=urdf))
        self._tf = self.create_publisher(TFMessage, "/tf", 100)
        self._tf_static = self.create_publisher(TFMessage, "/tf_static", latched)
        now = self.get_clock().now().to_msg()
        fixed = [self._transform(joint, 0.0, now) for joint in self._joints.values() if joint.axis is None]
        self._tf_static.publish(TFMessage(transforms=fixed))
        self.create_subscription(JointState, "joint_states", self._receive, 10)
        self.get_logger().info(f"stand-in, {len(self._joints)} joints")

    def _receive(self, message: JointState) -> None:
        stamp_s = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
        if stamp_s < self._last_s + self._period_s and stamp_s >= self._last_s:
            return
        self._last_s = stamp_s
        moving = [
            self._transform(joint, position, message.header.stamp)
            for name, position in zip(message.name, message.position)
            if (joint := self._joints.get(name)) is not None and joint.axis is not None
        ]
        self._tf.publish(TFMessage(transforms=moving))

    def _transform(self, joint: Joint, position: float, stamp) -> TransformStamped:
        result = TransformStamped(child_frame_id=self._prefix + joint.child)
        result.header.frame_id, result.header.stamp = self._prefix + joint.parent, stamp
        t, q = result.transform.translation, result.transform.rotation
        t.x, t.y, t.z = joint.xyz
        turned = joint.rotation if joint.axis is None else product(joint.rotation, about(joint.axis, position))
        q.x, q.y, q.z, q.w = turned
        return result


def main() -> int:
    return spinning.run(RobotStatePublisher)
