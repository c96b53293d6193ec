"""Ancestral sampling of DDPM (Ho et al. 2020, algorithm 2)."""

from __future__ import annotations

import torch

from diffmocap.lifting.sampling.ddim import Denoise, noise_like
from diffmocap.lifting.sampling.schedule import NoiseSchedule


def ddpm_sample(
    denoise: Denoise, x: torch.Tensor, schedule: NoiseSchedule, start: int | None = None,
    generator: torch.Generator | None = None, temperature: float | torch.Tensor = 1.0,
) -> torch.Tensor:  # fmt: skip
    """x_0 from x at time ``start`` (default: the last), one step of the posterior mean and variance each (eq. 6, 7).

    ``temperature`` scales the noise of the steps: a number, or a tensor that multiplies x.
    """
    betas, abar = schedule.betas, schedule.alphas_bar
    for t in range(schedule.steps - 1 if start is None else start, -1, -1):
        x0, _ = denoise(x, t)
        if t == 0:
            return x0
        before = float(abar[t - 1])
        now, beta = float(abar[t]), float(betas[t])
        mean = (before**0.5 * beta * x0 + (1 - beta) ** 0.5 * (1 - before) * x) / (1 - now)
        variance = beta * (1 - before) / (1 - now)
        x = mean + temperature * variance**0.5 * noise_like(x, generator)
    return x
