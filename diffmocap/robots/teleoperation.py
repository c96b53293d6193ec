"""A robot that follows a person, without ROS: news of person, robot and joystick in, commands inside the limits out.

::

    Sighting -> PersonWatch -> StandWatch -> Retargeter -> Blend -> CommandLimits -> RobotCommand
                          \\ robot, joystick, requests -> Engagement /

All times are seconds of one steady clock that the caller reads. Everything is cheap but the retargeting of a pose. Not
thread-safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.errors import RobotError
from diffmocap.output.tracking_state import TrackingState
from diffmocap.robots.blend import Blend, blend_time_s
from diffmocap.robots.engagement import Answer, Conditions, Engagement, Request, State
from diffmocap.robots.engagement_settings import EngagementSettings
from diffmocap.robots.frames import HumanFrame, RobotCommand
from diffmocap.robots.limits import SHORTEST_S, CommandLimits
from diffmocap.robots.model import RobotModel
from diffmocap.robots.person_watch import PersonWatch, Sighting
from diffmocap.robots.robot_watch import RobotWatch
from diffmocap.robots.stand import StandWatch

#: Rate with which deviations of a pose from where its motion led are met [1/s]: half of one is met in an image's time.
_RATE = 60.0
#: Time between two poses that is reckoned with where their stamps say none [s].
_USUAL_S = 1.0 / 30.0
#: A pose leads on for so long at most [s].
_AHEAD_S = 0.04
#: A blend that has not arrived so long after its end never will [s].
_LATE_S = 3.0
#: The robot has reached the person's pose when no joint is farther from it [rad]; and it rests below this [rad/s].
_REACHED, _RESTS = 0.15, 1e-3


class Follows(Protocol):
    """What is asked of :class:`diffmocap.robots.retargeting.Retargeter`."""

    def follow(self, frame: HumanFrame, dt_s: float) -> RobotCommand: ...

    def reset(self) -> None: ...

    def gap(self, positions: np.ndarray) -> float: ...


@dataclass(frozen=True)
class Goal:
    """The person's pose as the robot's, since ``since_s``; ``base_velocity`` [6] as of :class:`CommandLimits`."""

    command: RobotCommand
    base_velocity: np.ndarray
    since_s: float


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
        self._limits = CommandLimits(robot)
        self._held_s: float | None = None
        self._was_up = False
        self._goal: Goal | None = None
        self._stamp_ns = 0
        self._followed = 0
        self._broken = ""
        self._blend: Blend | None = None
        self._command: RobotCommand | None = None
        self._commanded_s = self._gap = 0.0

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
        self._goal, self._followed, self._broken = None, 0, ""
        self._retargeter.reset()

    def joystick(self, held: bool, now_s: float) -> None:
        """News of the Joy button that lets the robot follow while it is held; pressing it asks to engage."""
        # A joystick that falls silent while the button is held must not engage again when it is heard of.
        pressed, self._was_up = held and self._was_up, not held
        self._held_s = now_s if held else None
        if pressed:
            self.request(Request.ENGAGE, now_s, by_joy=True)
        self.update(now_s)

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
        if not person and self.engagement.following and (self._goal is None or self._followed != self.person.track_id):
            person = "another track has begun: this may be another person"
        goal = None if self._goal is None else self._goal.command.positions
        return Conditions(
            person=person,
            robot=self.joints.fault(now_s),
            stand=self.stand.wrong,
            start=self.person.keeps_from_beginning() or self._unknown_camera() or self._outside()
            or self.joints.keeps_from_beginning(goal),
            held=self._is_held(now_s),
            blended=self._has_blended(now_s),
            at_rest=self.at_rest,
        )  # fmt: skip

    @property
    def at_rest(self) -> bool:
        """Whether the last command moves nothing, or there is none."""
        return self._command is None or float(np.abs(self._command.velocities).max(initial=0.0)) < _RESTS

    def leave(self, reason: str) -> None:
        """The robot gets no more commands, whatever it does; a stop stays."""
        self.engagement.leave(reason)
        self._command = None
        self.joints.left_alone()
        self.forget_person()

    def blend_share(self, now_s: float) -> float:
        """Of the blend, 0 to 1; 0 while nobody is followed."""
        return self._blend.share(now_s) if self.engagement.following and self._blend is not None else 0.0

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
            self._command = None
            return None
        dt_s = now_s - self._commanded_s
        if dt_s < SHORTEST_S:
            return None
        self._commanded_s = now_s
        if dt_s > self.settings.max_stall:
            self.engagement.hold(f"no command was sent for {dt_s:.2f} s: is the computer busy?")
        if self.engagement.state is State.BLENDING and now_s > self._blend.end_s + _LATE_S:
            self.engagement.hold("the robot does not reach the person's pose: its limbs would touch on the way")
        limits, before = self._limits, self._command
        wanted = self._wanted(now_s, dt_s) if self.engagement.following else None
        if wanted is None or self._would_touch(wanted[0], dt_s):
            self._command = limits.rest(dt_s, 0.0, self._stamp_ns)
        else:
            self._command = limits.follow(*wanted, dt_s, self._stamp_ns)
        self.joints.commanded(before.positions, now_s)
        return self._command

    def _would_touch(self, positions: np.ndarray, dt_s: float) -> bool:
        """Whether limbs would meet where the robot comes to rest after a step to [N] positions. Such that touch already
        may part."""
        velocity = np.clip((positions - self._command.positions) / dt_s, -self._robot.velocity, self._robot.velocity)
        gap = self._retargeter.gap(positions + 0.5 * velocity * np.abs(velocity) / self._robot.acceleration)
        if gap < min(self._gap, 0.0):
            return True
        self._gap = gap
        return False

    def _begin(self, now_s: float) -> None:
        """From where the robot is: where it was told to be, or where it says it is."""
        goal = self._goal.command
        if self._command is None:
            positions = np.clip(self.joints.positions, self._robot.low, self._robot.high)
            # Where its base is is not known: it is where the person's pose has it.
            self._command = self._limits.start(positions, goal.base_position, goal.base_rotation, goal.stamp_ns)
            self._commanded_s = now_s
        start, robot = self._command, self._robot
        duration_s = blend_time_s(
            goal.positions - start.positions, robot.velocity, robot.acceleration, self.settings.blend_time
        )
        self._blend = Blend(start, now_s, duration_s)
        self._followed = self.person.track_id
        self._gap = self._retargeter.gap(start.positions)

    def _wanted(self, now_s: float, dt_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Where the joints and the base are to be now, and how fast."""
        goal, since_s = self._goal, now_s - self._goal.since_s
        ahead_s = min(since_s, _AHEAD_S)
        moves = 1.0 if since_s < _AHEAD_S else 0.0
        command, base = goal.command, moves * goal.base_velocity
        positions, velocities, place, turn = self._blend.towards(
            command.positions + ahead_s * command.velocities,
            moves * command.velocities,
            command.base_position + ahead_s * goal.base_velocity[:3],
            command.base_rotation,
            now_s,
        )
        if self._blend.share(now_s) < 1.0:
            base = np.zeros(6)
        last, floats = self._command, self._robot.first_dof > 0
        way, speeds = positions - last.positions, velocities
        turned = Rotation.from_quat(last.base_rotation)
        if floats:
            rotation = (turned.inv() * Rotation.from_quat(turn)).as_rotvec()
            way = np.concatenate([place - last.base_position, rotation, way])
            speeds = np.concatenate([base, speeds])
        # A critically damped spring to the poses, which come at another rate: one implicit step of it.
        w = _RATE * dt_s
        step = dt_s * (self._limits.velocity + (w * w / dt_s) * way + 2.0 * w * speeds) / (1.0 + w) ** 2
        if floats:
            place, turn = last.base_position + step[:3], (turned * Rotation.from_rotvec(step[3:6])).as_quat()
        return last.positions + step[-len(positions) :], velocities, place, turn, base

    def _has_blended(self, now_s: float) -> bool:
        if self._blend is None or self._command is None or self._goal is None or self._blend.share(now_s) < 1.0:
            return False
        return float(np.abs(self._command.positions - self._goal.command.positions).max(initial=0.0)) < _REACHED

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
        self._goal = Goal(command, self._base_velocity(command, dt_s), now_s)

    def _base_velocity(self, command: RobotCommand, dt_s: float) -> np.ndarray:
        """[6] since the goal before."""
        if self._goal is None:
            return np.zeros(6)
        before = self._goal.command
        turn = Rotation.from_quat(before.base_rotation).inv() * Rotation.from_quat(command.base_rotation)
        return np.concatenate([command.base_position - before.base_position, turn.as_rotvec()]) / dt_s

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
