"""The wild protocol: K seeded samples per frame, of people as webcams see them, against the truth.

Views are those of ``wild_views.py``. The model is given 2D keypoints and intrinsics alone, as a detector finds them,
and samples with all of the noise (temperature 1). It does not know the person's shape: samples are poses of the mean
body, compared with the joints of the true one, so that the error of the size is part of MPJPE, as in live use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch

from diffmocap.body.joint_angles import limit_excess
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d
from diffmocap.body.skeleton import KEYPOINT_FROM_JOINT, NUM_JOINTS
from diffmocap.camera.projection import rays_to
from diffmocap.evaluation.frame_draws import FrameDraws
from diffmocap.evaluation.wild_views import WildConfig, WildView, wild_views
from diffmocap.lifting.network.condition import Condition, root_from_network
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.guidance import guided_denoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.lifting.translation import solve_translation

#: ``sample(condition, K)``: rotations [B * K, 24, 3, 3] for B conditions, root in the optical frame, K varying fastest.
SamplePoses = Callable[[Condition, int], torch.Tensor]

#: A joint may pass the limits of ``joint_angles.LIMITS_DEG`` by this angle [rad] (5 degrees) and still count as inside.
LIMIT_TOLERANCE = 0.0873
#: The protocol's own views.
DEFAULT_VIEWS = WildConfig()


@dataclass
class WildResult:
    """N frames, K samples; all on the CPU.

    Attributes:
        joints: [N, K, 24, 3] m, samples about the pelvis, optical frame. truth: [N, 24, 3] likewise.
        rotations: [N, K, 24, 3, 3] the samples.
        pixel_error: [N, K] mean absolute difference over the coordinates of the detected keypoints, between where the
            sample projects, placed as the pipeline places it, and where they truly are, over the image's height.
        outside: [N, K] bool, some joint is outside its limits. truth_outside: [N] likewise.
        visible: [N, 24] bool, joints whose keypoint was detected.
        stratum: [N] index into ``wild_views.STRATA``. distance_m, facing_deg, noise: [N], see ``WildView``.
    """

    joints: torch.Tensor
    truth: torch.Tensor
    rotations: torch.Tensor
    pixel_error: torch.Tensor
    outside: torch.Tensor
    truth_outside: torch.Tensor
    visible: torch.Tensor
    stratum: torch.Tensor
    distance_m: torch.Tensor
    facing_deg: torch.Tensor
    noise: torch.Tensor

    def __len__(self) -> int:
        return len(self.truth)

    def select(self, chosen: torch.Tensor) -> WildResult:
        """The frames that ``chosen`` [N] bool or index names."""
        return WildResult(*(getattr(self, f.name)[chosen] for f in fields(self)))


@torch.inference_mode()
def evaluate_wild_protocol(
    model: TransformerDenoiser, body: BodyModel, rotations: torch.Tensor, samples: int = 10, guidance: float = 0.0,
    steps: int = 10, seed: int = 0, frames: Sequence[int] | torch.Tensor | None = None, batch: int = 32,
    progress: Callable[[int], object] | None = None, config: WildConfig = DEFAULT_VIEWS,
    sample: SamplePoses | None = None,
) -> WildResult:  # fmt: skip
    """K = ``samples`` DDIM samples for each y-up world pose [N, 24, 3, 3], or those of ``sample``.

    ``frames`` [N] are the frames' numbers (default: 0 to N - 1); with ``seed`` they decide view and noise, so that a
    frame's figures do not depend on the batch or on the other frames, nor sample k on how many follow. ``progress``
    is told the number of frames done after each batch.
    """
    schedule = NoiseSchedule(model.config.schedule, model.config.diffusion_steps)
    timesteps = ddim_timesteps(schedule.steps, steps)
    numbers = torch.arange(len(rotations)) if frames is None else torch.as_tensor(frames)
    parts = []
    for poses, chunk in zip(rotations.split(batch), numbers.split(batch), strict=True):
        view = wild_views(body, poses, chunk, seed, config)
        if sample is None:
            code = model.encode_condition(view.condition).repeat(samples)
            denoise = guided_denoiser(model, schedule, code, guidance, timesteps=timesteps)
            x = FrameDraws(seed, chunk, stream=1).normal(samples, NUM_JOINTS, 6).flatten(0, 1).to(body.device)
            sixd = model.unstandardise(ddim_sample(denoise, x, schedule, timesteps))
            found = root_from_network(matrix_from_6d(sixd), view.condition.R_camera_crop.repeat_interleave(samples, 0))
        else:
            found = sample(view.condition, samples)
        parts.append(_compare(body, view, found, samples))
        if progress is not None:
            progress(len(chunk))
    return WildResult(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(WildResult)))


def _compare(body: BodyModel, view: WildView, found: torch.Tensor, samples: int) -> WildResult:
    """Samples [B K, 24, 3, 3] against their views."""

    def each(x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(samples, 0)

    origin = torch.zeros(len(found), 3, device=found.device)
    joints, keypoints = body.joints_and_keypoints(found, origin)
    truth = body.forward_kinematics(view.rotations, origin[: len(view.rotations)], view.betas)[1]
    confidence = view.condition.confidence
    pelvis = solve_translation(keypoints, each(view.rays), each(confidence))
    placed = keypoints + pelvis[:, None]
    miss = (rays_to(placed) - each(view.true_rays)).abs().mean(-1)
    seen = each((confidence > 0).float())
    pixel_error = each(view.focal) * (miss * seen).sum(1) / seen.sum(1)
    visible = torch.zeros(len(truth), NUM_JOINTS, dtype=torch.bool, device=found.device)
    visible[:, list(KEYPOINT_FROM_JOINT.values())] = confidence[:, list(KEYPOINT_FROM_JOINT)] > 0
    outside, truth_outside = (limit_excess(r).amax(-1) > LIMIT_TOLERANCE for r in (found, view.rotations))

    def by_frame(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(0, (-1, samples))

    rows = (
        by_frame(joints), truth, by_frame(found), by_frame(pixel_error), by_frame(outside), truth_outside, visible,
        view.stratum, view.pelvis[:, 2], view.facing_deg, view.noise,
    )  # fmt: skip
    return WildResult(*(x.cpu() for x in rows))
