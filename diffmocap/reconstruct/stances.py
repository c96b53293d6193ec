"""When each foot stands still, from what the image shows of it and from where the motion has it.

A foot that rests has a keypoint that rests, wherever it is: the image tells that better than a motion whose distance
from the camera is uncertain.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.reconstruct.viterbi import cheapest_path

#: Speeds of what stands and of what steps are taken to follow Rayleigh's distribution, as the length of a normally
#: distributed velocity does: its scale [m/s] in the image, and in the motion.
STANDING_M_S, STEPPING_M_S = (0.1, 0.15), (0.5, 0.6)
#: A foot stands, or steps, for about this long [s]; each change costs the logarithm of that in frames.
LASTS_S = 0.3
#: Standard deviation of the filter that speeds are taken of [s].
_SMOOTH_S = 0.06
#: Shorter stances are none [s].
_SHORTEST_S = 0.12
#: Slower is as good as still [m/s].
_STILL_M_S = 1e-3
#: Keypoints of each foot: big toe and heel.
FOOT_KEYPOINTS = tuple(
    tuple(KEYPOINT_NAMES.index(f"{side}{part}") for part in ("BigToe", "Heel")) for side in ("L", "R")
)


def standing_feet(
    toes: np.ndarray, points_px: np.ndarray, confidence: np.ndarray, focal_px: float, dt_s: float
) -> np.ndarray:
    """[T, 2] bool: the left foot stands, the right one does.

    Two states a foot, and the likelier way through them (:mod:`diffmocap.reconstruct.viterbi`).

    Args:
        toes: [T, 2, 3] m, SMPL's joints ``left_foot`` and ``right_foot`` in the optical frame, in front of the camera.
        points_px: [T, 25, 2] and confidence: [T, 25] keypoints of an ideal pinhole camera of this focal length; those
            without confidence say nothing.
    """
    sigma, shortest = _SMOOTH_S / dt_s, max(round(_SHORTEST_S / dt_s), 1)
    standing = np.zeros(toes.shape[:2], bool)
    change = np.log(LASTS_S / dt_s)
    steps = torch.tensor([[0.0, change], [change, 0.0]]).expand(len(toes) - 1, 2, 2)
    for foot, keypoints in enumerate(FOOT_KEYPOINTS):
        costs = _costs(_speed(toes[:, foot], sigma, dt_s), 1)
        for k in keypoints:
            seen = np.flatnonzero(confidence[:, k] > 0)
            if len(seen):
                px = np.stack([np.interp(np.arange(len(toes)), seen, points_px[seen, k, c]) for c in range(2)], -1)
                speed = _speed(px, sigma, dt_s) * toes[:, foot, 2] / focal_px
                costs[seen] += _costs(speed, 0)[seen]
        state = cheapest_path(torch.from_numpy(costs), steps).numpy() == 0
        for first, stop in runs(state):
            standing[first:stop, foot] = stop - first >= shortest
    return standing


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """[first, last + 1) of each stretch of a mask [T] bool that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _speed(places: np.ndarray, sigma: float, dt_s: float) -> np.ndarray:
    """[T] of smoothed places [T, D], a second."""
    return np.linalg.norm(np.gradient(gaussian_filter1d(places, sigma, axis=0), dt_s, axis=0), axis=-1)


def _costs(speed: np.ndarray, where: int) -> np.ndarray:
    """[T, 2] negative log density of speeds [T] m/s in the image (0) or in the motion (1), standing and stepping."""
    speed = np.maximum(speed, _STILL_M_S)[:, None]
    scale = np.array([STANDING_M_S[where], STEPPING_M_S[where]])
    return 0.5 * (speed / scale) ** 2 + 2.0 * np.log(scale) - np.log(speed)
