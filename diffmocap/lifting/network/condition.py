"""What the denoiser is conditioned on: normalised keypoints, where the person is in the view, and the previous pose.

A virtual camera is first turned so that it looks straight at the person's box. Perspective then no longer
depends on where the person stands in the image, and the root's orientation is predicted in that "crop" frame
(perspective crops, Yu et al. 2021). The direction and angular size of the box, which CLIFF (Li et al. 2022) feeds
beside the crop, go along as one more token, so the model still knows which way the real camera looks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.camera.projection import rays_from_pixels

MID_HIP = KEYPOINT_NAMES.index("MidHip")
#: A body that stands upright and faces the camera has this orientation in the optical frame (turn by pi about x);
#: the network predicts the root relative to it, so that an everyday pose lies near the identity.
FACING = (1.0, -1.0, -1.0)


@dataclass
class Condition:
    """A batch of conditions on one device.

    Attributes:
        points: [B, 25, 2] keypoints in the crop frame over the box's half-size; 0 where missing.
        confidence: [B, 25] in [0, 1]; 0 is missing and masks the token.
        view: [B, 4] box centre (x, y at depth 1), log of the half-size at depth 1, detector noise
            (standard deviation over the box's half-size; 0 says that keypoints are exact).
        R_camera_crop: [B, 3, 3] turns the crop frame into the optical frame.
        half_size: [B] half-size of the box at depth 1 in the crop frame.
        depth: [B, 25] the detector's guess of each keypoint's depth beyond the mid-hip along the crop frame's optical
            axis [m], 0 where there is none.
        depth_known: [B, 25] 1 where ``depth`` says something.
        previous: [B, 24, 6] the pose a moment ago as 6D rotations, its root as the network sees it now
            (:func:`root_to_network`); anything where unknown.
        previous_known: [B] 1 where ``previous`` is given.
        noise: [B, 25] standard deviation of each keypoint over the box's half-size, as ``view`` says it for all.
        up: [B, 3] direction against gravity in the crop frame, of length 1; zeros where it is not known.
        past: [B, L, 25, 4] keypoints a while ago, see :func:`past_keypoints`; None: nothing is known of the past.
    """

    points: torch.Tensor
    confidence: torch.Tensor
    view: torch.Tensor
    R_camera_crop: torch.Tensor
    half_size: torch.Tensor
    depth: torch.Tensor | None = None
    depth_known: torch.Tensor | None = None
    previous: torch.Tensor | None = None
    previous_known: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    up: torch.Tensor | None = None
    past: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.depth is None:
            self.depth = torch.zeros_like(self.confidence)
            self.depth_known = torch.zeros_like(self.confidence)
        if self.noise is None:
            self.noise = self.view[:, 3:].expand_as(self.confidence)
        if self.up is None:
            self.up = self.view.new_zeros(len(self.view), 3)

    def __len__(self) -> int:
        return len(self.points)

    def rows(self, index: torch.Tensor) -> Condition:
        """The chosen rows alone; ``index`` as for tensors."""
        return Condition(**{k: None if v is None else v[index] for k, v in vars(self).items()})

    @property
    def rays(self) -> torch.Tensor:
        """[B, 25, 2] keypoints at depth 1 in the crop frame."""
        return self.points * self.half_size[:, None, None]


def crop_rotation(centre: torch.Tensor) -> torch.Tensor:
    """R_camera_crop [B, 3, 3]: smallest rotation of the optical axis onto the ray through ``centre`` [B, 2]."""
    d = torch.nn.functional.normalize(torch.cat([centre, torch.ones_like(centre[:, :1])], -1), dim=-1)
    x, y, z = d.unbind(-1)
    k = 1.0 / (1.0 + z)  # z > 0: the box lies in front of the camera
    rows = [1 - k * x * x, -k * x * y, x, -k * x * y, 1 - k * y * y, y, -x, -y, z]
    return torch.stack(rows, -1).view(-1, 3, 3)


def make_condition(
    points_px: torch.Tensor, confidence: torch.Tensor, K: torch.Tensor, noise: torch.Tensor | float = 0.0,
    depth: torch.Tensor | None = None,
) -> Condition:  # fmt: skip
    """Condition for keypoints [B, 25, 2] px with confidence [B, 25] seen by cameras K [B or 1, 3, 3].

    Every row needs at least two keypoints. ``noise``: a number, [B] or, for each keypoint, [B, 25]: standard deviation
    of the detector's noise over the box's half-size.
    ``depth`` [B, 25] m, NaN where unknown: see :class:`Condition`.
    """
    return condition_from_rays(rays_from_pixels(points_px, K), confidence, noise, depth)


def condition_from_rays(
    rays: torch.Tensor, confidence: torch.Tensor, noise: torch.Tensor | float = 0.0, depth: torch.Tensor | None = None
) -> Condition:
    """As :func:`make_condition`, for keypoints [B, 25, 2] on the image plane at depth 1."""
    seen = (confidence > 0)[..., None]
    inf = torch.tensor(float("inf"), device=rays.device)
    centre = 0.5 * (torch.where(seen, rays, inf).amin(1) + torch.where(seen, rays, -inf).amax(1))
    R = crop_rotation(centre)
    homogeneous = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ R  # rows times R = R^T applied
    turned = torch.where(seen, homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(1e-2), torch.zeros_like(rays))
    half_size = turned.abs().amax((1, 2)).clamp_min(1e-4)
    noise = torch.as_tensor(noise, dtype=rays.dtype, device=rays.device)
    each = (noise if noise.dim() == 2 else noise.reshape(-1, 1)).expand(len(rays), rays.shape[1])
    overall = (each * seen[..., 0]).sum(1) / seen[..., 0].sum(1).clamp_min(1) if noise.dim() == 2 else each[:, 0]
    view = torch.cat([centre, half_size.log()[:, None], overall[:, None]], -1)
    condition = Condition(turned / half_size[:, None, None], confidence, view, R, half_size, noise=each)
    if depth is not None:
        known = depth.isfinite() & (confidence > 0)
        condition.depth, condition.depth_known = torch.where(known, depth, 0.0), known.to(rays.dtype)
    return condition


#: How long ago the keypoints were that a network may be told beside those of now [s].
PAST_LAGS_S = (1 / 30, 3 / 30, 7 / 30, 15 / 30)


def past_keypoints(
    condition: Condition, rays: torch.Tensor, confidence: torch.Tensor, depth: torch.Tensor | None = None
) -> torch.Tensor:
    """How keypoints lay a while ago compared with now: [B, L, 25, 4].

    The past is seen from the crop of now and shifted so that what is seen in both lies at the same place in the mean:
    the person's way through the image is left out. Of a keypoint that is seen in both the entries are its displacement
    over the box's half-size (x, y) and the change of its depth [m]; of one that is seen in the past alone, its place
    and its depth. The last entry is its confidence then; all are 0 where it was missing.

    Args:
        rays: [B, L, 25, 2] on the image plane at depth 1 of the optical frame. confidence: [B, L, 25]; all zeros say
            that nothing is known of that time. depth: [B, L, 25] m beyond the mid-hip, NaN where unknown.
    """
    seen, now = confidence > 0, (condition.confidence > 0)[:, None]
    turned = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ condition.R_camera_crop[:, None]
    points = turned[..., :2] / turned[..., 2:].clamp_min(1e-2) / condition.half_size[:, None, None, None]
    both = (seen & now)[..., None]
    moved = points - condition.points[:, None]
    shift = (moved * both).sum(2, keepdim=True) / both.sum(2, keepdim=True).clamp_min(1)
    place = torch.where(both, moved, points) - shift
    if depth is None:
        deeper = torch.zeros_like(confidence)
    else:
        told, told_now = depth.isfinite(), (condition.depth_known > 0)[:, None]
        depth = torch.where(told, depth, 0.0)
        # Where only one of both depths is known, nothing is known of the change.
        deeper = torch.where(both[..., 0], (depth - condition.depth[:, None]) * (told & told_now), depth)
    past = torch.cat([place, deeper[..., None], confidence[..., None]], -1)
    return torch.where(seen[..., None], past.clamp(-4.0, 4.0), 0.0)


def depth_beyond_mid_hip(points: torch.Tensor, R_camera_crop: torch.Tensor) -> torch.Tensor:
    """[..., 25] m: how far keypoints [..., 25, 3] in the optical frame lie beyond the mid-hip, along the optical axis
    of the crop frame R_camera_crop [..., 3, 3]; what a condition calls their depth."""
    along = (points @ R_camera_crop[..., 2:])[..., 0]
    return along - along[..., MID_HIP, None]


def root_to_network(rotations: torch.Tensor, R_camera_crop: torch.Tensor) -> torch.Tensor:
    """Local rotations [B, 24, 3, 3] with the root in the optical frame -> with the root as the network sees it."""
    facing = torch.tensor(FACING, device=rotations.device, dtype=rotations.dtype).diag()
    root = facing @ R_camera_crop.transpose(-1, -2) @ rotations[:, 0]
    return torch.cat([root[:, None], rotations[:, 1:]], 1)


def root_from_network(rotations: torch.Tensor, R_camera_crop: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`root_to_network`."""
    facing = torch.tensor(FACING, device=rotations.device, dtype=rotations.dtype).diag()
    root = R_camera_crop @ facing @ rotations[:, 0]
    return torch.cat([root[:, None], rotations[:, 1:]], 1)
