"""From 2D keypoints to 3D pose hypotheses: condition, sampling (guided where asked for), translation, score."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from diffmocap import compiler
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.camera.projection import rays_to
from diffmocap.device import resolve_device
from diffmocap.errors import AbandonedError
from diffmocap.keypoints.confidence import without_uncertain
from diffmocap.lifting.network.acceleration import accelerate
from diffmocap.lifting.network.condition import (
    Condition,
    make_condition,
    past_keypoints,
    root_from_network,
    root_to_network,
)
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.network.ray_denoiser import RayDenoiser
from diffmocap.lifting.network.weights import load_student, load_weights
from diffmocap.lifting.sampling.ddim import ddim_timesteps
from diffmocap.lifting.sampling.guidance import guided_denoiser, is_guided
from diffmocap.lifting.sampling.samplers import sample_along, sampler_for
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.lifting.settings import AUTO, LiftingSettings
from diffmocap.lifting.translation import solve_translation
from diffmocap.types import CameraIntrinsics, Keypoints2D, PastKeypoints, PoseHypotheses

if TYPE_CHECKING:
    from diffmocap.lifting.correction.lift_correction import LiftCorrection

log = logging.getLogger(__name__)

_DEFAULTS = LiftingSettings()
#: Sampler steps of several hypotheses where one step is set: in one step all samples are nearly the mean.
SEVERAL_STEPS = 5
#: What the mean of the posterior is worth beyond one sample, for each sample beside it: chosen on the validation split,
#: together with the weight of guidance (``benchmarks/lifting/guided_hypotheses.py``).
MEAN_WORTH = 0.375


class Lifter:
    """Samples poses for keypoints. Keeps no track of the person: the caller passes the previous result.

    The sampling noise comes from one seeded generator, so that a run is repeatable.

    Args:
        student: a few-step sampler of ``model``'s guided paths (``training/lifting/distill.py``), which draws the
            samples where there are several; None: ``model`` does.
    """

    def __init__(self, model: TransformerDenoiser, body: BodyModel, student: RayDenoiser | None = None) -> None:
        self.model, self.body, self.device = model, body, body.device
        #: Whether the model was made to be told keypoints of the past and where up is.
        self.hears_past = isinstance(model, RayDenoiser)
        #: Equals ``model``, faster.
        self.network = accelerate(model)
        #: Draws samples in a step or two; None where there is no such network.
        self.student = None if student is None else Lifter(student, body)
        self.schedule = NoiseSchedule(model.config.schedule, model.config.diffusion_steps)
        self._generator = torch.Generator()
        self._seed: int | None = None
        self._abandoned = threading.Event()
        self._correction = _correction_of(model, body)
        self._correction_missed = False
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
        model = load_weights(weights, place)
        return cls(model, body or BodyModel.load(device=place), load_student(weights, model))

    def abandon(self) -> None:
        """Ends what :meth:`lift` is at, on another thread, before the sampler's next step; it raises AbandonedError."""
        self._abandoned.set()
        if self.student is not None:
            self.student._abandoned.set()

    def prepare(self) -> None:
        """Compiles the correction, or loads it from disk, so that no image waits for it, be it on or off for now."""
        if self._correction is not None:
            self._correction.prepare()

    @torch.no_grad()
    def lift(
        self, keypoints: Keypoints2D, intrinsics: CameraIntrinsics, settings: LiftingSettings = _DEFAULTS,
        previous: PoseHypotheses | None = None, past: PastKeypoints | None = None,
        up: tuple[float, float, float] | None = None,
    ) -> PoseHypotheses | None:  # fmt: skip
        """K poses for one person in one image, or None where too few keypoints are visible.

        ``previous``: the result of the previous frame; its hypothesis k is what hypothesis k starts from, and
        where it is ``known``, the model is conditioned on it as the previous pose. ``past``: the same person's
        keypoints of the last half second. ``up``: unit vector against gravity in the optical frame. Models that were
        not trained with them ignore both.
        Keypoints are those of an ideal pinhole camera (see ``camera.lens.undistort_keypoints``).

        Raises:
            AbandonedError: :meth:`abandon` was called meanwhile.
        """
        self._abandoned.clear()
        if self.student is not None:
            self.student._abandoned.clear()
        keypoints = without_uncertain(keypoints, settings.min_confidence)
        confidence = torch.as_tensor(keypoints.confidence, dtype=torch.float32)
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
        if past is not None and self.hears_past and settings.use_past:
            one.past = past_keypoints(one, *(
                torch.as_tensor(x, dtype=torch.float32, device=self.device)[None]
                for x in (past.rays, past.confidence, past.depth_m)
            ))  # fmt: skip
        if up is not None:
            one.up = torch.tensor([up], dtype=torch.float32, device=self.device) @ one.R_camera_crop[0]
        k = settings.hypotheses
        rotations = self.sample(one, settings, previous)
        body_points = self.body.keypoints(rotations, torch.zeros(k, 3, device=self.device))
        # Rays of the whole image, not of the crop: the root is in the optical frame again.
        rays = _in_optical_frame(one).expand(k, -1, -1)
        weights = one.confidence.expand(k, -1)
        pelvis = solve_translation(body_points, rays, weights)
        # The score is the sample's own: corrected, every pose covers its keypoints, be it right or wrong.
        error = (rays_to(body_points + pelvis[:, None]) - rays).norm(dim=-1) / one.half_size
        score = -(error * weights).sum(1) / weights.sum(1)
        if settings.correction and self._can_correct():
            mean_first = settings.temperature == 0.0
            rotations = self._correction(one, rotations, pelvis, settings.correction_steps, mean_first)
            body_points = self.body.keypoints(rotations, torch.zeros_like(pelvis))
            pelvis = solve_translation(body_points, rays, weights)
        worth = torch.ones(k)
        if settings.temperature == 0.0:  # the mean of all samples
            worth[0] += MEAN_WORTH * (k - 1)
        return PoseHypotheses(rotations.cpu(), pelvis.cpu(), score.cpu(), keypoints.stamp_ns, worth=worth)

    @torch.no_grad()
    def sample(
        self, condition: Condition, settings: LiftingSettings, previous: PoseHypotheses | None = None
    ) -> torch.Tensor:
        """Rotations [B * K, 24, 3, 3] for B conditions, root in the optical frame; K varies fastest.

        ``previous`` has B * K poses, or any number, of which the best then serves all. A warm start needs all of them
        to be known: one batch walks one schedule. Where there is a student it draws several, all but the first one at
        temperature 0: the posterior's mean, which no guidance changes and one step of the model tells best.
        """
        k = settings.hypotheses
        if self.student is None or k == 1 or settings.sampler != AUTO or settings.warm_start:
            return self._sample(condition, settings, previous)
        if settings.temperature > 0.0:
            return self.student._sample(condition, settings, previous)
        index = torch.arange(len(condition) * k).view(-1, k)
        if previous is not None and len(previous.score) != index.numel():
            previous = previous.rows(torch.full((index.numel(),), previous.best))
        parts = []
        for draws, rows, changed in (
            (self, index[:, :1], {"guidance": 0.0}), (self.student, index[:, 1:], {"temperature": 1.0})
        ):  # fmt: skip
            part = replace(settings, hypotheses=rows.shape[1], steps=draws._steps(settings), **changed)
            before = None if previous is None else previous.rows(rows.flatten())
            parts.append(draws._sample(condition, part, before).unflatten(0, rows.shape))
        return torch.cat(parts, 1).flatten(0, 1)

    def _steps(self, settings: LiftingSettings) -> int:
        """What the settings' steps stand for with this network."""
        if settings.steps > 1 or settings.hypotheses == 1 or self.model.student:
            return settings.steps
        mean_alone = self.student is not None and not settings.warm_start
        return 1 if mean_alone else SEVERAL_STEPS

    def _sample(self, condition: Condition, settings: LiftingSettings, previous: PoseHypotheses | None) -> torch.Tensor:
        """As :meth:`sample`, all by this lifter's network."""
        if settings.seed != self._seed or not settings.fresh_noise:
            self._generator.manual_seed(settings.seed)
            self._seed = settings.seed
        k, batch = settings.hypotheses, len(condition) * settings.hypotheses
        code = self.network.encode_condition(condition).repeat(k)
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
        steps = self._steps(settings)
        if sampler == "ddpm":  # every time of the schedule below the start
            timesteps, along = [round(start * self.schedule.steps) - 1], None
        else:
            timesteps = along = ddim_timesteps(self.schedule.steps, max(round(steps * start), 1), start)
        guidance = settings.guidance
        if is_guided(self.model):  # it knows weights up to the most that it was taught
            guidance = min(guidance, self.model.student["guidance"])
        denoise = guided_denoiser(self.network, self.schedule, code, guidance, self._null, timesteps=along)
        x = self._start(noise, before, timesteps[0])

        def denoise_unless_abandoned(x_t: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
            if self._abandoned.is_set():
                raise AbandonedError("the pose was abandoned for newer settings")
            return denoise(x_t, t)

        x = sample_along(sampler, denoise_unless_abandoned, x, self.schedule, timesteps, self._generator, temperature)
        return root_from_network(matrix_from_6d(self.model.unstandardise(x)), R_camera_crop)

    def _can_correct(self) -> bool:
        """Whether the weights say how far their poses are off, and Numba compiles; else the log says so once."""
        if self._correction is None and not self._correction_missed:
            self._correction_missed = True
            why = "Numba does not compile here (`diffmocap doctor` says why)"
            if getattr(self.model, "error_covariances", None) is None:
                why = (
                    "the weights do not say how far their poses are off "
                    "(python -m training.lifting.error_covariance adds it)"
                )
            log.warning("poses are not corrected: %s", why)
        return self._correction is not None

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


def _correction_of(model: TransformerDenoiser, body: BodyModel) -> LiftCorrection | None:
    """By the weights' own errors; None where they do not say them, or nothing compiles."""
    covariances = getattr(model, "error_covariances", None)
    if covariances is None or not compiler.available():
        return None
    from diffmocap.lifting.correction.lift_correction import LiftCorrection  # here, as it needs Numba

    return LiftCorrection(body, covariances)


def _in_optical_frame(condition: Condition) -> torch.Tensor:
    """[B, 25, 2] keypoints at depth 1 of the real camera."""
    rays = condition.rays
    turned = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ condition.R_camera_crop.transpose(-1, -2)
    return turned[..., :2] / turned[..., 2:].clamp_min(1e-3)
