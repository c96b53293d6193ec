"""What an optimizer minimises: one class with starts and a loss, both over a batch of parameter vectors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch

from diffmocap.errors import SettingsError


class Task(ABC):
    """A family of B independent problems in N unknowns, solved side by side.

    A task of one's own defines :attr:`shape`, :meth:`init` and :meth:`loss`; everything else follows.

    Attributes:
        shape: how one problem's parameters are arranged, (N,) or (rows, columns). Optimizers see them flat; features
            in the manner of Adafactor average over rows and columns where there are two.
        minimum: the least value of the loss, or a bound below it, where one is known.
        scale: how far apart values of a parameter typically are. Optimizers that need a first length take the root mean
            square of the start where it is None.
    """

    shape: tuple[int, ...]
    minimum: float | None = None
    scale: float | None = None

    @property
    def dimension(self) -> int:
        """N, the number of parameters of one problem."""
        return math.prod(self.shape)

    @abstractmethod
    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Starts [count, N], drawn from ``generator``."""

    @abstractmethod
    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Loss [B] of parameters [B, N]; row b depends on row b of ``x`` alone. Differentiable, in the dtype of x."""

    def row(self, index: int) -> Task:
        """The task of problem ``index`` alone. A task that holds something for each problem must say what it is."""
        return self

    def context(self, x: torch.Tensor) -> torch.Tensor | None:
        """What describes each problem to an optimizer that wants to know, [B, C]; ``x`` [B, N] are the starts.

        Only the learned gradient descent of Song et al. asks: there it is the keypoints that a body is fitted to.
        """
        return None

    def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss [B] and its gradient [B, N], neither connected to a graph. Counts as one evaluation."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            loss = self.loss(x)
            if loss.shape != x.shape[:1]:
                raise SettingsError(
                    f"{type(self).__name__}.loss must return one number per problem, {tuple(x.shape[:1])}; "
                    f"it returned {tuple(loss.shape)}"
                )
            (gradient,) = torch.autograd.grad(loss.sum(), x)
        return loss.detach(), gradient
