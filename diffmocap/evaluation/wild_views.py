"""The views of the wild protocol: any camera, any side, and what a detector makes of the person.

Fixed and apart from the recipe's views (``views.py``), so that figures stay comparable when training changes. Every
frame draws from a stream of its own (``frame_draws.py``): it gets the same view in every batch and subset.

A frame is meant for one stratum, and cameras are drawn until one shows it so: ``whole``, the body in the image from
head to toe; ``truncated``, cut by the image's border, with head and shoulders inside, down to the upper body as a
webcam sees it; ``occluded``, inside the image, with something before a part of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES, NUM_KEYPOINTS
from diffmocap.evaluation.frame_draws import FrameDraws
from diffmocap.lifting.network.condition import FACING, Condition, condition_from_rays

STRATA = ("whole", "truncated", "occluded")
#: MediaPipe has none.
SMALL_TOES = tuple(KEYPOINT_NAMES.index(name) for name in ("LSmallToe", "RSmallToe"))
#: A truncated person still shows these.
HEAD_AND_SHOULDERS = tuple(KEYPOINT_NAMES.index(name) for name in ("Nose", "Neck", "RShoulder", "LShoulder"))
#: Cameras and occluders that are drawn for a frame; the first that fits is taken.
CAMERAS, OCCLUDERS = 64, 16
NEAR_M = 0.3


@dataclass(frozen=True)
class WildConfig:
    """What the protocol draws. Lengths in metres, angles in degrees, noise over the half-size of the person's box.

    Attributes:
        shares: of the strata, in the order of :data:`STRATA`.
        depth_m: of the pelvis; every doubling is equally likely.
        vertical_fov_deg: from a tele webcam to a wide one.
        aspects: width over height of the images.
        pitch_std_deg, roll_std_deg: of the camera, normal, cut at 2.5 standard deviations.
        beta_std: of the ten shape coefficients; 0.8 spreads the height by 9 cm, as adults'.
        keypoint_noise: standard deviations of keypoints over the box's half-size, of which each frame has one.
        noise_spread: standard deviation of the logarithm of a keypoint's own factor, whose mean is 1.
        outlier_share, outlier_noise: keypoints that are wrong altogether. Their confidence does not tell.
        miss_share: keypoints that are not found although they are in view.
        confidence_scale: noise at which the confidence falls to 1/e (it says roughly how good a keypoint is).
        told_noise: keypoint noise that the model is conditioned on: as in live use, nobody knows the true one.
        turned_deg: turn of the whole body about a horizontal axis of any direction; 90: lying, 180: upside down.
        min_hidden, min_seen: keypoints that a truncated or occluded view lacks and shows at least.
    """

    shares: tuple[float, float, float] = (0.5, 0.25, 0.25)
    depth_m: tuple[float, float] = (1.5, 8.0)
    vertical_fov_deg: tuple[float, float] = (35.0, 75.0)
    aspects: tuple[float, ...] = (16 / 9, 16 / 9, 4 / 3, 9 / 16)
    pitch_std_deg: float = 10.0
    roll_std_deg: float = 3.0
    beta_std: float = 0.8
    keypoint_noise: tuple[float, ...] = (0.005, 0.01, 0.02, 0.04)
    noise_spread: float = 0.5
    outlier_share: float = 0.01
    outlier_noise: float = 0.25
    miss_share: float = 0.02
    confidence_scale: float = 0.1
    told_noise: float = 0.02
    turned_deg: float = 0.0
    min_hidden: int = 4
    min_seen: int = 8


@dataclass
class WildView:
    """Bodies before cameras, a row per frame.

    Attributes:
        rotations: [B, 24, 3, 3], root in the optical frame. pelvis: [B, 3] m. betas: [B, 10].
        condition: what the model is conditioned on.
        rays: [B, 25, 2] observed keypoints at depth 1 of the camera; with ``condition.confidence`` 0 where missing.
        true_rays: [B, 25, 2] where the keypoints are.
        focal: [B] focal length over the image's height.
        stratum: [B] index into :data:`STRATA`.
        noise: [B] level of the detector's noise.
        facing_deg: [B] 0 faces the camera, +-180 shows the back.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    betas: torch.Tensor
    condition: Condition
    rays: torch.Tensor
    true_rays: torch.Tensor
    focal: torch.Tensor
    stratum: torch.Tensor
    noise: torch.Tensor
    facing_deg: torch.Tensor


def wild_views(
    body: BodyModel, rotations: torch.Tensor, frames: Sequence[int] | torch.Tensor, seed: int = 0,
    config: WildConfig = WildConfig(),
) -> WildView:  # fmt: skip
    """Views of poses [B, 24, 3, 3] (root in the y-up world) with the numbers ``frames`` [B], on the body's device."""
    draws, device = FrameDraws(seed, frames), body.device
    rotations = rotations.to(device)
    root = rotations[:, 0]
    if config.turned_deg:  # drawn apart, so that all else stays as for bodies that are not turned
        azimuth = FrameDraws(seed, frames, stream=2).uniform(high=2 * math.pi)
        root = turn_about_horizontal(azimuth, config.turned_deg).to(device) @ root
    root = _camera_from_level(draws, config).to(device) @ root
    rotations = torch.cat([root[:, None], rotations[:, 1:]], 1)
    betas = (config.beta_std * draws.normal(10)).to(device)
    wanted = torch.bucketize(draws.uniform(), torch.tensor(config.shares).cumsum(0)[:2]).to(device)
    centred = body.keypoints(rotations, torch.zeros(len(rotations), 3, device=device), betas)
    pelvis, border, focal = _camera(draws, centred, wanted, config)
    points = centred + pelvis[:, None]
    rays = points[..., :2] / points[..., 2:].clamp_min(NEAR_M)
    inside = ((rays.abs() < border[:, None]) & (points[..., 2:] > NEAR_M)).all(-1)
    hidden = _occluded(draws, rays, inside, config).to(device) & (wanted == 2)[:, None]
    stratum = torch.where(~inside.all(1), 1, torch.where(hidden.any(1), 2, 0))
    observed, confidence, noise = _detect(draws, rays, inside & ~hidden, config)
    forward = root[:, :, 2]
    return WildView(
        rotations, pelvis, betas, condition_from_rays(observed, confidence, config.told_noise), observed, rays, focal,
        stratum, noise, torch.rad2deg(torch.atan2(forward[:, 0], -forward[:, 2])),
    )  # fmt: skip


def turn_about_horizontal(azimuth: torch.Tensor, angle_deg: float) -> torch.Tensor:
    """R [B, 3, 3] of the y-up world about its horizontal axis at ``azimuth`` [B], rad from x towards z."""
    axis = torch.stack([azimuth.cos(), torch.zeros_like(azimuth), azimuth.sin()], -1)
    return roma.rotvec_to_rotmat(math.radians(angle_deg) * axis)


def _camera_from_level(draws: FrameDraws, config: WildConfig) -> torch.Tensor:
    """R [B, 3, 3]: the y-up world, turned about its vertical by any angle, in the optical frame of a tilted camera."""
    yaw = math.pi * draws.uniform(low=-1.0)
    pitch = math.radians(config.pitch_std_deg) * draws.normal().clamp(-2.5, 2.5)
    roll = math.radians(config.roll_std_deg) * draws.normal().clamp(-2.5, 2.5)

    def turn(angle: torch.Tensor, axis: int) -> torch.Tensor:
        i, j = (axis + 1) % 3, (axis + 2) % 3
        R = torch.zeros(len(angle), 3, 3)
        R[:, axis, axis] = 1.0
        R[:, i, i] = R[:, j, j] = angle.cos()
        R[:, i, j], R[:, j, i] = -angle.sin(), angle.sin()
        return R

    return turn(roll, 2) @ turn(pitch, 0) @ torch.tensor(FACING).diag() @ turn(yaw, 1)


def _camera(
    draws: FrameDraws, centred: torch.Tensor, wanted: torch.Tensor, config: WildConfig
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pelvis [B, 3] m, half-size of the image at depth 1 [B, 2] and focal length over its height [B].

    ``centred`` [B, 25, 3]: keypoints about the pelvis, optical frame. Of the cameras drawn the first that shows the
    wanted stratum is taken; where none does, the one that shows the most.
    """
    device = centred.device
    low, high = (math.log(d) for d in config.depth_m)
    depth = draws.uniform(CAMERAS, low=low, high=high).exp()
    narrow, wide = (math.radians(a) / 2 for a in config.vertical_fov_deg)
    half_height = draws.uniform(CAMERAS, low=narrow, high=wide).tan()
    which = (draws.uniform(CAMERAS) * len(config.aspects)).long()
    border = torch.stack([half_height * torch.tensor(config.aspects)[which], half_height], -1)
    place = draws.uniform(CAMERAS, 2, low=-1.0)
    # A webcam that cuts a person has the pelvis low in the image or below it.
    cut = (wanted == 1).cpu()[:, None]
    place = torch.stack([0.8 * place[..., 0], torch.where(cut, 0.4 + 0.9 * place[..., 1], 0.8 * place[..., 1])], -1)
    pelvis = torch.cat([place * border * depth[..., None], depth[..., None]], -1).to(device)  # [B, C, 3]
    border = border.to(device)

    points = centred[:, None] + pelvis[:, :, None]  # [B, C, 25, 3]
    inside = points[..., :2].abs() < border[:, :, None] * points[..., 2:]
    inside = inside.all(-1) & (points[..., 2] > NEAR_M)
    count = inside.sum(-1)
    head = inside[..., list(HEAD_AND_SHOULDERS)].all(-1)
    truncated = head & (count >= config.min_seen) & (count <= NUM_KEYPOINTS - config.min_hidden)
    fits = torch.where(wanted[:, None] == 1, truncated, count == NUM_KEYPOINTS)
    chosen = torch.where(fits.any(1), fits.float().argmax(1), count.argmax(1))
    row = torch.arange(len(chosen), device=device)
    return pelvis[row, chosen], border[row, chosen], 0.5 / border[row, chosen, 1]


def _occluded(draws: FrameDraws, rays: torch.Tensor, inside: torch.Tensor, config: WildConfig) -> torch.Tensor:
    """[B, 25] bool: keypoints behind an upright rectangle over a part of the person's box.

    The first rectangle that hides some and leaves enough; nothing is hidden where none does.
    """
    low, high = rays.amin(1, keepdim=True), rays.amax(1, keepdim=True)
    centre = low + (high - low) * draws.uniform(OCCLUDERS, 2).to(rays.device)
    half = 0.5 * (high - low) * draws.uniform(OCCLUDERS, 2, low=0.2, high=0.9).to(rays.device)
    hidden = ((rays[:, None] - centre[:, :, None]).abs() < half[:, :, None]).all(-1)  # [B, O, 25]
    fits = (hidden.sum(-1) >= config.min_hidden) & ((inside[:, None] & ~hidden).sum(-1) >= config.min_seen)
    first = fits.float().argmax(1)
    return hidden[torch.arange(len(rays), device=rays.device), first] & fits.any(1, keepdim=True)


def _detect(
    draws: FrameDraws, rays: torch.Tensor, in_view: torch.Tensor, config: WildConfig
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Observed rays [B, 25, 2], confidences [B, 25] (0 where missing) and the keypoint noise [B]."""
    device = rays.device
    levels = torch.tensor(config.keypoint_noise)
    level = levels[(draws.uniform() * len(levels)).long()].to(device)
    factor = (config.noise_spread * draws.normal(NUM_KEYPOINTS) - 0.5 * config.noise_spread**2).exp().to(device)
    sigma = level[:, None] * factor
    confidence = (-sigma / config.confidence_scale * (0.5 * draws.normal(NUM_KEYPOINTS).to(device)).exp()).exp()
    wrong = draws.uniform(NUM_KEYPOINTS).to(device) < config.outlier_share
    sigma = torch.where(wrong, config.outlier_noise, sigma)
    missed = draws.uniform(NUM_KEYPOINTS).to(device) < config.miss_share
    missed[:, list(SMALL_TOES)] = True
    found = in_view & ~missed
    found = torch.where((found.sum(1) >= 6)[:, None], found, in_view)  # fewer are no person to the pipeline
    inf = torch.tensor(float("inf"), device=device)
    low, high = torch.where(found[..., None], rays, inf).amin(1), torch.where(found[..., None], rays, -inf).amax(1)
    half_size = 0.5 * (high - low).amax(-1)
    noisy = rays + (sigma * half_size[:, None])[..., None] * draws.normal(NUM_KEYPOINTS, 2).to(device)
    return noisy, confidence.clamp_min(0.3) * found, level
