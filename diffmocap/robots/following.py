"""How well a robot follows a person, from the commands alone: each is put into the robot's model and looked at.

Nothing of what the retargeter says about itself is used.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from diffmocap.robots.collision import Gaps
from diffmocap.robots.frames import SIDES, HumanFrame, RobotCommand
from diffmocap.robots.model import RobotModel
from diffmocap.robots.scaling import Scaling

#: A sole is on the floor below this height [m]; higher, the robot takes a step.
ON_FLOOR = 0.01
#: Rounding in the judgement of limits, as a share of them.
ROUNDING = 1e-6


class Judge:
    """Gathers figures over the frames of one motion after the other.

    Wrists are compared from the shoulder, over the arm's length, and the hips' height over the leg's, with what the
    person's pose is in the robot's measures. A sole counts in two frames in a row in which the person's is in contact
    and the robot's is on the floor: how far it moves along the floor meanwhile, and how it is tilted.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._robot, self._scaling = robot, Scaling(robot)
        self._data = mujoco.MjData(robot.model)
        self._gaps = Gaps(robot, 0.05) if len(robot.pairs) else None
        self.limits_broken = self.frames = self.commands = self.touching = 0
        self.wrist: list[float] = []
        self.slip: list[float] = []
        self.tilt: list[float] = []
        self.pelvis: list[float] = []
        self.start()

    def start(self) -> None:
        """The next command is the first of another motion."""
        self._last: RobotCommand | None = None
        self._velocity: np.ndarray | None = None
        self._soles: np.ndarray | None = None
        self._contacts = np.zeros(2, dtype=bool)

    def see(self, frame: HumanFrame, command: RobotCommand, dt_s: float) -> None:
        """Takes a command, ``dt_s`` after the one before, and the frame that it follows."""
        self.frames += 1
        self.see_limits(command, dt_s)
        robot, data, scaling = self._robot, self._data, self._scaling
        if robot.first:
            data.qpos[:3], data.qpos[3:7] = command.base_position, np.roll(command.base_rotation, 1)
        data.qpos[robot.first :] = command.positions
        mujoco.mj_kinematics(robot.model, data)
        if self._gaps is not None:
            self.touching += self._gaps.least(data) < 0.0
        targets = scaling.targets(frame)
        for i, side in enumerate(SIDES):
            wrist = self._at(f"{side}_wrist") - self._at(f"{side}_shoulder")
            self.wrist.append(math.dist(wrist, targets.wrist[i]) / scaling.arm[i])
        if scaling.legged:
            self._see_feet(frame, dt_s)
            pelvis = robot.sites["pelvis"]
            hips = data.site_xpos[pelvis] + data.site_xmat[pelvis].reshape(3, 3) @ scaling.hip_offset.mean(0)
            self.pelvis.append(abs(hips[2] - targets.hip_height) / scaling.leg.mean())

    def figures(self) -> dict[str, float]:
        """Means over all frames, and how many commands broke a limit; feet and hips only of robots with legs."""
        figures = {
            "frames": self.frames, "limits_broken": self.limits_broken, "links_touching": int(self.touching),
            "wrist_error_pct": _mean(self.wrist, 100.0), "wrist_error_p95_pct": _p95(self.wrist, 100.0),
        }  # fmt: skip
        if self._scaling.legged:
            figures |= {
                "sole_slip_cm_s": _mean(self.slip, 100.0), "sole_slip_p95_cm_s": _p95(self.slip, 100.0),
                "sole_tilt_deg": _mean(self.tilt, math.degrees(1.0)),
                "sole_tilt_p95_deg": _p95(self.tilt, math.degrees(1.0)),
                "pelvis_error_pct": _mean(self.pelvis, 100.0), "pelvis_error_p95_pct": _p95(self.pelvis, 100.0),
            }  # fmt: skip
        return {key: value if isinstance(value, int) else round(value, 3) for key, value in figures.items()}

    def lines(self) -> list[str]:
        """The figures in words."""
        of = self.figures()
        lines = [
            f"limits broken: {of['limits_broken']} of {of['frames']} commands; links touching: {of['links_touching']}",
            f"wrists: {of['wrist_error_pct']:.1f} % of the arm off, {of['wrist_error_p95_pct']:.1f} % at most in 95 % "
            "of the frames",
        ]
        if self._scaling.legged:
            lines += [
                f"soles on the floor: slip {of['sole_slip_cm_s']:.1f} cm/s, tilt {of['sole_tilt_deg']:.1f} degrees",
                f"hips: {of['pelvis_error_pct']:.1f} % of the leg too high or too low",
            ]
        return lines

    def see_limits(self, command: RobotCommand, dt_s: float) -> None:
        """Takes a command for its limits alone, ``dt_s`` after the one before."""
        self.commands += 1
        robot, last = self._robot, self._last
        broken = bool(((command.positions < robot.low - ROUNDING) | (command.positions > robot.high + ROUNDING)).any())
        if last is not None:
            velocity = (command.positions - last.positions) / dt_s
            broken |= bool((np.abs(velocity) > robot.velocity * (1.0 + ROUNDING)).any())
            before = np.zeros_like(velocity) if self._velocity is None else self._velocity
            broken |= bool((np.abs(velocity - before) / dt_s > robot.acceleration * (1.0 + ROUNDING)).any())
            self._velocity = velocity
        self._last = command
        self.limits_broken += broken

    def _see_feet(self, frame: HumanFrame, dt_s: float) -> None:
        soles = np.array([self._at(f"{side}_sole") for side in SIDES])
        for i, side in enumerate(SIDES):
            if self._soles is None or not (frame.contacts[i] and self._contacts[i]):
                continue
            if max(soles[i, 2], self._soles[i, 2]) > ON_FLOOR:
                continue
            self.slip.append(math.dist(soles[i, :2], self._soles[i, :2]) / dt_s)
            turned = self._data.site_xmat[self._robot.sites[f"{side}_sole"]].reshape(3, 3)
            at_rest = self._scaling.at_rest[self._scaling.turned.index(f"{side}_sole")]
            self.tilt.append(math.acos(min(max(float(turned[2] @ at_rest[2]), -1.0), 1.0)))
        self._soles, self._contacts = soles, np.asarray(frame.contacts).copy()

    def _at(self, site: str) -> np.ndarray:
        return self._data.site_xpos[self._robot.sites[site]]


def _mean(values: list[float], unit: float) -> float:
    return float(np.mean(values)) * unit if values else 0.0


def _p95(values: list[float], unit: float) -> float:
    return float(np.percentile(values, 95)) * unit if values else 0.0
