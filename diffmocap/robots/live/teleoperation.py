"""A robot that follows a person, without ROS: news of person, robot and joystick in, commands inside the limits out.

::

    Sighting -> PersonWatch -> StandWatch -> Retargeter -> Pursuit -> RobotCommand
                          \\ robot, joystick, requests -> Engagement /

All times are seconds of one steady clock that the caller reads. Everything is cheap but the retargeting of a pose. Not
thread-safe.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from diffmocap.errors import RobotError
from diffmocap.output.tracking_state import TrackingState
from diffmocap.robots.frames import HumanFrame, RobotCommand
from diffmocap.robots.limits import SHORTEST_S
from diffmocap.robots.live.engagement import Answer, Conditions, Engagement, Request, State
from diffmocap.robots.live.engagement_settings import EngagementSettings
from diffmocap.robots.live.person_watch import PersonWatch, Sighting
from diffmocap.robots.live.pursuit import Goal, Pursuit
from diffmocap.robots.live.robot_watch import RobotWatch
from diffmocap.robots.live.stand import StandWatch
from diffmocap.robots.model import RobotModel

#: Time between two poses that is reckoned with where their stamps say none [s].
_USUAL_S = 1.0 / 30.0
#: A blend that has not arrived so long after its end never will [s].
_LATE_S = 3.0


class Follows(Protocol):
    """What is asked of :class:`diffmocap.robots.retargeting.Retargeter`."""

    def follow(self, frame: HumanFrame, dt_s: float) -> RobotCommand: ...

    def reset(self) -> None: ...

    def gap(self, positions: np.ndarray) -> float: ...


class Teleoperation:
    """Moves one robot as one person moves, while somebody wants it and nothing is wrong.

    Args:
        robot: names, limits and resting pose of its joints.
        retargeter: from a person's pose to the robot's.
        settings: when it begins, and when it holds.

    Attributes:
        engagement: the state.
        camera_fault: why the camera's field of view is not known; empty: it is.
        stand: the calibration of the person.
    """

    def __init__(self, robot: RobotModel, retargeter: Follows, settings: EngagementSettings) -> None:
        self._robot, self._retargeter = robot, retargeter
        rest = robot.rest[robot.first :]
        self.engagement = Engagement()
        self.person, self.stand = PersonWatch(settings), StandWatch(settings)
        self.joints = RobotWatch(settings, robot.joint_names, rest)
        self.camera_fault = "no camera_info has come"
        self._pursuit = Pursuit(robot, retargeter.gap)
        self._held_s: float | None = None
        self._was_up = False
        self._goal: Goal | None = None
        self._stamp_ns = 0
        self._broken = ""
        self._commanded_s = 0.0

    @property
    def settings(self) -> EngagementSettings:
        """What may be changed at any time."""
        return self.person.settings

    @settings.setter
    def settings(self, settings: EngagementSettings) -> None:
        if settings.robot_state != self.settings.robot_state and self.engagement.commanding:
            raise RobotError("robot_state cannot change while the robot gets commands: disengage first")
        self.person.settings = self.joints.settings = self.stand.settings = settings

    # --- news ---------------------------------------------------------------------------------------------------------

    def sight(self, sighting: Sighting, now_s: float) -> None:
        """News of a person."""
        followable = self.person.observe(sighting, now_s)
        if self.person.begins:
            self.forget_person()
        if followable:
            if sighting.state is TrackingState.TRACKED:
                self.stand.observe(sighting.frame, now_s)
            if self.stand.stand is not None:
                self._retarget(sighting.frame, now_s)
        self.update(now_s)

    def no_pose(self, reason: str) -> None:
        """A message came that cannot be used."""
        self.person.bad(reason)

    def forget_person(self) -> None:
        """What was known of the person or of the camera's place is not true any more; whoever is followed is not."""
        self.stand.restart()
        self._goal, self._broken = None, ""
        self._retargeter.reset()

    def joystick(self, held: bool, now_s: float) -> Answer | None:
        """News of the Joy button that lets the robot follow while it is held; pressing it asks to engage, and is
        answered."""
        # A joystick that falls silent while the button is held must not engage again when it is heard of.
        pressed, self._was_up = held and self._was_up, not held
        self._held_s = now_s if held else None
        answer = self.request(Request.ENGAGE, now_s, by_joy=True) if pressed else None
        self.update(now_s)
        return answer

    def joint_states(self, names: list[str], positions: list[float], velocities: list[float], now_s: float) -> None:
        """News of the robot."""
        self.joints.observe(names, positions, velocities, now_s)

    # --- state --------------------------------------------------------------------------------------------------------

    def request(self, request: Request, now_s: float, by_joy: bool = False) -> Answer:
        """Somebody asks for something, and is answered at once."""
        was = self.engagement.state
        answer = self.engagement.request(request, self.conditions(now_s), by_joy)
        if self.engagement.state is State.BLENDING and was is not State.BLENDING:
            self._begin(now_s)
        if not self.engagement.commanding:
            self.joints.left_alone()
        return answer

    def update(self, now_s: float) -> None:
        """Looks what has become wrong."""
        self.engagement.update(self.conditions(now_s))

    def conditions(self, now_s: float) -> Conditions:
        """What holds now."""
        person = self.person.fault(now_s) or self._broken
        if not person and self.engagement.following and self._goal is None:
            person = "another track has begun: this may be another person"
        goal = None if self._goal is None else self._goal.command.positions
        return Conditions(
            person=person,
            robot=self.joints.fault(now_s),
            stand=self.stand.wrong,
            start=self.person.keeps_from_beginning() or self._unknown_camera() or self._outside()
            or self.joints.keeps_from_beginning(goal),
            held=self._is_held(now_s),
            blended=self._goal is not None and self._pursuit.reached(self._goal, now_s),
            at_rest=self.at_rest,
        )  # fmt: skip

    @property
    def at_rest(self) -> bool:
        """Whether the last command moves nothing, or there is none."""
        return self._pursuit.at_rest

    def leave(self, reason: str) -> None:
        """The robot gets no more commands, whatever it does; a stop stays."""
        self.engagement.leave(reason)
        self._pursuit.command = None
        self.joints.left_alone()
        self.forget_person()

    def blend_share(self, now_s: float) -> float:
        """Of the blend, 0 to 1; 0 while nobody is followed."""
        return self._pursuit.blend.share(now_s) if self.engagement.following else 0.0

    def farthest(self) -> tuple[str, float]:
        """The joint that is farthest from the person's pose, and how far; empty and NaN where that is not known."""
        if self._goal is None or (self.joints.measured and not self.joints.heard):
            return "", float("nan")
        return self.joints.farthest(self._goal.command.positions)

    # --- commands -----------------------------------------------------------------------------------------------------

    def tick(self, now_s: float) -> RobotCommand | None:
        """The command for now; None where the robot gets none, or got one just before."""
        self.update(now_s)
        if not self.engagement.commanding:
            self._pursuit.command = None
            return None
        dt_s = now_s - self._commanded_s
        if dt_s < SHORTEST_S:
            return None
        self._commanded_s = now_s
        if dt_s > self.settings.max_stall:
            self.engagement.hold(f"no command was sent for {dt_s:.2f} s: is the computer busy?")
        if self.engagement.state is State.BLENDING and now_s > self._pursuit.blend.end_s + _LATE_S:
            self.engagement.hold("the robot does not reach the person's pose: its limbs would touch on the way")
        before, pursuit = self._pursuit.command, self._pursuit
        command = None
        if self.engagement.following:
            try:
                command = pursuit.follow(self._goal, now_s, dt_s, self._stamp_ns)
            except Exception as error:  # whatever it is, the robot brakes
                self.engagement.hold(f"no command can be made: {error}")
        if command is None:
            command = pursuit.rest(dt_s, self._stamp_ns)
        self.joints.commanded(before.positions, now_s)
        return command

    def _begin(self, now_s: float) -> None:
        """From where the robot is: where it was told to be, or where it says it is."""
        if self._pursuit.command is None:
            self._pursuit.start(self.joints.positions, self._goal)
            self._commanded_s = now_s
        self._pursuit.begin(self._goal, now_s, self.settings.blend_time)

    # --- what is known ------------------------------------------------------------------------------------------------

    def _retarget(self, frame: HumanFrame, now_s: float) -> None:
        since_ns = frame.stamp_ns - self._stamp_ns
        dt_s = 1e-9 * since_ns if 0 < since_ns < 1_000_000_000 else _USUAL_S
        self._stamp_ns = frame.stamp_ns
        try:
            command = self._retargeter.follow(self.stand.stand.corrected(frame), dt_s)
            values = (command.positions, command.velocities, command.base_position, command.base_rotation)
            if not all(np.isfinite(value).all() for value in values):
                raise RobotError("a pose of the robot holds values that are not finite")
        except Exception as error:  # of a solver, too: whatever it is, the robot holds
            self._broken = f"the robot's pose cannot be found: {error}"
            return
        self._broken = ""
        self._goal = Goal.after(self._goal, command, dt_s, now_s)

    def _is_held(self, now_s: float) -> bool:
        return self._held_s is not None and now_s - self._held_s <= self.settings.joy_timeout

    def _unknown_camera(self) -> str:
        if not self.camera_fault or self.settings.allow_assumed_fov:
            return ""
        return (
            f"the field of view is assumed ({self.camera_fault}): calibrate with `diffmocap calibrate`, or set "
            "allow_assumed_fov"
        )

    def _outside(self) -> str:
        return self.joints.outside(self._robot.low, self._robot.high)
