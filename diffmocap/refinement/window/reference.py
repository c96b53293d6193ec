"""A first motion through a window's hypotheses: smooth, and defined where nothing was observed."""

from __future__ import annotations

import numpy as np
import roma
import torch

from diffmocap.compiler import array
from diffmocap.errors import SettingsError
from diffmocap.refinement.window.window import Window

#: Width of the kernel [s], two frames at 30 a second. What is too smooth comes back with the unknowns; what is not
#: smooth enough for their knots to undo stays: at 0.045 s, knots every 4 frames leave three times the jitter.
SMOOTHING_S = 0.07


def reference_motion(
    window: Window, hypothesis: int | None = None, smoothing_s: float = SMOOTHING_S
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations [B, T, 24, 3, 3] and pelvis [B, T, 3] m: a hypothesis of each frame, smoothed over time.

    ``hypothesis`` is which of the K; None: the weightiest of each frame. Where hypotheses are far apart the loss has a
    minimum near each: descending from several and keeping the lowest is how refinement changes its mind for good.

    A mean weighted by a Gaussian in time; of rotations the chordal mean, the nearest rotation to the mean of the
    matrices (Moakher, "Means and averaging in the group of rotations", 2002). Frames in which little is observed
    nearby take what is nearest in time, however far.

    Raises:
        SettingsError: no frame of a window has a hypothesis, or there is none of that number.
    """
    if hypothesis is not None and not 0 <= hypothesis < window.rotations.shape[1]:
        raise SettingsError(f"the window has {window.rotations.shape[1]} hypotheses, got number {hypothesis}")
    believed = window.log_weights.nan_to_num(-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    usable = believed > -torch.inf
    lifted = window.lifted & (usable.any(1) if hypothesis is None else usable[:, hypothesis])
    if not bool(lifted.any(1).all()):
        raise SettingsError("a window without any hypothesis has no motion to start from; give a reference")
    best = believed.argmax(1)  # [B, T]
    if hypothesis is not None:
        best = torch.full_like(best, hypothesis)
    batch = torch.arange(window.batch, device=best.device)[:, None]
    time = torch.arange(window.frames, device=best.device)
    rotations = torch.where(lifted[..., None, None, None], window.rotations[batch, best, time], 0.0)
    pelvis = torch.where(lifted[..., None], window.pelvis[batch, best, time], 0.0)
    apart = (time[:, None] - time) * (window.dt_s / smoothing_s)
    exponent = (-0.5 * apart.square()).to(pelvis).expand(window.batch, -1, -1).masked_fill(~lifted[:, None], -torch.inf)
    kernel = exponent.softmax(-1)  # [B, T, T]; relative to the nearest frame, so it never vanishes
    mean = (kernel @ rotations.flatten(2)).unflatten(-1, (-1, 3, 3))
    return nearest_rotations(mean), kernel @ pelvis


def nearest_rotations(matrices: torch.Tensor) -> torch.Tensor:
    """Rotations [..., 3, 3] nearest to matrices in the Frobenius norm, without a graph."""
    from diffmocap.refinement.kernels import poses  # compiling may take a while

    flat = array(matrices).reshape(-1, 3, 3)
    found = np.empty_like(flat)
    if poses.nearest_rotations(flat, found):
        return torch.from_numpy(found).to(matrices).view(matrices.shape)
    return roma.special_procrustes(matrices)
