"""Streams that no person makes, through all that retarget_node does with poses but the messages: stand, engage, blend,
follow, hold, 100 commands a second at uneven times and one for each pose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from diffmocap.errors import RobotError
from diffmocap.output.tracking_state import TrackingState
from diffmocap.robots.following import Judge
from diffmocap.robots.frames import HumanFrame, RobotCommand
from diffmocap.robots.live.engagement import Request, State
from diffmocap.robots.live.engagement_settings import ASSUMED, EngagementSettings
from diffmocap.robots.live.person_watch import Sighting
from diffmocap.robots.live.teleoperation import Teleoperation
from diffmocap.robots.model import RobotModel
from diffmocap.robots.retargeting import Retargeter

#: Period of the commands [s], and how much later one may be.
PERIOD_S, LATE_S = 0.01, 0.004
#: A robot that says nothing and follows from wherever it is; the stand is short.
SETTINGS = EngagementSettings(
    stand_time=0.5, engage_distance=6.3, robot_state=ASSUMED, allow_assumed_fov=True, max_age=0.0
)


class Live:
    """One robot that is asked to follow whenever it does not.

    Attributes:
        following: of the commands so far, those of a robot that blends or follows.
    """

    def __init__(self, robot: RobotModel, stands: Sequence[HumanFrame], seed: int = 0) -> None:
        self._machine = Teleoperation(robot, Retargeter(robot), SETTINGS)
        self._rng = np.random.default_rng(seed)
        self._now_s, self._last_s, self.following = 1.0, 0.0, 0
        for frame in stands:
            for _ in range(20):
                self._now_s += 1.0 / 30.0
                self._see(frame)
            if self._machine.engagement.state is State.READY:
                return
        raise RobotError("nobody stands upright in the motion")

    def commands(self, stream: Iterable[tuple[HumanFrame, float]]) -> Iterator[tuple[RobotCommand, float]]:
        """Commands, each with the time since the one before [s]; 0 for the first."""
        for frame, dt_s in stream:
            end_s = self._now_s + dt_s
            while (due_s := self._now_s + PERIOD_S + self._rng.uniform(0.0, LATE_S)) < end_s:
                self._now_s = due_s
                yield from self._tick()
            self._now_s = end_s
            self._see(frame)
            if not self._machine.engagement.following:
                self._machine.request(Request.ENGAGE, self._now_s)
            yield from self._tick()

    def _see(self, frame: HumanFrame) -> None:
        frame = replace(frame, stamp_ns=round(1e9 * self._now_s))
        self._machine.sight(Sighting(TrackingState.TRACKED, 1, frame=frame), self._now_s)

    def _tick(self) -> Iterator[tuple[RobotCommand, float]]:
        command = self._machine.tick(self._now_s)
        if command is not None:
            since_s, self._last_s = self._now_s - self._last_s if self._last_s else 0.0, self._now_s
            self.following += self._machine.engagement.following
            yield command, since_s


def broken_live(
    robot: RobotModel, motion: Sequence[HumanFrame], streams: Iterable[tuple[str, list[tuple[HumanFrame, float]]]]
) -> dict[str, int]:
    """Of the commands in all streams, how many break a limit, and in how many the robot follows."""
    judge, following = Judge(robot), 0
    for _, stream in streams:
        live = Live(robot, motion[::10])
        judge.start()
        for command, since_s in live.commands(stream):
            judge.see_limits(command, since_s)
        following += live.following
    return {"live_limits_broken": judge.limits_broken, "live_commands": judge.commands, "live_following": following}
