"""From MediaPipe's landmarks to the body model's keypoints and their depths.

MediaPipe's hips, shoulders or ears are not where the body model has its joints and keypoints of that name. Each
keypoint is therefore an affine combination of a few landmarks around it, fitted to rendered bodies
(``benchmarks/detector/detector_gap.py``). Weights that sum to one make this equivariant to any shift, rotation, scale
and shear of the image, so it needs neither camera nor size of the person. Where a landmark is missing, keypoints that
would need it fall back to the plain selection of a landmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.errors import ModelFileError
from diffmocap.files.array_archive import ArrayArchive
from diffmocap.keypoints.body25 import (
    LANDMARK_NAMES,
    NUM_LANDMARKS,
    PLAIN,
    body25_from_landmarks,
    landmark_confidence,
)
from diffmocap.resources import verified_model
from diffmocap.types import Keypoints2D

DEFAULT_MAPPING = "landmark_mapping.npz"
_HIPS = [LANDMARK_NAMES.index(name) for name in ("left_hip", "right_hip")]


@dataclass(frozen=True)
class LandmarkMapping:
    """Weights of the landmarks.

    Attributes:
        points: [25, 33] for image positions; rows sum to one, or are zero where no landmark is near (small toes).
        depth: [25, 33] for depths relative to the middle of MediaPipe's hips.
        depth_offset: [25] m, added to the depths.
    """

    points: np.ndarray
    depth: np.ndarray
    depth_offset: np.ndarray

    @classmethod
    def plain(cls) -> LandmarkMapping:
        """The landmark of the keypoint's name, as MediaPipe gives it."""
        return cls(PLAIN, PLAIN, np.zeros(NUM_KEYPOINTS))

    @classmethod
    @cache
    def load(cls) -> LandmarkMapping:
        """The shipped mapping.

        Raises:
            ModelFileError: the file is missing or corrupt.
        """
        path = verified_model(DEFAULT_MAPPING)
        with ArrayArchive(path, ModelFileError, "it is no landmark mapping; reinstall diffmocap") as data:
            return cls(*(data.array(key).astype(float) for key in ("points", "depth", "depth_offset")))

    def __post_init__(self) -> None:
        shapes = self.points.shape, self.depth.shape, self.depth_offset.shape
        if shapes != ((NUM_KEYPOINTS, NUM_LANDMARKS),) * 2 + ((NUM_KEYPOINTS,),):
            raise ModelFileError(f"a landmark mapping has arrays [25, 33], [25, 33] and [25], got {shapes}")

    def keypoints(self, landmarks: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints [25, D] and confidence [25], float32, of landmarks [33, D] in any affine frame.

        ``confidence`` [33] in [0, 1]; 0 is missing. A keypoint is as certain as the landmarks of its name.
        """
        plain, certainty = body25_from_landmarks(landmarks, confidence)
        complete = ~((self.points != 0) & (confidence == 0)).any(axis=1) & (certainty > 0)
        known = np.where((confidence > 0)[:, None], landmarks, 0.0)
        return np.where(complete[:, None], self.points @ known, plain).astype(np.float32), certainty

    def depths(self, world_landmarks: np.ndarray) -> np.ndarray:
        """[25] m, float32, farther is positive, relative to the mid-hip, of MediaPipe's world landmarks [33, 3]."""
        z = world_landmarks[:, 2] - world_landmarks[_HIPS, 2].mean()
        return (self.depth @ z + self.depth_offset).astype(np.float32)


def keypoints_from_landmarks(
    landmarks_px: np.ndarray, visibility: np.ndarray, width: int, height: int, stamp_ns: int = 0,
    min_visibility: float = 0.0, world_landmarks: np.ndarray | None = None, mapping: LandmarkMapping | None = None,
) -> Keypoints2D:  # fmt: skip
    """Keypoints of one image from landmarks [33, 2] in pixels and their visibility [33].

    Args:
        min_visibility: landmarks less visible than this count as missing, as do those outside the image.
        world_landmarks: [33, 3] m; None leaves depths unknown.
        mapping: None for the plain one.
    """
    mapping = mapping or LandmarkMapping.plain()
    seen = landmark_confidence(landmarks_px, visibility, width, height, min_visibility)
    points_px, confidence = mapping.keypoints(landmarks_px, seen)
    depth_m = None
    if world_landmarks is not None and np.isfinite(world_landmarks).all():
        depth_m = np.where(confidence > 0, mapping.depths(world_landmarks), np.float32(np.nan))
    return Keypoints2D(points_px, confidence, width, height, stamp_ns, depth_m)
