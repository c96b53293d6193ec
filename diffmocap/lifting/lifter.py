"""From 2D keypoints to 3D pose hypotheses: condition, guided sampling, translation, score."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.device import resolve_device
from diffmocap.errors import AbandonedError, SettingsError
from diffmocap.lifting.network.acceleration import accelerate
from diffmocap.lifting.network.condition import Condition, make_condition, root_from_network, root_to_network
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.network.weights import load_weights
from diffmocap.lifting.sampling.ddim import ddim_timesteps
from diffmocap.lifting.sampling.guidance import guided_denoiser
from diffmocap.lifting.sampling.samplers import AUTO, SAMPLERS, sample_along, sampler_for
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.lifting.translation import solve_translation
from diffmocap.types import CameraIntrinsics, Keypoints2D, PoseHypotheses


@dataclass(frozen=True)
class LiftingSettings:
    """How to sample; every value may change between two calls.

    Attributes:
        guidance: w of classifier-free guidance, 0 to 10; 0 is the plain conditional model.
        steps: sampler steps from pure noise, 1 to 1000; a warm start walks its share of them. Two serve one
            hypothesis at temperature 0; several spread as they should from about five, and guidance acts fully from
            seven (of two none lies where it acts).
        hypotheses: K samples a frame, 1 to 64.
        sampler: ``auto``, what the weights were made for: ``consistency`` for few-step students, which have their
            guidance built in, ``ddim`` for all others. Or ``dpm``, of second order; ``ddpm``, all of the model's steps,
            for offline use.
        warm_start: begin from the previous pose with noise added instead of from pure noise. Steadier by 6 % with
            ``use_previous``, and less accurate by 4 % (PA-MPJPE; rendered films of validation motion), so both are off.
        warm_start_time: where on the noise schedule a warm start begins, 0.05 (nearly clean) to 1 (pure noise).
        min_keypoints: visible keypoints below which no pose is attempted, 4 to 25.
        min_confidence: keypoints below it are treated as missing, 0 to 1.
        keypoint_noise: standard deviation of the detector over the person's half-size that the model is told,
            0 (exact keypoints) to 0.1.
        temperature: scale of the first hypothesis's sampling noise, 0 to 1. 1 samples the model's distribution; 0
            starts from its centre, which gave the most accurate and steadiest pose on the validation split
            (``benchmarks/lifting/live_sampling.py``). Further hypotheses are always drawn with all of the noise.
        use_depth: believe the detector's guess of the keypoints' depths, where the keypoints come with one.
        use_previous: tell the model the previous pose (it then looks less at single noisy keypoints).
        fresh_noise: draw new noise for every frame; otherwise every frame starts from the same noise, and poses
            change only as the keypoints do.
        seed: of the sampling noise.
    """

    guidance: float = 0.0
    steps: int = 2
    hypotheses: int = 1
    sampler: str = AUTO
    warm_start: bool = False
    warm_start_time: float = 0.5
    min_keypoints: int = 6
    min_confidence: float = 0.3
    keypoint_noise: float = 0.02
    temperature: float = 0.0
    use_depth: bool = True
    use_previous: bool = False
    fresh_noise: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "guidance": (0.0, 10.0), "steps": (1, 1000), "hypotheses": (1, 64), "warm_start_time": (0.05, 1.0),
            "min_keypoints": (4, 25), "min_confidence": (0.0, 1.0), "keypoint_noise": (0.0, 0.1),
            "temperature": (0.0, 1.0),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name} must lie in [{low}, {high}], got {value}")
        if self.sampler not in (AUTO, *SAMPLERS):
            raise SettingsError(f"unknown sampler {self.sampler!r}; one of {', '.join((AUTO, *SAMPLERS))}")


class Lifter:
    """Samples poses for keypoints. Keeps no track of the person: the caller passes the previous result.

    The sampling noise comes from one seeded generator, so that a run is repeatable.
    """

    def __init__(self, model: TransformerDenoiser, body: BodyModel) -> None:
        self.model, self.body, self.device = model, body, body.device
        #: Equals ``model``, faster.
        self.network = accelerate(model)
        self.schedule = NoiseSchedule(model.config.schedule, model.config.diffusion_steps)
        self._generator = torch.Generator()
        self._seed: int | None = None
        self._abandoned = threading.Event()
        with torch.no_grad():
            self._null = model.null_code(1)

    @classmethod
    def load(cls, weights: str | Path | None = None, body: BodyModel | None = None, device: str = "cpu") -> Lifter:
        """With the shipped weights and body, or one's own.

        Raises:
            ModelFileError: weights or body are missing, corrupt or of the wrong kind.
            DeviceError: the device is unknown or absent.
        """
        place = resolve_device(device)
        return cls(load_weights(weights, place), body or BodyModel.load(device=place))

    def abandon(self) -> None:
        """Ends what :meth:`lift` is at, on another thread, before the sampler's next step; it raises AbandonedError."""
        self._abandoned.set()

    @torch.no_grad()
    def lift(
        self, keypoints: Keypoints2D, intrinsics: CameraIntrinsics, settings: LiftingSettings = LiftingSettings(),
        previous: PoseHypotheses | None = None,
    ) -> PoseHypotheses | None:  # fmt: skip
        """K poses for one person in one image, or None where too few keypoints are visible.

        ``previous``: the result for the frame before; its hypothesis k is what hypothesis k starts from and is told as
        the pose before, where it is ``known``.
        Keypoints are those of an ideal pinhole camera (see ``camera.intrinsics.undistort_keypoints``).

        Raises:
            AbandonedError: :meth:`abandon` was called meanwhile.
        """
        self._abandoned.clear()
        confidence = torch.as_tensor(keypoints.confidence, dtype=torch.float32)
        confidence = torch.where(confidence < settings.min_confidence, 0.0, confidence)
        if int((confidence > 0).sum()) < settings.min_keypoints:
            return None
        points = torch.as_tensor(keypoints.points_px, dtype=torch.float32)
        points = torch.where(confidence[:, None] > 0, points, 0.0)
        K = torch.as_tensor(intrinsics.matrix, dtype=torch.float32)
        depth = None
        if settings.use_depth and keypoints.depth_m is not None:
            depth = torch.as_tensor(keypoints.depth_m, dtype=torch.float32)[None].to(self.device)
        one = make_condition(
            points[None].to(self.device), confidence[None].to(self.device), K[None].to(self.device),
            settings.keypoint_noise, depth,
        )  # fmt: skip
        k = settings.hypotheses
        rotations = self.sample(one, settings, previous)
        body_points = self.body.keypoints(rotations, torch.zeros(k, 3, device=self.device))
        # Rays of the whole image, not of the crop: the root is in the optical frame again.
        rays = _in_optical_frame(one).expand(k, -1, -1)
        weights = one.confidence.expand(k, -1)
        pelvis = solve_translation(body_points, rays, weights)
        placed = body_points + pelvis[:, None]
        error = (placed[..., :2] / placed[..., 2:].clamp_min(0.1) - rays).norm(dim=-1) / one.half_size
        score = -(error * weights).sum(1) / weights.sum(1)
        return PoseHypotheses(rotations.cpu(), pelvis.cpu(), score.cpu(), keypoints.stamp_ns)

    @torch.no_grad()
    def sample(
        self, condition: Condition, settings: LiftingSettings, previous: PoseHypotheses | None = None
    ) -> torch.Tensor:
        """Rotations [B * K, 24, 3, 3] for B conditions, root in the optical frame; K varies fastest.

        ``previous`` has B * K poses, or any number, of which the best then serves all. A warm start needs all of them
        to be known: one batch walks one schedule.
        """
        if settings.seed != self._seed or not settings.fresh_noise:
            self._generator.manual_seed(settings.seed)
            self._seed = settings.seed
        k, batch = settings.hypotheses, len(condition) * settings.hypotheses
        code = self.network.encode_condition(condition).repeat(k)
        null = self._null.repeat(batch) if settings.guidance else None
        R_camera_crop = condition.R_camera_crop.repeat_interleave(k, 0)
        temperature = torch.ones(batch, 1, 1)
        temperature[::k] = settings.temperature
        temperature = temperature.to(self.device)
        noise = temperature * torch.randn(batch, 24, 6, generator=self._generator).to(self.device)
        before = None if previous is None else self._previous(previous, batch, R_camera_crop)
        if before is not None and settings.use_previous:
            code.joints = self.model.encode_previous(*before, None, batch)
        if not (settings.warm_start and settings.warm_start_time < 1.0) or before is None or not before[1].all():
            before = None
        start = 1.0 if before is None else settings.warm_start_time
        sampler = sampler_for(self.model, settings.sampler)
        if sampler == "ddpm":  # every time of the schedule below the start
            timesteps, along = [round(start * self.schedule.steps) - 1], None
        else:
            timesteps = along = ddim_timesteps(self.schedule.steps, max(round(settings.steps * start), 1), start)
        denoise = guided_denoiser(self.network, self.schedule, code, settings.guidance, null, timesteps=along)
        x = self._start(noise, before, timesteps[0])

        def denoise_unless_abandoned(x_t: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
            if self._abandoned.is_set():
                raise AbandonedError("the pose was abandoned for newer settings")
            return denoise(x_t, t)

        x = sample_along(sampler, denoise_unless_abandoned, x, self.schedule, timesteps, self._generator, temperature)
        return root_from_network(matrix_from_6d(self.model.unstandardise(x)), R_camera_crop)

    def _previous(
        self, previous: PoseHypotheses, batch: int, R_camera_crop: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Previous poses [batch, 24, 6] seen from the present crop, and which of them are known [batch]."""
        rotations = previous.rotations.to(self.device)
        known = previous.known
        if len(rotations) != batch:  # K was changed: everybody starts from the best
            rotations, known = rotations[previous.best].expand(batch, -1, -1, -1), None
        known = torch.ones(batch) if known is None else known.float()
        return sixd_from_matrix(root_to_network(rotations, R_camera_crop)), known.to(self.device)

    def _start(self, noise: torch.Tensor, before: tuple[torch.Tensor, torch.Tensor] | None, t: int) -> torch.Tensor:
        """x_t to start from: noise, or the previous poses noised to time t."""
        if before is None:
            return noise
        x0 = self.model.standardise(before[0])
        return self.schedule.add_noise(x0, noise, t)


def _in_optical_frame(condition: Condition) -> torch.Tensor:
    """[B, 25, 2] keypoints at depth 1 of the real camera."""
    rays = condition.rays
    turned = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ condition.R_camera_crop.transpose(-1, -2)
    return turned[..., :2] / turned[..., 2:].clamp_min(1e-3)
