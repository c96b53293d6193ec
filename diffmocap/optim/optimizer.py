"""The interface of all solvers, and the loop of those that take one step an evaluation."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.result import Result
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task

#: From losses [k + 1, B] at x^0 .. x^k to which problems end [B]; see :mod:`diffmocap.optim.stopping`.
StoppingCriterion = Callable[[torch.Tensor], torch.Tensor]


class Optimizer(ABC):
    """Minimises the loss of a task from given starts, all problems of the batch at once or one by one."""

    @abstractmethod
    def minimize(self, task: Task, x: torch.Tensor, budget: Budget, stop: StoppingCriterion | None = None) -> Result:
        """Runs from the starts ``x`` [B, N] until each problem has spent its budget or meets the criterion.

        Raises:
            SettingsError: starts whose shape does not fit the task or this optimizer.
        """


@dataclass
class State:
    """Where a run is: the points [B, N] whose loss the next step wants to know, and the number of steps taken."""

    x: torch.Tensor
    step: int


class StepOptimizer(Optimizer):
    """A solver without line search: one evaluation, one step.

    A state is not changed by a step, which returns a new one; parts that only grow may be shared.
    """

    @abstractmethod
    def init(self, task: Task, x: torch.Tensor) -> Any:
        """State (see :class:`State`) of a run that starts at ``x`` [B, N]."""

    @abstractmethod
    def step(self, state: Any, loss: torch.Tensor, gradient: torch.Tensor) -> Any:
        """The next state from the loss [B] and its gradient [B, N] at ``state.x``; problems do not mix."""

    def minimize(self, task: Task, x: torch.Tensor, budget: Budget, stop: StoppingCriterion | None = None) -> Result:
        check_starts(task, x)
        begin = time.perf_counter()
        with torch.no_grad():
            state = self.init(task, x)
            history = _History(x)
            loss, gradient = task.loss_and_gradient(state.x)
            history.add(state.x, loss, _seconds_since(begin, x))
            while not history.finished(budget, stop):
                state = self.step(state, loss, gradient)
                loss, gradient = task.loss_and_gradient(state.x)
                history.add(state.x, loss, _seconds_since(begin, x))
        return history.result()


def check_starts(task: Task, x: torch.Tensor) -> None:
    """Raises SettingsError unless the starts are [B, N] with the task's N and finite."""
    if x.dim() != 2 or x.shape[1] != task.dimension or not len(x):
        raise SettingsError(f"starts must have shape [problems, {task.dimension}], got {list(x.shape)}")
    if not torch.isfinite(x).all():
        raise SettingsError("starts must be finite numbers")


def _seconds_since(begin: float, x: torch.Tensor) -> float:
    """On the clock, when what was asked of the device of ``x`` is done."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - begin


class _History:
    """Losses, times and best points of a batch whose problems step together; those that have ended do not change."""

    def __init__(self, x: torch.Tensor) -> None:
        self.best = self.last = x.detach().clone()
        self.best_loss = torch.full(x.shape[:1], math.inf, device=x.device, dtype=x.dtype)
        self.alive = torch.ones(len(x), dtype=torch.bool, device=x.device)
        self.met = torch.zeros_like(self.alive)
        self.evaluations = torch.zeros(len(x), dtype=torch.long, device=x.device)
        self.losses: list[torch.Tensor] = []
        self.seconds: list[float] = []

    def add(self, x: torch.Tensor, loss: torch.Tensor, seconds: float) -> None:
        loss = torch.where(torch.isfinite(loss), loss, math.inf)
        if self.losses:
            loss = torch.where(self.alive, loss, self.losses[-1])
        better = self.alive & (loss < self.best_loss)
        self.best = torch.where(better[:, None], x, self.best)
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.last = torch.where(self.alive[:, None], x, self.last)
        self.evaluations += self.alive
        self.losses.append(loss)
        self.seconds.append(seconds)

    def finished(self, budget: Budget, stop: StoppingCriterion | None) -> bool:
        count = len(self.losses)
        if stop is not None:
            met = self.alive & stop(torch.stack(self.losses))
            self.met, self.alive = self.met | met, self.alive & ~met
            if not self.alive.any():
                return True
        return budget.spent(count, count - 1, self.seconds[-1])

    def result(self) -> Result:
        losses = torch.stack(self.losses)
        steps = torch.arange(len(losses), device=losses.device)[:, None]
        last = self.evaluations - 1
        seconds = torch.tensor(self.seconds, dtype=torch.float64, device=losses.device)
        index = torch.minimum(steps, last)
        reasons = ["criterion" if met else "budget" for met in self.met.tolist()]
        # Where every loss was infinite, the best point is the start and its loss is infinite.
        return Result(self.best, self.best_loss, self.last, losses, index, seconds[index], self.evaluations, reasons)
