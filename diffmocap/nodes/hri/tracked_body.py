"""All that is published of one body: it comes with its first pose and goes with its track."""

from __future__ import annotations

from array import array

import numpy as np
from geometry_msgs.msg import TransformStamped
from hri_msgs.msg import NormalizedRegionOfInterest2D, Skeleton2D
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String

from diffmocap.nodes.hri.hri_messages import region, skeleton2d, transform
from diffmocap.nodes.hri.rep155 import SMPL_FROM_LINK, BodyAngles, Proportions, human_urdf, joint_names
from diffmocap.robots.frames import HumanFrame
from diffmocap.types import Keypoints2D

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_HIPS = [1, 2]


class TrackedBody:
    """Publishes ``/humans/bodies/<id>/{joint_states, skeleton2d, roi}`` and ``human_description_<id>``.

    The URDF is on a latched topic and in a parameter of the node, both of that name.

    Attributes:
        id: five letters. frame: name of the body's frame.
    """

    def __init__(self, node: Node, body_id: str, first: HumanFrame) -> None:
        self.id, self.frame = body_id, f"body_{body_id}"
        self._node, self._names, self._angles = node, joint_names(body_id), BodyAngles()
        place = f"/humans/bodies/{body_id}"
        self._joint_states = node.create_publisher(JointState, f"{place}/joint_states", 10)
        self._skeleton = node.create_publisher(Skeleton2D, f"{place}/skeleton2d", 10)
        self._region = node.create_publisher(NormalizedRegionOfInterest2D, f"{place}/roi", 10)
        self._parameter = f"human_description_{body_id}"
        self._description = node.create_publisher(String, f"/{self._parameter}", LATCHED)
        text = human_urdf(body_id, Proportions.of(first.positions))
        node.declare_parameter(self._parameter, text)
        self._description.publish(String(data=text))

    def close(self) -> None:
        """The body is gone."""
        for publisher in (self._joint_states, self._skeleton, self._region, self._description):
            self._node.destroy_publisher(publisher)
        self._node.undeclare_parameter(self._parameter)

    def pose(self, frame: HumanFrame, header: Header) -> TransformStamped:
        """Publishes the joints of a pose; returns where the body is, for /tf."""
        angles = self._angles.of(frame.positions, frame.rotations)
        stamped = Header(stamp=header.stamp)
        self._joint_states.publish(JointState(header=stamped, name=self._names, position=array("d", angles)))
        hips = np.mean(frame.positions[_HIPS], axis=0)
        return transform(frame.rotations[0] @ SMPL_FROM_LINK, hips, header, self.frame)

    def keypoints(self, keypoints: Keypoints2D, confidence: float, header: Header) -> None:
        """Publishes where the body is in an image."""
        self._skeleton.publish(skeleton2d(keypoints, header))
        if (box := region(keypoints, confidence, header)) is not None:
            self._region.publish(box)
