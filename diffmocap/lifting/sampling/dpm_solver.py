"""DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095): the ODE of DDIM, solved to second order.

Both follow the probability-flow ODE in the half-log-SNR ``lambda = log(sqrt(abar) / sqrt(1 - abar))``. DDIM holds
the predicted x0 constant over a step; 2M extrapolates it linearly from the previous step, at no further evaluation of
the network, so that the error falls with the square of the step and not with the step.
"""

from __future__ import annotations

import math

import torch

from diffmocap.lifting.sampling.ddim import Denoise
from diffmocap.lifting.sampling.schedule import NoiseSchedule


def half_log_snr(schedule: NoiseSchedule, t: int) -> float:
    """lambda_t."""
    return math.log(float(schedule.signal[t])) - math.log(float(schedule.sigma[t]))


def dpm_sample(denoise: Denoise, x: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int]) -> torch.Tensor:
    """x_0 from x_t at ``timesteps[0]`` (algorithm 2), deterministic.

    The first step has no predecessor and the last one goes to noise 0, where lambda is infinite: both are of first
    order, and the last returns the predicted x0 as DDIM does.

    ``timesteps`` are DDIM's (:func:`~diffmocap.lifting.sampling.ddim.ddim_timesteps`), uniform in t: a cosine
    schedule's lambda goes from -10 to 5, and few steps uniform in lambda spend more than half where x_t is almost pure
    noise or almost clean and the predicted x0 hardly changes.
    """
    previous_x0, previous_lambda = None, 0.0
    for i, t in enumerate(timesteps):
        x0, _ = denoise(x, t)
        if i + 1 == len(timesteps):
            return x0
        following = timesteps[i + 1]
        here = half_log_snr(schedule, t)
        h = half_log_snr(schedule, following) - here
        slope = x0 if previous_x0 is None else x0 + (x0 - previous_x0) * (0.5 * h / (here - previous_lambda))
        ratio = float(schedule.sigma[following]) / float(schedule.sigma[t])
        x = ratio * x - float(schedule.signal[following]) * math.expm1(-h) * slope
        previous_x0, previous_lambda = x0, here
    return x
