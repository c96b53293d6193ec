"""The smooth motion that a live window is refined around: local linear regression with a Gaussian kernel, without lag.

Inside a window the kernel-weighted mean equals the value of a fitted line. At its end, where only past frames are
known, the mean lags by about the kernel's width; a fitted line does not, but has more noise (Fan and Gijbels, "Local
Polynomial Modelling and Its Applications", 1996). A ridge term on the line's slope trades one for the other.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from diffmocap.refinement.window.reference import SMOOTHING_S, nearest_rotations
from diffmocap.refinement.window.window import Window

#: Ridge on the slope, in units of the kernel's variance: 0 follows noise, infinity lags.
STILLNESS = 0.15
#: Observations farther than this many standard deviations of the kernel have no effect.
_REACH = 3.0


def smoothing_matrix(
    lifted: torch.Tensor, dt_s: float, smoothing_s: float = SMOOTHING_S, stillness: float = STILLNESS
) -> torch.Tensor:
    """Weights [T, T] of the frames (columns) in the smoothed motion (rows).

    Rows sum to one, so a constant pose is reproduced, and with ``stillness`` 0 a constant velocity is, too. A frame
    that is not lifted takes the kernel-weighted mean of its neighbours: no line is extrapolated across gaps.

    Args:
        lifted: [T] bool, frames with a pose; at least one. dt_s: between frames [s].
        smoothing_s: standard deviation of the Gaussian kernel [s]. stillness: see :data:`STILLNESS`.
    """
    seen = lifted.numpy()
    time = np.arange(len(seen)) * (dt_s / smoothing_s)
    apart = time - time[:, None]
    exponent = np.where(seen, -0.5 * apart**2, -np.inf)
    mean = np.exp(exponent - exponent.max(-1, keepdims=True))  # relative to the nearest frame, so it never vanishes
    mean /= mean.sum(-1, keepdims=True)
    first = (mean * apart).sum(-1, keepdims=True)
    second = (mean * apart**2).sum(-1, keepdims=True) + stillness
    line = mean * (second - first * apart) / (second - first**2)
    return torch.from_numpy(np.where(seen[:, None], line, mean)).to(torch.get_default_dtype())


def frames_that_change(dt_s: float, smoothing_s: float = SMOOTHING_S) -> int:
    """Number of frames at the end of a window whose smoothed pose changes with a new frame."""
    return math.ceil(_REACH * smoothing_s / dt_s) + 1


def still_in_window(
    reference: tuple[torch.Tensor, torch.Tensor], moved: int, frames: int
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The part of the last window's reference, [1, T, 24, 3, 3] and [1, T, 3] m, that a window of so many frames still
    has after it moved on by ``moved``; None where that is nothing."""
    count = reference[1].shape[1]
    dropped = count + moved - frames
    return (reference[0][:, dropped:], reference[1][:, dropped:]) if dropped < count else None


def live_reference(
    window: Window, previous: tuple[torch.Tensor, torch.Tensor] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations [1, T, 24, 3, 3] and pelvis [1, T, 3] m of a window of batch 1 whose heaviest hypotheses stand first.

    Args:
        window: with at least one lifted frame.
        previous: the reference of the same frames in the previous window, shorter than T, or None: frames out of the
            kernel's reach of the new ones are taken from it.
    """
    lifted, frames = window.lifted[0], window.frames
    begin = 0
    if previous is not None and bool(lifted.all()):
        begin = max(0, min(frames - frames_that_change(window.dt_s), previous[1].shape[1]))
    known = lifted[:, None, None, None]
    weights = smoothing_matrix(lifted, window.dt_s)[begin:].to(window.pelvis)
    rotations = torch.where(known, window.rotations[0, 0], 0.0).flatten(1)
    pelvis = torch.where(known[..., 0, 0], window.pelvis[0, 0], 0.0)
    turned = nearest_rotations((weights @ rotations).unflatten(-1, (-1, 3, 3)))[None]
    moved = (weights @ pelvis)[None]
    if not begin:
        return turned, moved
    return torch.cat([previous[0][:, :begin], turned], 1), torch.cat([previous[1][:, :begin], moved], 1)
