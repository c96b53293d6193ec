"""SONIC's packed messages: a topic, a header of JSON, and arrays one after the other, in one part of a ZMQ message.

The layout and the fields are those of ``docs/source/tutorials/zmq.md`` in GR00T-WholeBodyControl; protocol 3 streams
SMPL. The header is filled up with zeros to :data:`HEADER_BYTES` and says name, type and shape of each array.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from diffmocap.robots.sonic.pose import SonicPose

HEADER_BYTES = 1280
#: Joint positions and SMPL together: SONIC's SMPL encoder reads the poses and the six wrist joints.
PROTOCOL = 3
#: Joints of the G1, and where its wrists are among them in the order of Isaac Lab: both rolls, pitches, yaws.
JOINTS, WRISTS = 29, slice(23, 29)
_TYPES = {"<f4": "f32", "<f8": "f64", "<i8": "i64"}


def pose_message(topic: str, first: int, poses: Sequence[SonicPose], captured_s: float) -> bytes:
    """A message with consecutive frames of the stream.

    Args:
        first: number of the first frame; SONIC plays 50 a second.
        poses: one or more frames.
        captured_s: when the newest was captured, on the clock of :func:`time.monotonic` [s]. On the same computer SONIC
            tells by it that nothing comes any more.
    """
    count = len(poses)
    joints = np.zeros((count, JOINTS))
    joints[:, WRISTS] = [pose.wrists.T.ravel() for pose in poses]
    return _packed(
        topic,
        {
            "smpl_joints": np.array([pose.joints for pose in poses], "<f4"),
            "smpl_pose": np.array([pose.pose for pose in poses], "<f4"),
            "joint_pos": joints.astype("<f4"),
            "joint_vel": np.zeros((count, JOINTS), "<f4"),
            "body_quat": np.array([pose.root for pose in poses], "<f4"),
            "frame_index": np.arange(first, first + count, dtype="<i8"),
            "timestamp_monotonic": np.array([captured_s], "<f8"),
        },
    )


def _packed(topic: str, fields: Mapping[str, np.ndarray]) -> bytes:
    described = [
        {"name": name, "dtype": _TYPES[value.dtype.str], "shape": list(value.shape)} for name, value in fields.items()
    ]
    header = {"v": PROTOCOL, "endian": "le", "count": 1, "fields": described}
    text = json.dumps(header, separators=(",", ":")).encode()
    return topic.encode() + text.ljust(HEADER_BYTES, b"\0") + b"".join(value.tobytes() for value in fields.values())
