"""The URDF's links below the pelvis as a tree: which joint moves which link about which axis, and where its frame is.

An SMPL joint is three revolute joints in a chain: parent -> two links for its axes -> the link of the joint's name. At
zero all links have x forward, y left, z up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from diffmocap.body.joint_angles import AXES, JOINT_ANGLE_NAMES, JOINT_AXES, URDF_FROM_SMPL
from diffmocap.body.kinematics import bone_offsets
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS


class LinkJoint(NamedTuple):
    """A revolute joint of the URDF.

    Attributes:
        name: of :data:`JOINT_ANGLE_NAMES`.
        parent, child: links.
        axis: ``x``, ``y`` or ``z`` of both.
        segment: index of the SMPL joint that it is a part of.
        first: whether it is the first of the segment's three: then the child's origin is off the parent's, by the bone
            from one SMPL joint to the next. The others are at one place.
    """

    name: str
    parent: str
    child: str
    axis: str
    segment: int
    first: bool


def _tree() -> tuple[LinkJoint, ...]:
    joints, names = [], iter(JOINT_ANGLE_NAMES)
    for segment in range(1, NUM_JOINTS):
        parent = JOINT_NAMES[PARENTS[segment]]
        for k, axis in enumerate(JOINT_AXES[segment - 1]):
            name = next(names)
            child = JOINT_NAMES[segment] if k == 2 else f"{name}_link"
            joints.append(LinkJoint(name, parent, child, axis, segment, first=k == 0))
            parent = child
    return tuple(joints)


#: The 69 joints in the order of :data:`JOINT_ANGLE_NAMES`: each one's parent link comes before its child.
LINK_JOINTS = _tree()
#: [69] which of x, y, z each joint turns about.
LINK_AXES = np.array([AXES.index(joint.axis) for joint in LINK_JOINTS])


def link_origins(rest_joints: torch.Tensor) -> np.ndarray:
    """[69, 3] m: origin of each joint's child link in its parent link.

    Args:
        rest_joints: [24, 3] m of the rest pose, SMPL axes.
    """
    bones = bone_offsets(rest_joints.detach().cpu().double())[1:] @ URDF_FROM_SMPL.double().T
    origins = np.zeros((len(LINK_JOINTS), 3))
    origins[[joint.first for joint in LINK_JOINTS]] = bones.numpy()
    return origins


def half_turns(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The joints' rotations as quaternions, for angles [69] rad: the part [69] along the joint's axis, and w [69].

    The other two parts are 0.
    """
    half = 0.5 * np.asarray(angles, dtype=np.float64)
    return np.sin(half), np.cos(half)
