"""Somebody who stands, as a camera that nobody measured sees them; and a robot that is told all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, PARENTS
from diffmocap.robots.frames import HumanFrame, RobotCommand

#: From SMPL's body frame (y up, z forward, x left) to the world (z up, x forward).
WORLD_FROM_BODY = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
HIP = JOINT_NAMES.index("pelvis")
#: Height of the shipped body's ankle above its sole [m].
ANKLE_M = 0.0726


class Person:
    """Poses of the shipped body in an upright frame whose floor is z = 0."""

    def __init__(self) -> None:
        body = BodyModel.load()
        rest = body.rest_joints()[0].double().numpy()
        self.height = float(body.height_m)
        self.offsets = rest - np.where(np.arange(24)[:, None] > 0, rest[np.maximum(PARENTS, 0)], 0.0)
        self.pelvis_m = ANKLE_M - rest[JOINT_NAMES.index("left_ankle"), 1]

    def local(self, turns: dict[str, tuple[float, float, float]] | None = None) -> np.ndarray:
        """[24, 3, 3] standing, arms down, with joints turned by rotation vectors in their own axes [rad]."""
        given = {"left_shoulder": (0.0, 0.0, -1.3), "right_shoulder": (0.0, 0.0, 1.3)} | (turns or {})
        local = np.tile(np.eye(3), (24, 1, 1))
        for name, vector in given.items():
            local[JOINT_NAMES.index(name)] = Rotation.from_rotvec(vector).as_matrix()
        return local

    def frame(
        self, turns: dict[str, tuple[float, float, float]] | None = None, yaw: float = 0.0,
        place: tuple[float, float] = (0.0, 0.0), stamp_ns: int = 0,
    ) -> HumanFrame:  # fmt: skip
        """A pose of :meth:`local` on the floor."""
        local = self.local(turns)
        rotations, positions = np.empty((24, 3, 3)), np.empty((24, 3))
        rotations[0] = Rotation.from_euler("z", yaw).as_matrix() @ WORLD_FROM_BODY @ local[0]
        positions[0] = (*place, self.pelvis_m)
        for joint in range(1, 24):
            parent = PARENTS[joint]
            rotations[joint] = rotations[parent] @ local[joint]
            positions[joint] = positions[parent] + rotations[parent] @ self.offsets[joint]
        return HumanFrame(positions, rotations, np.ones(2, bool), self.height, stamp_ns)


def moved(frame: HumanFrame, rotation: np.ndarray, translation: np.ndarray) -> HumanFrame:
    """The same pose seen in another frame."""
    return replace(
        frame, positions=frame.positions @ rotation.T + translation, rotations=rotation @ frame.rotations
    )  # fmt: skip


class ArmsRobot:
    """Six joints, three an arm; what `CommandLimits` and `Teleoperation` ask of a model, and a retargeter of it.

    The joints are angles of the person's arms: what matters here is that they move as the person does.
    """

    def __init__(self) -> None:
        self.joint_names = tuple(f"{side}_{name}" for side in ("left", "right") for name in ("lift", "swing", "bend"))
        self.low, self.high = np.full(6, -2.0), np.array([2.0, 2.0, 1.5] * 2)
        self.velocity = np.array([5.0, 5.0, 3.0] * 2)
        self.acceleration = np.array([60.0, 50.0, 30.0] * 2)
        self.description = SimpleNamespace(
            name="arms", base_velocity=(2.5, 4.0), base_acceleration=(30.0, 60.0), floating=False
        )  # fmt: skip
        self.first, self.first_dof = 7, 6
        self.rest = np.zeros(13)
        self.rest[[7, 10]] = 1.4
        self.resets = 0
        self.fails = ""
        self.gap_of: Callable[[np.ndarray], float] = lambda positions: 1.0
        self._last: np.ndarray | None = None

    def reset(self) -> None:
        self.resets += 1
        self._last = None

    def gap(self, positions: np.ndarray) -> float:
        return self.gap_of(positions)

    def angles(self, frame: HumanFrame) -> np.ndarray:
        """[6] wanted of a person's pose."""
        found = []
        for side in ("left", "right"):
            shoulder, elbow, wrist = (
                frame.positions[JOINT_NAMES.index(f"{side}_{name}")] for name in ("shoulder", "elbow", "wrist")
            )
            upper, lower = elbow - shoulder, wrist - elbow
            upper, lower = upper / np.linalg.norm(upper), lower / np.linalg.norm(lower)
            found += [np.arcsin(np.clip(-upper[2], -1, 1)), np.arctan2(upper[0], np.hypot(*upper[1:])),
                      np.arccos(np.clip(upper @ lower, -1, 1))]  # fmt: skip
        return np.array(found)

    def follow(self, frame: HumanFrame, dt_s: float) -> RobotCommand:
        if self.fails:
            raise RuntimeError(self.fails)
        now = np.clip(self.angles(frame), self.low, self.high)
        velocity = np.zeros(6) if self._last is None else (now - self._last) / dt_s
        self._last = now
        base = frame.positions[0], np.array([0.0, 0.0, 0.0, 1.0])
        return RobotCommand(self.joint_names, now, velocity, np.zeros(6), *base, frame.stamp_ns)
