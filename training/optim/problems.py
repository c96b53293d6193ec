"""Problems to train on: random functions, dimensions, offsets and starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.functions import FUNCTIONS, make_function, random_offset
from diffmocap.optim.task import Task

#: Draws a task and a batch of starts [B, N] for it.
Problems = Callable[[torch.Generator], tuple[Task, torch.Tensor]]

#: All but Perm, whose scaled form is ours.
TRAINED = tuple(name for name in FUNCTIONS if name != "Perm")


@dataclass(frozen=True)
class FunctionProblems:
    """The classical functions with random offsets, so that nothing is learned about where minima are (section 5.1).

    Attributes:
        names: functions, each as likely. smallest, largest: dimensions, log-uniform between them. batch: starts a
            problem, each with an offset of its own. offset_share: largest offset over half the width of the domain.
    """

    names: tuple[str, ...] = TRAINED
    smallest: int = 2
    largest: int = 100
    batch: int = 8
    offset_share: float = 0.5

    def __post_init__(self) -> None:
        unknown = set(self.names) - set(FUNCTIONS)
        if unknown or not self.names:
            raise SettingsError(f"unknown test functions {sorted(unknown)}; some of {', '.join(FUNCTIONS)}")
        if not 2 <= self.smallest <= self.largest or self.batch < 1:
            raise SettingsError(f"dimensions must satisfy 2 <= smallest <= largest and batch be positive, got {self}")

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        def uniform() -> float:
            return torch.rand((), generator=generator).item()

        name = self.names[int(uniform() * len(self.names))]
        low, high = math.log(self.smallest), math.log(self.largest + 1)
        dimension = min(int(math.exp(low + (high - low) * uniform())), self.largest)
        offset = random_offset(make_function(name, dimension), generator, self.offset_share, self.batch)
        function = make_function(name, dimension, offset)
        function.minimum = 0.0  # the loss is then the excess, which single precision resolves
        return function, function.init(self.batch, generator)


@dataclass(frozen=True)
class TaskProblems:
    """One task of a user's own: only the starts are drawn.

    Attributes:
        task: what to minimise. batch: starts a problem.
    """

    task: Task
    batch: int = 8

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        return self.task, self.task.init(self.batch, generator)
