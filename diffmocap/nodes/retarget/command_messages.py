"""A robot's command as messages: joint states, a trajectory that ends at rest, the pose of its base."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from diffmocap.nodes.messages import stamp_from_ns
from diffmocap.robots.frames import RobotCommand
from diffmocap.robots.live.braking import braking_points

#: A trajectory reaches a command so many periods of the commands after it was made: by then the next one has come, even
#: from a busy computer. A robot that had reached it would have begun to brake.
_LEAD = 1.5
#: A clock that differs by so much from what it said was set [ns], where it does so often in a row.
_ELSEWHERE_NS, _SURELY = 100_000_000, 3


class SteadyStamps:
    """ROS times that go by the steady clock which the commands are made by, so that velocities fit the stamps.

    ``now_ns``: ROS time [ns]; where it is elsewhere, because it was set or is simulated, the stamps follow.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._ahead_ns: int | None = None
        self._elsewhere = 0

    def at(self, now_s: float) -> Time:
        """The stamp of a time of the steady clock [s], a moment ago."""
        ahead_ns = self._now_ns() - time.monotonic_ns()
        if self._ahead_ns is None:
            self._ahead_ns = ahead_ns
        # Between the two readings a busy computer may do other things: once is nothing.
        self._elsewhere = self._elsewhere + 1 if abs(ahead_ns - self._ahead_ns) > _ELSEWHERE_NS else 0
        if self._elsewhere >= _SURELY:
            self._ahead_ns, self._elsewhere = ahead_ns, 0
        return stamp_from_ns(round(now_s * 1e9) + self._ahead_ns)


def joint_command(command: RobotCommand, stamp: Time) -> JointState:
    """Positions and velocities of all joints, as commanded for ``stamp``."""
    return JointState(
        header=Header(stamp=stamp),
        name=command.joint_names,
        position=array("d", command.positions),
        velocity=array("d", command.velocities),
    )


def joint_trajectory(
    command: RobotCommand, period_s: float, acceleration: np.ndarray, low: np.ndarray, high: np.ndarray
) -> JointTrajectory:
    """The command, and then the way to rest: what the robot does if nothing more comes.

    Commands come a period after one another, or sooner where they answer a pose. Each is to be reached the same time
    after it was made, whatever came before: so what lies between two of them is gone with the velocity that they have.
    The header has no stamp, so that the trajectory begins when it arrives.

    Args:
        period_s: longest usual time from one command to the next.
        acceleration, low, high: limits [N].
    """
    after_s = _LEAD * period_s
    points = [(0.0, command.positions, command.velocities)]
    rest = braking_points(command.positions, command.velocities, acceleration, low, high)
    points += [point for point in rest if point[0] > 1e-6]
    if len(points) == 1:  # at rest already
        points = [(0.0, command.positions, np.zeros_like(command.velocities))]
    return JointTrajectory(
        joint_names=command.joint_names,
        points=[
            JointTrajectoryPoint(
                positions=array("d", positions), velocities=array("d", velocities),
                time_from_start=_duration(after_s + time_s),
            )
            for time_s, positions, velocities in points
        ],
    )  # fmt: skip


def base_pose(command: RobotCommand, stamp: Time, stage_frame: str) -> PoseStamped:
    """Where the robot's root link is to be, on the stage."""
    x, y, z = command.base_position.tolist()
    a, b, c, w = command.base_rotation.tolist()
    pose = Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=a, y=b, z=c, w=w))
    return PoseStamped(header=Header(stamp=stamp, frame_id=stage_frame), pose=pose)


def _duration(seconds: float) -> Duration:
    whole, nanoseconds = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=whole, nanosec=nanoseconds)
