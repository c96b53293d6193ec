"""A robot's limits twice: what the solver may reach in a frame, and the law that every command passes at last.

The solver's pose of the next frame lies in a box: velocity and acceleration from the frame before, and no faster towards
an end of the range than can be braked there. The box is never empty. The commands follow the solver's poses by the law of
:mod:`diffmocap.output.joint_motion`, which keeps position, velocity and acceleration limits whatever it is asked to
follow and whenever it is asked: a solver that fails, or a stream that jumps, cannot break them.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.output.joint_motion import JointMotion
from diffmocap.robots.frames import RobotCommand
from diffmocap.robots.model import RobotModel

#: Share of a velocity or acceleration limit that is used, so that no rounding leaves it.
USED = 0.999
#: Robots have no jerk limit here; the law wants a number [rad/s^3].
NO_JERK_LIMIT = 1e9
#: Shortest and longest time from one frame to the next that is reckoned with [s].
SHORTEST_S, LONGEST_S = 1e-3, 0.5


def reachable(
    position: np.ndarray,
    velocity: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    most: tuple[np.ndarray, np.ndarray],
    dt_s: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Where each joint may be ``dt_s`` later: lower and upper ends [N] of its way from ``position``.

    Args:
        position, velocity: [N] now; inside the range.
        low, high: [N] the range.
        most: limits [N] of velocity and acceleration.
        dt_s: time until then.
    """
    speed, strength = most
    # From v the joint stops within v^2 / 2a, and one step more passes before the brake begins.
    brake = strength * dt_s
    to_high = np.sqrt(brake * brake + 2.0 * strength * np.maximum(high - position, 0.0)) - brake
    to_low = np.sqrt(brake * brake + 2.0 * strength * np.maximum(position - low, 0.0)) - brake
    upper = np.minimum(np.minimum(velocity + brake, speed), to_high)
    lower = np.maximum(np.maximum(velocity - brake, -speed), -to_low)
    # Where a joint is too fast for its range or its limit, it brakes as hard as it can.
    upper = np.maximum(upper, np.minimum(velocity - brake, speed))
    lower = np.minimum(lower, np.maximum(velocity + brake, -speed))
    lower, upper = np.minimum(lower, upper), np.maximum(lower, upper)
    return np.maximum(lower * dt_s, np.minimum(low - position, 0.0)), np.minimum(
        upper * dt_s, np.maximum(high - position, 0.0)
    )


class CommandLimits:
    """The last word on commands: inside the limits of a robot, one after the other.

    Use one for all that a robot is sent, with what blends, holds or stops in front of it.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._robot = robot
        count = len(robot.joint_names)
        of_base = robot.description.base_velocity, robot.description.base_acceleration
        everywhere = np.full(6, np.inf)
        self._motion = JointMotion(
            np.concatenate([robot.low, -everywhere]), np.concatenate([robot.high, everywhere])
        )
        velocity, acceleration = (
            USED * np.concatenate([joints, np.repeat(base, 3)])
            for joints, base in zip((robot.velocity, robot.acceleration), of_base, strict=True)
        )
        self._limits = velocity, acceleration, np.full(count + 6, NO_JERK_LIMIT)
        self._target, self._speed = np.zeros(count + 6), np.zeros(count + 6)
        self._joints, self._place, self._turn = slice(count), slice(count, count + 3), slice(count + 3, count + 6)
        self._rotation = Rotation.identity()

    def start(self, positions: np.ndarray, base_position: np.ndarray, base_rotation: np.ndarray) -> None:
        """At rest at joint positions [N], with the base at [3] m, turned by the unit quaternion x, y, z, w [4]."""
        self._rotation = Rotation.from_quat(base_rotation)
        self._motion.start(np.concatenate([positions, base_position, np.zeros(3)]))

    def follow(
        self,
        positions: np.ndarray,
        velocities: np.ndarray,
        base_position: np.ndarray,
        base_rotation: np.ndarray,
        base_velocity: np.ndarray,
        dt_s: float,
        stamp_ns: int = 0,
        gain_s: float = 0.0,
    ) -> RobotCommand:
        """The command ``dt_s`` after the last one, next to what is wanted.

        Args:
            positions, velocities: [N] wanted of the joints; any finite values.
            base_position, base_rotation: [3] m and unit quaternion x, y, z, w [4] wanted of the base.
            base_velocity: [6] m/s and rad/s of the base in the world's axes.
            dt_s: positive; longer than ``LONGEST_S`` counts as that.
            gain_s: deviations are met within this time where it is longer than ``dt_s``.
        """
        dt_s = min(max(dt_s, SHORTEST_S), LONGEST_S)
        self._target[self._joints] = np.clip(positions, self._robot.low, self._robot.high)
        self._speed[self._joints] = velocities
        self._target[self._place] = base_position
        # The turn is reckoned from where the base is turned to now, so that it never winds.
        self._target[self._turn] = (Rotation.from_quat(base_rotation) * self._rotation.inv()).as_rotvec()
        self._speed[self._place.start :] = base_velocity
        self._motion.follow(self._target, self._speed, dt_s, max(dt_s, gain_s), self._limits)
        return self._command(stamp_ns)

    def rest(self, dt_s: float, left_s: float, stamp_ns: int = 0) -> RobotCommand:
        """The command ``dt_s`` after the last one, on the way to rest ``left_s`` after the last one, or as soon as
        the limits allow."""
        dt_s = min(max(dt_s, SHORTEST_S), LONGEST_S)
        self._motion.rest(dt_s, left_s, self._limits)
        return self._command(stamp_ns)

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves."""
        return not self._motion.velocity.any()

    def state(self) -> tuple:
        """What :meth:`restore` takes back."""
        motion = self._motion
        return motion.position, motion.velocity, motion.acceleration, self._rotation

    def restore(self, state: tuple) -> None:
        """Undoes what was commanded since ``state`` was asked for."""
        motion = self._motion
        motion.position, motion.velocity, motion.acceleration, self._rotation = state

    def _command(self, stamp_ns: int) -> RobotCommand:
        motion = self._motion
        self._rotation = Rotation.from_rotvec(motion.position[self._turn]) * self._rotation
        motion.position = motion.position.copy()
        motion.position[self._turn] = 0.0
        return RobotCommand(
            self._robot.joint_names,
            motion.position[self._joints].copy(),
            motion.velocity[self._joints].copy(),
            motion.acceleration[self._joints].copy(),
            motion.position[self._place].copy(),
            self._rotation.as_quat(),
            stamp_ns,
        )
