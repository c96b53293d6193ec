"""Classifier-free guidance (Ho & Salimans 2022; the diffusion paper, section 3.5), within an interval of the diffusion.

The paper guides at every step. With keypoints that say almost everything about the pose, this overshoots:

- At high noise the null branch only knows the mean pose. ``(1 + w) x0(y) - w x0()`` then multiplies the pose's
  deviation from the mean by 1 + w, although x0(y) already fits the keypoints, and the trajectory keeps much of it.
- At low noise x_t itself tells the pose, and the difference of the branches is that of two estimators' errors.

In between guidance does what the paper says: the more of it, the closer the keypoints. So it acts only there
(Kynkaanniemi et al. 2024, "Applying guidance in a limited interval"); ``benchmarks/lifting/guidance.py`` has the
measurements on the validation split. Steps outside the interval cost no null branch.

A sampler of few steps crosses the interval in one. Its prediction moves x_t over a whole range of these ratios, so that
the step gets the mean of w over that range: full guidance from one ratio inside the interval would guide far outside
it. The last step is not guided: its prediction is the sample, and no step comes after it that would mend what guidance
overdid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diffmocap.lifting.network.denoiser import ConditionCode, TransformerDenoiser
from diffmocap.lifting.sampling.ddim import Denoise
from diffmocap.lifting.sampling.schedule import NoiseSchedule

#: Ratios of noise to signal, sigma_t / sqrt(abar_t), between which guidance acts.
GUIDANCE_INTERVAL = (0.3, 0.7)
#: The paper's guidance: at every step.
EVERYWHERE = (0.0, float("inf"))


def weights_along(
    schedule: NoiseSchedule, timesteps: Sequence[int], weight: float,
    interval: tuple[float, float] = GUIDANCE_INTERVAL,
) -> dict[int, float]:  # fmt: skip
    """w of each step of a trajectory through ``timesteps`` and on to no noise: the mean, over the ratios of noise to
    signal that the step crosses, of ``weight`` inside the interval and 0 outside. The last step has 0; with
    ``EVERYWHERE``, the paper's guidance, all steps have ``weight``."""
    ratios = [float(schedule.sigma[t] / schedule.signal[t]) for t in timesteps] + [0.0]
    low, high = interval
    shares = (
        max(min(here, high) - max(following, low), 0.0) / (here - following)
        for here, following in zip(ratios, ratios[1:])
    )
    weights = {t: weight * share for t, share in zip(timesteps, shares, strict=True)}
    if interval != EVERYWHERE:
        weights[timesteps[-1]] = 0.0
    return weights


def is_guided(model: TransformerDenoiser) -> bool:
    """Whether the network hears the weight of guidance (:mod:`diffmocap.lifting.network.guidance_input`)."""
    return getattr(model.config, "guided", False)


def guided_denoiser(
    model: TransformerDenoiser, schedule: NoiseSchedule, code: ConditionCode, weight: float | torch.Tensor,
    null: ConditionCode | None = None, interval: tuple[float, float] = GUIDANCE_INTERVAL,
    timesteps: Sequence[int] | None = None,
) -> Denoise:  # fmt: skip
    """``(w + 1) eps(x, t, y) - w eps(x, t)`` as a function of (x_t, t), both branches in one forward pass.

    ``weight``: w, a number, or one for each row [B, 1, 1].
    The combination is affine, so that combining epsilon, x0 or v is the same; w = 0 and diffusion times outside the
    ``interval`` skip the null branch. ``null``: the null condition's code of one row, if the caller has it.
    ``timesteps``: those that the sampler will ask for; the weight is then that of :func:`weights_along`. A network that
    is guided itself, as a student of guided paths, is told the weight and needs no null branch.
    """
    kind = model.config.parameterisation
    if is_guided(model):
        code, weight = model.with_guidance(code, torch.as_tensor(weight).to(code.joints).reshape(-1)), 0.0
    unguided = not isinstance(weight, torch.Tensor) and weight == 0.0
    low, high = interval
    shares = None if unguided or timesteps is None else weights_along(schedule, timesteps, 1.0, interval)
    # Few steps may have no share of guidance at all.
    unguided = unguided or (shares is not None and not any(shares.values()))
    both = code if unguided else code.stack((null or model.null_code(1)).repeat(len(code)))

    def share_at(x: torch.Tensor, t: int) -> float:
        if unguided or shares is not None:
            return 0.0 if unguided else shares[t]
        signal, sigma = schedule.coefficients(t, x)
        return float(low <= sigma / signal <= high)

    def denoise(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        share = share_at(x, t)
        if share == 0.0:
            prediction = model(x, t, code)
        else:
            w = weight * share
            conditional, unconditional = model(torch.cat([x, x]), t, both).chunk(2)
            prediction = (w + 1.0) * conditional - w * unconditional
        return schedule.x0_and_epsilon(prediction, x, t, kind)

    return denoise
