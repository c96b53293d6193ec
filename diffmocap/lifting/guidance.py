"""Classifier-free guidance (Ho & Salimans 2022; the diffusion paper, section 3.5), within an interval of noise levels.

The paper guides at every step. With keypoints that say almost everything about the pose, this overshoots:

- At high noise the null branch only knows the mean pose. ``(1 + w) x0(y) - w x0()`` then multiplies the pose's deviation
  from the mean by 1 + w, although x0(y) already fits the keypoints, and the trajectory keeps much of it.
- At low noise x_t itself tells the pose, and the difference of the branches is that of two estimators' errors.

In between guidance does what the paper says: the more of it, the closer the keypoints. So it acts only there
(Kynkaanniemi et al. 2024, "Applying guidance in a limited interval"); ``benchmarks/guidance.py`` has the measurements on
the validation split. Steps outside the interval cost no null branch.
"""

from __future__ import annotations

import torch

from diffmocap.lifting.ddim import Denoise
from diffmocap.lifting.denoiser import ConditionCode, TransformerDenoiser
from diffmocap.lifting.schedule import NoiseSchedule

#: Ratios of noise to signal, sigma_t / sqrt(abar_t), between which guidance acts.
GUIDANCE_INTERVAL = (0.3, 0.7)
#: The paper's guidance: at every step.
EVERYWHERE = (0.0, float("inf"))


def guided_denoiser(
    model: TransformerDenoiser, schedule: NoiseSchedule, code: ConditionCode, weight: float,
    null: ConditionCode | None = None, interval: tuple[float, float] = GUIDANCE_INTERVAL,
) -> Denoise:  # fmt: skip
    """``(w + 1) eps(x, t, y) - w eps(x, t)`` as a function of (x_t, t), both branches in one forward pass.

    The combination is affine, so that combining epsilon, x0 or v is the same; w = 0 and noise levels outside the
    ``interval`` skip the null branch. ``null``: the null condition's code for the same batch, if the caller has it.
    """
    kind = model.config.parameterisation
    batch = len(code)
    both = code if weight == 0.0 else code.stack(null or model.null_code(batch))
    low, high = interval

    def denoise(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        signal, sigma = schedule.coefficients(t, x)
        if weight == 0.0 or not low <= sigma / signal <= high:
            prediction = model(x, t, code)
        else:
            conditional, unconditional = model(torch.cat([x, x]), t, both).chunk(2)
            prediction = (weight + 1.0) * conditional - weight * unconditional
        return schedule.x0_and_epsilon(prediction, x, t, kind)

    return denoise
