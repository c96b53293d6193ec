"""The smooth motion that a live window is refined around, at its end without lag.

Inside a window a mean under a bell is a straight line's value as well. At its end, where only the past is known, the
mean lags behind by the bell's width; a line fitted under the bell does not, and pays with noise (local linear
regression, Fan and Gijbels, "Local Polynomial Modelling and Its Applications", 1996). How steep it may be is held back
a little.
"""

from __future__ import annotations

import math

import torch

from diffmocap.refinement.window.reference import SMOOTHING_S, nearest_rotations
from diffmocap.refinement.window.window import Window

#: Weight of "it does not move", in shares of that of the observations under the bell; 0 follows noise, infinity lags.
STILLNESS = 0.15
#: Beyond so many widths of the bell an observation changes nothing.
_REACH = 3.0


def smoothing_matrix(
    lifted: torch.Tensor, dt_s: float, smoothing_s: float = SMOOTHING_S, stillness: float = STILLNESS
) -> torch.Tensor:
    """Weights [T, T] of the frames (columns) in the smoothed motion (rows); ``lifted`` [T] bool must have one true.

    Rows sum to one, so what stands still stays; and but for ``stillness`` what moves evenly keeps moving. A frame that
    is not lifted takes the plain mean of what is near in time: across silence no line is followed.
    """
    count = len(lifted)
    time = torch.arange(count, dtype=torch.float64) * (dt_s / smoothing_s)
    apart = time - time[:, None]
    exponent = (-0.5 * apart.square()).masked_fill(~lifted, -torch.inf)
    mean = exponent.softmax(-1)
    first = (mean * apart).sum(-1, keepdim=True)
    second = (mean * apart.square()).sum(-1, keepdim=True) + stillness
    line = mean * (second - first * apart) / (second - first.square())
    return torch.where(lifted[:, None], line, mean).to(torch.get_default_dtype())


def frames_that_change(dt_s: float, smoothing_s: float = SMOOTHING_S) -> int:
    """How many frames at the end of a window a new one may move."""
    return math.ceil(_REACH * smoothing_s / dt_s) + 1


def live_reference(
    window: Window, before: tuple[torch.Tensor, torch.Tensor] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations [1, T, 24, 3, 3] and pelvis [1, T, 3] m of a window of batch 1 whose heaviest hypotheses stand first.

    Args:
        window: with at least one lifted frame.
        before: the reference of the same frames from the last time, where there is one, shorter than T: frames
            out of reach of the new ones are taken from there.
    """
    lifted, frames = window.lifted[0], window.frames
    begin = 0
    if before is not None and bool(lifted.all()):
        begin = max(0, min(frames - frames_that_change(window.dt_s), before[1].shape[1]))
    known = lifted[:, None, None, None]
    weights = smoothing_matrix(lifted, window.dt_s)[begin:].to(window.pelvis)
    rotations = torch.where(known, window.rotations[0, 0], 0.0).flatten(1)
    pelvis = torch.where(known[..., 0, 0], window.pelvis[0, 0], 0.0)
    turned = nearest_rotations((weights @ rotations).unflatten(-1, (-1, 3, 3)))[None]
    moved = (weights @ pelvis)[None]
    if not begin:
        return turned, moved
    return torch.cat([before[0][:, :begin], turned], 1), torch.cat([before[1][:, :begin], moved], 1)
