"""A person's pose as SONIC's policy observes it: SMPL's joints beside the pelvis, how that is turned, the G1's wrists.

SONIC's frame of the root is x forward, y left and z up where the person stands upright and looks along x: SMPL's body
frame without the turn that puts y up. Positions are those of the joints beside the pelvis, in the axes of that frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.body.skeleton import JOINT_NAMES, PARENTS
from diffmocap.robots.frames import SIDES, HumanFrame

#: Joints of SONIC's ``smpl_pose``: all but the root and the hands.
POSED = 21
#: From SMPL's body frame (y up, z forward, x left) to that of somebody upright (x forward, y left, z up).
_UPRIGHT = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_PARENTS = np.array(PARENTS[1:])
_ELBOWS, _WRISTS = ([JOINT_NAMES.index(f"{side}_{name}") for side in SIDES] for name in ("elbow", "wrist"))
#: From the axes of SMPL's lower arm in the T-pose to those of the G1's: along the arm, and to the little finger's side.
_TO_G1 = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, 1.0]])
#: Ends of the G1's wrist joints: roll, pitch, yaw [rad].
WRIST_RANGE = np.array([1.97, 1.61, 1.61])


@dataclass(frozen=True)
class SonicPose:
    """One frame of the stream.

    Attributes:
        joints: [24, 3] m, SMPL's joints beside the pelvis in the axes of the root.
        pose: [21, 3] rotation vectors of SMPL's joints 1 to 21 against their parents [rad].
        root: [4] unit quaternion w, x, y, z that takes the root's axes to the world, z up.
        wrists: [2, 3] roll, pitch, yaw of the G1's left and right wrist [rad].
    """

    joints: np.ndarray
    pose: np.ndarray
    root: np.ndarray
    wrists: np.ndarray


def sonic_pose(frame: HumanFrame, height: float, heading: float = 0.0) -> SonicPose:
    """The pose of a person.

    Args:
        frame: in a world with z up.
        height: that the skeleton is scaled to [m]; 0: the person's own.
        heading: added to the person's, about z [rad].
    """
    root = frame.rotations[0] @ _UPRIGHT.T
    scale = height / frame.height if height > 0.0 else 1.0
    local = np.swapaxes(frame.rotations[_PARENTS], 1, 2) @ frame.rotations[1:]
    turned = Rotation.from_euler("z", heading).as_matrix() @ root
    return SonicPose(
        joints=scale * (frame.positions - frame.positions[0]) @ root,
        pose=Rotation.from_matrix(local[:POSED]).as_rotvec(),
        root=np.roll(Rotation.from_matrix(turned).as_quat(canonical=True), 1),
        wrists=_wrists(local),
    )


def _wrists(local: np.ndarray) -> np.ndarray:
    """[2, 3] of SMPL's rotations [23, 3, 3] against the parents.

    The G1's elbow only bends. What SMPL's elbow turns beside the bend, most of it along the lower arm, is the wrist's.
    """
    elbows = Rotation.from_matrix(local[np.subtract(_ELBOWS, 1)]).as_quat()
    bends = np.zeros((2, 4))
    bends[:, 1::2] = elbows[:, 1::2]
    bends[np.linalg.norm(bends, axis=1) < 1e-9] = 0.0, 0.0, 0.0, 1.0
    beside = Rotation.from_quat(bends).inv() * Rotation.from_quat(elbows)
    angles = beside.as_euler("XYZ")
    angles[:, 1] = 0.0
    angles += Rotation.from_matrix(local[np.subtract(_WRISTS, 1)]).as_euler("XYZ")
    return np.clip(angles * _TO_G1, -WRIST_RANGE, WRIST_RANGE)


def between(a: SonicPose, b: SonicPose, share: float) -> SonicPose:
    """The pose on the way from one to another; 0 is the first, 1 the second."""
    return SonicPose(
        joints=a.joints + share * (b.joints - a.joints),
        pose=_turned(Rotation.from_rotvec(a.pose), Rotation.from_rotvec(b.pose), share).as_rotvec(),
        root=np.roll(_turned(_root(a), _root(b), share).as_quat(canonical=True), 1),
        wrists=a.wrists + share * (b.wrists - a.wrists),
    )


def heading_of(pose: SonicPose) -> float:
    """Where the person looks, about z [rad]."""
    forward = _root(pose).apply((1.0, 0.0, 0.0))
    return float(np.arctan2(forward[1], forward[0]))


def _root(pose: SonicPose) -> Rotation:
    return Rotation.from_quat(np.roll(pose.root, -1))


def _turned(a: Rotation, b: Rotation, share: float) -> Rotation:
    """Along the shortest turn."""
    return a * Rotation.from_rotvec(share * (a.inv() * b).as_rotvec())
