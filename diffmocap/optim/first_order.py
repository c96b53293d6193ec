"""The hand-written first-order baselines: Adam, and gradient descent with momentum."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.optimizer import State, StepOptimizer
from diffmocap.optim.task import Task


def _check_rate(learning_rate: float | torch.Tensor) -> None:
    if not (torch.as_tensor(learning_rate) > 0).all():
        raise SettingsError(f"learning_rate must be positive, got {learning_rate}")


def _check_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise SettingsError(f"{name} must lie in [0, 1), got {value}")


@dataclass
class MomentumState(State):
    """``momentum`` [B, N]."""

    momentum: torch.Tensor


class Momentum(StepOptimizer):
    """Gradient descent with momentum: m <- mu m + g, x <- x - learning_rate m (the slides' update).

    Args:
        learning_rate: one for all problems, or [B, 1], one each: a grid of rates is then a single run.
    """

    def __init__(self, learning_rate: float | torch.Tensor = 1e-3, mu: float = 0.9) -> None:
        _check_rate(learning_rate)
        _check_decay("mu", mu)
        self.learning_rate, self.mu = learning_rate, mu

    def init(self, task: Task, x: torch.Tensor) -> MomentumState:
        return MomentumState(x, 0, torch.zeros_like(x))

    def step(self, state: MomentumState, loss: torch.Tensor, gradient: torch.Tensor) -> MomentumState:
        momentum = self.mu * state.momentum + gradient
        return MomentumState(state.x - self.learning_rate * momentum, state.step + 1, momentum)


@dataclass
class AdamState(State):
    """``mean`` and ``square`` [B, N]: averages of gradient and squared gradient."""

    mean: torch.Tensor
    square: torch.Tensor


class Adam(StepOptimizer):
    """Adam (Kingma & Ba 2014, algorithm 1).

    Args:
        learning_rate: one for all problems, or [B, 1], one each. betas: decays of the averages of gradient and square.
    """

    def __init__(
        self, learning_rate: float | torch.Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:  # fmt: skip
        _check_rate(learning_rate)
        for beta in betas:
            _check_decay("beta", beta)
        self.learning_rate, self.betas, self.epsilon = learning_rate, betas, epsilon

    def init(self, task: Task, x: torch.Tensor) -> AdamState:
        return AdamState(x, 0, torch.zeros_like(x), torch.zeros_like(x))

    def step(self, state: AdamState, loss: torch.Tensor, gradient: torch.Tensor) -> AdamState:
        (b1, b2), t = self.betas, state.step + 1
        mean = b1 * state.mean + (1 - b1) * gradient
        square = b2 * state.square + (1 - b2) * gradient.square()
        root = (square / (1 - b2**t)).sqrt() + self.epsilon
        return AdamState(state.x - self.learning_rate * (mean / (1 - b1**t)) / root, t, mean, square)
