"""What is published about one person's track: its state, its number, and what just happened to it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag


class TrackingState(IntEnum):
    """The numbers are those of the message ``BodyPose``."""

    SEARCHING = 0  #: nobody is tracked
    TENTATIVE = 1  #: what may be a person is looked at, and not published yet
    TRACKED = 2  #: a person's pose, of this image
    PREDICTED = 3  #: no image shows this pose: where the motion before leads
    LOST = 4  #: the track has just ended


class TrackEvent(IntFlag):
    """What happened since the message before; the numbers are those of ``BodyPose``."""

    NONE = 0
    STARTED = 1  #: the first pose of a track
    RESTARTED = 2  #: likewise, and the track before was found to follow a wrong pose or another person
    SWITCHED = 4  #: another explanation of the same images is followed
    SIDES = 8  #: the detector exchanged left and right, or took that back


@dataclass(frozen=True)
class TrackStatus:
    """A track as it is published: see ``BodyPose``.

    Attributes:
        state, events: now. track_id: counts tracks from 1; 0 while there was none.
        confidence: 0 to 1, the probability that this is the person that the track began with.
    """

    state: TrackingState = TrackingState.SEARCHING
    track_id: int = 0
    events: TrackEvent = TrackEvent.NONE
    confidence: float = 0.0


class TrackingMachine:
    """Moves between the states; the only place where a ``track_id`` is given.

    ::

        SEARCHING <-> TENTATIVE -> TRACKED -> LOST -> SEARCHING

    LOST is told once. A track that another one follows at once is not told as LOST: the next pose has another
    ``track_id`` and the event RESTARTED. Images of a track that bring no pose for less than the longest gap leave it
    TRACKED, and events of theirs are told with the next pose.
    """

    def __init__(self) -> None:
        self._state = TrackingState.SEARCHING
        self._track_id = 0
        self._events = TrackEvent.NONE
        self._confidence = 0.0

    @property
    def tracks(self) -> bool:
        """Whether there is a track to lose."""
        return self._state is TrackingState.TRACKED

    def happened(self, event: TrackEvent) -> None:
        """To be told with the next pose."""
        self._events |= event

    def pose(self, confidence: float, begins: bool, restarted: bool) -> TrackStatus:
        """A person's pose goes out: of the present track, or where it ``begins`` one, of the next."""
        if begins or not self.tracks:
            self._track_id += 1
            # What happened to another track is nobody's business any more.
            self._events = TrackEvent.STARTED | (TrackEvent.RESTARTED if restarted else TrackEvent.NONE)
        self._state, self._confidence = TrackingState.TRACKED, confidence
        events, self._events = self._events, TrackEvent.NONE
        return TrackStatus(self._state, self._track_id, events, confidence)

    def nothing(self, confidence: float, candidate: bool) -> TrackStatus:
        """No pose goes out of this image; ``candidate``: something in it may be a person."""
        if not self.tracks:
            self._state = TrackingState.TENTATIVE if candidate else TrackingState.SEARCHING
        return TrackStatus(self._state, self._track_id, TrackEvent.NONE, confidence)

    def lose(self) -> TrackStatus:
        """The track ends: LOST where there was one, once."""
        lost = TrackingState.LOST if self.tracks else TrackingState.SEARCHING
        self._state, self._events = TrackingState.SEARCHING, TrackEvent.NONE
        return TrackStatus(lost, self._track_id)
