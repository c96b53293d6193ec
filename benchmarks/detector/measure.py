"""Figures of the detector's errors: by keypoint, by group of frames, by confidence, over time, swapped sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.detector.crop import MID_HIP, CropView
from diffmocap.body.skeleton import KEYPOINT_NAMES

#: Pairs of keypoints, right and left, that are counted when they change places.
PAIRS = {
    "shoulders": (2, 5), "elbows": (3, 6), "wrists": (4, 7), "hips": (9, 12), "knees": (10, 13), "ankles": (11, 14),
}  # fmt: skip
CONFIDENCE_BOUNDS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 1.0)
LAGS = tuple(range(1, 11))


@dataclass(frozen=True)
class Estimate:
    """What a mapping makes of the landmarks: points [M, 25, 2] over the half-size, depth [M, 25] m."""

    points: np.ndarray
    depth: np.ndarray


def point_errors(view: CropView, estimate: Estimate) -> np.ndarray:
    """[M, 25] distance from the truth over the half-size, NaN where lifting does not use the keypoint."""
    return np.where(view.seen, np.linalg.norm(estimate.points - view.truth, axis=-1), np.nan)


def depth_errors(view: CropView, estimate: Estimate) -> np.ndarray:
    """[M, 25] m, NaN where lifting does not use the keypoint; the mid-hip is the origin and left out."""
    errors = np.where(view.seen, estimate.depth - view.depth, np.nan)
    errors[:, MID_HIP] = np.nan
    return errors


def by_keypoint(view: CropView, before: Estimate, after: Estimate) -> dict[str, dict[str, float]]:
    """Both sides together."""
    table = {}
    for k, name in enumerate(KEYPOINT_NAMES):
        if name.startswith("R") or not view.seen[:, k].any():
            continue
        sides = [k] if not name.startswith("L") else [k, KEYPOINT_NAMES.index("R" + name[1:])]
        seen = view.seen[:, sides]
        figures = {}
        for label, e in (("before", before), ("after", after)):
            offset = (e.points - view.truth)[:, sides][seen]
            distance, depth = np.linalg.norm(offset, axis=-1), depth_errors(view, e)[:, sides][seen]
            truth = view.depth[:, sides][seen]
            figures |= {
                f"down_{label}": offset[:, 1].mean(), f"std_{label}": offset.std(0).mean(),
                f"median_{label}": np.median(distance), f"mean_{label}": distance.mean(),
                f"depth_rmse_mm_{label}": 1e3 * np.sqrt((depth**2).mean()),
                f"depth_r2_{label}": 1.0 - (depth**2).mean() / truth.var(),
            }  # fmt: skip
        for group, rows in direction_groups(view).items():
            figures[f"seen_{group}"] = seen[rows].mean()
        table[name.removeprefix("L") if len(sides) == 2 else name] = figures
    return table


def depth_by_keypoint(view: CropView, plain: Estimate, mapped: Estimate) -> dict[str, dict[str, float]]:
    """The line from MediaPipe's depths to the true ones, and what the mapping leaves by direction; sides together."""
    table = {}
    for k, name in enumerate(KEYPOINT_NAMES):
        if name.startswith("R") or k == MID_HIP or not view.seen[:, k].any():
            continue
        sides = [k] if not name.startswith("L") else [k, KEYPOINT_NAMES.index("R" + name[1:])]
        seen = view.seen[:, sides]
        gain, offset = np.polyfit(plain.depth[:, sides][seen], view.depth[:, sides][seen], 1)
        figures = {"gain": gain, "offset_mm": 1e3 * offset}
        for group, rows in direction_groups(view).items():
            inside = seen & rows[:, None]
            truth, error = view.depth[:, sides][inside], (mapped.depth - view.depth)[:, sides][inside]
            figures[f"rmse_mm_{group}"] = 1e3 * np.sqrt((error**2).mean())
            figures[f"r2_{group}"] = 1.0 - (error**2).mean() / truth.var()
        table[name.removeprefix("L") if len(sides) == 2 else name] = figures
    return table


def error_correlation(view: CropView, estimate: Estimate) -> float:
    """Correlation of the lengths of a keypoint's errors in the image and in depth."""
    distance, depth = point_errors(view, estimate), np.abs(depth_errors(view, estimate))
    both = np.isfinite(distance) & np.isfinite(depth)
    return float(np.corrcoef(distance[both], depth[both])[0, 1])


def direction_groups(view: CropView) -> dict[str, np.ndarray]:
    """[M] bool each: seen from the front, the side, the rear."""
    yaw = np.abs(np.rad2deg(view.yaw))
    return {"front": yaw < 45, "side": (yaw >= 45) & (yaw < 135), "rear": yaw >= 135}


def summary(view: CropView, estimate: Estimate, rows: np.ndarray) -> dict[str, float]:
    """Over all keypoints of some frames ([M] bool)."""
    distance, depth = point_errors(view, estimate)[rows], depth_errors(view, estimate)[rows]
    truth = view.depth[rows][np.isfinite(depth)]
    return {
        "frames": int(rows.sum()), "mean": float(np.nanmean(distance)), "median": float(np.nanmedian(distance)),
        "depth_rmse_mm": 1e3 * float(np.sqrt(np.nanmean(depth**2))),
        "depth_r2": 1.0 - float(np.nanmean(depth**2) / truth.var()),
    }  # fmt: skip


def by_confidence(view: CropView, estimate: Estimate) -> list[tuple[float, float, int, float, float]]:
    """Rows of lower and upper confidence, number of keypoints, median and mean error over the half-size."""
    distance = np.linalg.norm(estimate.points - view.truth, axis=-1)
    rows = []
    for low, high in zip(CONFIDENCE_BOUNDS[:-1], CONFIDENCE_BOUNDS[1:], strict=True):
        inside = (view.confidence >= low) & ((view.confidence < high) | (high == 1.0))
        if inside.any():
            error = distance[inside]
            rows.append((low, high, len(error), float(np.median(error)), float(error.mean())))
    return rows


def correlations(
    view: CropView, estimate: Estimate, film: np.ndarray, frame: np.ndarray
) -> tuple[dict[int, float], dict[int, float]]:
    """Correlation of an image error, and of a depth error, with that of the same keypoint ``lag`` frames later.

    Errors longer than half a half-size or a metre are failures and left out.
    """
    offset, depth = estimate.points - view.truth, depth_errors(view, estimate)
    place = {key: i for i, key in enumerate(zip(film.tolist(), frame.tolist(), strict=True))}
    points, depths = {}, {}
    for lag in LAGS:
        pairs = np.array([(i, place[f, t + lag]) for (f, t), i in place.items() if (f, t + lag) in place])
        a, b = pairs.T
        both = view.seen[a] & view.seen[b]
        near = both & (np.linalg.norm(offset[a], axis=-1) < 0.5) & (np.linalg.norm(offset[b], axis=-1) < 0.5)
        points[lag] = float(np.corrcoef(offset[a][near].ravel(), offset[b][near].ravel())[0, 1])
        known = both & np.isfinite(depth[a]) & (np.abs(depth[a]) < 1) & (np.abs(depth[b]) < 1)
        depths[lag] = float(np.corrcoef(depth[a][known], depth[b][known])[0, 1])
    return points, depths


def swapped(view: CropView, estimate: Estimate, rows: np.ndarray) -> dict[str, float]:
    """Share of frames in which the two sides fit better exchanged, of those where they lie 0.1 half-sizes apart."""
    shares = {}
    for name, (right, left) in PAIRS.items():
        use = rows & view.seen[:, right] & view.seen[:, left]
        use &= np.linalg.norm(view.truth[:, right] - view.truth[:, left], axis=-1) > 0.1
        found, true = estimate.points[use][:, [right, left]], view.truth[use][:, [right, left]]
        straight = np.linalg.norm(found - true, axis=-1).sum(1)
        crossed = np.linalg.norm(found - true[:, ::-1], axis=-1).sum(1)
        shares[name] = float((crossed < straight).mean()) if use.any() else float("nan")
    return shares
