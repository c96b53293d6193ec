"""A conditional diffusion model in small, for the examples: how to train one, and how to sample with guidance.

The noise schedule and the sampler are the package's own. A model is any ``torch.nn.Module`` called as
``model(x_t [B, ...], t [B], y [B, ...], keep [B] bool) -> v [B, ...]``; where ``keep`` is False it must ignore y, which
makes it the unconditional model that classifier-free guidance needs (Ho & Salimans 2022).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import nn
from tqdm import tqdm

from diffmocap.lifting.sampling.ddim import Denoise, ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.guidance import EVERYWHERE
from diffmocap.lifting.sampling.schedule import NoiseSchedule

#: Predicting v (Salimans & Ho 2022) is well scaled at every diffusion time.
PARAMETERISATION = "v"
#: Share of the training examples whose condition is hidden.
NULL_SHARE = 0.15
#: Decay of the running average of the weights, which is what samples.
EMA_DECAY = 0.99


class TimeEmbedding(nn.Sequential):
    """Integer times [B] to features [B, width]."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(width // 2) / (width // 2))
        self.register_buffer("frequencies", frequencies)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        phase = t[:, None] * self.frequencies
        return super().forward(torch.cat([phase.sin(), phase.cos()], -1))


def train(
    model: nn.Module, draw: Callable[[int], tuple[torch.Tensor, torch.Tensor]], schedule: NoiseSchedule, steps: int,
    batch: int = 256, learning_rate: float = 2e-3,
) -> nn.Module:  # fmt: skip
    """Trains on batches ``draw(batch) -> (x0 [B, ...], y [B, ...])`` and returns the averaged model.

    Minimises the mean square error of v over random times, noises and hidden conditions. Draws from torch's global
    generator, as ``draw`` should, so that ``torch.manual_seed`` makes a run repeatable.
    """
    averaged = copy.deepcopy(model).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps, pct_start=0.05)
    for step in tqdm(range(steps), desc="training", unit="step"):
        x0, y = draw(batch)
        t, noise = torch.randint(schedule.steps, (batch,)), torch.randn_like(x0)
        keep = torch.rand(batch) >= NULL_SHARE
        prediction = model(schedule.add_noise(x0, noise, t), t, y, keep)
        loss = (prediction - schedule.target(x0, noise, t, PARAMETERISATION)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        for average, new in zip(averaged.parameters(), model.parameters()):
            average.lerp_(new.detach(), 1 - decay)
    return averaged


def guided(
    model: nn.Module, schedule: NoiseSchedule, y: torch.Tensor, weight: float | None,
    interval: tuple[float, float] = EVERYWHERE,
) -> Denoise:  # fmt: skip
    """``(w + 1) v(x_t, t, y) - w v(x_t, t)`` for the sampler (the diffusion paper, section 3.5); None: unconditional.

    Guides where the ratio of noise to signal lies in the ``interval``; elsewhere w is 0. Estimates of x0 are clamped to
    [-1, 1], the data's range, as DDPM does for images.
    """
    n = len(y)
    shown, hidden = torch.ones(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)

    def denoise(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        times = torch.full((n,), t)
        inside = interval[0] <= float(schedule.sigma[t] / schedule.signal[t]) <= interval[1]
        if not weight or not inside:
            v = model(x, times, y, hidden if weight is None else shown)
        else:
            both = model(torch.cat([x, x]), times.repeat(2), torch.cat([y, y]), torch.cat([shown, hidden]))
            conditional, unconditional = both.chunk(2)
            v = (weight + 1) * conditional - weight * unconditional
        x0, _ = schedule.x0_and_epsilon(v, x, times, PARAMETERISATION)
        x0 = x0.clamp(-1.0, 1.0)
        a, s = schedule.coefficients(times, x)
        return x0, (x - a * x0) / s

    return denoise


@torch.inference_mode()
def sample(
    model: nn.Module, schedule: NoiseSchedule, y: torch.Tensor, shape: tuple[int, ...], weight: float | None,
    steps: int = 50, seed: int = 0, interval: tuple[float, float] = EVERYWHERE,
) -> torch.Tensor:  # fmt: skip
    """One sample [B, *shape] for each condition in y [B, ...]; a seed starts every weight from the same noise."""
    noise = torch.randn(len(y), *shape, generator=torch.Generator().manual_seed(seed))
    denoise = guided(model, schedule, y, weight, interval)
    return ddim_sample(denoise, noise, schedule, ddim_timesteps(schedule.steps, steps))
