"""Plots of costs, step directions, turned tasks and Rosenbrock alone on the page of ``benchmarks.optimizers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.optimizers.figures import COLOURS, GREY, LEAST, plt, save
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.paper import OPTIMUS
from benchmarks.optimizers.turned import EVALUATIONS, HEADLINE


def cost_plot(step_time: Mapping[str, Mapping[str, float]], peak_mb: float | None, memory_n: int, path: Path) -> Path:
    """Milliseconds of an iteration against N, and what memory a run needs beside a matrix."""
    figure, (times, memory) = plt.subplots(1, 2, figsize=(10.5, 4.0), layout="constrained")
    for key, solver, label in (
        ("step_ms", OPTIMUS, OPTIMUS), ("plain_step_ms", PLAIN_STEP, PLAIN_STEP),
        ("bfgs_step_ms", "BFGS", "SciPy's BFGS"),
    ):  # fmt: skip
        n = [int(k) for k in step_time[key]]
        times.plot(n, list(step_time[key].values()), marker="o", lw=2, color=COLOURS[solver], label=label)
    n = np.array([int(k) for k in step_time["step_ms"]], float)
    last_ours, last_bfgs = step_time["step_ms"][str(int(n[-1]))], step_time["bfgs_step_ms"][str(int(n[-1]))]
    times.plot(n, last_ours * (n / n[-1]) ** 2, color=GREY, ls="--", lw=1, label="$N^2$")
    times.plot(n, last_bfgs * (n / n[-1]) ** 3, color=GREY, ls=":", lw=1, label="$N^3$")
    times.set(xscale="log", yscale="log", xlabel="N", ylabel="ms per iteration, one problem", title="time")
    times.set_xticks(n, [f"{int(v)}" for v in n])
    times.minorticks_off()
    times.grid(True, alpha=0.25)
    times.legend(frameon=False)
    n = np.geomspace(100, 20_000, 200)
    memory.plot(n, 600 * n * 4 / 2**20, color=COLOURS[OPTIMUS], ls="--", label="600 factors, float32")
    memory.plot(n, n**2 * 4 / 2**20, color=GREY, ls="--", label="a matrix, float32")
    memory.plot(n, n**2 * 8 / 2**20, color=COLOURS["BFGS"], ls="--", label="a matrix, float64 (BFGS: several)")
    if peak_mb is not None:
        memory.plot([memory_n], [peak_mb], "o", ms=8, color=COLOURS[OPTIMUS], label=f"measured peak: {peak_mb:.0f} MB")
    memory.set(xscale="log", yscale="log", xlabel="N", ylabel="MB", title="memory of 200 steps")
    memory.grid(True, alpha=0.25)
    memory.legend(frameon=False, fontsize=9)
    return save(figure, path)


def direction_plot(cosines: Mapping[str, Mapping[str, Sequence[float | None]]], path: Path) -> Path:
    """Mean |cos| of the steps with gradient and Newton's step by iteration."""
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.8), sharey=True, layout="constrained")
    for axis, (key, title) in zip(axes, (("gradient", "the gradient"), ("newton", "Newton's step")), strict=True):
        for solver, of in cosines.items():
            values = np.array([np.nan if v is None else v for v in of[key]], float)
            axis.plot(np.arange(1, len(values) + 1), values, lw=1.6, color=COLOURS.get(solver), label=solver)
        axis.set(xlabel="iteration", title=f"mean |cos| with {title}", ylim=(0, 1.02))
        axis.axhline(2 / np.pi, color=GREY, ls=":", lw=1)
        axis.grid(True, alpha=0.25)
    axes[0].text(200, 2 / np.pi - 0.015, "a random direction", fontsize=8, color=GREY, ha="right", va="top")
    axes[1].legend(frameon=False, fontsize=9, loc="lower right")
    return save(figure, path)


def rosenbrock_plot(finals: Mapping[str, Mapping[int, float]], path: Path) -> Path:
    """Mean final f - f* on Rosenbrock against N, the weights trained on it alone among the solvers."""
    figure, axis = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    for solver, of in finals.items():
        n = sorted(of)
        values = np.clip([of[k] for k in n], LEAST, None)
        wide = 2.4 if solver.startswith(OPTIMUS) else 1.2
        axis.plot(n, values, marker="o", ms=4, lw=wide, color=COLOURS.get(solver), label=solver)
    axis.axvspan(2, 100, color=GREY, alpha=0.12, lw=0)
    axis.set(xscale="log", yscale="log", xlabel="N (grey: trained on)", ylabel="f - f*")
    axis.set_title("Rosenbrock, 200 iterations")
    ticks = sorted({n for of in finals.values() for n in of})
    axis.set_xticks(ticks, ticks)
    axis.set_xlim(ticks[0] * 0.85, ticks[-1] * 1.15)
    axis.minorticks_off()
    axis.grid(True, alpha=0.25)
    figure.legend(frameon=False, fontsize=9, loc="outside right upper")
    return save(figure, path)


def turned_plot(tasks: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], path: Path) -> Path:
    """Decades after the headline's evaluations beyond the plain step, task by task: with their axes and turned."""
    figure, axis = plt.subplots(figsize=(12.5, 4.6), layout="constrained")
    at = EVALUATIONS.index(HEADLINE)

    def beyond(label: str, side: str) -> float:
        return tasks[label][side][OPTIMUS][at] - tasks[label][side][PLAIN_STEP][at]

    order = sorted(tasks, key=lambda label: beyond(label, "turned"))
    for side, colour, label in (("as_they_are", GREY, "as they are"), ("turned", COLOURS[OPTIMUS], "turned")):
        axis.plot([beyond(task, side) for task in order], "o", ms=5, color=colour, label=label)
    axis.axhline(0, color="black", ls=":", lw=1)
    axis.set_xticks(range(len(order)), order, rotation=90, fontsize=7)
    axis.set(ylabel="decades beyond the plain step", title=f"Optimus after {HEADLINE} evaluations")
    axis.grid(True, axis="y", alpha=0.25)
    axis.legend(frameon=False)
    return save(figure, path)


def trajectory_plot(trajectories: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], path: Path) -> Path:
    """Paths in the first two coordinates over level lines of the 2D function, a panel a dimension (supplement, 6)."""
    figure, axes = plt.subplots(
        1, len(trajectories), figsize=(4.2 * len(trajectories), 4.2), squeeze=False, layout="constrained"
    )
    for axis, (n, of) in zip(axes[0], trajectories.items(), strict=True):
        points = {solver: np.array(path) for solver, path in of.items()}
        shown = np.concatenate([*points.values(), [[1.0, 1.0]]])
        low, high = np.clip(shown.min(0), -3, 3) - 0.3, np.clip(shown.max(0), -3, 3) + 0.3
        x, y = np.meshgrid(np.linspace(low[0], high[0], 200), np.linspace(low[1], high[1], 200))
        axis.contour(x, y, np.log10(100 * (y - x**2) ** 2 + (x - 1) ** 2 + 1e-3), 14, colors=GREY, linewidths=0.5)
        for solver, path_ in points.items():
            axis.plot(*path_.T, marker="o", ms=2.5, lw=1.1, color=COLOURS.get(solver), label=solver)
        axis.plot(1, 1, "*", ms=11, color="black")
        axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="$x_1$", title=f"N = {n}")
    axes[0, 0].set_ylabel("$x_2$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncols=5, loc="outside lower center")
    return save(figure, path)
