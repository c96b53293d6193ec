"""The plots on the page of ``benchmarks.lifting``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.evaluation.calibration import rank_correlation_by_joint, reliability
from diffmocap.evaluation.wild_scores import BEST_OF, WildFigures
from diffmocap.evaluation.wild_views import STRATA

#: The paper's table 1: pixel alignment error by guidance weight.
PAPER = {
    "paper's transformer, 11M": {"0.0": 0.080, "0.5": 0.068, "2.0": 0.058},
    "paper's MLP, 27M": {"0.0": 0.382, "0.5": 0.223, "2.0": 0.241},
}
#: Bounds of the groups that errors are shown by: distance of the pelvis [m], and how far it is turned away [degrees].
DISTANCES, TURNS = (1.5, 2.5, 3.5, 5.0, 6.5, 8.0), (0, 30, 60, 90, 120, 150, 180)
#: Joints whose reliability is drawn.
SHOWN_JOINTS = ("head", "left_shoulder", "left_elbow", "left_wrist", "left_knee", "left_ankle")
ORANGE, BLUE, GREY = "#e07b1a", "#2f7fc1", "#8a8a8a"


def _save(figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def guidance_plot(curves: Mapping[str, Mapping[str, float]], path: Path) -> Path:
    """Pixel alignment error against w: ``curves`` are ours by name, the paper's are added."""
    figure, axis = plt.subplots(figsize=(8.4, 4.0), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0.1, 0.8, max(len(curves), 2)))
    for (name, values), colour in zip(curves.items(), colours, strict=False):
        axis.plot([float(w) for w in values], list(values.values()), marker="o", color=colour, label=name)
    for (name, values), style in zip(PAPER.items(), ("--", ":"), strict=True):
        axis.plot([float(w) for w in values], list(values.values()), marker="s", color=GREY, ls=style, label=name)
    axis.set(xlabel="guidance weight w", ylabel="pixel alignment error", yscale="log")
    axis.set_title("Paper protocol; lower is better")
    axis.set_xticks([float(w) for w in next(iter(PAPER.values()))])
    axis.grid(True, which="both", axis="y", alpha=0.25)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    return _save(figure, path)


def wild_plot(wild: WildFigures, path: Path) -> Path:
    """Errors of the single sample by stratum, and with the whole body in view by distance and by direction."""
    r = wild.result
    stratum, whole = r.stratum.numpy(), r.stratum.numpy() == 0
    turned = np.abs(r.facing_deg.numpy())
    groups = {
        "": [(name, stratum == i) for i, name in enumerate(STRATA)],
        "distance [m], whole body": _bins(r.distance_m.numpy(), DISTANCES, whole),
        "turned away from the camera [°], whole body": _bins(turned, TURNS, whole),
        "detector's noise [% of half-size], whole body": [
            (f"{100 * level:.1f}", whole & np.isclose(r.noise.numpy(), level)) for level in np.unique(r.noise.numpy())
        ],
    }
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), sharey=True, layout="constrained")
    errors = {
        "MPJPE": (wild.mpjpe[:, 0], ORANGE), "PA-MPJPE": (wild.aligned[:, 0], BLUE),
        f"best of {BEST_OF}, MPJPE": (wild.mpjpe[:, :BEST_OF].min(1), GREY),
    }  # fmt: skip
    for axis, (title, parts) in zip(axes, groups.items(), strict=True):
        parts = [(name, rows) for name, rows in parts if rows.any()]
        for i, (label, (values, colour)) in enumerate(errors.items()):
            heights = [values[rows].mean() for _, rows in parts]
            spread = [values[rows].std() / np.sqrt(rows.sum()) for _, rows in parts]
            axis.bar(np.arange(len(parts)) + 0.27 * (i - 1), heights, 0.25, yerr=spread, color=colour, label=label)
        axis.set_xticks(range(len(parts)), [f"{name}\nn = {rows.sum()}" for name, rows in parts], fontsize=7)
        axis.set_xlabel(title)
    axes[0].set_ylabel("mm, with standard error")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, fontsize=8, ncols=3, loc="outside upper center")
    return _save(figure, path)


def _bins(values: np.ndarray, bounds: Sequence[float], within: np.ndarray) -> list[tuple[str, np.ndarray]]:
    group = np.digitize(values, bounds[1:-1])
    return [(f"{low:g}–{high:g}", within & (group == i)) for i, (low, high) in enumerate(zip(bounds, bounds[1:]))]


def best_of_plot(wild: WildFigures, path: Path) -> Path:
    """MPJPE of the best among the first K samples, over K."""
    figure, axis = plt.subplots(figsize=(6.0, 3.8), layout="constrained")
    best = np.minimum.accumulate(wild.mpjpe, axis=1)
    stratum, k = wild.result.stratum.numpy(), np.arange(1, best.shape[1] + 1)
    axis.plot(k, best.mean(0), color="black", lw=2, marker="o", ms=4, label="all")
    for i, name in enumerate(STRATA):
        if (stratum == i).any():
            axis.plot(k, best[stratum == i].mean(0), marker=".", label=name)
    axis.axhline(0.75 * best[:, 0].mean(), color=GREY, ls="--", lw=1, label="25 % below the single sample, all")
    axis.axvline(BEST_OF, color=GREY, lw=0.5)
    axis.set(xlabel="samples K", ylabel="MPJPE of the best [mm]", ylim=(0, None), xticks=[1, *range(5, len(k) + 1, 5)])
    axis.legend(frameon=False, fontsize=8)
    return _save(figure, path)


def calibration_plot(wild: WildFigures, path: Path) -> Path:
    """Error of the samples' mean against their spread, how reliable it is by joint, and the rank correlations."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.4), width_ratios=[1, 1, 1.2], layout="constrained")
    cloud, curves, bars = axes
    spread, error, k = wild.spread, wild.error, wild.mpjpe.shape[1]
    low, high = 2.0, 1.1 * max(spread.max(), error.max())
    cloud.hexbin(
        spread.ravel(), error.ravel(), gridsize=40, xscale="log", yscale="log", cmap="Blues", mincnt=1, bins="log",
        extent=2 * (np.log10(low), np.log10(high)),
    )  # fmt: skip
    cloud.set(title="every joint of every frame", ylabel="error of the samples' mean [mm]")
    curves.plot(*reliability(spread, error, k), color="black", marker="o", lw=2, label="all joints")
    for name in SHOWN_JOINTS:
        j = JOINT_NAMES.index(name) - 1
        curves.plot(*reliability(spread[:, j], error[:, j], k, 6), marker=".", label=name.removeprefix("left_"))
    curves.set(title="root mean square, bins of equal size", xscale="log", yscale="log")
    curves.legend(frameon=False, fontsize=8)
    for axis in (cloud, curves):
        axis.plot([low, high], [low, high], color=GREY, ls="--", lw=1)
        axis.set_xlabel("spread of the samples [mm]")
    rho = rank_correlation_by_joint(spread, error)
    order = np.argsort(rho)
    bars.barh([JOINT_NAMES[j + 1] for j in order], rho[order], color=BLUE)
    bars.axvline(rho.mean(), color="black", lw=1, label=f"mean {rho.mean():.2f}")
    bars.axvline(0.5, color=GREY, ls="--", lw=1, label="asked 0.5")
    bars.set(title="Spearman, spread against error over frames")
    bars.tick_params(axis="y", labelsize=7)
    bars.legend(frameon=False, fontsize=8, loc="lower right")
    return _save(figure, path)
