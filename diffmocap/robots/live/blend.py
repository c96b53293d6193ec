"""From where a robot is to the pose of a person who moves: the way in between, with minimum jerk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from diffmocap.robots.frames import RobotCommand

#: Largest velocity and acceleration of the way with minimum jerk over one metre, radian or the like in one second.
_PEAK_VELOCITY, _PEAK_ACCELERATION = 1.875, 5.7735
#: Share of a robot's limits that the way from its pose may take; the rest is for what the person does meanwhile.
_SHARE = 0.5


def blend_time_s(way: np.ndarray, velocity: np.ndarray, acceleration: np.ndarray, wanted_s: float) -> float:
    """How long the blend over [N] ways takes: ``wanted_s``, or longer where the limits [N] ask for it."""
    way = np.abs(way)
    by_velocity = (_PEAK_VELOCITY * way / (_SHARE * velocity)).max(initial=0.0)
    by_acceleration = np.sqrt((_PEAK_ACCELERATION * way / (_SHARE * acceleration)).max(initial=0.0))
    return float(max(wanted_s, by_velocity, by_acceleration))


@dataclass(frozen=True)
class Blend:
    """A blend from a robot's pose.

    Attributes:
        start: where the robot is, at rest.
        began_s: time when it begins. duration_s: how long it takes.
    """

    start: RobotCommand
    began_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """When it ends."""
        return self.began_s + self.duration_s

    def share(self, now_s: float) -> float:
        """Of the time, 0 to 1."""
        return min(max((now_s - self.began_s) / self.duration_s, 0.0), 1.0)

    def towards(
        self, positions: np.ndarray, velocities: np.ndarray, base_position: np.ndarray, base_rotation: np.ndarray,
        now_s: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """Wanted positions and velocities [N] of the joints, position [3] and rotation [4] of the base, where the goal
        is now what is given."""
        t = self.share(now_s)
        if t >= 1.0:
            return positions, velocities, base_position, base_rotation
        done = min(t**3 * (10.0 - 15.0 * t + 6.0 * t * t), 1.0)  # not a rounding more
        rate = 30.0 * t * t * (1.0 - t) ** 2 / self.duration_s
        way, start = positions - self.start.positions, self.start
        place = start.base_position + done * (base_position - start.base_position)
        turn = Slerp([0.0, 1.0], Rotation.from_quat([start.base_rotation, base_rotation]))(done)
        return start.positions + done * way, done * velocities + rate * way, place, turn.as_quat()
