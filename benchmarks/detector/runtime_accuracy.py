"""Accuracy of two runtimes of the detector on the same films: keypoints, their own 3D, and the pipeline's poses.

The lifting, the physics and the errors are computed by one process for both, so nothing but the detector differs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.detector.world_baseline import HIPS, LIMB_LANDMARKS
from diffmocap.body.skeleton import LIMB_JOINTS
from diffmocap.camera.lens import undistort_keypoints
from diffmocap.evaluation.joint_errors import mpjpe_mm, pa_mpjpe_mm
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: Where the limb joints are in the truth of the real clip: right leg, left leg, left arm, right arm.
_REAL_ORDER = [3, 0, 4, 1, 5, 2, 6, 9, 7, 10, 8, 11]


@dataclass(frozen=True)
class Film:
    """A film and, where there is one, its truth.

    Attributes:
        intrinsics: of the camera; None without a truth.
        frames: [N] numbers of the images that the truth is of.
        joints: [N, 12, 3] m, limb joints in the optical frame, in the order of LIMB_JOINTS.
        keypoints_px: [N, 25, 2] px in the image as it is, NaN where unknown.
    """

    name: str
    path: Path
    intrinsics: CameraIntrinsics | None = None
    frames: np.ndarray | None = None
    joints: np.ndarray | None = None
    keypoints_px: np.ndarray | None = None


def bundled(path: Path) -> Film:
    """The clip that ships, with the truth beside it."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as data:
        K, width, height = data["K"], int(data["width"]), int(data["height"])
        joints, keypoints = data["joints"].astype(float), data["keypoints2d"].astype(float)
    intrinsics = CameraIntrinsics(width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    return Film("bundled clip", path, intrinsics, np.arange(len(joints)), joints[:, LIMB_JOINTS], keypoints)


def real_views(folder: Path) -> list[Film]:
    """The four views of the real clip in a folder with ``truth.npz``; none where it is not there."""
    if not (folder / "truth.npz").is_file():
        return []
    films = []
    with np.load(folder / "truth.npz", allow_pickle=False) as data:
        for view in "1234":
            K, keypoints = data[f"K_{view}"], data[f"keypoints25_{view}"].astype(float)
            distortion = data[f"distortion_{view}"]
            intrinsics = CameraIntrinsics(1080, 1920, K[0, 0], K[1, 1], K[0, 2], K[1, 2], tuple(distortion))
            flat = np.nan_to_num(keypoints.reshape(-1, 1, 3), nan=1.0)
            pixels = cv2.projectPoints(flat, np.zeros(3), np.zeros(3), K, distortion)[0].reshape(-1, 25, 2)
            pixels[np.isnan(keypoints).any(-1)] = np.nan
            joints, frames = data[f"joints_{view}"].astype(float)[:, _REAL_ORDER], data[f"frames_{view}"]
            films.append(Film(f"real, view {view}", folder / f"cam0{view}.mp4", intrinsics, frames, joints, pixels))
    return films


def load_pipeline() -> PosePipeline:
    """The pose node's pipeline, with a fixed number of refinement steps, so that time does not matter."""
    settings = PipelineSettings()
    pipeline = PosePipeline.load()
    refinement = settings.refinement or PhysicsSettings()
    pipeline.settings = replace(settings, refinement=refinement.without_time_limit())
    return pipeline


def errors(film: Film, detected: dict[str, np.ndarray], pipeline: PosePipeline) -> dict[str, float]:
    """Figures of what a runtime said of a film: of the images of its truth in which somebody was found.

    Returns:
        found_percent, keypoint_px (mean over keypoints that are seen), world_pa_mm (MediaPipe's own 3D, PA-MPJPE) and
        mpjpe_mm, pa_mpjpe_mm of the pipeline's poses.
    """
    pipeline.reset(camera_moved=True)
    poses = np.full((len(detected["stamp_ns"]), len(LIMB_JOINTS), 3), np.nan)
    for i, stamp_ns in enumerate(detected["stamp_ns"]):
        depth = detected["depth_m"][i].astype(np.float32)
        keypoints = Keypoints2D(
            detected["points_px"][i], detected["confidence"][i], film.intrinsics.width, film.intrinsics.height,
            int(stamp_ns), depth if np.isfinite(depth).any() else None,
        )  # fmt: skip
        result = pipeline.step(undistort_keypoints(keypoints, film.intrinsics), film.intrinsics)
        if result.state is not None:
            poses[i] = result.state.joint_positions.numpy()[list(LIMB_JOINTS)]
    used = film.frames[film.frames < len(poses)]
    truth, keypoints_px = film.joints[: len(used)], film.keypoints_px[: len(used)]
    world = detected["world_m"][used][:, list(LIMB_LANDMARKS)].astype(float)
    seen = detected["confidence"][used] > 0
    distance = np.linalg.norm(detected["points_px"][used] - keypoints_px, axis=-1)
    found, posed = np.isfinite(world).all((1, 2)), np.isfinite(poses[used]).all((1, 2))
    return {
        "found_percent": 100.0 * float(found.mean()),
        "keypoint_px": float(np.nanmean(distance[seen])),
        "world_pa_mm": pa_mpjpe_mm(world[found], truth[found]),
        "mpjpe_mm": mpjpe_mm(poses[used][posed], truth[posed], HIPS),
        "pa_mpjpe_mm": pa_mpjpe_mm(poses[used][posed], truth[posed]),
    }


def difference(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> dict[str, float]:
    """How far two runtimes are apart: keypoints that both see, in px, and in how many images each sees somebody."""
    both = (old["confidence"] > 0) & (new["confidence"] > 0)
    distance = np.linalg.norm(old["points_px"] - new["points_px"], axis=-1)[both]
    seen_old, seen_new = (np.isfinite(d["world_m"][:, 0, 0]) for d in (old, new))
    return {
        "images": len(seen_old),
        "found_old": int(seen_old.sum()),
        "found_new": int(seen_new.sum()),
        "median_px": float(np.median(distance)) if distance.size else float("nan"),
        "p99_px": float(np.percentile(distance, 99)) if distance.size else float("nan"),
    }
