"""The clock of a track: how much time lies between its poses, and which image begins another one.

A *track* is one person without interruption. The stages that follow a track have no clock of their own: they get
``dt_s`` and ``restarted`` from here, and stamps stay outside.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.settings import check_settings, setting
from diffmocap.timing.stream_rate import StreamRate


@dataclass(frozen=True)
class ClockSettings:
    """When a track ends; so it does where a stamp lies farther back than ``max_gap_s``."""

    max_gap_s: float = setting(
        0.5,
        "Longer gaps start a new track and are reported as LOST; for slow streams at least 2.5 images.",
        0.01,
        60.0,
        "s",
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class Tick:
    """One image on the clock of its track.

    Attributes:
        dt_s: time since the last image of the track that brought a pose, positive; 0 where ``restarted``.
        restarted: no image before this one brought a pose of the same track: what is remembered belongs to another one.
    """

    dt_s: float
    restarted: bool


class TrackClock:
    """Turns the stamps of one stream into time steps of a track.

    Time counts from the last image that brought a pose, in whatever order images without one came. The law, for a stamp
    ``dt`` after that image:

    * the stamp of the last image once more: the image is a repeated one, and is to be skipped, also where no track is;
    * ``dt > gap``: the track has ended, where the gap is ``max_gap_s``, or longer where images come so seldom that each
      would be a track of its own (:meth:`~diffmocap.timing.stream_rate.StreamRate.gap_s`);
    * ``dt < -max_gap_s``: the source began anew (a looped recording, a reset clock), and the track has ended. The rate
      does not matter here: no camera is so slow that its images come in the wrong order;
    * else, ``dt <= 0``: the image is a repeated or late one, and is to be skipped;
    * else: the track goes on.
    """

    def __init__(self) -> None:
        self._rate = StreamRate()
        self._image_ns: int | None = None
        self._pose_ns: int | None = None

    def reset(self) -> None:
        """End the track. The rate of the stream and its last image are still known."""
        self._pose_ns = None

    def tick(self, stamp_ns: int, settings: ClockSettings) -> Tick | None:
        """The step to an image with this stamp; None where it is to be skipped. Call it for every image."""
        self._rate.observe(stamp_ns)
        if stamp_ns == self._image_ns:
            return None
        if self._pose_ns is not None:
            dt_s = (stamp_ns - self._pose_ns) * 1e-9
            if dt_s > self._rate.gap_s(settings.max_gap_s) or dt_s < -settings.max_gap_s:
                self._pose_ns = None
            elif dt_s <= 0.0:
                return None
        self._image_ns = stamp_ns
        return Tick(0.0, restarted=True) if self._pose_ns is None else Tick(dt_s, restarted=False)

    def pose_came(self) -> None:
        """The image of the last tick brought a pose: time counts from it."""
        self._pose_ns = self._image_ns
