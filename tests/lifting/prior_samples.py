"""Poses from the prior alone: the denoiser with the null condition."""

from __future__ import annotations

import torch

from diffmocap.body.rotations import matrix_from_6d
from diffmocap.lifting.network.condition import FACING
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.guidance import guided_denoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule


@torch.no_grad()
def sample_prior(
    model: TransformerDenoiser, count: int, steps: int = 50, generator: torch.Generator | None = None
) -> torch.Tensor:
    """``count`` poses [count, 24, 3, 3] that the model takes for likely without having seen any keypoint.

    The root is in the optical frame of a camera that looks straight at the person (see ``condition.py``): x right,
    y down, z forward. DDIM with ``steps`` steps; the generator's noise decides the poses.
    """
    schedule = NoiseSchedule(model.config.schedule, model.config.diffusion_steps)
    denoise = guided_denoiser(model, schedule, model.null_code(count), 0.0)
    place = model.pose_mean.device
    noise = torch.randn(count, 24, 6, generator=generator, device=None if generator is None else generator.device)
    x = ddim_sample(denoise, noise.to(place), schedule, ddim_timesteps(schedule.steps, steps))
    rotations = matrix_from_6d(model.unstandardise(x))
    facing = torch.tensor(FACING, device=place).diag()
    return torch.cat([(facing @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
