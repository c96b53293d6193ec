"""Whether somebody calibrated the camera that the poses come from."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo

from diffmocap.nodes.images.calibration import Calibration
from diffmocap.types import DEFAULT_FOV_DEG


class CameraKnowledge:
    """Listens to the calibrations that pose_node goes by.

    Attributes:
        fault: why the field of view is assumed; empty where a calibration is in use.
    """

    def __init__(self, node: Node) -> None:
        self.fault = "no camera_info has come"
        self._node = node
        self._calibration = Calibration(lambda summary, text: None)
        topic = node.resolve_topic_name("keypoints")
        self._subscriptions = [
            node.create_subscription(CameraInfo, "camera_info", self._of_images, qos_profile_sensor_data),
            node.create_subscription(CameraInfo, f"{topic}/camera_info", self._of_keypoints, 10),
        ]

    def close(self) -> None:
        """Stops listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _of_images(self, info: CameraInfo) -> None:
        self._calibration.receive(info)
        self._judge(info)

    def _of_keypoints(self, info: CameraInfo) -> None:
        self._calibration.receive_of_keypoints(info)
        self._judge(info)

    def _judge(self, info: CameraInfo) -> None:
        width, height = max(info.width, 1), max(info.height, 1)
        known = self._calibration.intrinsics(width, height, DEFAULT_FOV_DEG)
        self.fault = "the camera is not calibrated" if known.is_default else ""
