"""A robot's limits: the box that its joints may reach by the next command, and the law by which a command stays in it.

Commands are positions p at times that need not be even, with

    v' = (p' - p) / dt,    a' = (v' - v) / dt

so that whoever takes differences of what was sent finds what is promised here. With b = a_max dt, a joint that is d
from the end of its range may move towards it with at most sqrt(b^2 + 2 a_max d) - b: then d' = v'^2 / (2 a_max) is
left, from where braking keeps the same condition, whatever the next dt is. So a command inside all limits always
exists, and the box is never empty. The solver looks for its pose in that box, and every command passes it once more.

A target that lies outside of the box is approached on the curve from which the joint can stop at it, or move on with
it.
"""

from __future__ import annotations

import mujoco
import numpy as np

from diffmocap.errors import RobotError
from diffmocap.robots.frames import RobotCommand
from diffmocap.robots.model import RobotModel

#: Share of a velocity or acceleration limit that is used, so that no rounding of a message leaves it.
USED = 0.999
#: Share of the acceleration that the approach to a target counts on; the rest corrects.
APPROACH = 0.8
#: Shortest and longest time from one command to the next that is reckoned with [s].
SHORTEST_S, LONGEST_S = 1e-3, 0.5


class MotionBox:
    """Joint positions, and the base's, that may be reached from one command to the next.

    All arrays have one entry for each velocity of the model [nv]: of a floating base first its position and turn, which
    have no range, then the joints.

    Attributes:
        low, high: range [rad, m]; speed, strength: limits of velocity and acceleration.
    """

    def __init__(self, robot: RobotModel) -> None:
        base, of = robot.first_dof, robot.description
        everywhere = np.full(base, np.inf)
        self.low = np.concatenate([-everywhere, robot.low])
        self.high = np.concatenate([everywhere, robot.high])
        self.speed = USED * np.concatenate([np.repeat(of.base_velocity, 3)[:base], robot.velocity])
        self.strength = USED * np.concatenate([np.repeat(of.base_acceleration, 3)[:base], robot.acceleration])

    def ends(self, position: np.ndarray, velocity: np.ndarray, dt_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest way [nv] that each may go in ``dt_s``, from a position inside the range."""
        brake = self.strength * dt_s
        to_high = _stopping_speed(self.high - position, self.strength, brake)
        to_low = _stopping_speed(position - self.low, self.strength, brake)
        upper = np.minimum(np.minimum(velocity + brake, self.speed), to_high)
        lower = np.maximum(np.maximum(velocity - brake, -self.speed), -to_low)
        # Faster than allowed, as rounding or a start from outside may leave it: it brakes as hard as it can.
        upper = np.maximum(upper, np.minimum(velocity - brake, self.speed))
        lower = np.minimum(lower, np.maximum(velocity + brake, -self.speed))
        upper = np.minimum(upper * dt_s, np.maximum(self.high - position, 0.0))
        return np.minimum(np.maximum(lower * dt_s, np.minimum(self.low - position, 0.0)), upper), upper

    def towards(
        self, ends: tuple[np.ndarray, np.ndarray], way: np.ndarray, velocity: np.ndarray, dt_s: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The part of a box from which each can still stop at its target, or go on with it.

        Args:
            ends: the box. way: [nv] to the target. velocity: [nv] of the target.
            dt_s: time of the step.
        """
        lower, upper = ends
        brake = self.strength * dt_s
        velocity = np.clip(velocity, -self.speed, self.speed)
        missing = way - velocity * dt_s
        size = np.abs(missing)
        closing = np.maximum(_stopping_speed(size, APPROACH * self.strength, brake), np.minimum(size / dt_s, brake))
        most = (velocity + np.sign(missing) * np.minimum(closing, size / dt_s)) * dt_s
        rises = missing >= 0.0
        return (
            np.where(rises, lower, np.clip(most, lower, upper)),
            np.where(rises, np.clip(most, lower, upper), upper),
        )


def _stopping_speed(way: np.ndarray, strength: np.ndarray, brake: np.ndarray) -> np.ndarray:
    """Speed [nv] of a step after which what is left of a way can be stopped in."""
    return np.sqrt(brake * brake + 2.0 * strength * np.maximum(way, 0.0)) - brake


class CommandLimits:
    """The last word on commands: each inside the limits of a robot, seen from the one before.

    One of these belongs behind all that makes commands, with whatever blends, holds or stops in front of it.

    Attributes:
        box: the limits.
        velocity: [nv] of the last command; of a floating base first that of its origin in the world's axes, and that of
            its turn in the root link's own.
    """

    def __init__(self, robot: RobotModel) -> None:
        self.box = MotionBox(robot)
        self._robot, self._base = robot, robot.first_dof
        self.velocity = np.zeros(len(self.box.low))
        self._position = np.zeros(len(self.box.low))
        self._place, self._turn = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])  # w, x, y, z, as MuJoCo has it

    def start(
        self, positions: np.ndarray, base_position: np.ndarray, base_rotation: np.ndarray, stamp_ns: int = 0
    ) -> RobotCommand:
        """The command of a robot at rest.

        Args:
            positions: [N] of the joints; where one is outside its range, the end of it is taken.
            base_position, base_rotation: [3] m and unit quaternion x, y, z, w [4] of the root link.
        """
        self.velocity = np.zeros(len(self.box.low))
        self._position = np.zeros(len(self.box.low))
        self._position[self._base :] = np.clip(positions, self._robot.low, self._robot.high)
        self._place, self._turn = np.array(base_position, dtype=float), np.roll(base_rotation, 1)
        return self._command(np.zeros(len(self.box.low)), stamp_ns)

    def follow(
        self,
        positions: np.ndarray,
        velocities: np.ndarray,
        base_position: np.ndarray,
        base_rotation: np.ndarray,
        base_velocity: np.ndarray,
        dt_s: float,
        stamp_ns: int = 0,
    ) -> RobotCommand:
        """The command ``dt_s`` after the last one: what is wanted, or what comes next to it.

        Args:
            positions, velocities: [N] wanted of the joints, any finite values.
            base_position, base_rotation: [3] m and unit quaternion x, y, z, w [4] wanted of the root link.
            base_velocity: [6] m/s of its origin in the world's axes, and rad/s of its turn in its own.
            dt_s: time since the last command, taken as ``SHORTEST_S`` to ``LONGEST_S``.

        Raises:
            RobotError: a value is not finite. The last command still holds.
        """
        dt_s = min(max(dt_s, SHORTEST_S), LONGEST_S)
        way = self._way(positions, base_position, base_rotation)
        ends = self.box.ends(self._position, self.velocity, dt_s)
        moving = np.concatenate([base_velocity[: self._base], velocities])
        lower, upper = self.box.towards(ends, way, moving, dt_s)
        return self._step(np.clip(way, lower, upper), dt_s, stamp_ns)

    def keep(
        self, positions: np.ndarray, base_position: np.ndarray, base_rotation: np.ndarray, dt_s: float,
        stamp_ns: int = 0,
    ) -> RobotCommand:  # fmt: skip
        """As :meth:`follow`, of what has been made to keep the limits: the nearest that does, with no thought of the
        next.

        Raises:
            RobotError: a value is not finite. The last command still holds.
        """
        dt_s = min(max(dt_s, SHORTEST_S), LONGEST_S)
        way = self._way(positions, base_position, base_rotation)
        return self._step(np.clip(way, *self.box.ends(self._position, self.velocity, dt_s)), dt_s, stamp_ns)

    def rest(self, dt_s: float, left_s: float = 0.0, stamp_ns: int = 0) -> RobotCommand:
        """The command ``dt_s`` after the last one on the way to rest: ``left_s`` after the last command, or as soon as
        the limits allow."""
        dt_s = min(max(dt_s, SHORTEST_S), LONGEST_S)
        way = self.velocity * dt_s * (max(1.0 - dt_s / left_s, 0.0) if left_s > 0 else 0.0)
        return self._step(np.clip(way, *self.box.ends(self._position, self.velocity, dt_s)), dt_s, stamp_ns)

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves."""
        return not self.velocity.any()

    def _way(self, positions: np.ndarray, base_position: np.ndarray, base_rotation: np.ndarray) -> np.ndarray:
        """From the last command to a pose [nv]."""
        _require_finite(np.concatenate([positions, base_position, base_rotation]))
        way = np.empty_like(self.velocity)
        way[self._base :] = np.clip(positions, self._robot.low, self._robot.high) - self._position[self._base :]
        if self._base:
            way[:3] = base_position - self._place
            # The turn is reckoned from where the base is turned to, so that it never winds.
            mujoco.mju_subQuat(way[3:6], np.roll(base_rotation, 1), self._turn)
        return way

    def _step(self, way: np.ndarray, dt_s: float, stamp_ns: int) -> RobotCommand:
        _require_finite(way)
        velocity = way / dt_s
        acceleration = (velocity - self.velocity) / dt_s
        self.velocity = velocity
        self._position[self._base :] += way[self._base :]
        np.clip(self._position, self.box.low, self.box.high, out=self._position)
        if self._base:
            self._place = self._place + way[:3]
            self._turn = self._turn.copy()
            mujoco.mju_quatIntegrate(self._turn, way[3:6], 1.0)
            mujoco.mju_normalize4(self._turn)
        return self._command(acceleration, stamp_ns)

    def _command(self, acceleration: np.ndarray, stamp_ns: int) -> RobotCommand:
        base = self._base
        return RobotCommand(
            self._robot.joint_names,
            self._position[base:].copy(),
            self.velocity[base:].copy(),
            acceleration[base:],
            self._place.copy(),
            np.roll(self._turn, -1),
            stamp_ns,
        )


def _require_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise RobotError("a robot was to be commanded to values that are not finite")
