"""BODY_25 keypoints from MediaPipe's 33 pose landmarks: which landmark stands for which keypoint, and how surely."""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import KEYPOINT_NAMES, NUM_KEYPOINTS
from diffmocap.types import Keypoints2D

#: MediaPipe's order (BlazePose, https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker).
LANDMARK_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

NUM_LANDMARKS = len(LANDMARK_NAMES)

#: Keypoint -> the landmarks whose mean it is. Small toes have no landmark.
_SOURCES = {
    "Nose": ("nose",),
    "Neck": ("left_shoulder", "right_shoulder"),
    "MidHip": ("left_hip", "right_hip"),
}
for _side in ("left", "right"):
    for _part in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Eye", "Ear", "Heel"):
        _SOURCES[_side[0].upper() + _part] = (f"{_side}_{_part.lower()}",)
    _SOURCES[_side[0].upper() + "BigToe"] = (f"{_side}_foot_index",)

_FIRST, _SECOND = (
    np.array([LANDMARK_NAMES.index(_SOURCES.get(name, ("nose",))[i]) for name in KEYPOINT_NAMES]) for i in (0, -1)
)
_MISSING = np.array([name not in _SOURCES for name in KEYPOINT_NAMES])

#: [25, 33] the same choice of landmarks as a matrix: rows sum to one, those of the small toes are zero.
PLAIN = np.zeros((NUM_KEYPOINTS, NUM_LANDMARKS))
np.add.at(PLAIN, (np.arange(NUM_KEYPOINTS), _FIRST), 0.5)
np.add.at(PLAIN, (np.arange(NUM_KEYPOINTS), _SECOND), 0.5)
PLAIN[_MISSING] = 0.0
PLAIN.flags.writeable = False


def body25_from_landmarks(landmarks: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps landmarks onto BODY_25.

    Args:
        landmarks: [33, D] positions in any unit and frame (pixels, world metres).
        confidence: [33] in [0, 1].

    Returns:
        points [25, D] and confidence [25], float32. Neck and mid-hip are midpoints and as certain
        as the less certain of their two landmarks; what is missing is zero.
    """
    if landmarks.shape[0] != NUM_LANDMARKS or confidence.shape != (NUM_LANDMARKS,):
        raise ValueError(f"expected landmarks [33, D] and confidence [33], got {landmarks.shape}, {confidence.shape}")
    points = 0.5 * (landmarks[_FIRST] + landmarks[_SECOND])
    certainty = np.minimum(confidence[_FIRST], confidence[_SECOND])
    certainty = np.where(_MISSING, 0.0, certainty).astype(np.float32)
    return np.where(certainty[:, None] > 0, points, 0.0).astype(np.float32), certainty


def landmark_confidence(
    landmarks_px: np.ndarray, visibility: np.ndarray, width: int, height: int, min_visibility: float = 0.0
) -> np.ndarray:
    """[33] float32 in [0, 1] from landmarks [33, 2] px and their visibility [33]; 0 is missing.

    MediaPipe also guesses what it does not see: landmarks outside the image, not finite, or less visible than
    ``min_visibility`` count as missing.
    """
    x, y = landmarks_px[:, 0], landmarks_px[:, 1]
    with np.errstate(invalid="ignore"):
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (visibility >= min_visibility)
    return np.where(seen, np.clip(visibility, 0.0, 1.0), 0.0).astype(np.float32)


def no_keypoints(width: int, height: int, stamp_ns: int = 0) -> Keypoints2D:
    """Keypoints of an image without a person: all missing."""
    return Keypoints2D(
        np.zeros((NUM_KEYPOINTS, 2), np.float32), np.zeros(NUM_KEYPOINTS, np.float32), width, height, stamp_ns
    )
