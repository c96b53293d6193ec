"""Every solver from the same start with the same cap of evaluations: together for curves, alone for seconds."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.lockstep import minimize_in_rounds
from benchmarks.refinement.scores import BFGS, Curves, padded
from diffmocap.optim.first_order import Adam, Momentum
from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.limited_memory_step import LimitedMemoryStep
from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.optim.result import Result
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from diffmocap.optim.weights import load_optimizer
from diffmocap.resources import sha256_of

LBFGS, ADAM, MOMENTUM, ADAFACTOR_MLP, OPTIMUS = "L-BFGS", "Adam", "Momentum", "Adafactor MLP", "Optimus"
#: The learning rates that are tried, in units of the unknowns.
RATES = {ADAM: (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64), MOMENTUM: (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)}


@dataclass(frozen=True)
class Solver:
    """An optimizer under the name that tables have for it.

    Attributes:
        together: whether it takes a batch itself; those with SciPy's line search go in rounds.
        key: what tells its results from those of other weights or rates. parameters: number of weights, 0 for none.
    """

    name: str
    optimizer: Optimizer
    together: bool
    key: str
    parameters: int = 0

    @classmethod
    def learned(cls, name: str, path: Path) -> Solver:
        """From a weights file."""
        optimizer: LearnedOptimizer = load_optimizer(path)
        return cls(name, optimizer, True, sha256_of(path)[:12], sum(p.numel() for p in optimizer.parameters()))

    @classmethod
    def plain_step(cls, pairs: int) -> Solver:
        """Optimus's quasi-Newton step of so many pairs, nothing learned, under the same safeguard."""
        return cls(PLAIN_STEP, LimitedMemoryStep(pairs), True, f"{pairs} pairs")

    @classmethod
    def with_rate(cls, name: str, rate: float) -> Solver:
        """Adam or momentum."""
        return cls(name, {ADAM: Adam, MOMENTUM: Momentum}[name](rate), True, f"{rate:g}")


def searching() -> list[Solver]:
    """Those with a line search."""
    return [Solver(BFGS, Bfgs(), False, "scipy"), Solver(LBFGS, Lbfgs(), False, "scipy")]


@dataclass(frozen=True)
class Solved:
    """What a solver made of B problems.

    Attributes:
        curves: by evaluation. x: the best points [b, N] of each task, in the order of tasks. loss: [B] there.
        evaluations: [B] that were made.
    """

    curves: Curves
    x: list[torch.Tensor]
    loss: torch.Tensor
    evaluations: torch.Tensor

    def kept(self) -> dict:
        """As tensors, for a file."""
        return {"best": self.curves.best, "x": self.x, "loss": self.loss, "evaluations": self.evaluations}

    @classmethod
    def from_kept(cls, kept: dict) -> Solved:
        """From :meth:`kept`."""
        return cls(Curves(kept["best"]), kept["x"], kept["loss"], kept["evaluations"])


def solve(
    solver: Solver, tasks: Sequence[Task], counts: Sequence[int], cap: int,
    stop: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Solved:  # fmt: skip
    """All problems of all tasks from their own starts, ``cap`` evaluations each; ``counts``: problems of each task."""
    budget, of_tasks = Budget(evaluations=cap), []
    for task, count in progress(list(zip(tasks, counts, strict=True)), solver.name):
        optimizer, x = solver.optimizer, task.init(count)
        if solver.together:
            of_tasks.append([optimizer.minimize(task, x, budget, stop)])
        else:
            of_tasks.append(minimize_in_rounds(optimizer, task, x, budget, stop))
    results = [result for of_task in of_tasks for result in of_task]
    return Solved(
        Curves(torch.cat([padded(r.best_so_far().double(), cap) for r in results], 1)),
        [torch.cat([r.x for r in of_task]) for of_task in of_tasks],
        torch.cat([r.loss.double() for r in results]), torch.cat([r.evaluations for r in results]),
    )  # fmt: skip


def solve_alone(solver: Solver, problems: Sequence[Task], cap: int) -> Curves:
    """Curves with seconds of tasks of one problem each, in this process's one thread.

    A problem's preparation (what a task makes once) is a part of its first evaluation, for every solver alike.
    """
    warm_up(solver, problems[0])
    results: list[Result] = []
    for task in progress(problems, f"{solver.name}, timed"):
        fresh = task.row(0)
        results.append(solver.optimizer.minimize(fresh, fresh.init(1), Budget(evaluations=cap)))
    return Curves(
        torch.cat([padded(r.best_so_far().double(), cap) for r in results], 1),
        torch.cat([padded(r.seconds.double(), cap) for r in results], 1),
    )  # fmt: skip


def warm_up(solver: Solver, task: Task) -> None:
    """A few evaluations before the clock is looked at: the first call of anything loads code."""
    task = task.row(0)
    solver.optimizer.minimize(task, task.init(1), Budget(evaluations=3))


def tuned_rate(name: str, tasks: Sequence[Task], counts: Sequence[int], cap: int) -> tuple[float, dict[str, float]]:
    """The rate whose runs end lowest: mean logarithm of the final loss over the start's; and what each came to."""
    found = {}
    for rate in RATES[name]:
        solver = Solver.with_rate(name, rate)
        best = solve(solver, tasks, counts, cap).curves.best
        found[f"{rate:g}"] = round(float((best[-1] / best[0]).log().mean()), 4)
    return float(min(found, key=found.get)), found


def step_ms(solver: Solver, task: Task, steps: int = 20) -> float | None:
    """A learned or first-order optimizer's own time a step of one problem, without the loss: the least of ``steps``."""
    if not solver.together:
        return None
    with torch.no_grad():
        state = solver.optimizer.init(task, task.init(1))
        least = float("inf")
        for _ in range(steps):
            loss, gradient = task.loss_and_gradient(state.x)
            begin = time.perf_counter()
            state = solver.optimizer.step(state, loss, gradient)
            least = min(least, time.perf_counter() - begin)
    return 1e3 * least


def loss_ms(task: Task, solution: torch.Tensor, repeats: int = 40, most_s: float = 2.0) -> dict:
    """Milliseconds of a loss with its gradient over one problem, float32, at the start and at a solution [1, N], by
    threads: median and least of so many, or of those that fit into ``most_s`` seconds."""
    found: dict[str, dict] = {"start": {}, "solution": {}}
    threads, places = torch.get_num_threads(), {"start": task.init(1).float(), "solution": solution.float()}
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for place, x in places.items():
                taken = []
                for _ in range(repeats):
                    begin = time.perf_counter()
                    task.loss_and_gradient(x)
                    taken.append(1e3 * (time.perf_counter() - begin))
                    if sum(taken) > 1e3 * most_s:
                        break
                found[place][str(count)] = [round(statistics.median(taken), 3), round(min(taken), 3)]
    finally:
        torch.set_num_threads(threads)
    return found


def progress(items: Sequence, text: str) -> tqdm:
    """A bar on stderr that leaves nothing behind."""
    return tqdm(items, desc=text, file=sys.stderr, dynamic_ncols=True, leave=False)
