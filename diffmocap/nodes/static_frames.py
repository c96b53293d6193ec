"""Frames that stand still: the tree that /tf_static tells."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation
from tf2_msgs.msg import TFMessage

#: Every publisher of static transforms has said something at some time.
STATIC_FRAMES = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class StaticFrames:
    """The tree of /tf_static. Moving frames are left out: the refinement takes the camera to stand still."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, np.ndarray]] = {}
        self.version = 0  #: grows with every message

    def receive(self, message: TFMessage) -> None:
        """Transforms of one publisher; the newest of a child frame counts. What is no transform is left out."""
        for transform in message.transforms:
            matrix = _matrix(transform)
            if matrix is not None:
                child, parent = transform.child_frame_id.lstrip("/"), transform.header.frame_id.lstrip("/")
                self._parents[child] = (parent, matrix)
        self.version += 1

    def places(self, frame: str) -> bool:
        """Whether a transform leads from another frame to this one."""
        return frame.lstrip("/") in self._parents

    def knows(self, frame: str) -> bool:
        """Whether the frame is in the tree, be it as its root."""
        return self.places(frame) or any(parent == frame.lstrip("/") for parent, _ in list(self._parents.values()))

    def transform(self, target: str, source: str) -> np.ndarray | None:
        """``T_target_source`` [4, 4], which takes points of the source frame into the target's; None: no connection."""
        above_source, above_target = self._to_root(source.lstrip("/")), self._to_root(target.lstrip("/"))
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            return None
        return np.linalg.inv(above_target[common]) @ above_source[common]

    def _to_root(self, frame: str) -> dict[str, np.ndarray]:
        """Every frame above this one, itself first, with ``T_above_frame``."""
        found, matrix = {frame: np.eye(4)}, np.eye(4)
        while frame in self._parents:
            frame, step = self._parents[frame]
            if frame in found:
                break  # a loop is no tree
            matrix = step @ matrix
            found[frame] = matrix
        return found


def _matrix(transform: TransformStamped) -> np.ndarray | None:
    """[4, 4] of a transform; None where its numbers are none."""
    q, t = transform.transform.rotation, transform.transform.translation
    xyzw, xyz = np.array([q.x, q.y, q.z, q.w]), np.array([t.x, t.y, t.z])
    length = float(np.linalg.norm(xyzw))
    if not (np.isfinite(xyz).all() and 0.5 < length < 2.0):
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(xyzw).as_matrix()
    matrix[:3, 3] = xyz
    return matrix
