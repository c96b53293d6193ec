"""Basin hopping (Wales & Doye 1997) around any optimizer: runs between random moves, as in the paper's table 4."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.optimizer import Optimizer, StoppingCriterion, check_starts
from diffmocap.optim.result import Result
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task


class BasinHopping(Optimizer):
    """Runs the inner optimizer again and again, each time from a random move away from the last accepted minimum.

    A run's minimum is accepted if it is lower than the last accepted one, and else with probability
    exp(-(f_new - f) / temperature), problem by problem. The first run starts at the given start.

    Args:
        inner: minimises between the moves. iterations: of each run of it; its stopping criterion may end it before.
        step: each coordinate moves by a number uniform in [-step, step]. temperature: in units of the loss; 0 accepts
            what is lower alone. seed: of the moves.
    """

    def __init__(
        self, inner: Optimizer, iterations: int = 50, step: float = 0.5, temperature: float = 0.0, seed: int = 0
    ) -> None:
        if iterations < 1 or not step > 0 or temperature < 0:
            raise SettingsError(
                "basin hopping needs at least 1 iteration a run, a positive step and a temperature of at least 0; got "
                f"{iterations}, {step} and {temperature}"
            )
        self.inner, self.iterations, self.step = inner, iterations, step
        self.temperature, self.seed = temperature, seed

    def minimize(self, task: Task, x: torch.Tensor, budget: Budget, stop: StoppingCriterion | None = None) -> Result:
        """``stop`` ends the runs of the inner optimizer, the budget ends everything."""
        check_starts(task, x)
        generator = torch.Generator().manual_seed(self.seed)
        begin = time.perf_counter()
        result = self.inner.minimize(task, x, self._left(budget, None, begin), stop)
        here, height = result.x.to(x), result.loss
        while not self._spent(budget, result, begin):
            moved = here + self.step * (2 * torch.rand(x.shape, generator=generator) - 1).to(x)
            run = self.inner.minimize(task, moved, self._left(budget, result, begin), stop)
            accepted = run.loss < height
            if self.temperature:
                chance = torch.exp(((height - run.loss) / self.temperature).clamp(max=0)).nan_to_num(0.0)
                accepted |= torch.rand(len(x), generator=generator).to(chance) < chance
            here = torch.where(accepted[:, None], run.x.to(x), here)
            height = torch.where(accepted, run.loss, height)
            result = result.then(run)
        return replace(result, reasons=["budget"] * len(x))

    def _left(self, budget: Budget, done: Result | None, begin: float) -> Budget:
        """What one run may take. Evaluations count for the problem that has used most."""
        iterations = self.iterations
        if budget.iterations is not None:
            left = budget.iterations if done is None else budget.iterations - _iterations(done) - 1  # a move is one
            iterations = min(iterations, left)
        evaluations = budget.evaluations
        if evaluations is not None and done is not None:
            evaluations -= int(done.evaluations.max())
        seconds = budget.seconds
        if seconds is not None:
            seconds = max(seconds - (time.perf_counter() - begin), 1e-9)
        return Budget(evaluations, iterations, seconds)

    @staticmethod
    def _spent(budget: Budget, done: Result, begin: float) -> bool:
        return budget.spent(int(done.evaluations.max()), _iterations(done), time.perf_counter() - begin)


def _iterations(done: Result) -> int:
    return int(done.iterations.max())
