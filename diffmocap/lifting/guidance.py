"""Classifier-free guidance (Ho & Salimans 2022; the diffusion paper, section 3.5)."""

from __future__ import annotations

import torch

from diffmocap.lifting.ddim import Denoise
from diffmocap.lifting.denoiser import ConditionCode, TransformerDenoiser
from diffmocap.lifting.schedule import NoiseSchedule


def guided_denoiser(
    model: TransformerDenoiser, schedule: NoiseSchedule, code: ConditionCode, weight: float,
    null: ConditionCode | None = None,
) -> Denoise:  # fmt: skip
    """``(w + 1) eps(x, t, y) - w eps(x, t)`` as a function of (x_t, t), both branches in one forward pass.

    The combination is affine, so that combining epsilon, x0 or v is the same; w = 0 skips the null branch.
    ``null``: the null condition's code for the same batch, if the caller has it already.
    """
    kind = model.config.parameterisation
    batch = len(code)
    if weight == 0.0:
        both = code
    else:
        both = code.stack(null or model.null_code(batch))

    def denoise(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        if weight == 0.0:
            times = torch.full((batch,), t, device=x.device)
            prediction = model(x, times, code)
        else:
            times = torch.full((2 * batch,), t, device=x.device)
            conditional, unconditional = model(torch.cat([x, x]), times, both).chunk(2)
            prediction = (weight + 1.0) * conditional - weight * unconditional
        return schedule.x0_and_epsilon(prediction, x, times[:batch], kind)

    return denoise
