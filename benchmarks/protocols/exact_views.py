"""Bodies before the camera of the *exact* protocol, and what is taken from or added to their exact keypoints.

The camera is that of a phone held upright: 1080 x 1920 pixels, a vertical field of view of 59.5 degrees, no roll. Its
optical axis goes through the pelvis, which is 3.3 m away, and is pitched by 10 to 30 degrees, down or up, each for
about half of the frames; the body's heading is any. All 25 keypoints have confidence 1, and nothing is clipped at the
image's border. Depths, where they are given, are those of the keypoints beyond the mid-hip along the ray through the
person's box, as the detector's would be.

Every frame draws from a stream of its own (:mod:`diffmocap.evaluation.frame_draws`), in an order that no case changes:
a frame is seen by the same camera in every case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES, NUM_KEYPOINTS
from diffmocap.camera.projection import project
from diffmocap.evaluation.frame_draws import FrameDraws
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.evaluation.wild_views import SMALL_TOES, turn_about_horizontal
from diffmocap.lifting.network.condition import FACING, make_condition
from diffmocap.types import CameraIntrinsics, Keypoints2D

CAMERA = CameraIntrinsics.from_fov(1080, 1920, 59.5)
#: Depth of the pelvis [m]; how far the camera is pitched either way [degrees], evenly spread.
DISTANCE_M, PITCH_DEG = 3.3, (10.0, 30.0)
#: Of the keypoints other than the small toes, so many are missing where some are: a fifth of all 25.
MISSING = NUM_KEYPOINTS // 5
_MID_HIP = KEYPOINT_NAMES.index("MidHip")


@dataclass(frozen=True)
class InputCase:
    """How the input differs from the mean body's exact 2D keypoints.

    Attributes:
        with_depth: whether keypoints come with a depth.
        beta_std: of the ten shape coefficients.
        noise: standard deviation of the keypoints over the half-size of the person's box, which the lifter is told.
        depth_noise_m: standard deviation of a keypoint's depth [m].
        missing: whether the small toes and :data:`MISSING` other keypoints are missing.
        turned_deg: turn of the whole body about a horizontal axis of any direction; 90: lying, 180: upside down.
    """

    with_depth: bool = False
    beta_std: float = 0.0
    noise: float = 0.0
    depth_noise_m: float = 0.0
    missing: bool = False
    turned_deg: float = 0.0


@dataclass(frozen=True)
class ExactViews:
    """N bodies before :data:`CAMERA`.

    Attributes:
        rotations: [N, 24, 3, 3] local, the root's in the optical frame. pelvis: [N, 3] m. betas: [N, 10].
        joints: [N, 24, 3] m in the optical frame.
        up: [N, 3] unit vector against gravity, in the optical frame.
        looks_down: [N] bool, the camera points below the horizon; else above it.
        keypoints: N of them.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    betas: torch.Tensor
    joints: torch.Tensor
    up: torch.Tensor
    looks_down: torch.Tensor
    keypoints: list[Keypoints2D]

    def __len__(self) -> int:
        return len(self.keypoints)


def exact_views(body: BodyModel, frames: PoseFrames, case: InputCase, seed: int = 0) -> ExactViews:
    """The frames as the case shows them; ``seed`` and a frame's number alone decide what it draws."""
    draws = FrameDraws(seed, frames.numbers)
    low, high = (math.radians(angle) for angle in PITCH_DEG)
    pitch, yaw = draws.uniform(low=low, high=high), draws.uniform(high=2 * math.pi)
    azimuth = draws.uniform(high=2 * math.pi)
    betas = case.beta_std * draws.normal(10)
    order = draws.uniform(NUM_KEYPOINTS)
    noise, depth_noise = draws.normal(NUM_KEYPOINTS, 2), draws.normal(NUM_KEYPOINTS)
    looks_down = draws.uniform() < 0.5
    pitch = torch.where(looks_down, pitch, -pitch)

    zero = torch.zeros_like(yaw)
    # A positive pitch points down: what is straight ahead of the level camera moves up in the image.
    R_camera_world = roma.rotvec_to_rotmat(torch.stack([pitch, zero, zero], -1)) @ torch.tensor(FACING).diag()
    heading = roma.rotvec_to_rotmat(torch.stack([zero, yaw, zero], -1))
    root = R_camera_world @ turn_about_horizontal(azimuth, case.turned_deg) @ heading @ frames.rotations[:, 0]
    rotations = torch.cat([root[:, None], frames.rotations[:, 1:]], 1)
    pelvis = torch.tensor([0.0, 0.0, DISTANCE_M]).expand(len(frames), 3)
    joints, points_m = body.joints_and_keypoints(rotations, pelvis, betas if case.beta_std else None)

    confidence = torch.ones(len(frames), NUM_KEYPOINTS)
    if case.missing:
        order[:, list(SMALL_TOES)] = -1.0  # first of all
        gone = order.argsort(1)[:, : len(SMALL_TOES) + MISSING]
        confidence.scatter_(1, gone, 0.0)
    K = torch.tensor(CAMERA.matrix, dtype=torch.float32)
    points_px = project(points_m, K)
    seen = confidence[..., None] > 0
    inf = torch.tensor(torch.inf)
    size_px = torch.where(seen, points_px, -inf).amax(1) - torch.where(seen, points_px, inf).amin(1)
    points_px = points_px + case.noise * 0.5 * size_px.amax(-1)[:, None, None] * noise
    depth = None
    if case.with_depth:
        R_camera_crop = make_condition(points_px, confidence, K[None]).R_camera_crop
        depth = ((points_m - points_m[:, [_MID_HIP]]) @ R_camera_crop)[..., 2]  # rows times R: in the crop frame
        depth = depth + case.depth_noise_m * depth_noise
    keypoints = [
        Keypoints2D(
            points_px[i].numpy(),
            confidence[i].numpy(),
            CAMERA.width,
            CAMERA.height,
            depth_m=None if depth is None else depth[i].numpy(),
        )  # fmt: skip
        for i in range(len(frames))
    ]
    return ExactViews(rotations, pelvis, betas, joints, R_camera_world[:, :, 1], looks_down, keypoints)
