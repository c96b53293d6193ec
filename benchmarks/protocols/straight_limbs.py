"""Is a limb that is straight in the image lifted as a straight one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.types import Keypoints2D

#: A limb counts as straight in the image from this angle between its two parts [degrees].
STRAIGHT_DEG = 172.0


@dataclass(frozen=True)
class Limb:
    """Three points from the trunk outwards: ``keypoints`` of BODY_25 and SMPL's ``joints``."""

    keypoints: tuple[int, int, int]
    joints: tuple[int, int, int]


def _limbs(*parts: str) -> tuple[Limb, Limb]:
    return tuple(
        Limb(
            tuple(KEYPOINT_NAMES.index(side[0].upper() + part.capitalize()) for part in parts),
            tuple(JOINT_NAMES.index(f"{side}_{part}") for part in parts),
        )
        for side in ("right", "left")
    )


KNEES = _limbs("hip", "knee", "ankle")
ELBOWS = _limbs("shoulder", "elbow", "wrist")


def angle_deg(points: np.ndarray) -> np.ndarray:
    """[...] angle at the middle one of three points [..., 3, D] in degrees; 180: they lie on a line."""
    inner, outer = points[..., 0, :] - points[..., 1, :], points[..., 2, :] - points[..., 1, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (inner * outer).sum(-1) / (np.linalg.norm(inner, axis=-1) * np.linalg.norm(outer, axis=-1))
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def image_angle_deg(keypoints: Sequence[Keypoints2D], limbs: Sequence[Limb]) -> np.ndarray:
    """[T, limbs] angle of each limb in the image in degrees; NaN where lifting does not count one of its keypoints."""
    rows = [list(limb.keypoints) for limb in limbs]
    points = np.array([k.points_px[rows] for k in keypoints], float)
    sure = np.array([(k.confidence[rows] >= LiftingSettings().min_confidence).all(-1) for k in keypoints])
    return np.where(sure, angle_deg(points), np.nan)


def straight_flexion(image_deg: np.ndarray, lifted: np.ndarray, truth: np.ndarray | None = None) -> dict:
    """Mean flexion of the limbs that are straighter than :data:`STRAIGHT_DEG` in the image.

    Args:
        image_deg: [T, limbs], NaN where unknown.
        lifted, truth: [T, limbs, 3, D] points of each limb in space, NaN where there is no pose.

    Returns:
        ``count`` of them with a pose, ``lifted_deg`` and, with the truth, ``true_deg`` and ``error_deg``, the mean
        absolute difference of the two; None where there are none.
    """
    straight = (image_deg > STRAIGHT_DEG) & np.isfinite(lifted).all((-1, -2))
    if truth is not None:
        straight &= np.isfinite(truth).all((-1, -2))

    def mean(values: np.ndarray) -> float | None:
        return float(values[straight].mean()) if straight.any() else None

    found = 180.0 - angle_deg(lifted)
    figures = {"count": int(straight.sum()), "lifted_deg": mean(found)}
    if truth is None:
        return figures
    true = 180.0 - angle_deg(truth)
    return figures | {"true_deg": mean(true), "error_deg": mean(np.abs(found - true))}
