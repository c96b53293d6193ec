"""Multistep consistency sampling (Song et al. 2023, arXiv 2303.01469, algorithm 1): samples of few-step students."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from diffmocap.lifting.sampling.ddim import Denoise
from diffmocap.lifting.sampling.schedule import NoiseSchedule


def consistency_sample(
    denoise: Denoise, x: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int], noise: Iterable[torch.Tensor] = ()
) -> torch.Tensor:
    """x_0 from x_t at ``timesteps[0]``: the x0 of every time but the last is noised to the next time and found again.

    ``denoise`` is that of a student (``training/lifting/distill.py``), whose x0 is the end of the ODE through x_t and
    not the mean of all ends. ``noise``: a tensor like x for every step after the first; zeros leave a sample without
    new noise.

    Raises:
        ValueError: ``noise`` does not have one tensor fewer than there are times.
    """
    x0, _ = denoise(x, timesteps[0])
    for t, fresh in zip(timesteps[1:], noise, strict=True):
        x0, _ = denoise(float(schedule.signal[t]) * x0 + float(schedule.sigma[t]) * fresh, t)
    return x0
