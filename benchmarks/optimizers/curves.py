"""What a solver's runs on one task came to, and the files of such records: one JSON object a line, appended.

``benchmarks/results/baselines/optimizers_<solver>.jsonl`` are committed. Where a task has several lines the last holds.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from benchmarks.optimizers.tasks import ITERATIONS, SEED, BenchmarkTask
from benchmarks.page.report import RESULTS, commit, today
from diffmocap.optim.result import Result

FOLDER = RESULTS / "baselines"
QUANTILES = (0.1, 0.5, 0.9)
#: Iterations at which a record keeps quantiles over the starts, and evaluations at which it keeps the mean.
QUANTILE_ITERATIONS = (0, 1, 2, 5, *range(10, ITERATIONS + 1, 10))
EVALUATIONS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 250, 300, 400, 500, 750, 1000)


#: A run has hundreds of records, all of the code that it began with; asking git takes longer than some of them.
_commit_of_run = functools.cache(commit)


@dataclass(frozen=True)
class Curve:
    """Best value so far of f - f*, over the starts of one task.

    Attributes:
        mean: [ITERATIONS + 1] over the starts, by iteration. quantiles: by quantile, at QUANTILE_ITERATIONS. final:
            [starts] after the last iteration. by_evaluation: mean at EVALUATIONS.
        starts: the first so many of the task. evaluations: mean number that the runs needed.
        learning_rate, tuning_starts: the best of the grid and over how many starts it was found, None where nothing is
            tuned.
        commit, date: where and when it was measured. seed: of the starts.
    """

    solver: str
    function: str
    dimension: int
    starts: int
    mean: list[float]
    quantiles: dict[str, list[float]]
    final: list[float]
    by_evaluation: list[float]
    evaluations: float
    learning_rate: float | None = None
    tuning_starts: int | None = None
    seed: int = SEED
    commit: str = field(default_factory=_commit_of_run)
    date: str = field(default_factory=today)

    @property
    def task(self) -> BenchmarkTask:
        """What was minimised."""
        return BenchmarkTask(self.function, self.dimension)


def _rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{v:.6g}") for v in values.tolist()]


def by_iteration(result: Result, iterations: int = ITERATIONS) -> torch.Tensor:
    """Best so far [iterations + 1, B]; runs that ended earlier repeat their last value."""
    curve = result.by_iteration()[: iterations + 1]
    return torch.cat([curve, curve[-1:].expand(iterations + 1 - len(curve), -1)])


def make_curve(solver: str, task: BenchmarkTask, result: Result, **tuned) -> Curve:
    """The record of a result whose losses are f - f*."""
    evaluations = float(result.evaluations.double().mean())
    return curve_from(solver, task, by_iteration(result), result.best_so_far(), evaluations, **tuned)


def curve_from(
    solver: str, task: BenchmarkTask, curve: torch.Tensor, best: torch.Tensor, evaluations: float, **tuned
) -> Curve:
    """The record of best values by iteration, ``curve`` [ITERATIONS + 1, B], and by evaluation, ``best`` [T, B]."""
    curve, best = curve.double(), best.double()
    at = curve[list(QUANTILE_ITERATIONS)]
    rows = torch.tensor(EVALUATIONS).clamp(max=len(best)) - 1
    return Curve(
        solver, task.function, task.dimension, curve.shape[1], _rounded(curve.mean(1)),
        {f"{q:g}": _rounded(at.quantile(q, dim=1)) for q in QUANTILES}, _rounded(curve[-1]),
        _rounded(best[rows].mean(1)), evaluations, **tuned,
    )  # fmt: skip


def baseline_file(solver: str, folder: Path | None = None) -> Path:
    """Where a solver's records are."""
    return (folder or FOLDER) / f"optimizers_{solver.lower().replace('-', '')}.jsonl"


def load_curves(path: Path) -> dict[BenchmarkTask, Curve]:
    """The records of a file by task, empty where there is none.

    Raises:
        SystemExit: a line is no record; the message names it. An unfinished last line, as a run that was ended leaves
            it, is passed over.
    """
    found: dict[BenchmarkTask, Curve] = {}
    text = path.read_text() if path.is_file() else ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            curve = Curve(**json.loads(line))
        except (TypeError, ValueError) as error:
            if number == text.count("\n") + 1:  # without its end of line
                break
            raise SystemExit(f"{path}, line {number} is no curve ({error}); remove it and measure again") from error
        found[curve.task] = curve
    return found


def append_curve(path: Path, curve: Curve) -> None:
    """Adds a record to a file, on a line of its own whatever the file ended with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    broken = path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    if broken:
        path.write_text(path.read_text().rpartition("\n")[0] + "\n")
    with path.open("a") as f:
        f.write(json.dumps(asdict(curve), separators=(",", ":")) + "\n")


def tidy(path: Path) -> None:
    """One line a task, in the order of functions and dimensions, so that files of two runs can be compared."""
    if curves := load_curves(path):
        lines = (json.dumps(asdict(curves[task]), separators=(",", ":")) for task in sorted(curves))
        path.write_text("\n".join(lines) + "\n")
