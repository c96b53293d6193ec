"""The loss of a batch: DDPM's, and distances of the predicted pose's keypoints in space and in the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.lifting.network.condition import root_from_network, root_to_network
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.network.mlp_denoiser import MlpDenoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from training.views.views import View

#: Keypoints nearer to the camera than this [m] are left out of the pixel terms, whose gradients would be large there.
LEAST_PIXEL_DEPTH_M = 0.3
#: Least sqrt(abar) at which a pose is read from a predicted epsilon or v; dividing by less blows up.
LEAST_SIGNAL = 0.3


@dataclass
class Batch:
    """Views and what the diffusion draws for them: ``noise`` [B, 24, 6], times ``t`` [B], ``keep`` [B] bool, where the
    condition is told."""

    view: View
    noise: torch.Tensor
    t: torch.Tensor
    keep: torch.Tensor


def draw_diffusion(view: View, schedule: NoiseSchedule, null_share: float, g: torch.Generator) -> Batch:
    """Noise, times and the rows that go without their condition."""
    n, device = len(view.rotations), view.rotations.device
    noise = torch.randn(n, 24, 6, generator=g, device=device)
    t = torch.randint(schedule.steps, (n,), generator=g, device=device)
    return Batch(view, noise, t, torch.rand(n, generator=g, device=device) >= null_share)


def losses(
    model: TransformerDenoiser | MlpDenoiser, schedule: NoiseSchedule, body: BodyModel, batch: Batch,
    keypoint_loss: float, pixel_loss: float, autocast, mean_over_ranks: Callable[[torch.Tensor], torch.Tensor],
) -> dict[str, torch.Tensor]:  # fmt: skip
    """The terms of one batch; ``total`` is what is minimised (DDPM eq. 14 plus the keypoint terms).

    The keypoint terms are means over the usable rows; with ``mean_over_ranks`` they are so over the rows of all
    processes, once their gradients are averaged.
    """
    view, t, kind = batch.view, batch.t, model.config.parameterisation
    x0 = model.standardise(sixd_from_matrix(root_to_network(view.rotations, view.condition.R_camera_crop)))
    x_t = schedule.add_noise(x0, batch.noise, t)
    with autocast:
        prediction = model(x_t, t, model.encode_condition(view.condition, batch.keep)).float()
    mse = (prediction - schedule.target(x0, batch.noise, t, kind)).square().mean()
    terms = {"mse": mse, "total": mse}
    if not (keypoint_loss or pixel_loss):
        return terms
    x0_hat, _ = schedule.x0_and_epsilon(prediction, x_t, t, kind)
    # Where the noise hides everything, or the condition is not told, there is nothing to learn.
    usable = batch.keep & (schedule.coefficients(t, x0)[0].flatten() > (0.0 if kind == "x0" else LEAST_SIGNAL))
    weight = usable.float() / mean_over_ranks(usable.sum().float()).clamp_min(1)
    rotations = root_from_network(matrix_from_6d(model.unstandardise(x0_hat)), view.condition.R_camera_crop)
    predicted = body.keypoints(rotations, view.pelvis, view.betas)
    truth = body.keypoints(view.rotations, view.pelvis, view.betas)
    distance = (predicted - truth).norm(dim=-1).mean(1)
    terms["keypoint_m"] = (distance * weight).sum()
    in_front = truth[..., 2:] > LEAST_PIXEL_DEPTH_M
    project = [p[..., :2] / p[..., 2:].clamp_min(LEAST_PIXEL_DEPTH_M) for p in (predicted, truth)]
    pixel = ((project[0] - project[1]) * in_front).abs().mean((1, 2)) / view.condition.half_size
    terms["pixel"] = (pixel.clamp_max(2.0) * weight).sum()
    terms["total"] = mse + keypoint_loss * terms["keypoint_m"] + pixel_loss * terms["pixel"]
    return terms
