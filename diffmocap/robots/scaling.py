"""A person's pose in a robot's measures, limb by limb.

Every limb of the robot is to point as the person's does, and keeps its own length; links are turned as the person's
body parts are, from the pose in which both stand with arms spread. Heights of the hips are scaled by the length of the
legs above the ankles. (GMR, "General Motion Retargeting", scales positions by a table of factors for each robot;
lengths read off both bodies need no table.)
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.robots.frames import SIDES, HumanFrame
from diffmocap.robots.model import RobotModel

#: Takes SMPL's body axes (left, up, forward) to a robot's (forward, left, up).
ROBOT_FROM_BODY = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
#: Height of the ankle joint above the floor, of a person standing, over their height: that of the shipped body.
ANKLE_HEIGHT = 0.045
#: Legs that are shorter are no legs: a scale by them would lead nowhere [m].
SHORTEST_LEG = 0.2
#: Gaps between capsules that are no wider are looked at [m].
FAR = 0.5


def _both(joint: str) -> list[int]:
    return [JOINT_NAMES.index(f"{side}_{joint}") for side in SIDES]


SHOULDER, ELBOW, WRIST = _both("shoulder"), _both("elbow"), _both("wrist")
HIP, KNEE, ANKLE = _both("hip"), _both("knee"), _both("ankle")
#: The part of the person that each turned site follows.
TURNED = {
    "pelvis": JOINT_NAMES.index("pelvis"), "chest": JOINT_NAMES.index("spine3"), "head": JOINT_NAMES.index("head"),
    "left_hand": WRIST[0], "right_hand": WRIST[1], "left_sole": ANKLE[0], "right_sole": ANKLE[1],
}  # fmt: skip


@dataclass
class Targets:
    """What a robot is to do at one time; [2] are left and right, vectors in the world's axes [m].

    Attributes:
        elbow, wrist: [2, 3] from the shoulder.
        knee, ankle: [2, 3] from the hip; zeros where the robot has no legs.
        hip_height: of the middle of the hips above the floor [m].
        hips, ankles: [2] m, horizontal place of the person's mid-hips, and [2, 2] of their ankles, times the scale of
            the legs: only their changes are followed.
        rotations: [R, 3, 3] of the turned sites.
    """

    elbow: np.ndarray
    wrist: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    hip_height: float
    hips: np.ndarray
    ankles: np.ndarray
    rotations: np.ndarray


class Scaling:
    """Makes targets of people for one robot.

    Attributes:
        turned: names of the sites that are turned, as ``Targets.rotations`` has them.
        at_rest: [R, 3, 3] their rotations in the T-pose.
        arm: [2] length from shoulder to wrist along the bones [m]; leg: [2] from hip to ankle.
        hip_offset: [2, 3] from the pelvis link to the hips, in its axes.
        sole_offset: [2, 3] from the ankle to the sole, in the sole's axes.
        ankle_height: of the robot's ankles when its soles stand on the floor [m].
        least_apart: of parallel legs that do not touch, from sole to sole [m].
    """

    def __init__(self, robot: RobotModel) -> None:
        data = mujoco.MjData(robot.model)
        data.qpos = robot.t_pose
        mujoco.mj_kinematics(robot.model, data)

        def at(key: str) -> np.ndarray:
            return np.array([data.site_xpos[robot.sites[f"{side}_{key}"]] for side in SIDES])

        self.legged = "left_hip" in robot.sites
        self.floating = robot.description.floating
        self.turned = [name for name in TURNED if name in robot.sites]
        self._joints = [TURNED[name] for name in self.turned]
        self.at_rest = np.array([data.site_xmat[robot.sites[name]].reshape(3, 3) for name in self.turned])
        self._from_body = ROBOT_FROM_BODY.T @ self.at_rest
        self._upper_arm = _length(at("elbow") - at("shoulder"))
        self._forearm = _length(at("wrist") - at("elbow"))
        self.arm = (self._upper_arm + self._forearm)[:, 0]
        if self.legged:
            self._thigh, self._shank = _length(at("knee") - at("hip")), _length(at("ankle") - at("knee"))
            self.leg = (self._thigh + self._shank)[:, 0]
            pelvis = robot.sites["pelvis"]
            self.hip_offset = (at("hip") - data.site_xpos[pelvis]) @ data.site_xmat[pelvis].reshape(3, 3)
            soles = np.array([data.site_xmat[robot.sites[f"{side}_sole"]].reshape(3, 3) for side in SIDES])
            self.sole_offset = np.einsum("sji,sj->si", soles, at("sole") - at("ankle"))
            self.ankle_height = float((at("ankle") - at("sole"))[:, 2].mean())
            across = float((at("sole")[0] - at("sole")[1])[1])
            self.least_apart = max(across - _room_between_legs(robot, data), 0.0)
        self._chest = self.turned.index("chest")

    def targets(self, frame: HumanFrame) -> Targets:
        """What the robot is to do for a person's pose."""
        p = frame.positions
        rotations = frame.rotations[self._joints] @ self._from_body
        upper, fore = _unit(p[ELBOW] - p[SHOULDER]), _unit(p[WRIST] - p[ELBOW])
        if not self.floating:
            # The robot cannot turn with the person: what the arms do is seen from the chest.
            turn = self.at_rest[self._chest] @ rotations[self._chest].T
            rotations, upper, fore = turn @ rotations, upper @ turn.T, fore @ turn.T
        elbow = self._upper_arm * upper
        wrist = elbow + self._forearm * fore
        if not self.legged:
            none = np.zeros((2, 3))
            return Targets(elbow, wrist, none, none, 0.0, np.zeros(2), np.zeros((2, 2)), rotations)
        thigh, shank = p[KNEE] - p[HIP], p[ANKLE] - p[KNEE]
        scale = self.leg.mean() / max(float((_length(thigh) + _length(shank)).mean()), SHORTEST_LEG)
        knee = self._thigh * _unit(thigh)
        height = self.ankle_height + scale * (p[HIP, 2].mean() - ANKLE_HEIGHT * frame.height)
        hips, ankles = scale * p[HIP, :2].mean(0), scale * p[ANKLE, :2]
        return Targets(elbow, wrist, knee, knee + self._shank * _unit(shank), height, hips, ankles, rotations)


def _room_between_legs(robot: RobotModel, data: mujoco.MjData) -> float:
    """By how much the legs may come together from a pose in which they hang side by side [m]."""
    gaps = [
        mujoco.mj_geomDistance(robot.model, data, int(a), int(b), FAR, None)
        for a, b in robot.pairs
        if {robot.model.geom(int(x)).name.removeprefix("capsule_").split("_")[0] for x in (a, b)} == set(SIDES)
    ]
    return max(min(gaps, default=FAR) - 2.0 * robot.description.collision_distance, 0.0)


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt((vectors * vectors).sum(-1, keepdims=True))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(_length(vectors), 1e-9)
