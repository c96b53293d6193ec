"""What a retargeter takes and gives: one person's pose at one time, and the command of a robot.

The world has z up (REP-103) and its floor at z = 0. Rotations act on SMPL's body frame: y up, z forward, x to the left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.errors import RobotError

#: Joints that are farther from the pelvis are no person's [heights]; and nobody is farther from the origin [m].
_LARGEST, _FARTHEST = 3.0, 1000.0
#: Left and right, as `HumanFrame.contacts` and the feet of a robot are ordered.
SIDES = ("left", "right")


@dataclass(frozen=True)
class HumanFrame:
    """One person's pose in the world.

    Attributes:
        positions: [24, 3] m, SMPL's joints in its order.
        rotations: [24, 3, 3] global rotations: each takes the joint's axes, which are those of the body frame in the
            T-pose, to the world.
        contacts: [2] bool, whether the left and the right sole rest on the floor. A robot keeps such a sole flat and
            where it is.
        height: of the person standing straight [m].
        stamp_ns: acquisition time.

    Raises:
        RobotError: an array has another shape, or values that are not finite or no person's.
    """

    positions: np.ndarray
    rotations: np.ndarray
    contacts: np.ndarray
    height: float
    stamp_ns: int = 0

    def __post_init__(self) -> None:
        for name, shape in {"positions": (NUM_JOINTS, 3), "rotations": (NUM_JOINTS, 3, 3), "contacts": (2,)}.items():
            value = getattr(self, name)
            if np.shape(value) != shape:
                raise RobotError(f"a person's {name} are {list(np.shape(value))}; expected {list(shape)}")
            if not np.isfinite(value).all():
                raise RobotError(f"a person's {name} hold values that are not finite")
        if not 0.3 <= self.height <= 3.0:
            raise RobotError(f"a person of {self.height} m; expected 0.3 to 3 m")
        reach, far = np.abs(self.positions - self.positions[0]).max(), np.abs(self.positions).max()
        if reach > _LARGEST * self.height or far > _FARTHEST:
            raise RobotError(
                f"a person's joints are up to {reach:.3g} m from the pelvis and {far:.3g} m from the origin; expected "
                f"at most {_LARGEST * self.height:.3g} m and {_FARTHEST:g} m"
            )

    @classmethod
    def from_local(
        cls,
        rotations: np.ndarray,
        positions: np.ndarray,
        world_rotation: np.ndarray,
        world_position: np.ndarray,
        contacts: np.ndarray,
        height: float,
        stamp_ns: int = 0,
    ) -> HumanFrame:
        """From a pose as ``BodyPose`` and motions hold it.

        Args:
            rotations: [24, 3, 3] local rotations; entry 0 turns the body frame into the pose's frame.
            positions: [24, 3] m, joints in the pose's frame.
            world_rotation: [3, 3] takes the pose's frame to the world.
            world_position: [3] m, origin of the pose's frame in the world.
            contacts, height, stamp_ns: as those of the class.
        """
        turned = np.empty((NUM_JOINTS, 3, 3))
        turned[0] = world_rotation @ rotations[0]
        for joint in range(1, NUM_JOINTS):
            np.matmul(turned[PARENTS[joint]], rotations[joint], out=turned[joint])
        return cls(positions @ world_rotation.T + world_position, turned, contacts, height, stamp_ns)


@dataclass(frozen=True)
class RobotCommand:
    """Where a robot's joints are to be at one time, inside all limits of its description.

    Velocities and accelerations are differences of consecutive commands: ``v' = (p' - p) / dt``, ``a' = (v' - v) /
    dt``.

    Attributes:
        joint_names: [N] as the robot's model has them.
        positions: [N] rad, or m of a sliding joint.
        velocities: [N] rad/s or m/s.
        accelerations: [N] rad/s^2 or m/s^2, since the command before.
        base_position: [3] m, origin of the robot's root link in the world. A fixed robot stays where its model puts it.
        base_rotation: [4] unit quaternion x, y, z, w that takes the root link's axes to the world.
        stamp_ns: of the human frame that it follows.
    """

    joint_names: tuple[str, ...]
    positions: np.ndarray
    velocities: np.ndarray
    accelerations: np.ndarray
    base_position: np.ndarray
    base_rotation: np.ndarray
    stamp_ns: int = 0


def resting_soles(contacts: Iterable[str]) -> np.ndarray:
    """[2] bool of `HumanFrame.contacts`, from the names of touching contact points as ``BodyPose.contacts`` has them.

    A sole rests where its heel touches: on toes and ball alone it has begun to lift, and must be free to turn.
    """
    names = set(contacts)
    return np.array([f"{side}_heel" in names for side in SIDES])
