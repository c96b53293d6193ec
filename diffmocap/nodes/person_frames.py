"""The pose in a `body_pose`, in whatever frame it is wanted."""

from __future__ import annotations

import numpy as np
from diffmocap_msgs.msg import BodyPose
from scipy.spatial.transform import Rotation

from diffmocap.camera.message_images import ns_from_stamp
from diffmocap.errors import RobotError
from diffmocap.robots.frames import HumanFrame, resting_soles

#: Lengths of quaternions that are rotations, but for rounding.
_SHORTEST, _LONGEST = 0.9, 1.1


def person_frame(message: BodyPose, T: np.ndarray) -> HumanFrame:
    """The pose of a message in the frame into which ``T`` [4, 4] takes points of the message's.

    Raises:
        RobotError: there is no pose in it: values that are not finite, or quaternions that are no rotations.
    """
    xyzw = np.array([(q.x, q.y, q.z, q.w) for q in message.rotations])
    lengths = np.linalg.norm(xyzw, axis=1)
    if not ((lengths > _SHORTEST) & (lengths < _LONGEST)).all():  # also where they are NaN
        raise RobotError("body_pose has rotations that are none: quaternions need the length 1")
    joints = np.array([(p.x, p.y, p.z) for p in message.joint_positions])
    return HumanFrame.from_local(
        Rotation.from_quat(xyzw).as_matrix(), joints, T[:3, :3], T[:3, 3], resting_soles(message.contacts),
        message.height, ns_from_stamp(message.header.stamp),
    )  # fmt: skip
