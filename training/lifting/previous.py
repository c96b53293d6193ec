"""The pose a moment ago as the live pipeline would hand it to the network: an estimate, and at times a wrong one."""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch

from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.lifting.network.condition import root_from_network, root_to_network
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from training.views.views import View


@dataclass(frozen=True)
class PreviousConfig:
    """``share`` of the wild views that are given the previous pose. Of these ``estimated_share`` get the network's own
    estimate from the previous frame, whose errors are those it will meet; ``wrong_share`` somebody else's pose; the
    others the true pose, each joint turned by normal noise of a level up to ``max_noise`` rad.
    """

    share: float = 0.4
    estimated_share: float = 0.5
    wrong_share: float = 0.1
    max_noise: float = 0.35


def set_previous(
    model: TransformerDenoiser, schedule: NoiseSchedule, view: View, config: PreviousConfig, g: torch.Generator,
    autocast,
) -> None:  # fmt: skip
    """Fills ``view.condition.previous`` from ``view.before``."""
    before, n, device = view.before, len(view.rotations), view.rotations.device
    known = view.wild & (torch.rand(n, generator=g, device=device) < config.share)
    kind = torch.rand(n, generator=g, device=device)
    level = config.max_noise * torch.rand(n, 1, 1, generator=g, device=device)
    noise = level * torch.randn(n, before.rotations.shape[1], 3, generator=g, device=device)
    rotations = before.rotations @ roma.rotvec_to_rotmat(noise)
    wrong = kind < config.wrong_share
    rotations = torch.where(wrong[:, None, None, None], before.rotations.roll(1, 0), rotations)
    rows = (known & (kind >= 1 - config.estimated_share)).nonzero()[:, 0]
    if len(rows) and model.config.parameterisation == "x0":  # the others say nothing at the noisiest time
        rotations = rotations.index_copy(0, rows, _estimate(model, schedule, before, rows, g, autocast))
    condition = view.condition
    condition.previous = sixd_from_matrix(root_to_network(rotations, condition.R_camera_crop))
    condition.previous_known = known.to(condition.points.dtype)


@torch.no_grad()
def _estimate(
    model: TransformerDenoiser, schedule: NoiseSchedule, before: View, rows: torch.Tensor, g: torch.Generator, autocast
) -> torch.Tensor:
    """The network's one-step estimate from the previous frame alone: [len(rows), 24, 3, 3], optical frame."""
    condition = before.condition.rows(rows)
    x = torch.randn(len(rows), 24, 6, generator=g, device=rows.device)
    t = torch.full((len(rows),), schedule.steps - 1, device=rows.device)
    with autocast:
        x0 = model(x, t, model.encode_condition(condition)).float()
    return root_from_network(matrix_from_6d(model.unstandardise(x0)), condition.R_camera_crop)
