"""Curves of the hand-written solvers of ``benchmarks.optimizers``: tuned, measured task by task, never lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.optimizers.curves import Curve, append_curve, baseline_file, load_curves, make_curve, tidy
from benchmarks.optimizers.tasks import ITERATIONS, SEED, STARTS, TEST_DIMENSIONS, BenchmarkTask
from diffmocap.optim.first_order import Adam, Momentum
from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.optim.result import Result
from diffmocap.optim.stopping import Budget

#: By the names of the paper's table, L-BFGS beside.
TUNED: dict[str, Callable[[torch.Tensor], Optimizer]] = {"Adam": Adam, "Momentum": Momentum}
SEARCHING: dict[str, Callable[[], Optimizer]] = {"BFGS": Bfgs, "L-BFGS": Lbfgs}
BASELINES = (*SEARCHING, *TUNED)
#: 100 candidates, log-spaced (paper, section 5).
LEARNING_RATES = torch.logspace(-6, 0, 100, dtype=torch.float64)
#: Numbers that a chunk of problems has in one vector: more no longer fit the cache and are slower.
CHUNK = 100_000
#: Starts where not all are affordable, by the largest dimension that they are for. An update of SciPy's BFGS takes two
#: products of N x N matrices, and Perm's value N^2 powers a problem. With so many coordinates, starts differ little.
BFGS_STARTS = ((250, STARTS), (500, 8), (1000, 4))
#: Of learned optimizers, whose attention takes time that grows with N squared: a full run ends within an hour or so.
LEARNED_STARTS = ((50, STARTS), (100, 32), (250, 16), (500, 4), (1000, 2))
PERM_STARTS = ((100, STARTS), (250, 16), (500, 4), (1000, 2))
#: Over how many starts a learning rate is chosen.
TUNING_STARTS = ((100, STARTS), (1000, 16))
PERM_TUNING_STARTS = ((50, STARTS), (100, 16), (250, 4), (500, 2), (1000, 1))


def _up_to(table: tuple[tuple[int, int], ...], dimension: int) -> int:
    return next((starts for largest, starts in table if dimension <= largest), table[-1][1])


def affordable_starts(solver: str, task: BenchmarkTask) -> int:
    """How many starts of a task are run unless more are asked for."""
    if solver not in BASELINES:
        starts = _up_to(LEARNED_STARTS, task.dimension)
    else:
        starts = _up_to(BFGS_STARTS, task.dimension) if solver == "BFGS" else STARTS
    return min(starts, _up_to(PERM_STARTS, task.dimension)) if task.function == "Perm" else starts


def tuning_starts(task: BenchmarkTask) -> int:
    """Over how many starts the learning rate is chosen."""
    return _up_to(PERM_TUNING_STARTS if task.function == "Perm" else TUNING_STARTS, task.dimension)


def chunk_rows(task: BenchmarkTask, numbers: int = CHUNK) -> int:
    """How many problems are run side by side."""
    size = task.dimension ** (2 if task.function == "Perm" else 1)
    return max(1, numbers // size)


def tune(
    solver: str, task: BenchmarkTask, starts: int, rates: torch.Tensor = LEARNING_RATES, iterations: int = ITERATIONS
) -> float:
    """The rate with the lowest mean of f - f*, best so far after the last iteration, over the first starts."""
    problem, x = task.problem(shifted=False), task.starts(starts, shifted=False)
    rows, rate = x.repeat(len(rates), 1), rates.repeat_interleave(starts)[:, None]
    final, size = [], chunk_rows(task)
    for a in range(0, len(rows), size):
        solve = TUNED[solver](rate[a : a + size])
        final.append(solve.minimize(problem, rows[a : a + size], Budget(iterations=iterations)).loss)
    means = torch.cat(final).view(len(rates), starts).mean(1)
    return float(rates[means.argmin()])


def in_chunks(solve: Optimizer, problem, x: torch.Tensor, size: int, iterations: int = ITERATIONS) -> list[Result]:
    """Results of ``size`` starts at a time."""
    return [solve.minimize(problem, part, Budget(iterations=iterations)) for part in x.split(size)]


def measure(solver: str, task: BenchmarkTask, starts: int) -> Curve:
    """One task's curve: tuned, then run."""
    tuned: dict = {}
    if solver in TUNED:
        count = min(starts, tuning_starts(task))
        rate = tune(solver, task, count)
        solve, tuned = TUNED[solver](rate), {"learning_rate": float(f"{rate:.6g}"), "tuning_starts": count}
    else:
        solve = SEARCHING[solver]()
    results = in_chunks(
        solve, task.problem(shifted=False), task.starts(starts, shifted=False),
        chunk_rows(task) if solver in TUNED else starts,
    )  # fmt: skip
    return make_curve(solver, task, joined(results), **tuned)


def joined(results: list[Result]) -> Result:
    """Runs of some of the problems as one of all. Lengths must agree, as those of solvers without line search do."""
    if len(results) == 1:
        return results[0]
    one_by_one = {name: [getattr(r, name) for r in results] for name in vars(results[0])}
    return Result(**{
        name: sum(parts, []) if name == "reasons"
        else torch.cat(parts, 1 if name in ("losses", "iterations", "seconds") else 0)
        for name, parts in one_by_one.items()
    })  # fmt: skip


def _by_importance(tasks: list[BenchmarkTask]) -> list[list[BenchmarkTask]]:
    """What makes the headlines first, and of that what takes longest last."""
    headlines = [task for task in tasks if task.dimension in TEST_DIMENSIONS]
    others = [task for task in tasks if task.dimension not in TEST_DIMENSIONS]
    return [sorted(part, key=lambda t: (t.function == "Perm", t.dimension)) for part in (headlines, others)]


def refresh(
    solvers: Iterable[str], tasks: Iterable[BenchmarkTask], starts: int | None = None, anew: bool = False,
    folder: Path | None = None,
) -> None:  # fmt: skip
    """Measures what the committed files lack, appending each task as soon as it is done.

    Args:
        starts: of every task; None: those that are affordable. anew: measures everything, whatever is there.
    """
    solvers, tasks = list(solvers), list(tasks)
    work = [(solver, task) for tasks in _by_importance(tasks) for solver in solvers for task in tasks]
    have = {solver: {} if anew else load_curves(baseline_file(solver, folder)) for solver in solvers}
    for solver, task in tqdm(work, desc="baselines", unit="task", file=sys.stderr, dynamic_ncols=True):
        count, old = starts or affordable_starts(solver, task), have[solver].get(task)
        if old is None or old.starts < count or old.seed != SEED:
            append_curve(baseline_file(solver, folder), measure(solver, task, count))
    for solver in solvers:
        tidy(baseline_file(solver, folder))
