"""The loss of a batch for a denoiser with a ray head: DDPM's, and what the head has to get right beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.lifting.network.condition import MID_HIP, root_from_network, root_to_network
from diffmocap.lifting.network.ray_denoiser import RayDenoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from training.lifting.losses import LEAST_PIXEL_DEPTH_M
from training.views.sequences import Example


@dataclass(frozen=True)
class RayLossWeights:
    """What multiplies each term beside DDPM's: the trunk's own pose, joints and keypoints [1/m], keypoints in the image
    over the half-size, placed keypoints [1/m], the logarithm of the distance, and the likelihood of the spread."""

    trunk: float = 0.25
    joints: float = 5.0
    pixels: float = 2.0
    placed: float = 3.0
    distance: float = 0.5
    spread: float = 0.02


@dataclass
class RayBatch:
    """Examples and what the diffusion draws for them: ``noise`` [B, 24, 6], times ``t`` [B], ``keep`` [B] bool, where
    the condition is told."""

    example: Example
    noise: torch.Tensor
    t: torch.Tensor
    keep: torch.Tensor

    @property
    def view(self) -> Example:
        """The examples, as the batches of other networks call them."""
        return self.example


def draw_ray_batch(
    example: Example, schedule: NoiseSchedule, null_share: float, start_share: float, g: torch.Generator
) -> RayBatch:
    """Noise, times and the rows without their condition; ``start_share`` of the times are the last one, where sampling
    begins and a pose of one or two steps is decided."""
    n, device = len(example.rotations), example.rotations.device
    noise = torch.randn(n, 24, 6, generator=g, device=device)
    t = torch.randint(schedule.steps, (n,), generator=g, device=device)
    start = torch.rand(n, generator=g, device=device) < start_share
    t = torch.where(start, schedule.steps - 1, t)
    return RayBatch(example, noise, t, torch.rand(n, generator=g, device=device) >= null_share)


def ray_losses(
    model: RayDenoiser, schedule: NoiseSchedule, body: BodyModel, batch: RayBatch, weights: RayLossWeights, autocast
) -> dict[str, torch.Tensor]:
    """The terms of one batch; ``total`` is what is minimised."""
    example, t, keep = batch.example, batch.t, batch.keep
    condition = example.condition
    R = condition.R_camera_crop
    x0 = model.standardise(sixd_from_matrix(root_to_network(example.rotations, R)))
    with autocast:
        p = model.predict(schedule.add_noise(x0, batch.noise, t), t, model.encode_condition(condition, keep))
    share = keep.float() / keep.sum().clamp_min(1)
    n = len(x0)
    both = torch.cat([root_from_network(matrix_from_6d(model.unstandardise(p.x0)), R), example.rotations])
    joints, keypoints = body.joints_and_keypoints(both, example.pelvis.repeat(2, 1))
    # Joints beside keypoints, about the mid-hip.
    marks = torch.cat([joints, keypoints], 1)
    about = marks - keypoints[:, MID_HIP, None]
    distance = (about[:n] - about[n:]).norm(dim=-1)
    in_front = keypoints[n:, :, 2:] > LEAST_PIXEL_DEPTH_M
    image = keypoints[..., :2] / keypoints[..., 2:].clamp_min(LEAST_PIXEL_DEPTH_M)
    pixels = ((image[:n] - image[n:]) * in_front).abs().mean((1, 2)) / condition.half_size
    true = example.points @ R
    placed = (p.placed - p.placed[:, MID_HIP, None]) - (true - true[:, MID_HIP, None])
    far = (p.placed[:, MID_HIP, 2].clamp_min(0.05) / true[:, MID_HIP, 2].clamp_min(0.05)).log().abs()
    error = distance[:, : joints.shape[1]].detach()
    spread = p.log_spread.clamp(-7.0, 1.0)
    likelihood = 3.0 * spread + 0.5 * (error / spread.exp()).square().clamp_max(50.0)
    terms = {
        "mse": (p.x0 - x0).square().mean(),
        "trunk": (p.trunk - x0).square().mean(),
        "joints": (distance.mean(1) * share).sum(),
        "pixels": (pixels.clamp_max(2.0) * share).sum(),
        "placed": (placed.norm(dim=-1).mean(1) * share).sum(),
        "distance": (far * share).sum(),
        "spread": (likelihood.mean(1) * share).sum(),
    }
    terms["total"] = terms["mse"] + sum(getattr(weights, k) * v for k, v in terms.items() if k != "mse")
    return terms
