"""The paper's results as data: table 4 of its supplement, and what of it our figures may be compared with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from benchmarks.optimizers.tasks import TEST_DIMENSIONS, BenchmarkTask

TABLE = Path(__file__).with_name("optimus_paper_table.json")
OPTIMUS, ADAFACTOR_MLP = "Optimus", "Adafactor MLP"
#: The five that the paper compares; ``BFGS``, ``Adam`` and ``Momentum`` are its own names too.
PAPER_SOLVERS = ("BFGS", OPTIMUS, ADAFACTOR_MLP, "Adam", "Momentum")
#: Left out of comparisons: its rows in the paper are those of Sum of Squares, and ours is a scaled form of it.
NOT_COMPARABLE = ("Perm",)
#: The functions of local minima and long valleys that the paper praises Optimus for (section 5.1).
MULTIMODAL = ("Ackley", "Levy", "Rastrigin", "Rosenbrock", "Styblinski-Tang")


@cache
def _table() -> dict[str, dict[str, list[float | None]]]:
    return json.loads(TABLE.read_text())["values"]


def paper_value(task: BenchmarkTask, solver: str) -> float | None:
    """Mean over 64 starts after 200 iterations, as printed; None where the print could not be read.

    Raises:
        KeyError: a task or solver that the table does not have.
    """
    return _table()[task.function][str(task.dimension)][PAPER_SOLVERS.index(solver)]


def comparable_excess(task: BenchmarkTask, excess: float) -> float:
    """Our f - f* in the paper's units: its Trid has a minimum of (N^2 + 3 N) / 2 (5 at N = 2, 65 at N = 10)."""
    n = task.dimension
    return excess + (n**2 + 3 * n) / 2 if task.function == "Trid" else excess


def at_or_below_paper(ours: dict[BenchmarkTask, float]) -> dict[BenchmarkTask, bool]:
    """Of every comparable entry in 250, 500 and 1000 dimensions, whether our mean is at or below the paper's Optimus.

    Args:
        ours: mean final f - f* of our Optimus; tasks that were not run are left out.
    """
    found = {}
    for task, excess in sorted(ours.items()):
        if task.dimension in TEST_DIMENSIONS and task.function not in NOT_COMPARABLE:
            theirs = paper_value(task, OPTIMUS)
            if theirs is not None:
                found[task] = comparable_excess(task, excess) <= theirs
    return found
