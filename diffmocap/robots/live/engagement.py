"""Whether a robot follows the person: seven states, and the only ways from one to another.

::

    DISENGAGED <-> CALIBRATING <-> READY    as the person comes, has stood still, and goes; no commands
    READY or HOLDING -> BLENDING            somebody asks for it, and nothing speaks against it
    BLENDING -> ENGAGED                     the robot has reached the person's pose
    BLENDING or ENGAGED -> HOLDING          released, or anything is wrong
    any -> STOPPED                          the software stop
    STOPPED -> HOLDING or DISENGAGED        reset at rest, as the robot got commands before or not
    HOLDING -> DISENGAGED                   disengaged at rest: the robot is somebody else's again

Nothing but a new request leads out of HOLDING, and nothing but a reset out of STOPPED: a robot never begins to move
because somebody came into view. No time and no robot here; :class:`Conditions` say what holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class State(IntEnum):
    """The numbers are those of the message ``Engagement``."""

    DISENGAGED = 0  #: nobody can be followed
    CALIBRATING = 1  #: somebody is tracked who has not yet stood upright and still
    READY = 2  #: the person can be followed
    BLENDING = 3  #: on the way to the person's pose
    ENGAGED = 4  #: following
    HOLDING = 5  #: braking, then keeping the pose
    STOPPED = 6  #: the same, until it is reset


#: The robot moves as the person does, or is about to.
FOLLOWING = frozenset({State.BLENDING, State.ENGAGED})


class Request(Enum):
    """What somebody asks for; the values are the names of the services."""

    ENGAGE = "engage"
    RELEASE = "release"  #: hold
    DISENGAGE = "disengage"  #: hand the robot back
    STOP = "stop"
    RESET = "reset"  #: end the stop


@dataclass(frozen=True)
class Conditions:
    """What holds at one time. A text says what is wrong; an empty one, that nothing is.

    Attributes:
        person: why nobody can be followed now.
        robot: why the robot cannot be moved now.
        stand: what the person still has to do for the calibration.
        start: what else forbids to begin, but not to go on: the robot is far from the person's pose.
        held: whether the Joy button is held; False also where nothing is heard of the joystick.
        blended: the robot has reached the person's pose.
        at_rest: the robot gets no commands to move.
    """

    person: str = ""
    robot: str = ""
    stand: str = ""
    start: str = ""
    held: bool = False
    blended: bool = False
    at_rest: bool = True


@dataclass(frozen=True)
class Answer:
    """What became of a request: granted or not, and why, in words."""

    granted: bool
    text: str


class Engagement:
    """The state machine.

    Attributes:
        state: the present state.
        reason: why it is this one, in words.
        commanding: whether the robot gets commands from here.
        by_joy: following ends when the Joy button is let go.
    """

    def __init__(self) -> None:
        self.state = State.DISENGAGED
        self.reason = "nothing has come yet"
        self.commanding = False
        self.by_joy = False

    @property
    def following(self) -> bool:
        """Whether the robot moves as the person does, or is about to."""
        return self.state in FOLLOWING

    def refusal(self, now: Conditions) -> str:
        """Why :attr:`Request.ENGAGE` would not be granted; empty: it would be."""
        if self.state is State.STOPPED:
            return "the software stop is on: reset it first"
        if self.following:
            return ""
        if wrong := now.person or now.robot or now.stand or now.start:
            return wrong
        return "" if now.at_rest else "the robot is still braking"

    def update(self, now: Conditions) -> None:
        """Goes where the conditions lead without anybody asking."""
        if self.following:
            fault = now.person or now.robot
            if not fault and self.by_joy and not now.held:
                fault = "the Joy button was let go"
            if fault:
                self._hold(fault)
            elif self.state is State.BLENDING and now.blended:
                self._go(State.ENGAGED, "the robot follows")
        elif not self.commanding and self.state is not State.STOPPED:
            self._wait(now)

    def hold(self, reason: str) -> None:
        """The robot holds, if it follows, for a reason that passes at once."""
        if self.following:
            self._hold(reason)

    def leave(self, reason: str) -> None:
        """No more commands come from here, whatever the state; a stop stays."""
        self.commanding = self.by_joy = False
        if self.state is not State.STOPPED:
            self._go(State.DISENGAGED, reason)

    def request(self, request: Request, now: Conditions, by_joy: bool = False) -> Answer:
        """Somebody asks for something; ``by_joy``: with the Joy button."""
        followed = self.following
        self.update(now)
        if followed and not self.following and request in (Request.ENGAGE, Request.DISENGAGE):
            return Answer(False, self._told())  # asked for before anybody could know of the hold
        match request:
            case Request.STOP:
                self._go(State.STOPPED, "the software stop is on")
                return Answer(True, "stopped; `reset` ends the stop")
            case Request.ENGAGE:
                return self._engage(now, by_joy)
            case Request.RELEASE:
                if self.following:
                    self._hold("released")
                return Answer(True, self._told())
            case Request.DISENGAGE:
                return self._disengage(now)
            case Request.RESET:
                return self._reset(now)

    def _engage(self, now: Conditions, by_joy: bool) -> Answer:
        if refusal := self.refusal(now):
            return Answer(False, refusal)
        if by_joy and not now.held:
            return Answer(False, "the Joy button is not held")
        if self.following:
            self.by_joy = self.by_joy or by_joy  # who takes the button takes the responsibility
            return Answer(True, self._told())
        self.by_joy, self.commanding = by_joy, True
        self._go(State.BLENDING, "the robot goes to the person's pose")
        return Answer(True, self._told())

    def _disengage(self, now: Conditions) -> Answer:
        if self.state is State.STOPPED:
            return Answer(False, "the software stop is on: reset it first")
        if self.following:
            return Answer(False, "the robot follows: release it first")
        if not now.at_rest:
            return Answer(False, "the robot is still braking")
        self.commanding = False
        self._wait(now)
        return Answer(True, "the robot gets no more commands from here")

    def _reset(self, now: Conditions) -> Answer:
        if self.state is not State.STOPPED:
            return Answer(False, "there is no stop to reset")
        if not now.at_rest:
            return Answer(False, "the robot is still braking")
        if self.commanding:
            self._hold("the software stop was reset")
        else:
            self._wait(now)
        return Answer(True, self._told())

    def _wait(self, now: Conditions) -> None:
        if now.person:
            self._go(State.DISENGAGED, now.person)
        elif now.stand:
            self._go(State.CALIBRATING, now.stand)
        else:
            self._go(State.READY, now.robot or now.start or "the person can be followed")

    def _hold(self, reason: str) -> None:
        self._go(State.HOLDING, reason)

    def _go(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        if state not in FOLLOWING:
            self.by_joy = False

    def _told(self) -> str:
        return f"{self.state.name}: {self.reason}"
