"""When poses of a person go to SONIC: while somebody wants it, an image shows the person, and nothing is wrong.

A stand before the camera takes out how camera and poses lean, as for a robot that is commanded from here. What goes out
is asked for; whoever was lost is asked for again, and the stream goes on from the pose that the robot has kept since.
SONIC's protocol has no word for "lost": frames end, and the robot keeps the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from diffmocap.output.tracking_state import TrackEvent, TrackingState
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.live.engagement import Answer
from diffmocap.robots.live.engagement_settings import EngagementSettings
from diffmocap.robots.live.person_watch import PersonWatch, Sighting
from diffmocap.robots.live.stand import StandWatch
from diffmocap.robots.sonic.pose import heading_of, sonic_pose
from diffmocap.robots.sonic.stream import Chunk, FrameStream


class State(Enum):
    """Of a session; the values are for people."""

    WAITING = "waiting"  #: nothing has gone out yet
    STREAMING = "streaming"  #: frames go out
    HOLDING = "holding"  #: no frames: the robot keeps the last one


@dataclass(frozen=True)
class StreamSettings:
    """What of the stream may be set.

    Attributes:
        window: frames of a message.
        height: that the person's skeleton is scaled to [m]; 0: their own.
        by_itself: begin, and go on after a loss, without being asked.
    """

    window: int
    height: float
    by_itself: bool


class SonicSession:
    """Times of ``now_s`` are seconds of one clock that nobody sets.

    Attributes:
        state: the present state; reason: why it is this one, in words.
        camera_fault: why the field of view is assumed; empty where it is known.
    """

    def __init__(self, settings: EngagementSettings, stream: StreamSettings) -> None:
        self.state, self.reason = State.WAITING, "nobody has asked for it"
        self.camera_fault = ""
        self.settings, self._stream_settings = settings, stream
        self._stream = FrameStream(stream.window, settings.blend_time)
        self._person, self._stand = PersonWatch(settings), StandWatch(settings)
        self._heading = 0.0

    def take(self, settings: EngagementSettings, stream: StreamSettings) -> None:
        """Takes over changed settings; the size of the messages is that of the session's begin."""
        self.settings, self._stream_settings = settings, stream
        self._stream.blend_s = settings.blend_time
        self._person.settings = self._stand.settings = settings

    def refusal(self, now_s: float) -> str:
        """What speaks against frames now; empty: nothing."""
        if fault := self._person.fault(now_s):
            return fault
        if self.camera_fault and not self.settings.allow_assumed_fov:
            return f"{self.camera_fault}: calibrate it, or set allow_assumed_fov"
        return self._stand.wrong

    def engage(self, now_s: float) -> Answer:
        """Somebody asks for frames."""
        if self.state is State.STREAMING:
            return Answer(True, "it streams already")
        if wrong := self.refusal(now_s) or self._person.keeps_from_beginning():
            return Answer(False, wrong)
        self._set(State.STREAMING, "the person is streamed")
        return Answer(True, self.reason)

    def hold(self, why: str) -> None:
        """No frames from now on."""
        if self.state is State.STREAMING:
            self._stream.pause()
            self._set(State.HOLDING, why)

    def forget_person(self) -> None:
        """Poses are in another frame than before: the next one stands again."""
        self._stand.restart()
        self.hold("the camera stands elsewhere")

    def bad_pose(self, text: str) -> None:
        """A message came that is no pose."""
        self._person.bad(text)

    def look(self, now_s: float) -> None:
        """Looks for what ends the stream."""
        if self.state is State.STREAMING and (wrong := self.refusal(now_s)):
            self.hold(wrong)

    def sight(self, sighting: Sighting, captured_s: float, now_s: float) -> Chunk | None:
        """News of the person, captured at a time [s]; what is to be sent, None: nothing."""
        usable = self._person.observe(sighting, now_s)
        if sighting.events & (TrackEvent.SWITCHED | TrackEvent.SIDES):
            self._stream.pause()  # the poses jump: blend
        if self._person.begins:
            self._stand.restart()
            self.hold("another person is tracked, or the same one anew")
        if usable and sighting.state is TrackingState.TRACKED:
            return self._tracked(sighting.frame, captured_s, now_s)
        self.look(now_s)
        return None

    def _tracked(self, frame: HumanFrame, captured_s: float, now_s: float) -> Chunk | None:
        if self._stand.stand is None:
            self._stand.observe(frame, now_s)
            if self._stand.stand is not None and self._stream.last is not None:
                # Who stood looks ahead: that is where the robot looks already.
                self._heading = heading_of(self._stream.last)
        if self._stream_settings.by_itself and self.state is not State.STREAMING:
            self.engage(now_s)
        self.look(now_s)
        if self.state is not State.STREAMING:
            return None
        pose = sonic_pose(self._stand.stand.corrected(frame), self._stream_settings.height, self._heading)
        return self._stream.add(captured_s, pose, now_s)

    def _set(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
