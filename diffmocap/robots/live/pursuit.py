"""Commands that bring a robot to a person's poses, which come at a rate of their own, and to rest.

The goal is where the last pose leads. In a blend it is approached from where the robot was; a critically damped spring
takes up what poses differ from where they led; then come the limits of the robot. Where limbs would meet at the place
at which the robot would come to rest, it brakes instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.robots.frames import RobotCommand
from diffmocap.robots.limits import CommandLimits
from diffmocap.robots.live.blend import Blend, blend_time_s
from diffmocap.robots.model import RobotModel

#: Rate with which deviations of a pose from where its motion led are met [1/s]: half of one is met in an image's time.
_RATE = 60.0
#: A pose leads on for so long at most [s].
_AHEAD_S = 0.04
#: The robot has reached the person's pose when no joint is farther from it [rad]; and it rests below this [rad/s].
_REACHED, _RESTS = 0.15, 1e-3


@dataclass(frozen=True)
class Goal:
    """The person's pose as the robot's, since ``since_s``; ``base_velocity`` [6] as of :class:`CommandLimits`."""

    command: RobotCommand
    base_velocity: np.ndarray
    since_s: float

    @classmethod
    def after(cls, before: Goal | None, command: RobotCommand, dt_s: float, now_s: float) -> Goal:
        """The goal of a pose that came ``dt_s`` after that of the goal before."""
        velocity = np.zeros(6)
        if before is not None:
            was = before.command
            turn = Rotation.from_quat(was.base_rotation).inv() * Rotation.from_quat(command.base_rotation)
            velocity = np.concatenate([command.base_position - was.base_position, turn.as_rotvec()]) / dt_s
        return cls(command, velocity, now_s)


class Pursuit:
    """One robot's commands, one after the other.

    Args:
        robot: its limits.
        gap: least distance of two limbs with the joints at [N] positions [m]; negative where they meet.

    Attributes:
        command: the last one; None where the robot gets none.
        blend: the last one that was begun.
    """

    def __init__(self, robot: RobotModel, gap: Callable[[np.ndarray], float]) -> None:
        self._robot, self._gap_at = robot, gap
        self._limits = CommandLimits(robot)
        self.command: RobotCommand | None = None
        self.blend: Blend | None = None
        self._gap = 0.0

    @property
    def at_rest(self) -> bool:
        """Whether the last command moves nothing, or there is none."""
        return self.command is None or float(np.abs(self.command.velocities).max(initial=0.0)) < _RESTS

    def start(self, positions: np.ndarray, goal: Goal) -> None:
        """A robot at rest with its joints at [N] positions. Where its base is, is not known: where the goal has it."""
        inside = np.clip(positions, self._robot.low, self._robot.high)
        of = goal.command
        self.command = self._limits.start(inside, of.base_position, of.base_rotation, of.stamp_ns)

    def begin(self, goal: Goal, now_s: float, blend_time: float) -> None:
        """A blend from the last command, which is at rest, to a goal."""
        start, of, box = self.command, goal.command, self._limits.box
        way = of.positions - start.positions
        if self._robot.first_dof:  # a robot that was held may have been left behind
            turn = (Rotation.from_quat(start.base_rotation).inv() * Rotation.from_quat(of.base_rotation)).as_rotvec()
            way = np.concatenate([of.base_position - start.base_position, turn, way])
        self.blend = Blend(start, now_s, blend_time_s(way, box.speed, box.strength, blend_time))
        self._gap = self._gap_at(start.positions)

    def reached(self, goal: Goal, now_s: float) -> bool:
        """Whether the blend is over and the robot at the goal."""
        if self.blend is None or self.command is None or self.blend.share(now_s) < 1.0:
            return False
        return float(np.abs(self.command.positions - goal.command.positions).max(initial=0.0)) < _REACHED

    def follow(self, goal: Goal, now_s: float, dt_s: float, stamp_ns: int) -> RobotCommand:
        """The command ``dt_s`` after the last one, towards a goal."""
        wanted = self._wanted(goal, now_s, dt_s)
        if self._would_touch(wanted[0], dt_s):
            return self.rest(dt_s, stamp_ns)
        self.command = self._limits.follow(*wanted, dt_s, stamp_ns)
        return self.command

    def rest(self, dt_s: float, stamp_ns: int) -> RobotCommand:
        """The command ``dt_s`` after the last one, of a robot that brakes as hard as it may."""
        self.command = self._limits.rest(dt_s, 0.0, stamp_ns)
        return self.command

    def _wanted(
        self, goal: Goal, now_s: float, dt_s: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Where the joints and the base are to be now, and how fast."""
        of, since_s = goal.command, now_s - goal.since_s
        ahead_s, moves = min(since_s, _AHEAD_S), float(since_s < _AHEAD_S)
        positions, velocities, place, turn = self.blend.towards(
            of.positions + ahead_s * of.velocities,
            moves * of.velocities,
            of.base_position + ahead_s * goal.base_velocity[:3],
            of.base_rotation,
            now_s,
        )
        base = moves * goal.base_velocity if self.blend.share(now_s) >= 1.0 else np.zeros(6)
        last, floats = self.command, self._robot.first_dof > 0
        way, speeds = positions - last.positions, velocities
        turned = Rotation.from_quat(last.base_rotation)
        if floats:
            rotation = (turned.inv() * Rotation.from_quat(turn)).as_rotvec()
            way = np.concatenate([place - last.base_position, rotation, way])
            speeds = np.concatenate([base, speeds])
        # One implicit step of the spring.
        w = _RATE * dt_s
        step = dt_s * (self._limits.velocity + (w * w / dt_s) * way + 2.0 * w * speeds) / (1.0 + w) ** 2
        if floats:
            place, turn = last.base_position + step[:3], (turned * Rotation.from_rotvec(step[3:6])).as_quat()
        return last.positions + step[-len(positions) :], velocities, place, turn, base

    def _would_touch(self, positions: np.ndarray, dt_s: float) -> bool:
        """Whether limbs would meet where the robot comes to rest after a step to [N] positions. Such that touch already
        may part."""
        velocity = np.clip((positions - self.command.positions) / dt_s, -self._robot.velocity, self._robot.velocity)
        gap = self._gap_at(positions + 0.5 * velocity * np.abs(velocity) / self._robot.acceleration)
        if gap < min(self._gap, 0.0):
            return True
        self._gap = gap
        return False
