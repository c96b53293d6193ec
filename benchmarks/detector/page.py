"""The dated page of ``benchmarks/detector/detector_gap.py`` and its plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.detector.crop import CropView
from benchmarks.detector.measure import (
    PAIRS,
    Estimate,
    by_confidence,
    by_keypoint,
    correlations,
    depth_by_keypoint,
    direction_groups,
    error_correlation,
    point_errors,
    summary,
    swapped,
)
from benchmarks.page.report import RESULTS, Page, provenance
from benchmarks.synthetic.breakdown import SIZE_BOUNDS

#: Groups of frames: title, then name -> [M] bool.
Groups = dict[str, dict[str, np.ndarray]]


def write_page(
    view: CropView, before: Estimate, after: Estimate, groups: Groups, times: tuple[np.ndarray, np.ndarray],
    world: dict[str, dict[str, float]], data: str,
) -> Path:  # fmt: skip
    """``times`` are the film and frame numbers [M]; ``world`` the errors of the world landmarks by direction."""
    page = Page.of_today("detector-gap", RESULTS)
    points, depths = correlations(view, after, *times)
    plot(view, before, after, points, depths, page.beside(".png"))
    lines = [
        "# MediaPipe's points against the body model's keypoints", "",
        *provenance("benchmarks.detector_gap", data), "",
        "Image errors are over the half-size of the person's box (of the true places of the keypoints seen, in the "
        "crop frame); depths are relative to the mid-hip along the ray through the box. First comes the landmark of "
        "the keypoint's name, then (\"after\") the mapping, fitted to other subjects than it is tried on.", "",
        f"![Errors before and after the mapping, by direction, confidence and time]({page.name}.png)", "",
        "## By keypoint", "",
        "| keypoint | drawn too low by | after | std | after | median | after | depth RMSE mm | after | R2 | after "
        "| seen front, side, rear |",
        "|---|" + "---:|" * 10 + "---|",
        *_keypoint_rows(by_keypoint(view, before, after)), "",
        "## Depth by keypoint", "",
        "Gain and offset of the line from MediaPipe's depths to the true ones; then what the mapping leaves over, by "
        "direction.", "",
        "| keypoint | gain | offset mm | RMSE mm front | side | rear | R2 front | side | rear |", "|---|" + "---:|" * 8,
        *_depth_rows(depth_by_keypoint(view, before, after)), "",
        f"Errors of a keypoint in the image and in depth correlate with {error_correlation(view, after):.2f}.", "",
        *_group_tables(view, before, after, groups),
        "## Sides exchanged", "",
        "Share of frames in which left and right fit better the other way round, where they lie 0.1 half-sizes apart.",
        "", f"| direction | {' | '.join(PAIRS)} |", "|---|" + "---:|" * len(PAIRS),
        *(
            f"| {name} | {' | '.join(f'{100 * share:.1f} %' for share in swapped(view, after, rows).values())} |"
            for name, rows in direction_groups(view).items()
        ), "",
        "## Does confidence tell the error?", "",
        "| confidence | keypoints | median after | mean after |", "|---|---:|---:|---:|",
        *(f"| {a:g} to {b:g} | {n} | {m:.3f} | {mean:.3f} |" for a, b, n, m, mean in by_confidence(view, after)), "",
        "## Over time", "",
        "Correlation of an error with that of the same keypoint some frames (of 1/30 s) later.", "",
        f"| frames | {' | '.join(map(str, points))} |", "|---|" + "---:|" * len(points),
        f"| image | {' | '.join(f'{c:.2f}' for c in points.values())} |",
        f"| depth | {' | '.join(f'{c:.2f}' for c in depths.values())} |", "",
        "## MediaPipe's world landmarks", "",
        "Millimetres over the 12 limb joints. The linear map is fitted to other subjects (5 folds).", "",
        "| direction | PA-MPJPE | after a linear map | MPJPE | after a linear map |", "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {f['pa']:.1f} | {f['linear_pa']:.1f} | {f['mpjpe']:.1f} | {f['linear_mpjpe']:.1f} |"
            for name, f in world.items()
        ),
    ]  # fmt: skip
    return page.write(lines)


def _keypoint_rows(table: dict[str, dict[str, float]]) -> list[str]:
    rows = []
    for name, f in table.items():
        pairs = [
            " | ".join(f"{f[f'{key}_{label}']:{style}}" for label in ("before", "after"))
            for key, style in (("down", ".3f"), ("std", ".3f"), ("median", ".3f"), ("depth_rmse_mm", ".0f"),
                               ("depth_r2", ".2f"))
        ]  # fmt: skip
        seen = ", ".join(f"{100 * f[f'seen_{group}']:.0f} %" for group in ("front", "side", "rear"))
        rows.append(f"| {name} | {' | '.join(pairs)} | {seen} |".replace("nan", "-"))
    return rows


def _depth_rows(table: dict[str, dict[str, float]]) -> list[str]:
    styles = {"gain": ".2f", "offset_mm": ".0f"}
    styles |= {f"{figure}_{group}": style for figure, style in (("rmse_mm", ".0f"), ("r2", ".2f"))
               for group in ("front", "side", "rear")}  # fmt: skip
    return [f"| {name} | {' | '.join(f'{f[key]:{s}}' for key, s in styles.items())} |" for name, f in table.items()]


def _group_tables(view: CropView, before: Estimate, after: Estimate, groups: Groups) -> list[str]:
    lines = [
        "## By group", "",
        "| group | frames | mean | after | median | after | depth RMSE mm | after | R2 | after |",
        "|---|" + "---:|" * 9,
    ]  # fmt: skip
    for title, members in groups.items():
        for name, rows in members.items():
            a, b = summary(view, before, rows), summary(view, after, rows)
            cells = [
                f"{a[key]:{style}} | {b[key]:{style}}"
                for key, style in (("mean", ".4f"), ("median", ".4f"), ("depth_rmse_mm", ".0f"), ("depth_r2", ".2f"))
            ]
            lines.append(f"| {title}: {name} | {a['frames']} | {' | '.join(cells)} |")
    near, far = SIZE_BOUNDS
    return [*lines, "", f"Size: the longer side of the person's box, near from {near:g} px, far below {far:g} px.", ""]


def plot(
    view: CropView, before: Estimate, after: Estimate, points: dict[int, float], depths: dict[int, float], path: Path
) -> None:
    """Four panels: error by keypoint, error by direction, error by confidence, correlation over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ((by_name, by_yaw), (by_visibility, over_time)) = plt.subplots(2, 2, figsize=(11, 7.5))
    table = by_keypoint(view, before, after)
    place = np.arange(len(table))
    for shift, label in ((-0.2, "before"), (0.2, "after")):
        by_name.bar(place + shift, [f[f"median_{label}"] for f in table.values()], 0.4, label=label)
    by_name.set_xticks(place, table, rotation=60, ha="right")
    by_name.set_ylabel("median error / half-size")
    by_name.legend()

    bounds = np.arange(-180, 181, 20)
    yaw = np.rad2deg(view.yaw)
    middles = 0.5 * (bounds[:-1] + bounds[1:])
    for label, estimate in (("before", before), ("after", after)):
        distance = point_errors(view, estimate)
        inside = [(yaw >= a) & (yaw < b) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
        by_yaw.plot(middles, [np.nanmedian(distance[i]) if i.any() else np.nan for i in inside], "o-", label=label)
    by_yaw.set_xlabel("yaw of the pelvis [deg], 0 faces the camera")
    by_yaw.set_ylabel("median error / half-size")
    by_yaw.set_ylim(0)
    by_yaw.legend()

    rows = by_confidence(view, after)
    by_visibility.bar(range(len(rows)), [r[3] for r in rows])
    by_visibility.set_xticks(range(len(rows)), [f"{r[0]:g}-{r[1]:g}" for r in rows])
    by_visibility.set_xlabel("confidence")
    by_visibility.set_ylabel("median error / half-size")

    over_time.plot(list(points), list(points.values()), "o-", label="image")
    over_time.plot(list(depths), list(depths.values()), "s-", label="depth")
    over_time.set_xlabel("frames apart (30 a second)")
    over_time.set_ylabel("correlation of errors")
    over_time.set_ylim(0, 1)
    over_time.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
