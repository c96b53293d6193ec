"""Frames at SONIC's rate, of poses that come as a camera sees them.

SONIC plays a frame in each step of its control, 50 a second, keeps the last one when no more come, and never plays
faster: frames that come late stay late. So a gap is no time in this stream: after it the frames go on where they ended,
and blend from the pose that the robot has kept to the person's. As many frames as a message holds are gathered before
the first one goes out; SONIC plays them while the next pose is on its way. Where more than that has gathered, because
this computer stalled, the frames stand a little farther apart in the person's time until SONIC is up to date.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from diffmocap.robots.sonic.pose import SonicPose, between

#: Frames that SONIC plays in a second [Hz].
RATE = 50.0
#: A longer time between two poses is a gap [s].
GAP_S = 0.15
#: SONIC is late with so many frames more than a message holds, and then the person's time passes so much faster.
LATE, FASTER = 4.0, 1.25
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Chunk:
    """Consecutive frames for one message; ``first`` is the number of the first one in the stream."""

    first: int
    poses: tuple[SonicPose, ...]


class FrameStream:
    """One stream, from its first frame on.

    Args:
        window: frames of a message: the new ones, and those that messages before had, so that one may be lost.
        blend_s: from the pose that is kept to the person's [s].

    Attributes:
        last: the newest frame that was to be sent; None: there was none.
    """

    def __init__(self, window: int, blend_s: float) -> None:
        self.blend_s = blend_s
        self.last: SonicPose | None = None
        self._window = window
        self._recent: deque[SonicPose] = deque(maxlen=window + int(GAP_S * RATE) + 1)
        self._count = 0
        self._played, self._played_s = 0.0, 0.0
        self.pause()

    def pause(self) -> None:
        """Nothing comes for a while; what is added next begins at the pose that is kept."""
        self._previous: tuple[float, SonicPose] | None = None
        self._gathered: list[SonicPose] = []
        self._gathering = True

    def add(self, time_s: float, pose: SonicPose, now_s: float) -> Chunk | None:
        """Takes a pose.

        Args:
            time_s: when it was captured [s].
            now_s: the time on a clock that nobody sets [s].

        Returns:
            What is to be sent; None: nothing yet.
        """
        if self._previous is not None and time_s - self._previous[0] > GAP_S:
            self.pause()
        if self._previous is None:
            self._kept, self._begun_s, self._next_s = self.last, time_s, time_s
        elif time_s <= self._previous[0] + _ROUNDING_S:
            return None
        pose = self._blended(time_s, pose)
        step_s = (FASTER if self._ahead(now_s) > self._window + LATE else 1.0) / RATE
        while self._next_s <= time_s + _ROUNDING_S:
            self._gathered.append(self._at(self._next_s, time_s, pose))
            self._next_s += step_s
        self._previous = time_s, pose
        if not self._gathered or (self._gathering and len(self._gathered) < self._window):
            return None
        return self._chunk(now_s)

    def _chunk(self, now_s: float) -> Chunk:
        if not self._count:
            self._played_s = now_s
        new = len(self._gathered)
        self._recent.extend(self._gathered)
        self._count += new
        self.last, self._gathered, self._gathering = self._gathered[-1], [], False
        poses = tuple(self._recent)[-max(self._window, new) :]
        return Chunk(self._count - len(poses), poses)

    def _ahead(self, now_s: float) -> float:
        """Frames that SONIC has not played yet, if it plays."""
        self._played = min(self._played + RATE * (now_s - self._played_s), float(self._count))
        self._played_s = now_s
        return self._count - self._played

    def _at(self, at_s: float, time_s: float, pose: SonicPose) -> SonicPose:
        if self._previous is None:
            return pose
        before_s, before = self._previous
        return between(before, pose, min(max((at_s - before_s) / (time_s - before_s), 0.0), 1.0))

    def _blended(self, time_s: float, pose: SonicPose) -> SonicPose:
        share = 1.0 if self._kept is None else (time_s - self._begun_s) / self.blend_s
        if share >= 1.0:
            self._kept = None
            return pose
        return between(self._kept, pose, share * share * (3.0 - 2.0 * share))
