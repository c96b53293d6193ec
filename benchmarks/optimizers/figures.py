"""The plots over tasks on the page of ``benchmarks.optimizers``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from benchmarks.optimizers.curves import EVALUATIONS
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.paper import ADAFACTOR_MLP, OPTIMUS, paper_value
from benchmarks.optimizers.scores import profile
from benchmarks.optimizers.summary import ADAFACTOR_MLP_LARGE, PROFILE_SOLVERS, Measured
from benchmarks.optimizers.tasks import DIMENSIONS, BenchmarkTask
from diffmocap.optim.functions import FUNCTIONS

GREY = "#8a8a8a"
COLOURS = {
    OPTIMUS: "#d1495b", "BFGS": "#2f7fc1", ADAFACTOR_MLP: "#3a9d5d", "Adam": "#e07b1a", "Momentum": "#8d6cab",
    "L-BFGS": "#50b5c4", ADAFACTOR_MLP_LARGE: "#9bc53d", "Optimus, Rosenbrock only": "#5c3c42", PLAIN_STEP: "#404e7c",
}  # fmt: skip
#: Below this a value is drawn at the bottom of logarithmic axes.
LEAST = 1e-16


def save(figure, path: Path) -> Path:
    """Writes and closes."""
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def profile_plot(groups: Mapping[str, Mapping[str, list[float]]], path: Path) -> Path:
    """Performance profiles: by title of a panel, ratios by solver."""
    figure, axes = plt.subplots(
        1, len(groups), figsize=(5.2 * len(groups), 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    t = torch.linspace(0, 8, 801)
    for axis, (title, ratios) in zip(axes[0], groups.items(), strict=True):
        for solver in PROFILE_SOLVERS:
            values = ratios.get(solver)
            if values:
                share = 100 * profile(values, t)
                axis.step(10 ** t.numpy(), share, where="post", lw=2, color=COLOURS[solver], label=solver)
        count = len(next(iter(ratios.values()), []))
        axis.set(xscale="log", xlim=(1, 1e8), ylim=(0, 102), xlabel="t", title=f"{title}: {count} tasks")
        axis.axvline(1e6, color=GREY, lw=0.8, ls=":")
        axis.grid(True, alpha=0.25)
    axes[0, 0].set_ylabel("tasks within t times the best solver [%]")
    if groups and axes[0, -1].get_lines()[1:]:
        axes[0, -1].legend(frameon=False, fontsize=9, loc="lower right")
    return save(figure, path)


def relative_plot(ratios: Mapping[str, Mapping[BenchmarkTask, float]], path: Path) -> Path:
    """Relative iterations, each baseline's tasks in their own order; names are those of the BFGS order."""
    figure, axis = plt.subplots(figsize=(12.5, 5.6), layout="constrained")
    least = 0.25
    for solver, of in ratios.items():
        if not of:
            continue
        values = np.sort(np.array(list(of.values())))
        percent = 100 * (np.arange(len(values)) + 0.5) / len(values)
        never = int((values == 0).sum())
        label = solver + (f" ({never} of {len(values)} never reached)" if never else "")
        axis.plot(percent, values.clip(min=least), marker="o", ms=4, lw=1.2, color=COLOURS[solver], label=label)
    order = sorted(ratios.get("BFGS", {}).items(), key=lambda item: item[1])
    if order:
        ticks = 100 * (np.arange(len(order)) + 0.5) / len(order)
        axis.set_xticks(ticks, [task.label for task, _ in order], rotation=90, fontsize=7)
        axis.tick_params(axis="x", colors=COLOURS["BFGS"])
    axis.axhline(1, color="black", ls=":", lw=1.2)
    axis.text(106.5, 1.04, "break-even", fontsize=8, va="bottom", ha="right")
    axis.set(yscale="log", ylim=(least * 0.85, 150), xlim=(0, 107), ylabel="relative iterations")
    axis.set_yticks([least, 1, 10, 100], ["0", "1", "10", "100"])
    axis.set_xlabel("tasks by percentile; names in the order of Optimus against BFGS")
    axis.grid(True, which="both", axis="y", alpha=0.2)
    if any(ratios.values()):
        axis.legend(frameon=False, fontsize=9, loc="upper left")
    return save(figure, path)


def dimension_plot(measured: Measured, path: Path) -> Path:
    """Mean final f - f* against the dimension, a panel a function; dashed: the paper's Optimus."""
    figure, axes = plt.subplots(5, 3, figsize=(12, 15), sharex=True, layout="constrained")
    for axis, name in zip(axes.flat, FUNCTIONS, strict=True):
        for solver, records in measured.records.items():
            points = sorted((t.dimension, c.mean[-1]) for t, c in records.items() if t.function == name)
            if points:
                n, values = np.array(points).T
                wide = 2.2 if solver == OPTIMUS else 1.2
                axis.plot(n, values.clip(LEAST), marker="o", ms=3, lw=wide, color=COLOURS.get(solver), label=solver)
        if name not in ("Perm", "Trid"):  # of another scale, and of another minimum
            theirs = {n: paper_value(BenchmarkTask(name, n), OPTIMUS) for n in DIMENSIONS}
            known = {n: v for n, v in theirs.items() if v is not None}
            axis.plot(list(known), np.clip(list(known.values()), LEAST, None), color=COLOURS[OPTIMUS], ls="--", lw=1,
                      label="paper's Optimus")  # fmt: skip
        axis.set(xscale="log", yscale="log", title=name + (", scaled" if name == "Perm" else ""))
        axis.set_xticks(DIMENSIONS, DIMENSIONS, fontsize=7, rotation=45)
        axis.minorticks_off()
        axis.grid(True, alpha=0.25)
    for axis in axes[:, 0]:
        axis.set_ylabel("f - f*")
    for axis in axes[-1]:
        axis.set_xlabel("N")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncols=8, loc="outside upper center")
    return save(figure, path)


def evaluations_plot(measured: Measured, dimensions: Iterable[int], path: Path) -> Path:
    """Best f - f* against evaluations on Rosenbrock, a panel a dimension (supplement, figure 4)."""
    dimensions = list(dimensions)
    columns = min(4, len(dimensions))
    rows = -(-len(dimensions) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.6 * columns, 3.2 * rows), sharex=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(dimensions) :]:
        axis.set_visible(False)
    for axis, n in zip(axes.flat, dimensions):
        task = BenchmarkTask("Rosenbrock", n)
        for solver, records in measured.records.items():
            if task in records:
                curve = records[task]
                shown = [e for e in EVALUATIONS if e <= curve.evaluations * 1.2]
                values = np.clip(curve.by_evaluation[: len(shown)], LEAST, None)
                wide = 2.2 if solver == OPTIMUS else 1.2
                axis.plot(shown, values, lw=wide, color=COLOURS.get(solver), label=solver)
        axis.set(xscale="log", yscale="log", title=f"N = {n}")
        axis.set_ylim(bottom=max(axis.get_ylim()[0], 1e-14))
        axis.grid(True, alpha=0.25)
    for axis in axes[:, 0]:
        axis.set_ylabel("f - f*")
    for axis in axes[-1]:
        axis.set_xlabel("evaluations")
    handles, labels = max((axis.get_legend_handles_labels() for axis in axes.flat), key=lambda pair: len(pair[0]))
    figure.legend(handles, labels, frameon=False, ncols=8, fontsize=9, loc="outside upper center")
    return save(figure, path)
