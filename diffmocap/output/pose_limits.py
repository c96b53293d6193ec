"""Poses that no person has, and moves that none makes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from diffmocap.output.gate_settings import GateSettings
from diffmocap.types import Keypoints2D

#: Errors of lifting that are no motion: of the pelvis (along the line of sight, a share of the distance), of joints
#: about it [m], and of the root's turn [degrees].
_PELVIS_ERROR, _PELVIS_ERROR_M, _JOINT_ERROR_M, _TURN_ERROR_DEG = 0.1, 0.5, 0.5, 60.0


@dataclass(frozen=True)
class LiftedPose:
    """The followed hypothesis of one image, as arrays in the optical frame.

    Attributes:
        joints: [24, 3] m. keypoints_m: [25, 3] m, the body's. root: [3, 3]. fit_error: as in the score, positive.
        seen: the keypoints that it was lifted from.
    """

    joints: np.ndarray
    keypoints_m: np.ndarray
    root: np.ndarray
    fit_error: float
    seen: Keypoints2D

    @property
    def pelvis(self) -> np.ndarray:
        """[3] m."""
        return self.joints[0]


def moved(before: LiftedPose, after: LiftedPose) -> tuple[float, float, float]:
    """Way of the pelvis [m], longest way of a joint about it [m], and turn of the root [rad]."""
    step = after.joints - before.joints
    about = np.linalg.norm(step[1:] - step[0], axis=1).max()
    cosine = 0.5 * (np.sum(before.root * after.root) - 1.0)
    return float(np.linalg.norm(step[0])), float(about), math.acos(min(max(float(cosine), -1.0), 1.0))


def no_person(pose: LiftedPose, settings: GateSettings) -> str:
    """What of a pose by itself no person's can be: ``fit``, ``size``, ``distance``; empty where nothing is."""
    seen = pose.seen
    if not pose.fit_error <= settings.worst_fit:
        return "fit"
    points = seen.points_px[seen.confidence > 0]
    if not len(points) or np.ptp(points, axis=0).max() < settings.least_size * min(seen.width, seen.height):
        return "size"
    distance = np.linalg.norm(pose.pelvis)
    if not settings.nearest_m <= distance <= settings.farthest_m or pose.pelvis[2] <= 0.0:
        return "distance"
    return ""


def leap(move: tuple[float, float, float], distance_m: float, dt_s: float, settings: GateSettings) -> str:
    """Which way of :func:`moved` is longer than a person's in ``dt_s``: ``speed``, ``limb``, ``turn``; else empty."""
    pelvis_m, joint_m, turn = move
    if pelvis_m > settings.pelvis_speed * dt_s + _PELVIS_ERROR_M + _PELVIS_ERROR * distance_m:
        return "speed"
    if joint_m > settings.limb_speed * dt_s + _JOINT_ERROR_M:
        return "limb"
    if math.degrees(turn) > settings.root_turn_deg * dt_s + _TURN_ERROR_DEG:
        return "turn"
    return ""
