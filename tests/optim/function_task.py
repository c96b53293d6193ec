"""A task from a plain function."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffmocap.optim.task import Task


class FunctionTask(Task):
    """A task from a plain function, with normally distributed starts.

    Args:
        function: x [B, N] to loss [B]. shape: (N,) or (rows, columns), or N. spread: standard deviation of the starts.
    """

    def __init__(
        self, function: Callable[[torch.Tensor], torch.Tensor], shape: int | tuple[int, ...], spread: float = 1.0,
        minimum: float | None = None,
    ) -> None:  # fmt: skip
        self.function, self.spread, self.minimum = function, spread, minimum
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.spread * torch.randn(count, self.dimension, generator=generator)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)
