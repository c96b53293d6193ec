"""What a detector would say of a body before a camera: positions, confidences and depths with errors.

Views in the paper's framing and some of the others are exact. The rest have independent noise of any level, or the
errors that were measured of MediaPipe (:class:`~training.views.detector_noise.DetectorNoise`), mostly with its
depths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.lifting.network.condition import (
    Condition,
    condition_from_rays,
    depth_beyond_mid_hip,
    root_to_network,
)
from training.views.detector_noise import DetectorNoise, NoiseDraw

#: Near plane of the simulated cameras [m]: what is nearer is not in the image.
NEAR_PLANE_M = 0.2
#: The noise that the model is told where MediaPipe's measured errors were used: about their median.
MEASURED_NOISE = 0.03
#: Measured keypoints less certain than this count as missing, as in the pipeline.
MIN_CONFIDENCE = 0.3
#: Correlation of the independent noise of two frames that follow each other.
NOISE_CORRELATION = 0.8


@dataclass(frozen=True)
class ErrorConfig:
    """Which errors are drawn: ``measured_share`` is of the wild views, ``clean_share`` of those with independent noise.

    ``max_noise``: highest standard deviation of the independent noise over the box's half-size. ``depth_share`` of the
    measured views come with depths. Of the keypoints with independent noise ``outlier_share`` are wrong altogether, by
    ``outlier_noise``.
    """

    measured_share: float = 0.65
    depth_share: float = 0.9
    clean_share: float = 0.2
    max_noise: float = 0.06
    outlier_share: float = 0.02
    outlier_noise: float = 0.25


@dataclass
class Errors:
    """Of B views: ``offset`` [B, 25, 2] over the box's half-size in the crop frame, ``confidence`` [B, 25],
    ``depth_error`` [B, 25] m, NaN where no depth is told, and the noise ``level`` [B] that the model is told.
    """

    offset: torch.Tensor
    confidence: torch.Tensor
    depth_error: torch.Tensor
    level: torch.Tensor


def body_yaw(rotations: torch.Tensor, rays: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """[B] rad: where bodies [B, 24, 3, 3] face, seen along their box's ray: 0 into the camera, pi / 2 to the right."""
    R = condition_from_rays(rays, seen.to(rays.dtype)).R_camera_crop
    forward = root_to_network(rotations[:, :1], R)[:, 0, :, 2]
    return torch.atan2(forward[:, 0], forward[:, 2])


def draw_errors(
    g: torch.Generator, seen: torch.Tensor, wild: torch.Tensor, config: ErrorConfig, yaw: torch.Tensor,
    lag: int = 1, detector: DetectorNoise | None = None,
) -> tuple[Errors, Errors]:  # fmt: skip
    """Errors of the frames of now, and of the frames ``lag`` thirtieths of a second earlier."""
    now, earlier = _independent(g, seen, wild, config)
    if detector is None or not config.measured_share:
        return now, earlier
    n, device = len(seen), seen.device
    measured = wild & (torch.rand(n, generator=g, device=device) < config.measured_share)
    told = torch.rand(n, generator=g, device=device) < config.depth_share
    first, second = detector.draw_pair(yaw, g, lag=lag)
    return _replaced(now, second, measured, told, seen), _replaced(earlier, first, measured, told, seen)


def _replaced(errors: Errors, draw: NoiseDraw, rows: torch.Tensor, told: torch.Tensor, seen: torch.Tensor) -> Errors:
    """Errors whose ``rows`` [B] bool are the measured ones."""
    confidence = torch.where(draw.confidence < MIN_CONFIDENCE, 0.0, draw.confidence) * seen
    enough = (confidence > 0).sum(1) >= 6
    confidence = torch.where(enough[:, None], confidence, seen.to(confidence))
    nothing = torch.full_like(draw.depth_error, float("nan"))
    return Errors(
        torch.where(rows[:, None, None], draw.offset, errors.offset),
        torch.where(rows[:, None], confidence, errors.confidence),
        torch.where((rows & told)[:, None], draw.depth_error, nothing),
        torch.where(rows, MEASURED_NOISE, errors.level),
    )


def _independent(
    g: torch.Generator, seen: torch.Tensor, wild: torch.Tensor, config: ErrorConfig
) -> tuple[Errors, Errors]:
    """Normal noise: some keypoints are worse than others, a few are wrong altogether."""
    n, device = len(seen), seen.device

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, device=device) * (high - low) + low

    exact = ~wild | (uniform(0.0, 1.0, n) < config.clean_share)
    level = torch.where(exact, 0.0, uniform(0.005, config.max_noise, n))
    factor = (0.5 * torch.randn(n, NUM_KEYPOINTS, generator=g, device=device) - 0.125).exp()
    sigma = level[:, None] * factor
    confidence = (-uniform(0.0, 10.0, n, NUM_KEYPOINTS) * sigma).exp().clamp(0.05, 1.0)
    # Drawn after the confidence, which does not tell of them.
    wrong = ~exact[:, None] & (uniform(0.0, 1.0, n, NUM_KEYPOINTS) < config.outlier_share)
    sigma = torch.where(wrong, config.outlier_noise, sigma)
    confidence = torch.where(exact[:, None], 1.0, confidence) * seen
    offset = sigma[..., None] * torch.randn(n, NUM_KEYPOINTS, 2, generator=g, device=device)
    fresh = sigma[..., None] * torch.randn(n, NUM_KEYPOINTS, 2, generator=g, device=device)
    before = NOISE_CORRELATION * offset + (1 - NOISE_CORRELATION**2) ** 0.5 * fresh
    no_depth = torch.full_like(sigma, float("nan"))
    return Errors(offset, confidence, no_depth, level), Errors(before, confidence, no_depth, level)


def detect(points: torch.Tensor, seen: torch.Tensor, errors: Errors) -> Condition:
    """The condition that a detector with these errors makes of keypoints [B, 25, 3] m in the optical frame."""
    rays = points[..., :2] / points[..., 2:].clamp_min(NEAR_PLANE_M)
    exact = condition_from_rays(rays, seen.to(rays.dtype))
    R = exact.R_camera_crop
    moved = exact.rays + errors.offset * exact.half_size[:, None, None]
    moved = torch.cat([moved, torch.ones_like(moved[..., :1])], -1) @ R.transpose(-1, -2)
    moved = moved[..., :2] / moved[..., 2:].clamp_min(1e-2)
    depth = depth_beyond_mid_hip(points, R) + errors.depth_error
    return condition_from_rays(moved, errors.confidence, errors.level, depth)
