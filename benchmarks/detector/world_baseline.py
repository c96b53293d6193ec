"""MediaPipe's world landmarks after a fitted linear map: a stronger baseline than the landmarks as they are.

The map takes out what is only a matter of definition: other places for hips and shoulders, and depths that are too
short. Each limb joint is a linear combination of the 33 landmarks about the mid-hip, with one set of weights for x and
y and one for z, so it commutes with turns of the image about the camera's axis. Fitted to films of training motion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.detector.alteration import LANDMARK_MIRROR
from benchmarks.detector.crop import HIP_LANDMARKS
from benchmarks.detector.mapping_fit import robust_ridge
from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES, LIMB_JOINTS
from diffmocap.keypoints.body25 import LANDMARK_NAMES, NUM_LANDMARKS

WORLD_MAP = Path(__file__).with_name("world_map.npz")
#: MediaPipe's landmarks of the limb joints, in their order.
LIMB_LANDMARKS = tuple(LANDMARK_NAMES.index(JOINT_NAMES[j]) for j in LIMB_JOINTS)
#: Columns of the hips among the limb joints.
HIPS = tuple(LIMB_JOINTS.index(j) for j in (1, 2))
_RIDGE, _HUBER_M = 1e-3, 0.1
_LIMB_MIRROR = [LIMB_JOINTS.index(JOINT_MIRROR[j]) for j in LIMB_JOINTS]
_FLIP = np.array([-1.0, 1.0, 1.0])


def fit_world_map(world: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Weights [2, 12, 33] (for x and y, for z) from world landmarks [M, 33, 3] to limb joints [M, 12, 3], both in
    metres in the frame of a camera that looks straight at the person."""
    landmarks = world - world[:, HIP_LANDMARKS].mean(1, keepdims=True)
    limbs = joints - joints[:, HIPS].mean(1, keepdims=True)
    landmarks = np.concatenate([landmarks, (_FLIP * landmarks)[:, LANDMARK_MIRROR]])
    limbs = np.concatenate([limbs, (_FLIP * limbs)[:, _LIMB_MIRROR]])
    weights = np.zeros((2, len(LIMB_JOINTS), NUM_LANDMARKS))
    for part, axes in enumerate(([0, 1], [2])):
        a = landmarks[..., axes].transpose(0, 2, 1).reshape(-1, NUM_LANDMARKS)
        for i, source in enumerate(LIMB_LANDMARKS):
            plain = np.eye(NUM_LANDMARKS)[source]
            b = limbs[:, i, axes].reshape(-1)
            weights[part, i] = plain + robust_ridge(a, b - a @ plain, np.full(NUM_LANDMARKS, _RIDGE), _HUBER_M)
    return weights


def apply_world_map(weights: np.ndarray, world: np.ndarray) -> np.ndarray:
    """Limb joints [M, 12, 3] m about the mid-hip from world landmarks [M, 33, 3]."""
    landmarks = world - world[:, HIP_LANDMARKS].mean(1, keepdims=True)
    return np.concatenate([weights[0] @ landmarks[..., :2], weights[1] @ landmarks[..., 2:]], -1)


def load_world_map(path: Path = WORLD_MAP) -> np.ndarray:
    """The weights that ``python -m benchmarks.detector_gap --fit`` stored."""
    with np.load(path, allow_pickle=False) as data:
        return data["weights"].astype(float)
