"""The evaluation protocol for the diffusion paper's table: framing, sampling and the pixel alignment error.

The paper (section 5.1) gives the error, not the framing; ours is: a square image, vertical field of view 50
degrees, a fixed level camera, the pelvis on the optical axis at the distance where a standing body fills 80 % of the
height, betas 0, clean keypoints, nothing clipped, and the true translation used to project the sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d
from diffmocap.camera.projection import project
from diffmocap.lifting.network.condition import FACING, make_condition, root_from_network
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.sampling.ddim import Denoise, ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.guidance import GUIDANCE_INTERVAL, guided_denoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule

#: ``sample(denoise, x_T, schedule, generator) -> x_0``; the generator is for the noise of the steps.
Sample = Callable[[Denoise, torch.Tensor, NoiseSchedule, torch.Generator], torch.Tensor]

VERTICAL_FOV_DEG = 50.0
FILL = 0.8


def paper_intrinsics() -> torch.Tensor:
    """K [3, 3] of the square image, in units of the image size (so that pixels lie in [0, 1])."""
    f = 0.5 / math.tan(math.radians(VERTICAL_FOV_DEG) / 2)
    return torch.tensor([[f, 0.0, 0.5], [0.0, f, 0.5], [0.0, 0.0, 1.0]])


def paper_distance(body: BodyModel) -> float:
    """Depth of the pelvis [m] at which the projection of the standing mean body is 80 % of the image high.

    The body stands upright and faces the camera, its pelvis on the optical axis; found by bisection.
    """
    height_m, towards_camera_m = body.template[:, 1].double(), body.template[:, 2].double()
    wanted = FILL * 2 * math.tan(math.radians(VERTICAL_FOV_DEG) / 2)
    near, far = 1.0, 10.0
    for _ in range(50):
        middle = 0.5 * (near + far)
        ray = height_m / (middle - towards_camera_m)
        near, far = (middle, far) if float(ray.max() - ray.min()) > wanted else (near, middle)
    return 0.5 * (near + far)


def paper_view(body: BodyModel, rotations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Puts poses before the paper's camera.

    Args:
        rotations: [B, 24, 3, 3] local rotations with the root in the y-up world, heading as captured.

    Returns:
        Rotations with the root in the optical frame [B, 24, 3, 3], pelvis [B, 3] m, and the clean keypoints
        [B, 25, 2] in units of the image size.
    """
    level = torch.tensor(FACING, device=rotations.device).diag()
    rotations = torch.cat([(level @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    pelvis = torch.tensor([0.0, 0.0, paper_distance(body)], device=rotations.device).expand(len(rotations), 3)
    points = project(body.keypoints(rotations, pelvis), paper_intrinsics().to(rotations.device))
    return rotations, pelvis, points


def pixel_error(body: BodyModel, rotations: torch.Tensor, pelvis: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """[B] mean absolute difference over keypoints and coordinates between poses [B, 24, 3, 3], placed truly, and points
    [B, 25, 2], all as :func:`paper_view` gives them."""
    found = project(body.keypoints(rotations, pelvis), paper_intrinsics().to(points.device))
    return (found - points).abs().mean((1, 2))


@dataclass
class ProtocolResult:
    """``pixel_error``: mean absolute difference over keypoints and coordinates over the image size, per frame [N].
    ``mpjpe_m``: joint error about the pelvis [N]. ``rotations``: the samples [N, 24, 3, 3], optical frame.
    """

    pixel_error: torch.Tensor
    mpjpe_m: torch.Tensor
    rotations: torch.Tensor


@torch.inference_mode()
def evaluate_paper_protocol(
    model: TransformerDenoiser, body: BodyModel, rotations: torch.Tensor, guidance: float = 0.0,
    steps: int = 50, seed: int = 0, batch: int = 256, progress: Callable[[int], object] | None = None,
    sample: Sample | None = None, interval: tuple[float, float] = GUIDANCE_INTERVAL,
) -> ProtocolResult:  # fmt: skip
    """One seeded sample a frame for y-up world poses [N, 24, 3, 3]: the protocol's DDIM, or another sampler's.

    ``progress`` is told the number of frames done after each batch. ``interval``: of the ratios of noise to signal
    at which guidance acts; the paper's is :data:`~diffmocap.lifting.sampling.guidance.EVERYWHERE`.
    """
    schedule = NoiseSchedule(model.config.schedule, model.config.diffusion_steps)
    timesteps = ddim_timesteps(schedule.steps, steps)
    K = paper_intrinsics().to(body.device)
    generator = torch.Generator().manual_seed(seed)
    errors, distances, samples = [], [], []
    for chunk in rotations.split(batch):
        truth, pelvis, points = paper_view(body, chunk.to(body.device))
        condition = make_condition(points, torch.ones_like(points[..., 0]), K[None])
        along = timesteps if sample is None else None
        code = model.encode_condition(condition)
        denoise = guided_denoiser(model, schedule, code, guidance, interval=interval, timesteps=along)
        x = torch.randn(len(chunk), 24, 6, generator=generator).to(body.device)
        x = ddim_sample(denoise, x, schedule, timesteps) if sample is None else sample(denoise, x, schedule, generator)
        pose = root_from_network(matrix_from_6d(model.unstandardise(x)), condition.R_camera_crop)
        joints, true_joints = (body.forward_kinematics(r, pelvis)[1] for r in (pose, truth))
        errors.append(pixel_error(body, pose, pelvis, points).cpu())
        distances.append((joints - true_joints).norm(dim=-1).mean(1).cpu())
        samples.append(pose.cpu())
        if progress is not None:
            progress(len(chunk))
    return ProtocolResult(torch.cat(errors), torch.cat(distances), torch.cat(samples))
