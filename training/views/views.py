"""Random cameras and what a detector would make of the body before them.

Two kinds of view, mixed by ``paper_share``: the paper's fixed framing with clean keypoints, and "wild" ones with any
field of view, distance, place in the image, pitch and body shape, truncated by the image's border, occluded, and
with a detector's noise. That is independent noise of any level, or for ``measured_share`` of the wild views the errors
that were measured of MediaPipe (:class:`~training.views.detector_noise.DetectorNoise`), mostly with its guess of
the depths. Everything is drawn on the training device for a whole batch at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.evaluation.paper_protocol import paper_distance
from diffmocap.lifting.network.condition import FACING, Condition
from training.views.detector_noise import DetectorNoise
from training.views.simulated_detector import NEAR_PLANE_M, ErrorConfig, body_yaw, detect, draw_errors

#: Width over height of common images, webcams twice.
ASPECTS = (4 / 3, 16 / 9, 16 / 9, 1.0, 3 / 4, 9 / 16)
#: Keypoints that vanish together: arms, legs, feet, face.
GROUPS = ((3, 4), (6, 7), (10, 11, 22, 23, 24), (13, 14, 19, 20, 21), (19, 20, 21, 22, 23, 24), (0, 15, 16, 17, 18))
LOWER_BODY = (10, 11, 13, 14, 19, 20, 21, 22, 23, 24)
SMALL_TOES = (20, 23)


@dataclass(frozen=True)
class ViewConfig:
    """Ranges of the random views; lengths in metres, angles in degrees."""

    paper_share: float = 0.45
    fov_deg: tuple[float, float] = (35.0, 85.0)
    depth_m: tuple[float, float] = (1.2, 8.0)
    pitch_std_deg: float = 10.0
    roll_std_deg: float = 3.0
    beta_std: float = 0.8
    errors: ErrorConfig = field(default_factory=ErrorConfig)


@dataclass
class View:
    """Bodies before cameras.

    Attributes:
        rotations: [B, 24, 3, 3] with the root in the optical frame; pelvis: [B, 3] m; betas: [B, 10].
        condition: what the detector says of them.
        wild: [B] bool, False where the framing is the paper's.
        before: the same people a moment earlier before the same cameras, if asked for.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    betas: torch.Tensor
    condition: Condition
    wild: torch.Tensor
    before: View | None = None


def uniform(g: torch.Generator, shape, low: float, high: float, device) -> torch.Tensor:
    return torch.rand(shape, generator=g, device=device) * (high - low) + low


def pitch_roll(g: torch.Generator, n: int, config: ViewConfig, device) -> torch.Tensor:
    """R_camera_level [n, 3, 3]: tilts a level camera, limited to three standard deviations."""
    angles = torch.randn(n, 2, generator=g, device=device).clamp(-3, 3)
    pitch = torch.deg2rad(config.pitch_std_deg * angles[:, 0])
    roll = torch.deg2rad(config.roll_std_deg * angles[:, 1])
    zero, one = torch.zeros_like(pitch), torch.ones_like(pitch)
    c, s = pitch.cos(), pitch.sin()
    R_x = torch.stack([one, zero, zero, zero, c, -s, zero, s, c], -1).view(n, 3, 3)
    c, s = roll.cos(), roll.sin()
    R_z = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], -1).view(n, 3, 3)
    return R_z @ R_x


def random_places(
    g: torch.Generator, n: int, config: ViewConfig, device: torch.device, whole_share: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pelvis [n, 3] m in the optical frame of cameras of any field of view, and the image's border [n, 2] at depth 1;
    ``whole_share`` of the people are whole in view."""
    fov = torch.deg2rad(uniform(g, (n,), *config.fov_deg, device))
    aspect = torch.tensor(ASPECTS, device=device)[torch.randint(len(ASPECTS), (n,), generator=g, device=device)]
    half_height = (fov / 2).tan()
    half_width = half_height * aspect
    depth = uniform(g, (n,), *map(math.log, config.depth_m), device).exp()
    # The pelvis may lie below the image: that is how a webcam on a desk sees a person.
    u = uniform(g, (n,), -0.85, 0.85, device) * half_width * depth
    v = uniform(g, (n,), -0.4, 1.4, device) * half_height * depth
    # People who are whole stand back until all of them fits, near the middle of the height.
    whole = torch.rand(n, generator=g, device=device) < whole_share
    depth = torch.where(whole, torch.maximum(depth, uniform(g, (n,), 1.0, 1.5, device) / half_height), depth)
    u = torch.where(whole, u.clamp(-1, 1) * 0.6 * (half_width * depth).clamp_max(4.0), u)
    v = torch.where(whole, uniform(g, (n,), -0.1, 0.15, device) * half_height * depth, v)
    return torch.stack([u, v, depth], -1), torch.stack([half_width, half_height], -1)


def sample_views(
    body: BodyModel, rotations: torch.Tensor, config: ViewConfig, g: torch.Generator,
    before: torch.Tensor | None = None, lag: int = 1, detector: DetectorNoise | None = None,
) -> View:  # fmt: skip
    """Views of poses [B, 24, 3, 3] whose root is in the y-up world.

    ``before`` are the poses ``lag`` thirtieths of a second earlier, seen with errors that belong to those of now.
    Without a ``detector`` no view has measured errors.
    """
    n, device = len(rotations), rotations.device
    wild = torch.rand(n, generator=g, device=device) >= config.paper_share
    tilt = torch.where(wild[:, None, None], pitch_roll(g, n, config, device), torch.eye(3, device=device))
    R_camera_world = tilt @ torch.tensor(FACING, device=device).diag()
    rotations = _from_camera(rotations, R_camera_world)
    betas = config.beta_std * torch.randn(n, 10, generator=g, device=device) * wild[:, None]

    pelvis, border = random_places(g, n, config, device)
    fixed = torch.tensor([0.0, 0.0, paper_distance(body)], device=device)
    pelvis = torch.where(wild[:, None], pelvis, fixed)

    points = body.keypoints(rotations, pelvis, betas)
    in_front = points[..., 2] > NEAR_PLANE_M
    rays = points[..., :2] / points[..., 2:].clamp_min(NEAR_PLANE_M)
    border = border[:, None]
    inside = (rays.abs() < border).all(-1) & in_front
    seen = torch.where(wild[:, None], inside & ~occlusion(g, n, device), in_front)
    # Fewer than six keypoints are no person to a detector; such views fall back to everything in front.
    seen = torch.where((seen.sum(1) >= 6)[:, None], seen, in_front)

    now, earlier = draw_errors(g, seen, wild, config.errors, body_yaw(rotations, rays, seen), lag, detector)
    view = View(rotations, pelvis, betas, detect(points, seen, now), wild)
    if before is not None:
        before = _from_camera(before, R_camera_world)
        condition = detect(body.keypoints(before, pelvis, betas), seen, earlier)
        view.before = View(before, pelvis, betas, condition, wild)
    return view


def _from_camera(rotations: torch.Tensor, R_camera_world: torch.Tensor) -> torch.Tensor:
    """Poses [B, 24, 3, 3] with the root in the optical frame."""
    return torch.cat([(R_camera_world @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)


def occlusion(g: torch.Generator, n: int, device) -> torch.Tensor:
    """[n, 25] bool: keypoints hidden by something."""

    def chance(p: float, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, device=device) < p

    hidden = chance(0.3, n, 1) & chance(0.12, n, NUM_KEYPOINTS)
    for group in GROUPS:
        hidden[:, list(group)] |= chance(0.05, n, 1)
    hidden[:, list(LOWER_BODY)] |= chance(0.08, n, 1)
    hidden[:, list(SMALL_TOES)] |= chance(0.7, n, 1)  # MediaPipe has none
    return hidden
