"""Runs of learned optimizers, and of what is there without learning, on the tasks of ``benchmarks.optimizers``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.optimizers.baselines import chunk_rows, in_chunks
from benchmarks.optimizers.curves import Curve, by_iteration, curve_from
from benchmarks.optimizers.tasks import ITERATIONS, SEED, BenchmarkTask
from benchmarks.page.report import REPOSITORY
from diffmocap.errors import ModelFileError
from diffmocap.files.digest import digest_of
from diffmocap.optim.limited_memory_step import LimitedMemoryStep
from diffmocap.optim.optimizer import StepOptimizer
from diffmocap.optim.weights import load_optimizer
from diffmocap.resources import sha256_of

#: Numbers that a chunk of problems has in one vector; the networks hold some 1,000 activations for each.
CHUNK = 8_000
CACHE = REPOSITORY / ".cache" / "optimizers"
#: Optimus without what is learned: its quasi-Newton step as it is, with the same safeguard.
PLAIN_STEP = "L-BFGS step, nothing learned"


@dataclass(frozen=True)
class LearnedSolver:
    """A learned optimizer under the name that tables and figures have for it.

    Attributes:
        path, sha256: of its weights; None and what stands for them where there are none.
    """

    name: str
    path: Path | None
    optimizer: StepOptimizer
    sha256: str

    @classmethod
    def plain_step(cls) -> LearnedSolver:
        """:data:`PLAIN_STEP`, of as many pairs as the shipped Optimus stores."""
        return cls(PLAIN_STEP, None, LimitedMemoryStep(), "nothing-learned")

    @classmethod
    def load(cls, name: str, path: str | Path, flag: str) -> LearnedSolver:
        """From its weights.

        Raises:
            SystemExit: there are none, or they are no learned optimizer's; the message says what to do.
        """
        try:
            optimizer = load_optimizer(path)
        except ModelFileError as error:
            raise SystemExit(
                f"no weights of {name}: {error}. Train some with `python -m training.optim`, or give a file with "
                f"{flag} FILE"
            ) from error
        return cls(name, Path(path), optimizer, sha256_of(Path(path)))

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return 0 if self.path is None else sum(p.numel() for p in self.optimizer.parameters())

    def run(self, task: BenchmarkTask, starts: int, shifted: bool, turned: bool = False) -> torch.Tensor:
        """Best f - f* so far by iteration [ITERATIONS + 1, starts]. Points are float64, the networks float32."""
        size = chunk_rows(task, CHUNK)
        results = in_chunks(self.optimizer, task.problem(shifted, turned), task.starts(starts, shifted, turned), size)
        return torch.cat([by_iteration(result) for result in results], 1)


@dataclass(frozen=True)
class LearnedRun:
    """What came of one task: ``curves`` [ITERATIONS + 1, starts], and their record."""

    curves: torch.Tensor
    record: Curve

    @classmethod
    def of(cls, solver: str, task: BenchmarkTask, curves: torch.Tensor) -> LearnedRun:
        """One evaluation per step, and one of the start: values by evaluation are those by iteration."""
        return cls(curves, curve_from(solver, task, curves, curves, ITERATIONS + 1.0))


def code_version(folder: Path = REPOSITORY / "diffmocap" / "optim") -> str:
    """Of the optimizers' sources, in a few letters."""
    return digest_of(folder, folder.rglob("*.py"))[:12]


def run_tasks(
    solver: LearnedSolver, tasks: Iterable[BenchmarkTask], starts: Callable[[BenchmarkTask], int], shifted: bool,
    keep: Path | None = None, turned: bool = False,
) -> dict[BenchmarkTask, LearnedRun]:  # fmt: skip
    """Every task in turn.

    Args:
        keep: folder in which results are kept, by weights, code and seed, so that hours of a full run that is ended
            are not lost; None: nothing is kept or taken.
    """
    found = {}
    side = ("shifted" if shifted else "unshifted") + (", turned" if turned else "")
    folder = keep / f"{solver.sha256[:12]}-{code_version()}-{SEED}" if keep else None
    bar = tqdm(list(tasks), desc=f"{solver.name}, {side}", unit="task", file=sys.stderr, dynamic_ncols=True)
    for task in bar:
        count = starts(task)
        path = folder / f"{task.label}-{side}-{count}.npy".replace(", ", "_").replace(" ", "_") if folder else None
        if path and path.is_file():
            curves = torch.from_numpy(np.load(path))
        else:
            curves = solver.run(task, count, shifted, turned)
            if path:
                folder.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".partial.npy")
                np.save(partial, curves.numpy())
                partial.replace(path)
        found[task] = LearnedRun.of(solver.name, task, curves)
    return found
