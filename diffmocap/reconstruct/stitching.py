"""Overlapping windows over a long motion, and one motion from what comes of them, without seams."""

from __future__ import annotations

import torch

from diffmocap.refinement.window.reference import nearest_rotations


def window_starts(frames: int, length: int, overlap: int) -> list[int]:
    """First frames of windows of ``length`` that cover ``frames``, neighbours sharing at least ``overlap``.

    They are spread evenly, so that the last one shares no more than the others do; one window where all fits into it.
    """
    if frames <= length:
        return [0]
    count = -(-(frames - overlap) // (length - overlap))
    return [round(i * (frames - length) / (count - 1)) for i in range(count)]


def blend_weights(starts: list[int], length: int, frames: int) -> torch.Tensor:
    """[W, T] how much each window counts for each frame; columns sum to 1.

    A window fades in and out over the middle two thirds of what it shares with its neighbours: at its very ends, where
    frames beyond are not known to it, it does not count. The ramp is the quintic with no velocity and no acceleration
    at its ends, so that the blend of two motions with smooth accelerations has one, too.
    """
    time = torch.arange(frames, dtype=torch.float64)
    weights = torch.zeros(len(starts), frames, dtype=torch.float64)
    for w, start in enumerate(starts):
        inside = (time >= start) & (time < start + length)
        weight = inside.double()
        if w > 0:
            weight = weight * _ramp(time, start, starts[w - 1] + length - 1)
        if w + 1 < len(starts):
            weight = weight * (1.0 - _ramp(time, starts[w + 1], start + length - 1))
        weights[w] = weight
    return weights / weights.sum(0)


def stitched(
    rotations: torch.Tensor, pelvis: torch.Tensor, starts: list[int], frames: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """One motion [T, 24, 3, 3], [T, 3] m of windows [W, L, 24, 3, 3], [W, L, 3] m that begin at ``starts``."""
    length = pelvis.shape[1]
    weights = blend_weights(starts, length, frames).to(pelvis)
    mean = rotations.new_zeros(frames, *rotations.shape[2:])
    place = pelvis.new_zeros(frames, 3)
    for w, start in enumerate(starts):
        part = slice(start, start + length)
        mean[part] += weights[w, part, None, None, None] * rotations[w]
        place[part] += weights[w, part, None] * pelvis[w]
    return nearest_rotations(mean), place


def _ramp(time: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """0 up to the first sixth of [first, last], 1 from the last sixth on."""
    span = max(last - first, 1)
    u = (((time - first) / span - 1 / 6) * 1.5).clamp(0.0, 1.0)
    return u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
