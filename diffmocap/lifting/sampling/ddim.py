"""DDIM sampling (Song et al. 2021): few deterministic steps through a DDPM."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffmocap.lifting.sampling.schedule import NoiseSchedule

#: ``denoise(x_t, t) -> (x0, epsilon)`` with t one Python int for the whole batch.
Denoise = Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]


def noise_like(x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Standard normal noise for ``x``, drawn where the generator lives, so that a seed gives the same on any device."""
    place = x.device if generator is None else generator.device
    return torch.randn(x.shape, generator=generator, device=place, dtype=x.dtype).to(x.device)


def ddim_timesteps(schedule_steps: int, steps: int, start: float = 1.0) -> list[int]:
    """``steps`` evenly spaced times that end the trajectory at 0, from ``start`` (1 is pure noise) downwards.

    The first is the last time of the noised range ("trailing" spacing, Lin et al. 2024), so that sampling
    begins where training ended. A schedule has no more times than ``schedule_steps``.
    """
    steps = min(steps, schedule_steps)
    top = max(int(round(schedule_steps * start)), steps)
    return [int(round(top - i * top / steps)) - 1 for i in range(steps)]


def ddim_sample(
    denoise: Denoise, x: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int],
    eta: float = 0.0, generator: torch.Generator | None = None,
) -> torch.Tensor:  # fmt: skip
    """x_0 from x_t at ``timesteps[0]`` (eq. 12); ``eta`` 0 is deterministic, 1 has DDPM's variance (eq. 16)."""
    abar = schedule.alphas_bar
    for i, t in enumerate(timesteps):
        x0, eps = denoise(x, t)
        if i + 1 == len(timesteps):
            return x0
        a_t, a_next = float(abar[t]), float(abar[timesteps[i + 1]])
        sigma = eta * ((1 - a_next) / (1 - a_t) * (1 - a_t / a_next)) ** 0.5
        x = a_next**0.5 * x0 + max(1 - a_next - sigma**2, 0.0) ** 0.5 * eps
        if sigma > 0:
            x = x + sigma * noise_like(x, generator)
    return x
