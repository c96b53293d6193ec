"""From curves to the figures of ``benchmarks.optimizers``: task by task, and over tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.optimizers.curves import Curve
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.paper import ADAFACTOR_MLP, MULTIMODAL, OPTIMUS, PAPER_SOLVERS, at_or_below_paper
from benchmarks.optimizers.scores import (
    first_everywhere,
    iterations_to_target,
    performance_ratios,
    profile_areas,
    relative_iterations,
    share_at_least,
)
from benchmarks.optimizers.tasks import TEST_DIMENSIONS, BenchmarkTask

#: Of the performance profile: the paper's five, and L-BFGS, the strongest classical solver, which the paper leaves out.
PROFILE_SOLVERS = (*PAPER_SOLVERS, "L-BFGS")
#: The second size of the paper's learned baseline, beside the five.
ADAFACTOR_MLP_LARGE = "Adafactor MLP 512x4"
#: Solvers that relative iterations are measured against, with the ratios whose shares of tasks are given.
ASKED_RATIOS = {
    "BFGS": (10,), "Adam": (10,), ADAFACTOR_MLP: (5,), ADAFACTOR_MLP_LARGE: (5,), "Momentum": (10,), "L-BFGS": (5, 10),
    PLAIN_STEP: (5,),
}  # fmt: skip
#: What keys of the JSON line call solvers whose names are long.
SHORT = {PLAIN_STEP: "plain_step"}


@dataclass
class Measured:
    """Curves of all solvers, with the offsets or without.

    Attributes:
        records: by solver and task. learned: best values of every start [ITERATIONS + 1, starts], by solver and task,
            of those that were run here.
    """

    records: dict[str, dict[BenchmarkTask, Curve]] = field(default_factory=dict)
    learned: dict[str, dict[BenchmarkTask, torch.Tensor]] = field(default_factory=dict)

    @property
    def optimus(self) -> dict[BenchmarkTask, torch.Tensor]:
        """Best values of every start of Optimus, by task."""
        return self.learned.get(OPTIMUS, {})

    def finals(self, solver: str) -> dict[BenchmarkTask, float]:
        """Mean final f - f* of each task that the solver was run on."""
        return {task: curve.mean[-1] for task, curve in self.records.get(solver, {}).items()}

    def compared(self, tasks: Iterable[BenchmarkTask], solvers: Iterable[str] = PROFILE_SOLVERS) -> list[BenchmarkTask]:
        """Those tasks that all of the solvers were run on."""
        solvers = list(solvers)
        return [task for task in tasks if all(task in self.records.get(solver, {}) for solver in solvers)]

    def ratios(self, baseline: str, tasks: Iterable[BenchmarkTask]) -> dict[BenchmarkTask, float]:
        """Relative iterations of Optimus against a baseline, mean over starts, by task."""
        found, theirs = {}, self.records.get(baseline, {})
        for task in tasks:
            if task in self.optimus and task in theirs:
                target, needed = iterations_to_target(theirs[task].mean)
                found[task] = float(relative_iterations(self.optimus[task], target, needed).mean())
        return found

    def areas(self, tasks: Iterable[BenchmarkTask], solvers: Sequence[str] = PROFILE_SOLVERS) -> dict[str, float]:
        """Areas under the performance profiles of the solvers, over the tasks that all were run on."""
        finals = {solver: self.finals(solver) for solver in solvers}
        compared = self.compared(tasks, solvers)
        return profile_areas({solver: finals[solver][task] for solver in solvers} for task in compared)

    def performance(
        self, tasks: Iterable[BenchmarkTask], solvers: Sequence[str] = PROFILE_SOLVERS
    ) -> dict[str, list[float]]:
        """Performance ratios by solver, over the tasks that all were run on."""
        finals = {solver: self.finals(solver) for solver in solvers}
        rows = [performance_ratios({s: finals[s][task] for s in solvers}) for task in self.compared(tasks, solvers)]
        return {solver: [row[solver] for row in rows] for solver in solvers}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def headline_tasks(tasks: Iterable[BenchmarkTask]) -> list[BenchmarkTask]:
    """Those in 250, 500 and 1000 dimensions."""
    return [task for task in tasks if task.dimension in TEST_DIMENSIONS]


def key_of(solver: str) -> str:
    """A solver's name in the keys of the JSON line."""
    return SHORT.get(solver, solver.lower().replace(" ", "_").replace("-", ""))


def summary(measured: Measured) -> dict:
    """Shares and areas, over the test dimensions and over all; None or empty where a solver was not run.

    ``share_<ratio>x_<solver>``: share of tasks with at least that ratio of the baseline's own iterations to those of
    Optimus. ``profile_area``: with L-BFGS among the solvers; ``profile_area_paper_solvers``: of the paper's five;
    ``profile_area_with_plain_step``: also with the L-BFGS step of which nothing is learned.
    ``first_at_every_threshold``: whether Optimus's profile is below none of the others', L-BFGS's among them.
    """
    every = sorted(measured.optimus)
    tests = headline_tasks(every)
    shares = {
        f"share_{asked}x_{key_of(baseline)}": _rounded(share_at_least(measured.ratios(baseline, tests).values(), asked))
        for baseline, ratios in ASKED_RATIOS.items() for asked in ratios
    }  # fmt: skip
    paper = at_or_below_paper(measured.finals(OPTIMUS))
    multimodal = [met for task, met in paper.items() if task.function in MULTIMODAL]

    def areas(tasks: list[BenchmarkTask], solvers: Sequence[str]) -> dict[str, float]:
        return {s: _rounded(a) for s, a in measured.areas(tasks, solvers).items()}

    return shares | {
        "share_at_or_below_paper": _rounded(sum(paper.values()) / len(paper)) if paper else None,
        "share_multimodal_at_or_below_paper": _rounded(sum(multimodal) / len(multimodal)) if multimodal else None,
        "profile_area": areas(tests, PROFILE_SOLVERS), "profile_area_all_dimensions": areas(every, PROFILE_SOLVERS),
        "profile_area_paper_solvers": areas(tests, PAPER_SOLVERS),
        "profile_area_paper_solvers_all_dimensions": areas(every, PAPER_SOLVERS),
        "profile_area_with_plain_step": areas(tests, (*PROFILE_SOLVERS, PLAIN_STEP)),
        "profile_area_with_plain_step_all_dimensions": areas(every, (*PROFILE_SOLVERS, PLAIN_STEP)),
        "first_at_every_threshold": first_everywhere(measured.performance(tests), OPTIMUS),
        "tasks_compared": len(measured.compared(tests)),
        "tasks_compared_all_dimensions": len(measured.compared(every)),
        "paper_entries": len(paper), "multimodal_entries": len(multimodal),
    }  # fmt: skip


def by_task(measured: Measured) -> dict[str, dict]:
    """Of each task by its label: starts, mean final values, relative iterations."""
    rows, found = sorted(measured.optimus), {}
    ratios = {baseline: measured.ratios(baseline, rows) for baseline in ASKED_RATIOS}
    for task in rows:
        records: Mapping[str, Curve] = {s: of[task] for s, of in measured.records.items() if task in of}
        found[task.label] = {
            "starts": {solver: curve.starts for solver, curve in records.items()},
            "final": {solver: curve.mean[-1] for solver, curve in records.items()},
            "relative_iterations": {b: round(of[task], 3) for b, of in ratios.items() if task in of},
        }
    return found
