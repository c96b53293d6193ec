"""What a step costs: time against N beside SciPy's BFGS, and the memory of 200 steps at N = 10,000."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterable

import torch
from tqdm import tqdm

from benchmarks.optimizers.learned import LearnedSolver
from benchmarks.optimizers.tasks import ITERATIONS, BenchmarkTask
from benchmarks.page.report import REPOSITORY
from diffmocap.errors import DiffmocapError
from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.optimizer import StepOptimizer
from diffmocap.optim.quasi_newton import Bfgs
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task

TIMED_DIMENSIONS = (100, 250, 500, 1000, 2000, 4000)
#: Parameters of the problem whose memory is measured.
MEMORY_DIMENSION = 10_000
#: Steps that a quick run takes at the end, from factors that stand for the others'.
LAST_STEPS = 3


def step_times(optimizer: StepOptimizer, task: Task, x: torch.Tensor, steps: int, warm_up: int = 3) -> list[float]:
    """Seconds of each step with its evaluation, after a few that are not counted."""
    seconds = []
    with torch.no_grad():
        state = optimizer.init(task, x)
        for k in range(warm_up + steps):
            begin = time.perf_counter()
            loss, gradient = task.loss_and_gradient(state.x)
            state = optimizer.step(state, loss, gradient)
            if k >= warm_up:
                seconds.append(time.perf_counter() - begin)
    return seconds


def bfgs_times(task: Task, x: torch.Tensor, updates: int) -> list[float]:
    """Seconds of ``updates`` of SciPy's iterations: an update of H and the line search after it, each.

    SciPy updates H after its callback, so the time from the end of the first iteration's line search to that of the
    next holds the first update. The first iteration itself, which has none, is left out.
    """
    result = Bfgs().minimize(task, x, Budget(iterations=updates + 1))
    number, seconds = result.iterations[:, 0], result.seconds[:, 0]
    ends = [float(seconds[number == k][-1]) for k in range(1, int(number.max()) + 1)]
    return [b - a for a, b in zip(ends, ends[1:])]


def step_time_table(
    solver: LearnedSolver, dimensions: Iterable[int] = TIMED_DIMENSIONS, rounds: int = 3,
    plain: LearnedSolver | None = None,
) -> dict:  # fmt: skip
    """Milliseconds of an iteration by N, batch of one, Rosenbrock: all in turns in the same minutes.

    Of Optimus, of the step of which nothing is learned, and of BFGS. Median of the steps, mean of BFGS' iterations,
    whose line searches differ; all over all rounds.
    """
    plain = plain or LearnedSolver.plain_step()
    found: dict[str, dict[str, float]] = {"step_ms": {}, "plain_step_ms": {}, "bfgs_step_ms": {}}
    dimensions = list(dimensions)
    for n in tqdm(dimensions, desc="step time", unit="size", file=sys.stderr, dynamic_ncols=True):
        task = BenchmarkTask("Rosenbrock", n)
        problem, x = task.problem(shifted=True), task.starts(1, shifted=True)
        # At the largest sizes an update takes seconds: few of them, and no more than two rounds.
        steps, updates, turns = (10, 6, rounds) if n <= 1000 else (5, 2, min(rounds, 2))
        ours, unlearned, theirs = [], [], []
        for _ in range(turns):
            ours += step_times(solver.optimizer, problem, x, steps)
            unlearned += step_times(plain.optimizer, problem, x, steps)
            theirs += bfgs_times(problem, x, updates)
        found["step_ms"][str(n)] = round(1e3 * statistics.median(ours), 3)
        found["plain_step_ms"][str(n)] = round(1e3 * statistics.median(unlearned), 3)
        found["bfgs_step_ms"][str(n)] = round(1e3 * statistics.mean(theirs), 3)
    return found | {"threads": torch.get_num_threads()}


def peak_mb() -> float:
    """Most memory that this process has ever had resident, MB.

    Linux counts in ``ru_maxrss`` what the process that started this one held at that moment; VmHWM does not.
    """
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


def memory_above_start(optimizer: LearnedOptimizer, n: int, steps: int, begun: bool) -> float:
    """MB that ``steps`` steps at ``n`` parameters take above this process as it is, with PyTorch and the weights in it.

    Args:
        begun: after the first step, put as many factors into the preconditioner as the steps before the last
            LAST_STEPS leave, of random numbers. Memory grows with the factors, and their values do not matter to it.
    """
    before = peak_mb()
    with torch.no_grad():
        task = BenchmarkTask("Rosenbrock", n)
        problem, x = task.problem(shifted=True), task.starts(1, shifted=True)
        state = optimizer.init(problem, x)
        taken = 0
        while taken < steps:
            state = optimizer.step(state, *problem.loss_and_gradient(state.x))
            taken += 1
            if begun and taken == 1:
                if getattr(state, "b", None) is None:
                    raise DiffmocapError("only an Optimus with a preconditioner can begin in the middle of a run")
                each = state.b.factors.shape[1]
                for _ in range(steps - 1 - LAST_STEPS):
                    state.b = state.b.update(1e-2 * torch.randn(1, each, n), optimizer.settings.norm)
                    taken += 1
    return peak_mb() - before


_PROGRAM = """
import sys, torch
from benchmarks.optimizers.costs import memory_above_start
from diffmocap.optim.weights import load_optimizer
path, n, steps, begun, threads = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
print(memory_above_start(load_optimizer(path), n, steps, bool(begun)))
"""


def memory(solver: LearnedSolver, begun: bool, n: int = MEMORY_DIMENSION, steps: int = ITERATIONS) -> dict:
    """Peak of a run in a process of its own."""
    numbers = [str(int(v)) for v in (n, steps, begun, torch.get_num_threads())]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(solver.path.resolve()), *numbers], cwd=REPOSITORY, text=True,
        capture_output=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the memory of {steps} steps could not be measured:\n{done.stderr}")
    return {"peak_mb": round(float(done.stdout.split()[-1]), 1), "n": n, "steps": steps, "begun": begun}


def costs(
    solver: LearnedSolver, quick: bool, dimensions: Iterable[int] = TIMED_DIMENSIONS,
    plain: LearnedSolver | None = None,
) -> dict:  # fmt: skip
    """Both, for the page."""
    times = step_time_table(solver, dimensions, 2 if quick else 5, plain)
    return {"step_time": times, "memory": memory(solver, begun=quick)}
