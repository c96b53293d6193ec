"""Stands in for tf2_ros' static_transform_publisher: one latched transform on /tf_static."""

from __future__ import annotations

import argparse
import math
import sys

import spinning
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.utilities import remove_ros_args
from tf2_msgs.msg import TFMessage


def transform(arguments: argparse.Namespace) -> TransformStamped:
    """The transform that the command line asks for; roll, pitch, yaw about fixed x, y, z."""
    result = TransformStamped(child_frame_id=arguments.child_frame_id)
    result.header.frame_id = arguments.frame_id
    t, q = result.transform.translation, result.transform.rotation
    t.x, t.y, t.z = arguments.x, arguments.y, arguments.z
    (cr, sr), (cp, sp), (cy, sy) = (
        (math.cos(a / 2), math.sin(a / 2)) for a in (arguments.roll, arguments.pitch, arguments.yaw)
    )
    q.x, q.y = sr * cp * cy - cr * sp * sy, cr * sp * cy + sr * cp * sy
    q.z, q.w = cr * cp * sy - sr * sp * cy, cr * cp * cy + sr * sp * sy
    return result


class StaticTransformPublisher(Node):
    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__("static_transform_publisher")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._tf_static = self.create_publisher(TFMessage, "/tf_static", latched)
        message = transform(arguments)
        message.header.stamp = self.get_clock().now().to_msg()
        self._tf_static.publish(TFMessage(transforms=[message]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("x", "y", "z", "roll", "pitch", "yaw"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--frame-id", required=True)
    parser.add_argument("--child-frame-id", required=True)
    arguments = parser.parse_args(remove_ros_args(sys.argv)[1:])
    return spinning.run(lambda: StaticTransformPublisher(arguments))
