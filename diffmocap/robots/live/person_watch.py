"""The person as the poses tell: which track, how old the news is, and why nobody can be followed now."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.output.tracking_state import TrackEvent, TrackingState
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.live.engagement_settings import EngagementSettings

_WITH_POSE = (TrackingState.TRACKED, TrackingState.PREDICTED)
_WITHOUT = {
    TrackingState.SEARCHING: "nobody is tracked",
    TrackingState.TENTATIVE: "what is seen may be a person, and is not tracked yet",
    TrackingState.LOST: "the person was lost",
}


@dataclass(frozen=True)
class Sighting:
    """One message about a person.

    Attributes:
        state, events, track_id: as in ``BodyPose``.
        frame: the pose in an upright frame (z up); None where the state has none.
        age_s: time from its stamp to its arrival; None where the stamps are not judged.
    """

    state: TrackingState
    track_id: int
    events: TrackEvent = TrackEvent.NONE
    frame: HumanFrame | None = None
    age_s: float | None = None


class PersonWatch:
    """Follows one track; times are seconds of one steady clock.

    Attributes:
        track_id: the track that is told of; 0: none yet.
        begins: whether the last news was the first of another track.
    """

    def __init__(self, settings: EngagementSettings) -> None:
        self.settings = settings
        self.track_id = 0
        self.begins = False
        self._state: TrackingState | None = None
        self._pose_s: float | None = None
        self._predicted_since_s: float | None = None
        self._late: float | None = None
        self._bad = ""

    def observe(self, sighting: Sighting, now_s: float) -> bool:
        """News of a person; True where its pose can be followed."""
        other = sighting.track_id != self.track_id or bool(sighting.events & TrackEvent.STARTED)
        self._state, self.begins, self._bad = sighting.state, other, ""
        self.track_id = sighting.track_id
        if sighting.state not in _WITH_POSE:
            self._predicted_since_s = None
            return False
        self._late = self._lateness(sighting.age_s)
        if self._late is not None:
            return False
        if sighting.state is TrackingState.TRACKED:
            self._predicted_since_s = None
        elif self._predicted_since_s is None:
            self._predicted_since_s = now_s
        self._pose_s = now_s
        return True

    def bad(self, text: str) -> None:
        """A message came that is no pose."""
        self._bad = text

    def pose_age_s(self, now_s: float) -> float | None:
        """Since the last pose that could be followed; None: none has come."""
        return None if self._pose_s is None else now_s - self._pose_s

    def fault(self, now_s: float) -> str:
        """Why nobody can be followed now; empty where somebody can."""
        if self._state is None:
            return self._bad or "no body_pose has come"
        if self._state not in _WITH_POSE:
            return _WITHOUT[self._state]
        age_s, s = self.pose_age_s(now_s), self.settings
        if age_s is None or age_s >= s.pose_timeout:
            if self._bad:
                return self._bad
            if self._late is not None:
                what = "late" if self._late > 0.0 else "of the future"
                return (
                    f"poses come {abs(self._late):.2f} s {what} by their stamps, and max_age is {s.max_age:g} s: is "
                    "the computer busy, or is the clock of the camera's another one?"
                )
            return "no pose has come" if age_s is None else f"no pose has come for {age_s:.2f} s (pose_timeout)"
        if self._predicted_since_s is not None and now_s - self._predicted_since_s > s.max_predicted:
            return f"no image has shown the person for {now_s - self._predicted_since_s:.2f} s (max_predicted)"
        return ""

    def keeps_from_beginning(self) -> str:
        """What is no fault for a robot that follows, but none begins with."""
        return "no image shows the person just now" if self._state is TrackingState.PREDICTED else ""

    def _lateness(self, age_s: float | None) -> float | None:
        """How late a pose is [s], negative: of the future; None where it is not."""
        limit_s = self.settings.max_age
        return None if age_s is None or limit_s <= 0.0 or abs(age_s) <= limit_s else age_s
