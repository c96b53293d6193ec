"""The tasks of ``benchmarks.optimizers``: 15 functions in 8 dimensions, their starts and their offsets.

Every solver minimises f - f*, so that curves are free of cancellation. Starts are uniform in the domain, offsets within
half of its half-width; both come from a seed and the task's name alone, so a subset of starts is the first of them.

BFGS, L-BFGS, Adam and momentum see differences of points and gradients, never where they are: shifting function and
starts together shifts their iterates and leaves their curves as they were (a test holds this). So they are run once, on
the unshifted functions. Learned optimizers see x, and are run on both.

Turned tasks are the shifted ones in coordinates y = Q x, Q a random orthogonal matrix of each task's own. BFGS, L-BFGS
and momentum, which use inner products alone, do not notice; features of single parameters do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from diffmocap.optim.functions import FUNCTIONS, ClassicFunction, make_function, random_offset
from diffmocap.optim.task import Task
from diffmocap.optim.turned import Turned, random_rotation

DIMENSIONS = (2, 10, 20, 50, 100, 250, 500, 1000)
#: Those of the 45 tasks; training sees the smaller ones.
TEST_DIMENSIONS = (250, 500, 1000)
STARTS, ITERATIONS = 64, 200
#: Of starts and offsets. Training draws its own from generators with small seeds; these are hashed with the task.
SEED = 20230601


@dataclass(frozen=True, order=True)
class BenchmarkTask:
    """A function in one dimension."""

    function: str
    dimension: int

    @property
    def label(self) -> str:
        """As figures name it."""
        return f"{self.function} {self.dimension}d"

    def _generator(self, what: str) -> torch.Generator:
        digest = hashlib.sha256(f"{what} {self.label} {SEED}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))

    def offset(self) -> torch.Tensor:
        """The headline's offset [N], float64: one for all starts."""
        plain = make_function(self.function, self.dimension)
        return random_offset(plain, self._generator("offset")).double()

    def rotation(self) -> torch.Tensor:
        """The orthogonal matrix [N, N] of the turned task, float64."""
        return random_rotation(self.dimension, self._generator("rotation"))

    def problem(self, shifted: bool, turned: bool = False) -> Task:
        """What solvers minimise."""
        excess = Excess(make_function(self.function, self.dimension, self.offset() if shifted else None))
        return Turned(excess, self.rotation()) if turned else excess

    def starts(self, count: int, shifted: bool, turned: bool = False) -> torch.Tensor:
        """The first ``count`` starts [count, N], float64; with the offset they are the others moved, turned they are
        the same points in the turned coordinates."""
        x = make_function(self.function, self.dimension).init(count, self._generator("starts")).double()
        x = x + self.offset() if shifted else x
        return x @ self.rotation().mT if turned else x


class Excess(Task):
    """f - f* of a classical function as the loss: the same gradients, a minimum of 0 and no cancellation near it."""

    minimum = 0.0

    def __init__(self, function: ClassicFunction) -> None:
        self.function, self.shape, self.scale = function, function.shape, getattr(function, "scale", None)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.function.init(count, generator)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.function.excess(x)


def all_tasks(dimensions: tuple[int, ...] = DIMENSIONS) -> list[BenchmarkTask]:
    """Every function in every dimension; the large dimensions, whose tasks make the headlines, come first."""
    order = sorted(dimensions, key=lambda n: (n not in TEST_DIMENSIONS, n if n in TEST_DIMENSIONS else -n))
    return [BenchmarkTask(name, n) for n in order for name in FUNCTIONS]
