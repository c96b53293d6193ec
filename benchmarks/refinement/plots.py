"""The plots on the page of ``benchmarks.refinement``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.refinement.scores import BFGS
from benchmarks.refinement.solvers import ADAFACTOR_MLP, ADAM, LBFGS, MOMENTUM, OPTIMUS

GREY = "#8a8a8a"
COLOURS = {
    OPTIMUS: "#d1495b", BFGS: "#2f7fc1", ADAFACTOR_MLP: "#3a9d5d", ADAM: "#e07b1a", MOMENTUM: "#8d6cab",
    LBFGS: "#50b5c4", PLAIN_STEP: "#404e7c",
}  # fmt: skip
TITLES = {"in_domain": "in domain: walks", "out_of_domain": "out of domain"}


def convergence_plot(part: Mapping, path: Path) -> Path:
    """Median loss and its quartiles by evaluation, a panel a domain; then by seconds, of problems solved alone."""
    panels = [name for name in TITLES if name in part["curves"]]
    figure, axes = plt.subplots(1, len(panels) + 1, figsize=(5.2 * (len(panels) + 1), 4.2), layout="constrained")
    for axis, name in zip(axes, panels):
        for solver, (low, middle, high) in part["curves"][name].items():
            evaluations = np.arange(1, len(middle) + 1)
            axis.plot(evaluations, middle, lw=2.2 if solver == OPTIMUS else 1.3, color=COLOURS[solver], label=solver)
            axis.fill_between(evaluations, low, high, color=COLOURS[solver], alpha=0.12, lw=0)
        end = part["curves"][name][BFGS][1][-1]
        axis.axhline(end, color=GREY, lw=0.9, ls=":")
        axis.set(yscale="log", xlabel="evaluations", title=TITLES[name])
    for solver, curve in part["timed_curves"].items():
        axes[-1].plot(curve["seconds"], curve["loss"], lw=2.2 if solver == OPTIMUS else 1.3, color=COLOURS[solver])
    axes[-1].set(xscale="log", yscale="log", xlabel="seconds, one problem alone", title="in domain, timed")
    axes[0].set_ylabel("loss: median, quartiles shaded")
    for axis in axes:
        axis.grid(True, alpha=0.25)
    axes[0].legend(frameon=False, fontsize=9)
    return save(figure, path)


def trade_plot(figures: Mapping[str, Mapping[str, list[float]]], after: str, path: Path) -> Path:
    """Excess foot skate and unexplained root wrench against jitter: before, after and the filters, with intervals."""
    shown = {
        "before": "lifted", "one_euro_tuned": "one-euro, tuned", "one_euro": "one-euro, equal jitter",
        "kalman_tuned": "Kalman, tuned", "kalman": "Kalman, equal jitter", after: f"refined ({after})",
        "source motion": "source motion",
    }  # fmt: skip
    markers = dict(zip(shown, "oDdDdos"))
    colours = dict(zip(shown, ("#8a8a8a", "#f2b134", "#e07b1a", "#7db5e0", "#2f7fc1", "#d1495b", "black")))
    labels = {
        "foot_skate_pct": "foot skate, excess [points]", "root_residual": "root residual [% of weight]",
        "mpjpe_g_mm": "MPJPE-G [mm]",
    }  # fmt: skip
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for axis, (key, label) in zip(axes, labels.items()):
        for name, text in shown.items():
            x, y = (np.array(figures[name][k]) for k in ("tv", key))
            reach = [np.clip([[v[0] - v[1]], [v[2] - v[0]]], 0.0, None) for v in (x, y)]
            axis.errorbar(
                x[0], y[0], xerr=reach[0], yerr=reach[1],
                marker=markers[name], color=colours[name], label=text, capsize=2, lw=1, ms=7,
            )  # fmt: skip
        axis.set(xscale="log", xlabel="TV of acceleration [m/s²]", ylabel=label)
        axis.grid(True, alpha=0.25)
    axes[1].set_yscale("log")
    axes[0].legend(frameon=False, fontsize=8)
    return save(figure, path)


def save(figure, path: Path) -> Path:
    """Writes and closes."""
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
