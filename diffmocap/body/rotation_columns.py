"""Whether a motion file's poses are what they are read as: axis-angle in radians, three columns per joint.

Rotations are stored in many ways, and most of them fill a table that could be axis-angle, too: 6D rotations of 24
joints are 144 columns, degrees look like radians. Read as axis-angle they are a motion, but another one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import MotionFileError

#: Columns of axis-angle that occur: body alone, SMPL, SMPL-H, SMPL-X.
AXIS_ANGLE_COLUMNS = {66: "the SMPL body", 72: "SMPL", 156: "SMPL-H", 165: "SMPL-X"}
#: Numbers a joint of the other ways to store a rotation.
_OTHERS = {6: "6D rotations (two columns of a matrix)", 9: "rotation matrices", 4: "quaternions"}
#: Joints in one file: body alone, SMPL, SMPL-H, SMPL-X.
_JOINTS = (22, NUM_JOINTS, 52, 55)
#: A joint of the body is never turned by more than this in a tenth of the frames; data sets stay below 2.3 rad.
MAX_TURN_RAD = 2 * math.pi
MAX_SHARE = 0.1

_CONVERT = "convert them to axis-angle in radians first, as Rotation.as_rotvec of scipy.spatial.transform does"


def columns_of_joints(shape: Sequence[int], path: Path) -> int:
    """Number of columns of the array ``poses``, whose shape must be [T, 66, 72, 156 or 165].

    Raises:
        MotionFileError: it is another one; where that is how other representations are stored, the message says so.
    """
    expected = "expected axis-angle [T, " + ", ".join(f"{n} ({what})" for n, what in AXIS_ANGLE_COLUMNS.items()) + "]"
    if len(shape) == 2 and shape[1] in AXIS_ANGLE_COLUMNS:
        if shape[0] == 0:
            raise MotionFileError(f"{path}: 'poses' is 0 x {shape[1]}; expected at least one frame")
        return shape[1]
    what = "x".join(map(str, shape)) if len(shape) != 2 else f"{shape[0]} x {shape[1]}"
    likely = [name for n, name in _OTHERS.items() if _holds(shape, n)]
    if likely:
        kinds = " or ".join(likely)
        raise MotionFileError(f"{path}: 'poses' is {what}, which looks like {kinds}; {expected}: {_CONVERT}")
    if len(shape) == 3 and shape[1] in _JOINTS and shape[2] == 3:
        raise MotionFileError(
            f"{path}: 'poses' is {what}: if it is axis-angle, reshape it to [T, {3 * shape[1]}]; if it is positions of "
            f"joints, it is no pose; {expected}"
        )
    raise MotionFileError(f"{path}: 'poses' is {what}; {expected}")


def _holds(shape: Sequence[int], numbers: int) -> bool:
    """Whether an array of this shape may hold so many numbers for each joint of each frame."""
    if len(shape) == 2:
        return any(shape[1] == numbers * joints for joints in _JOINTS)
    if len(shape) == 3:
        return shape[2] == numbers and shape[1] in _JOINTS
    return len(shape) == 4 and numbers == 9 and tuple(shape[2:]) == (3, 3)


def check_axis_angle(vectors: np.ndarray, path: Path) -> None:
    """Refuses rotation vectors [T, 24, 3] that no body takes.

    The root is free: somebody who turns round and round may be turned by any angle. Joints of the body are not.

    Raises:
        MotionFileError: joints are turned by more than a whole turn, so the unit is degrees rather than radians.
    """
    if not len(vectors):
        return
    turn = np.linalg.norm(vectors[:, 1:22], axis=-1)
    beyond = (turn > MAX_TURN_RAD).mean(0)
    if beyond.max() > MAX_SHARE:
        worst = int(beyond.argmax())
        raise MotionFileError(
            f"{path}: joints are turned by up to {turn[:, worst].max():.0f} rad, more than a whole turn, in "
            f"{100 * beyond[worst]:.0f} % of the frames: these look like degrees; {_CONVERT}"
        )
