"""Detections and truth as lifting sees them: in the crop frame, over the half-size of the person's box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.detector.alteration import LANDMARK_MIRROR
from benchmarks.synthetic.breakdown import pelvis_yaw
from benchmarks.synthetic.detections import Detections
from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.keypoints.body25 import LANDMARK_NAMES, body25_from_landmarks, landmark_confidence
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.lifting.network.condition import condition_from_rays
from diffmocap.lifting.settings import LiftingSettings

MID_HIP = KEYPOINT_NAMES.index("MidHip")
HIP_LANDMARKS = [LANDMARK_NAMES.index(name) for name in ("left_hip", "right_hip")]


@dataclass(frozen=True)
class CropView:
    """Frames in which somebody was found; the box is that of the true places of the keypoints that are seen.

    Attributes:
        index: [M] rows of the detections.
        landmarks: [M, 33, 2] over the box's half-size, y down; also what the detector only guesses.
        landmark_confidence, confidence: [M, 33] and [M, 25], 0 is missing, as the detector gives them.
        landmark_z: [M, 33] m, away from the camera, relative to the middle of MediaPipe's hips.
        truth: [M, 25, 2] over the half-size; depth: [M, 25] m relative to the mid-hip.
        yaw: [M] rad, direction in which the pelvis faces: 0 into the camera, pi / 2 to the right of the image.
        R_camera_crop: [M, 3, 3]; half_size: [M] at depth 1.
        group: [M] number of the subject.
    """

    index: np.ndarray
    landmarks: np.ndarray
    landmark_confidence: np.ndarray
    confidence: np.ndarray
    landmark_z: np.ndarray
    truth: np.ndarray
    depth: np.ndarray
    yaw: np.ndarray
    R_camera_crop: np.ndarray
    half_size: np.ndarray
    group: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """[M, 25] bool: keypoints that lifting uses."""
        return self.confidence >= LiftingSettings().min_confidence

    def mirrored(self) -> CropView:
        """The same people in a mirror."""
        flip = np.array([-1.0, 1.0])
        return CropView(
            self.index, (flip * self.landmarks)[:, LANDMARK_MIRROR], self.landmark_confidence[:, LANDMARK_MIRROR],
            self.confidence[:, KEYPOINT_MIRROR], self.landmark_z[:, LANDMARK_MIRROR],
            (flip * self.truth)[:, KEYPOINT_MIRROR], self.depth[:, KEYPOINT_MIRROR], -self.yaw,
            self.R_camera_crop, self.half_size, self.group,
        )  # fmt: skip


def crop_view(d: Detections) -> CropView:
    """All frames with a person, in the crop frame."""
    index = np.flatnonzero(d.found)
    K, keypoints, px = d.K[index], d.keypoints[index], d.landmarks_px[index].astype(float)
    minimum = DetectorSettings().min_visibility
    certain = np.stack([
        landmark_confidence(px[i], d.visibility[n], *d.size[n], minimum) for i, n in enumerate(index)
    ])  # fmt: skip
    confidence = np.stack([body25_from_landmarks(p, c)[1] for p, c in zip(px, certain, strict=True)])
    focal, centre = K[:, [0, 1], [0, 1]][:, None], K[:, :2, 2][:, None]
    true_rays, rays = keypoints[..., :2] / keypoints[..., 2:], (px - centre) / focal
    box = condition_from_rays(
        torch.from_numpy(true_rays).float(),
        torch.from_numpy(np.where(confidence >= LiftingSettings().min_confidence, confidence, 0.0)).float(),
    )
    R, half_size = box.R_camera_crop.double().numpy(), box.half_size.double().numpy()

    def turned(rays: np.ndarray) -> np.ndarray:
        points = np.concatenate([rays, np.ones_like(rays[..., :1])], -1) @ R
        return points[..., :2] / points[..., 2:] / half_size[:, None, None]

    depth = (keypoints @ R)[..., 2]
    z = d.world[index, :, 2]
    return CropView(
        index, turned(rays), certain, confidence, z - z[:, HIP_LANDMARKS].mean(1, keepdims=True), turned(true_rays),
        depth - depth[:, MID_HIP, None], pelvis_yaw(d.root[index], R), R, half_size,
        np.unique(d.subject, return_inverse=True)[1][index],
    )  # fmt: skip


def folds(group: np.ndarray, count: int = 5, seed: int = 0) -> np.ndarray:
    """Fold of every frame; a subject is in one fold only."""
    order = np.random.default_rng(seed).permutation(np.unique(group))
    return np.argsort(order)[np.searchsorted(np.unique(group), group)] % count
