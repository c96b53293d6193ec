"""Quality of service of the image topics."""

from __future__ import annotations

from rclpy.qos import QoSProfile, ReliabilityPolicy

RELIABILITY_CHOICES = ("best_effort", "reliable")


def sensor_qos(reliability: str = "best_effort", depth: int = 5) -> QoSProfile:
    """ROS's sensor-data profile, with the reliability to choose."""
    policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=policy)
