"""Solvers that take one problem at a time, many problems at once: every round of evaluations is one batch.

SciPy owns its loop, so each problem has a thread. A thread that asks for a loss waits until all others ask or have
ended; then one call answers them all, at little more than the price of one. Counts of evaluations are unaffected,
seconds are not those of one problem.
"""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import torch

from diffmocap.optim.optimizer import Optimizer, StoppingCriterion
from diffmocap.optim.result import Result
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from training.optim.episodes import EvaluatedOnce


class Rounds:
    """Evaluations of a task whose rows [B, N] are asked for by as many threads."""

    def __init__(self, task: Task, x: torch.Tensor) -> None:
        self.task, self.points = task, x.double().clone()
        self._running, self._asking = set(range(len(x))), set()
        self._round, self._answer, self._met = 0, None, threading.Condition()

    def ask(self, row: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss [1] and gradient [1, N] of a row at ``x`` [1, N]; waits for the others.

        Raises:
            Exception: what the task raised, to every thread that asked.
        """
        with self._met:
            self.points[row] = x[0]
            self._asking.add(row)
            number = self._round
            self._answer_if_all_ask()
            while self._round == number:
                self._met.wait()
            if isinstance(self._answer, Exception):
                raise self._answer
            loss, gradient = self._answer
            return loss[row : row + 1], gradient[row : row + 1]

    def leave(self, row: int) -> None:
        """The row will not ask again; the others need not wait for it."""
        with self._met:
            self._running.discard(row)
            self._answer_if_all_ask()

    def _answer_if_all_ask(self) -> None:
        if not self._running or self._asking != self._running:
            return
        try:  # rows that have ended are evaluated where they were: the batch keeps its size
            self._answer = self.task.loss_and_gradient(self.points)
        except Exception as e:
            self._answer = e
        self._asking = set()
        self._round += 1
        self._met.notify_all()


class _Row(Task):
    """One row of a task in rounds."""

    def __init__(self, rounds: Rounds, index: int, start: torch.Tensor) -> None:
        task = rounds.task
        self.shape, self.minimum, self.scale = task.shape, task.minimum, task.scale
        self._rounds, self._index, self._start = rounds, index, start

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return self._start.repeat(count, 1)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return EvaluatedOnce.apply(x, self)[0]

    def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._rounds.ask(self._index, x)


def minimize_in_rounds(
    optimizer: Optimizer, task: Task, x: torch.Tensor, budget: Budget, stop: StoppingCriterion | None = None
) -> list[Result]:
    """What ``optimizer`` makes of each row of ``x`` [B, N], one result per row."""
    rounds = Rounds(task, x)

    def run(index: int) -> Result:
        try:
            start = x[index : index + 1]
            return optimizer.minimize(_Row(rounds, index, start), start, budget, stop)
        finally:
            rounds.leave(index)

    # Optimizers that silence warnings do so for the whole process, and end in another order than they began.
    with warnings.catch_warnings(), ThreadPoolExecutor(len(x)) as threads:
        return list(threads.map(run, range(len(x))))
