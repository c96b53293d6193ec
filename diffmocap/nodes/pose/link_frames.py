"""The frames of all links below the root, as robot_state_publisher makes them of joint states."""

from __future__ import annotations

import numpy as np
import torch
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped, Vector3

from diffmocap.body.link_tree import LINK_AXES, LINK_JOINTS, half_turns, link_origins
from diffmocap.body.skeleton import JOINT_NAMES, ROOT_LINK
from diffmocap.graph.frames import prefixed


class LinkFrames:
    """Transforms of the 70 links from their parents, made once and filled in for every pose.

    Args:
        rest_joints: [24, 3] m of the body's rest pose, SMPL axes.
        prefix: before the links' names.
    """

    def __init__(self, rest_joints: torch.Tensor, prefix: str) -> None:
        self._stamp = Time()
        root = _transform(prefixed(ROOT_LINK, prefix), prefixed(JOINT_NAMES[0], prefix), self._stamp)
        self._transforms = [root]
        #: Of each joint, where its angle goes: the quaternion, and the name of its part along the joint's axis.
        self._turns = []
        for joint, axis, origin in zip(LINK_JOINTS, LINK_AXES, link_origins(rest_joints).tolist(), strict=True):
            made = _transform(prefixed(joint.parent, prefix), prefixed(joint.child, prefix), self._stamp)
            made.transform.translation = Vector3(**dict(zip("xyz", origin, strict=True)))
            self._transforms.append(made)
            self._turns.append((made.transform.rotation, "xyz"[axis]))

    def transforms(self, joint_angles: np.ndarray, stamp: Time) -> list[TransformStamped]:
        """All links at angles [69] rad; the same messages every time, so publish them before the next call."""
        self._stamp.sec, self._stamp.nanosec = stamp.sec, stamp.nanosec  # one stamp for all
        sines, cosines = half_turns(joint_angles)
        for (rotation, axis), sine, cosine in zip(self._turns, sines.tolist(), cosines.tolist(), strict=True):
            setattr(rotation, axis, sine)
            rotation.w = cosine
        return self._transforms


def _transform(parent: str, child: str, stamp: Time) -> TransformStamped:
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id, made.header.stamp = parent, stamp
    return made
