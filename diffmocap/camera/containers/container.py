"""What a video file's container says about its pictures, whichever of OpenCV's backends decodes them.

OpenCV's backends differ, by version too, in whether they turn pictures as the container asks, in the direction in which
they tell the angle, in what they count as frames, and in whether they know times at all. So it is read here
(:mod:`diffmocap.camera.containers.reading`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Turn:
    """How stored pictures become upright: ``mirrored`` left to right first, then turned clockwise."""

    quarters: int = 0
    mirrored: bool = False

    @classmethod
    def clockwise(cls, degrees: float, mirrored: bool = False) -> Turn:
        """The turn nearest to ``degrees``."""
        return cls(round(degrees / 90.0) % 4, mirrored) if math.isfinite(degrees) else cls()


@dataclass(frozen=True)
class Container:
    """Of the first video track of a file.

    Attributes:
        codec: as the container names it: a four-character code or Matroska's codec id; empty where it does not.
        width, height: of the stored pictures [px], 0 where unknown.
        turn: how players turn them.
        pixel_aspect: width over height of a stored pixel; 0 where the container leaves it to the stream.
        times_s: [N] of the shown images in their order, seconds from the first; empty where unknown.
        focal_length_35mm: equivalent focal length for 36 x 24 mm film [mm], 0 where unknown.
        missing_bytes: that the container promises and the file has not.
    """

    codec: str = ""
    width: int = 0
    height: int = 0
    turn: Turn = Turn()
    pixel_aspect: float = 0.0
    times_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    focal_length_35mm: float = 0.0
    missing_bytes: int = 0

    @property
    def frames(self) -> int:
        """Number of images, 0 where unknown."""
        return len(self.times_s)

    @property
    def mean_fps(self) -> float:
        """Images a second over the whole file, 0 where unknown."""
        span_s = float(self.times_s[-1]) if self.frames > 1 else 0.0
        return (self.frames - 1) / span_s if span_s > 0.0 else 0.0
