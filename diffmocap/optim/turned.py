"""Any task seen in turned coordinates: a problem as hard, whose structure no longer lies along the axes.

Many classical test functions are sums over single coordinates, and features of single parameters see through those. On
f(Q^T x) with a random orthogonal Q nothing is gained by that. Methods that use inner products alone, gradient descent
and BFGS among them, take the turned steps there: their losses stay as they were.
"""

from __future__ import annotations

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.task import Task


def random_rotation(dimension: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """An orthogonal matrix [N, N] in double precision, uniform over all of them (Stewart 1980): reflections, too."""
    q, r = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sign()


class Turned(Task):
    """The task ``task`` in coordinates y = Q x: the loss at y is that of ``task`` at Q^T y, and starts are turned.

    Args:
        matrix: Q [N, N], orthogonal; the same for all problems of the task.

    Raises:
        SettingsError: a matrix of another size, or one that is not orthogonal.
    """

    def __init__(self, task: Task, matrix: torch.Tensor) -> None:
        n = task.dimension
        if matrix.shape != (n, n):
            raise SettingsError(f"{n} parameters are turned by a matrix [{n}, {n}]; got {list(matrix.shape)}")
        if (matrix @ matrix.mT - torch.eye(n, dtype=matrix.dtype)).abs().max() > 1e-5:
            raise SettingsError("a matrix that turns a task must be orthogonal, so that Q Q^T is the identity")
        self.task, self.matrix = task, matrix
        # Turned coordinates mix rows and columns, so that they are a plain vector.
        self.shape, self.minimum, self.scale = (n,), task.minimum, task.scale

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        """Points [B, N] of the task itself in these coordinates."""
        return x @ self.matrix.mT.to(x)

    def turned_back(self, y: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`turned`."""
        return y @ self.matrix.to(y)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.turned(self.task.init(count, generator))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.task.loss(self.turned_back(x))

    def row(self, index: int) -> Task:
        return Turned(self.task.row(index), self.matrix)

    def context(self, x: torch.Tensor) -> torch.Tensor | None:
        return self.task.context(self.turned_back(x))
