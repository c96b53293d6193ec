"""The samplers by name, behind one call."""

from __future__ import annotations

import torch

from diffmocap.errors import SettingsError
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.network.mlp_denoiser import MlpDenoiser
from diffmocap.lifting.sampling.consistency import consistency_sample
from diffmocap.lifting.sampling.ddim import Denoise, ddim_sample, noise_like
from diffmocap.lifting.sampling.ddpm import ddpm_sample
from diffmocap.lifting.sampling.dpm_solver import dpm_sample
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.lifting.settings import AUTO, SAMPLERS


def sampler_for(model: TransformerDenoiser | MlpDenoiser, name: str) -> str:
    """The sampler that ``name`` stands for: with ``auto``, ``consistency`` for a student, else ``ddim``."""
    if name != AUTO:
        return name
    return "consistency" if model.student else "ddim"


def sample_along(
    name: str, denoise: Denoise, x: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int],
    generator: torch.Generator | None = None, temperature: float | torch.Tensor = 1.0,
) -> torch.Tensor:  # fmt: skip
    """x_0 from x_t at ``timesteps[0]`` (see :func:`~diffmocap.lifting.sampling.ddim.ddim_timesteps`).

    ``temperature`` scales the noise that is drawn on the way: a number, or a tensor that multiplies x.

    Raises:
        SettingsError: there is no such sampler.
    """
    if name == "ddim":
        return ddim_sample(denoise, x, schedule, timesteps)
    if name == "dpm":
        return dpm_sample(denoise, x, schedule, timesteps)
    if name == "consistency":
        noise = (temperature * noise_like(x, generator) for _ in timesteps[1:])
        return consistency_sample(denoise, x, schedule, timesteps, noise)
    if name == "ddpm":
        return ddpm_sample(denoise, x, schedule, timesteps[0], generator, temperature)
    raise SettingsError(f"unknown sampler {name!r}; one of {', '.join(SAMPLERS)}")
