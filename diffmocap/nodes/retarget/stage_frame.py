"""The stage's frame on /tf_static, so that a robot's base stands where the person does."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from diffmocap.nodes.static_frames import STATIC_FRAMES
from diffmocap.robots.live.stand import Stand


class StageFrame:
    """Tells of every stand once: where its stage is, seen from the frame of the poses."""

    def __init__(self, node: Node, frame: str) -> None:
        self.frame = frame
        self._node = node
        self._publisher = node.create_publisher(TFMessage, "/tf_static", STATIC_FRAMES)
        self._told: Stand | None = None

    def close(self) -> None:
        """Takes the frame back from who comes later."""
        self._node.destroy_publisher(self._publisher)

    def tell(self, stand: Stand | None, T_upright_pose: np.ndarray, pose_frame: str, stamp: Time) -> None:
        """``T_upright_pose``: [4, 4] placement of the poses' frame, named ``pose_frame``."""
        if stand is None or stand is self._told:
            return
        self._told = stand
        header = Header(stamp=stamp, frame_id=pose_frame)
        self._publisher.publish(TFMessage(transforms=[stage_transform(stand, T_upright_pose, header, self.frame)]))


def stage_transform(stand: Stand, T_upright_pose: np.ndarray, header: Header, child: str) -> TransformStamped:
    """``T_pose_stage``."""
    T_stage_upright = np.eye(4)
    T_stage_upright[:3, :3], T_stage_upright[:3, 3] = stand.rotation, stand.translation
    T = np.linalg.inv(T_stage_upright @ T_upright_pose)
    x, y, z, w = Rotation.from_matrix(T[:3, :3]).as_quat().tolist()
    a, b, c = T[:3, 3].tolist()
    made = Transform(translation=Vector3(x=a, y=b, z=c), rotation=Quaternion(x=x, y=y, z=z, w=w))
    return TransformStamped(header=header, child_frame_id=child, transform=made)
