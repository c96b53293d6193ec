"""The 45 tasks in turned coordinates: what is learned, and does not hang on where the axes are.

Every solver's decades are compared with those of the L-BFGS step of which nothing is learned, start by start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from benchmarks.optimizers.learned import PLAIN_STEP, LearnedSolver, run_tasks
from benchmarks.optimizers.paper import OPTIMUS
from benchmarks.optimizers.scores import decades_after
from benchmarks.optimizers.tasks import BenchmarkTask
from diffmocap.evaluation.bootstrap import LEVEL, resampled

#: Evaluations after which decades are counted, and that of the headline.
EVALUATIONS, HEADLINE = (10, 30, 100), 30


def turned_part(
    solvers: Mapping[str, LearnedSolver], tasks: Sequence[BenchmarkTask], starts: Callable[[BenchmarkTask], int],
    keep: Path | None, known: Mapping[str, Mapping[BenchmarkTask, torch.Tensor]] = MappingProxyType({}),
) -> dict:  # fmt: skip
    """Runs every solver on the tasks with their axes and turned, and counts decades; see :func:`figures_of`.

    Args:
        known: curves of the shifted tasks, by solver, that need not be run again.
    """
    curves: dict[str, dict[str, dict[BenchmarkTask, torch.Tensor]]] = {}
    for side, turned in (("turned", True), ("as_they_are", False)):
        curves[side] = {}
        for name, solver in solvers.items():
            there = {} if turned else {task: found for task, found in known.get(name, {}).items() if task in tasks}
            runs = run_tasks(solver, [t for t in tasks if t not in there], starts, True, keep, turned)
            curves[side][name] = there | {task: run.curves for task, run in runs.items()}
    return figures_of(curves)


def figures_of(curves: Mapping[str, Mapping[str, Mapping[BenchmarkTask, torch.Tensor]]]) -> dict:
    """From curves [T, starts] by side, solver and task, the plain step's among them, on each side.

    Returns ``tasks``: by label, side and solver, mean decades over the starts after :data:`EVALUATIONS`; ``medians``:
    over the tasks, by side and solver; ``over_plain_step``: median over the tasks of the decades beyond the plain step,
    with its interval, by side, solver and evaluations.
    """
    found: dict = {"tasks": {}, "medians": {}, "over_plain_step": {}}
    for side, of_solver in curves.items():
        tasks = sorted(of_solver[PLAIN_STEP])
        functions = [task.function for task in tasks]
        plain = _decades(of_solver[PLAIN_STEP], tasks)
        for name, of_task in of_solver.items():
            ours = _decades(of_task, tasks)
            for task, row in zip(tasks, ours):
                found["tasks"].setdefault(task.label, {}).setdefault(side, {})[name] = _rounded(row)
            found["medians"].setdefault(side, {})[name] = _rounded(np.median(ours, 0))
            if name != PLAIN_STEP:
                found["over_plain_step"].setdefault(side, {})[name] = {
                    str(e): _rounded(median_interval(beyond, functions))
                    for e, beyond in zip(EVALUATIONS, (ours - plain).T)
                }
    return found


def _decades(of_task: Mapping[BenchmarkTask, torch.Tensor], tasks: Sequence[BenchmarkTask]) -> np.ndarray:
    """Mean over the starts [tasks, evaluations]."""
    return np.array([[float(decades_after(of_task[task], e).mean()) for e in EVALUATIONS] for task in tasks])


def median_interval(values: np.ndarray, clusters: Sequence[str], draws: int = 2000) -> list[float]:
    """Median of [tasks], low and high end of its bootstrap interval. A function's dimensions are drawn together: they
    differ little, and fifteen functions are not forty-five."""
    drawn = [np.median(np.repeat(values, counts)) for counts in resampled(clusters, draws)]
    return [float(np.median(values)), *np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]).tolist()]


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(v), 3) for v in values]


def headline(found: dict) -> dict:
    """The JSON line's figures: decades of Optimus beyond the plain step after :data:`HEADLINE` evaluations."""
    beyond = {side: of[OPTIMUS][str(HEADLINE)] for side, of in found["over_plain_step"].items()}
    return {
        "rotated_decades_over_lbfgs_step": beyond["turned"][0],
        "rotated_decades_over_lbfgs_step_interval": beyond["turned"][1:],
        "unrotated_decades_over_lbfgs_step": beyond["as_they_are"][0],
        "unrotated_decades_over_lbfgs_step_interval": beyond["as_they_are"][1:],
    }
