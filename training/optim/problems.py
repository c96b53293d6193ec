"""Problems to train on: random functions, dimensions, offsets and starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.functions import FUNCTIONS, make_function, random_offset
from diffmocap.optim.task import Task
from diffmocap.optim.turned import Turned, random_rotation

#: Draws a task and a batch of starts [B, N] for it.
Problems = Callable[[torch.Generator], tuple[Task, torch.Tensor]]

#: All but Perm, whose scaled form is ours.
TRAINED = tuple(name for name in FUNCTIONS if name != "Perm")


@dataclass(frozen=True)
class FunctionProblems:
    """The classical functions with random offsets, so that nothing is learned about where minima are (section 5.1).

    Starts are in double precision: twenty decades of a loss do not fit into a single one's digits.

    Attributes:
        names: functions, each as likely. smallest, largest: dimensions, log-uniform between them. batch: starts
            per problem, each with an offset of its own. offset_share: largest offset over half the width of the domain.
        turned: share of problems in coordinates turned by a random orthogonal matrix of their own, 0 to 1. Without
            them a network learns that functions are sums over coordinates, which those of practice seldom are.
    """

    names: tuple[str, ...] = TRAINED
    smallest: int = 2
    largest: int = 100
    batch: int = 8
    offset_share: float = 0.5
    turned: float = 0.0

    def __post_init__(self) -> None:
        unknown = set(self.names) - set(FUNCTIONS)
        if unknown or not self.names:
            raise SettingsError(f"unknown test functions {sorted(unknown)}; some of {', '.join(FUNCTIONS)}")
        if not 2 <= self.smallest <= self.largest or self.batch < 1:
            raise SettingsError(f"dimensions must satisfy 2 <= smallest <= largest and batch be positive, got {self}")
        if not 0 <= self.turned <= 1:
            raise SettingsError(f"turned is the share of problems in turned coordinates, 0 to 1; got {self.turned}")

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        name = self.names[int(_uniform(generator) * len(self.names))]
        function = self._function(name, self._dimension(generator), generator)
        return function, function.init(self.batch, generator).double()

    def _dimension(self, generator: torch.Generator) -> int:
        low, high = math.log(self.smallest), math.log(self.largest + 1)
        return min(int(math.exp(low + (high - low) * _uniform(generator))), self.largest)

    def _function(self, name: str, dimension: int, generator: torch.Generator) -> Task:
        offset = random_offset(make_function(name, dimension), generator, self.offset_share, self.batch)
        function = make_function(name, dimension, offset)
        function.minimum = 0.0  # the loss is then the excess, which single precision resolves
        # Without turned problems nothing is drawn for them: the problems of a seed stay what they were.
        if self.turned and _uniform(generator) < self.turned:
            return Turned(function, random_rotation(dimension, generator))
        return function


def _uniform(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator).item()


class Together(Task):
    """Functions of one dimension side by side, so that one batch of a network sees all of them.

    Args:
        functions: each with ``batch`` rows, and a minimum of 0.
    """

    minimum = 0.0

    def __init__(self, functions: list[Task], batch: int) -> None:
        self.functions, self.batch, self.shape = functions, batch, functions[0].shape

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        if count != self.batch * len(self.functions):
            raise SettingsError(f"{len(self.functions)} functions have {self.batch} rows each, {count} do not fit")
        return torch.cat([f.init(self.batch, generator) for f in self.functions])

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([f.loss(part) for f, part in zip(self.functions, x.split(self.batch))])

    def row(self, index: int) -> Task:
        return self.functions[index // self.batch].row(index % self.batch)


@dataclass(frozen=True)
class MixedProblems(FunctionProblems):
    """All functions in one batch of ``batch`` starts each, in a random dimension: each step of the training hears of
    all of them, and one call of the network serves them."""

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        dimension = self._dimension(generator)
        task = Together([self._function(name, dimension, generator) for name in self.names], self.batch)
        return task, task.init(self.batch * len(self.names), generator).double()


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


class AboveMinima(Task):
    """A task whose B problems' minima are about known: the loss is the excess over them.

    Args:
        least: [B] minima.
    """

    def __init__(self, task: Task, least: torch.Tensor) -> None:
        self.task, self.least = task, least
        self.shape, self.minimum, self.scale = task.shape, task.minimum, task.scale

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.task.init(count, generator)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.task.loss(x) - self.least.to(x)

    def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, gradient = self.task.loss_and_gradient(x)
        return loss - self.least.to(loss), gradient

    def row(self, index: int) -> Task:
        return AboveMinima(self.task.row(index), self.least[index : index + 1])


@dataclass(frozen=True)
class TwoKinds:
    """Problems of one kind or of another.

    Attributes:
        share: of problems that are of the ``second`` kind, 0 to 1.
    """

    first: Problems
    second: Problems
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise SettingsError(f"a share of problems is 0 to 1, got {self.share}")

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        return (self.second if _uniform(generator) < self.share else self.first)(generator)

    @property
    def differentiable_once(self) -> bool:
        """Whether a loss of either cannot be differentiated twice."""
        return any(getattr(kind, "differentiable_once", False) for kind in (self.first, self.second))
