"""Unknowns of a sliding window: knots are fixed in time, so that a solution carries over to the next window.

As :mod:`diffmocap.refinement.window.parameters`, but the knots are not stretched to the window's end: they stand at
every ``spacing``-th frame of the stream. From one frame to the next the unknowns are the same, until the window has
left a knot and reaches another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from diffmocap.errors import SettingsError
from diffmocap.refinement.kernels.units import KNOT_SIZE
from diffmocap.refinement.window.b_splines import cubic_b_splines


@dataclass
class SlidingKnots:
    """Where a window of at most ``frames`` frames stands among knots every ``spacing`` frames.

    Attributes:
        phase: frames from a knot to the first frame of a full window, 0 to ``spacing`` - 1.
    """

    frames: int
    spacing: int
    phase: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.spacing < 1:
            raise SettingsError(f"knots need at least 1 frame and 1 frame between them, got {self}")

    @property
    def count(self) -> int:
        """Number of knots, whatever the phase."""
        return math.ceil((self.frames + self.spacing - 2) / self.spacing) + 3

    def spline(self, frames: int) -> torch.Tensor:
        """Values [frames, knots] of the B-splines at the last ``frames`` frames of the window, float32; see
        :func:`diffmocap.refinement.window.parameters.spline_matrix`."""
        return _spline(self.frames, self.spacing, self.count, self.phase)[self.frames - frames :]

    def advance(self, vectors: torch.Tensor) -> torch.Tensor:
        """Moves the window on by a frame: its unknowns [..., knots * 75]; a new knot repeats the last one."""
        self.phase = (self.phase + 1) % self.spacing
        if self.phase:
            return vectors
        return without_first_knot(vectors)


def without_first_knot(vectors: torch.Tensor, repeat: bool = True) -> torch.Tensor:
    """Unknowns [..., knots * 75] of a window that has left its first knot behind; the new one repeats the last, or is
    zero."""
    newest = vectors[..., -KNOT_SIZE:]
    return torch.cat([vectors[..., KNOT_SIZE:], newest if repeat else torch.zeros_like(newest)], -1)


@lru_cache(maxsize=64)
def _spline(frames: int, spacing: int, count: int, phase: int) -> torch.Tensor:
    return cubic_b_splines((torch.arange(frames, dtype=torch.float64) + phase) / spacing, count).float()
