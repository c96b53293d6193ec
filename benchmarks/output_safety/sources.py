"""The streams as cameras give them: shared videos, the bundled clip, and motion capture with a detector's errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.detector.video_landmarks import video_landmarks
from benchmarks.output_safety.labels import read_labels
from benchmarks.output_safety.stream import CLIP_JOINTS, CLIP_ROOT, Stream
from benchmarks.protocols.footage import BALANCE, STRAIGHT
from benchmarks.protocols.real_clip import Clip
from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.lifting.network.condition import condition_from_rays, depth_beyond_mid_hip
from diffmocap.resources import share_path
from diffmocap.types import CameraIntrinsics, Keypoints2D
from training.lifting.noisy_keypoints import CAMERA, observe
from training.views.detector_noise import DetectorNoise
from training.views.simulated_detector import MIN_CONFIDENCE, body_yaw

#: Validation motions and the side they are seen from [rad].
MOTIONS = {"39_01": 0.5, "43_01": -2.4, "01_01": 0.3, "135_04": -0.6, "135_10": 0.8, "39_09": 0.0}


def footage(folder: Path, cache: Path) -> list[Stream]:
    """Videos without truth; the indoor one with its labels. Nobody calibrated their cameras."""
    words = {
        STRAIGHT[0]: "a woman squats, 5 images a second",
        STRAIGHT[1]: "six people one after the other, and a bar table, 10 images a second",
        BALANCE: "one person balances on a leg",
    }
    streams = []
    for name, what in words.items():
        landmarks = video_landmarks(folder / name, cache)
        labels = read_labels() if name == STRAIGHT[1] else None
        camera = CameraIntrinsics.from_fov(*landmarks.size.tolist())
        streams.append(Stream(Path(name).stem, what, landmarks.keypoints(), camera, labels=labels))
    return streams


def bundled_clip(cache: Path) -> Stream:
    """The rendered clip of the package with its exact truth."""
    landmarks = video_landmarks(share_path("media", "demo.mp4"), cache)
    with np.load(share_path("media", "demo.npz"), allow_pickle=False) as data:
        K, size = data["K"], (int(data["width"]), int(data["height"]))
        truth = data["joints"].astype(float)
    camera = CameraIntrinsics(*size, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    what = "rendered: walks, turns, waves, jumps, squats"
    return Stream("bundled clip", what, landmarks.keypoints(), camera, truth)


def real_views(folder: Path, cache: Path) -> list[Stream]:
    """The four videos of the clip with triangulated truth, at 60 Hz."""
    streams = []
    for name, view in Clip.load(folder, cache).views.items():
        truth = np.full((len(view.keypoints), len(CLIP_JOINTS), 3), np.nan)
        truth[view.frames] = view.truth
        what = "a man steps, kicks and raises his arms, 60 images a second"
        streams.append(
            Stream(f"real clip, view {name}", what, view.keypoints, view.intrinsics, truth, CLIP_JOINTS, CLIP_ROOT)
        )
    return streams


def projected_motions(collection: Path, frames: int, seed: int = 0) -> list[Stream]:
    """Validation motions before a level camera, with errors that MediaPipe was measured to make, film by film."""
    body, noise = BodyModel.load(), DetectorNoise.load()
    clips = {clip.name: clip for clip in load_split(collection)}
    streams = []
    for n, (name, yaw) in enumerate(MOTIONS.items()):
        streams.append(_projected(retarget(clips[name], body), name, yaw, body, noise, frames, seed + n))
    return streams


def aside(stream: Stream, shift_px: float) -> Stream:
    """The same person further right in the picture: keypoints alone, for somebody who is in view beside another."""
    moved = [replace(k, points_px=k.points_px + np.float32([shift_px, 0.0])) for k in stream.keypoints]
    return replace(stream, name=f"{stream.name} aside", keypoints=moved)


def _projected(clip, name: str, yaw: float, body: BodyModel, noise: DetectorNoise, frames: int, seed: int) -> Stream:
    seen = observe(clip, yaw, body, frames, seed, noise=0.0)
    _, points = body.joints_and_keypoints(seen.rotations, seen.pelvis)
    rays = points[..., :2] / points[..., 2:]
    exact = condition_from_rays(rays, torch.ones(rays.shape[:2]))
    rows = _rows_of_films(noise, body_yaw(seen.rotations, rays, torch.ones(rays.shape[:2])), seed)
    confidence = noise.confidence[rows]
    confidence = torch.where(confidence < MIN_CONFIDENCE, 0.0, confidence)
    R = exact.R_camera_crop
    moved = exact.rays + noise.offset[rows] * exact.half_size[:, None, None]
    moved = torch.cat([moved, torch.ones_like(moved[..., :1])], -1) @ R.transpose(-1, -2)
    pixels = (moved / moved[..., 2:]) @ torch.tensor(CAMERA.matrix, dtype=torch.float32).T
    depth = depth_beyond_mid_hip(points, R) + noise.depth_error[rows]
    depth = torch.where(confidence > 0, depth, torch.nan)
    keypoints = [
        Keypoints2D(
            pixels[t, :, :2].numpy() * (confidence[t] > 0)[:, None].numpy(), confidence[t].numpy(), CAMERA.width,
            CAMERA.height, k.stamp_ns, depth[t].numpy(),
        ) for t, k in enumerate(seen.keypoints)
    ]  # fmt: skip
    return Stream(f"motion {name}", "motion capture with a detector's errors", keypoints, CAMERA, seen.joints.numpy())


def _rows_of_films(noise: DetectorNoise, yaw: torch.Tensor, seed: int, most_turned: float = 0.5) -> torch.Tensor:
    """[T] rows of the bank that belong together in time: a film is followed for as long as it lasts and its body
    faces where this one does, up to ``most_turned`` rad; then another begins that does."""
    g = torch.Generator().manual_seed(seed)
    at = {(f, t): i for i, (f, t) in enumerate(zip(noise.film.tolist(), noise.frame.tolist(), strict=True))}
    rows: list[int] = []
    for angle in yaw:
        row = None
        if rows:
            row = at.get((int(noise.film[rows[-1]]), int(noise.frame[rows[-1]]) + 1))
        if row is None or abs(float(torch.remainder(noise.yaw[row] - angle + torch.pi, 2 * torch.pi)) - torch.pi) > (
            most_turned
        ):
            off = (torch.remainder(noise.yaw - angle + torch.pi, 2 * torch.pi) - torch.pi).abs()
            near = off.argsort()[:200]
            row = int(near[torch.randint(len(near), (1,), generator=g)])
        rows.append(row)
    return torch.tensor(rows)
