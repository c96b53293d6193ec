"""Metrics of reconstructed motion as Optimus reports them (Gärtner et al. 2023, section 5.2, "Evaluation metrics").

Positions are arrays [T, J, 3] in metres; all frames count, none is aligned to another unless a name says so. The
paper's metrics and what computes them:

| paper | here |
|---|---|
| MPJPE-G [mm] | :func:`mpjpe_global_mm` |
| MPJPE [mm], per-frame translation-aligned | :func:`mpjpe_root_mm` |
| MPJPE-PA [mm] | :func:`diffmocap.evaluation.joint_errors.pa_mpjpe_mm` |
| MPJPE-2d [px] | :func:`diffmocap.evaluation.joint_errors.keypoint_error_px` |
| TV | :func:`acceleration_variation` |
| Foot skate [%] | :func:`foot_skate_percent` |
"""

from __future__ import annotations

import numpy as np

from diffmocap.errors import SettingsError
from diffmocap.evaluation.joint_errors import keypoint_error_px, mpjpe_mm, pa_mpjpe_mm

__all__ = [
    "acceleration_jumps", "acceleration_variation", "excess_foot_skate_percent", "foot_skate_percent",
    "keypoint_error_px", "mpjpe_global_mm", "mpjpe_root_mm", "pa_mpjpe_mm", "skating_frames",
]  # fmt: skip

#: A foot that moves further than this between two frames skates [m].
SKATE_DISTANCE = 0.02
#: A foot whose lowest point is no higher than this is on the ground [m].
CONTACT_HEIGHT = 0.05


def mpjpe_global_mm(estimate: np.ndarray, truth: np.ndarray) -> float:
    """MPJPE-G: mean distance of joints [T, J, 3] in one common frame, nothing aligned [mm]."""
    return mpjpe_mm(estimate, truth)


def mpjpe_root_mm(estimate: np.ndarray, truth: np.ndarray, root: tuple[int, ...] = (0,)) -> float:
    """MPJPE: each frame of both sides moved so that the root (SMPL: the pelvis, column 0) is the origin [mm]."""
    return mpjpe_mm(estimate, truth, root)


def acceleration_variation(joints: np.ndarray, fps: float) -> float:
    """TV: ``1/T sum_t sum_k |a[t+1, k] - a[t, k]|``, jitter as total variation of the joints' accelerations [m/s^2].

    Summed over the joints [T, K, 3] and divided by the number of differences, T - 3; accelerations are second
    differences. It grows with the number of joints, and with ``fps`` squared where jitter differs frame by frame:
    compare at equal rates and joints. The paper prints neither a unit nor a rate; ``fps=1`` gives metres per frame^2,
    in which motion capture at 30 frames a second (0.10 to 0.19) is of its tables' order of magnitude (0.20 to 0.45).
    """
    return float(acceleration_jumps(joints, fps).mean())


def acceleration_jumps(joints: np.ndarray, fps: float) -> np.ndarray:
    """The terms [T - 3] whose mean is :func:`acceleration_variation` [m/s^2]."""
    joints = _positions(joints, "joints")
    if len(joints) < 4:
        raise SettingsError(f"the variation of acceleration takes at least 4 frames, got {len(joints)}")
    if not fps > 0:
        raise SettingsError(f"the rate must be positive, got {fps}")
    jumps = np.diff(joints, n=3, axis=0) * fps**2
    return np.linalg.norm(jumps, axis=-1).sum(axis=1)


def skating_frames(
    soles: np.ndarray,
    up: np.ndarray | tuple[float, float, float] = (0.0, 1.0, 0.0),
    height: float = 0.0,
    distance: float = SKATE_DISTANCE,
    contact_height: float = CONTACT_HEIGHT,
) -> np.ndarray:
    """Boolean [T - 1, F]: foot f is on the ground in frames t and t + 1 and moves more than ``distance`` between them.

    After DiffPhy (Gärtner et al. 2022), which Optimus cites: its simulator says what touches, here nearness to the
    ground does. A foot moves as far as that of its points moves along the ground that is lowest over both frames, so
    that rolling from heel to toe is not skating.

    Args:
        soles: [T, F, P, 3] points of each foot in a gravity-aligned frame [m], for example its heel and toe; P = 1
            for a foot joint alone, with ``contact_height`` raised by its height when standing.
        up: [3] unit vector against gravity.
        height: of the ground along ``up`` [m].
        distance: [m] between two frames, whatever the rate; the papers' 2 cm were counted at their videos' rates.
        contact_height: [m].
    """
    soles = np.asarray(soles, float)
    if soles.ndim != 4 or soles.shape[-1] != 3 or len(soles) < 2 or not np.isfinite(soles).all():
        raise SettingsError(f"soles must be finite, [T, feet, points, 3] with T > 1, got {soles.shape}")
    up = np.asarray(up, float)
    level = soles @ up - height
    near = level.min(axis=2) <= contact_height
    lowest = (level[1:] + level[:-1]).argmin(axis=2)[..., None]
    step = np.diff(soles, axis=0)
    step = step - (step @ up)[..., None] * up
    moved = np.take_along_axis(np.linalg.norm(step, axis=-1), lowest, axis=2)[..., 0]
    return near[1:] & near[:-1] & (moved > distance)


def foot_skate_percent(soles: np.ndarray, **settings) -> float:
    """Percentage of frames [0, 100] in which at least one foot skates; see :func:`skating_frames`."""
    return 100.0 * float(skating_frames(soles, **settings).any(axis=1).mean())


def excess_foot_skate_percent(estimate: np.ndarray, source: np.ndarray, **settings) -> float:
    """Foot skate of an estimate less that of the motion it came from, in percentage points; negative is better.

    Motion capture itself skates (5 cm/s at the median in CMU's), so what a method adds is what counts.
    """
    return foot_skate_percent(estimate, **settings) - foot_skate_percent(source, **settings)


def _positions(x: np.ndarray, name: str) -> np.ndarray:
    x = np.asarray(x, float)
    if x.ndim != 3 or x.shape[-1] != 3 or not np.isfinite(x).all():
        raise SettingsError(f"{name} must be finite, [T, K, 3], got {x.shape}")
    return x
