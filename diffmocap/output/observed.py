"""Which of SMPL's joints an image shows."""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import (
    JOINT_NAMES,
    KEYPOINT_FROM_JOINT,
    KEYPOINT_NAMES,
    NUM_JOINTS,
    NUM_KEYPOINTS,
)

#: Keypoints that say where a joint without one of its own is: all of a group, or all of another one.
_THROUGH = {
    "pelvis": (("MidHip",), ("LHip", "RHip")),
    "spine1": (("MidHip", "Neck"), ("LHip", "RHip", "LShoulder", "RShoulder")),
    "spine2": (("MidHip", "Neck"), ("LHip", "RHip", "LShoulder", "RShoulder")),
    "spine3": (("MidHip", "Neck"), ("LHip", "RHip", "LShoulder", "RShoulder")),
    "neck": (("Neck",), ("LShoulder", "RShoulder")),
    "head": (("Nose",), ("LEar",), ("REar",)),
    "left_collar": (("LShoulder", "Neck"), ("LShoulder", "RShoulder")),
    "right_collar": (("RShoulder", "Neck"), ("LShoulder", "RShoulder")),
    "left_foot": (("LBigToe",), ("LSmallToe",)),
    "right_foot": (("RBigToe",), ("RSmallToe",)),
    # No keypoint of these lies beyond the wrist: a hand's place follows from the forearm's, its turn from nothing.
    "left_hand": (("LWrist", "LElbow"),),
    "right_hand": (("RWrist", "RElbow"),),
}


def _needed() -> tuple[np.ndarray, np.ndarray]:
    """Groups of keypoints [G, 25] bool, and the joint [G] that each shows."""
    rows, joints = [], []
    for keypoint, joint in KEYPOINT_FROM_JOINT.items():
        rows.append(np.arange(NUM_KEYPOINTS) == keypoint)
        joints.append(joint)
    for name, groups in _THROUGH.items():
        for group in groups:
            rows.append(np.isin(KEYPOINT_NAMES, group))
            joints.append(JOINT_NAMES.index(name))
    return np.array(rows), np.array(joints)


_GROUPS, _JOINTS = _needed()


def observed_joints(confidence: np.ndarray) -> np.ndarray:
    """[24] bool, for the confidence [25] of keypoints of which 0 means missing.

    A joint with a keypoint of its own is observed where that is seen. The others are where keypoints on both sides are.
    """
    complete = ((confidence > 0) | ~_GROUPS).all(1)
    shown = np.zeros(NUM_JOINTS, bool)
    np.logical_or.at(shown, _JOINTS, complete)
    return shown
