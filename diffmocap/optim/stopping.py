"""When a run ends: budgets in evaluations, iterations and seconds, and the paper's stopping criterion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError


@dataclass(frozen=True)
class Budget:
    """What one problem's run may cost; the first limit that is reached ends it.

    Attributes:
        evaluations: of the loss with its gradient, the start's included. iterations: steps. An optimizer without a
            line search needs one evaluation per step and one for its last point.
        seconds: on the clock, looked at after every evaluation: a run exceeds it by at most one step.
    """

    evaluations: int | None = None
    iterations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        limits = (self.evaluations, self.iterations, self.seconds)
        if all(limit is None for limit in limits):
            raise SettingsError("a budget needs a limit: evaluations, iterations or seconds")
        if self.evaluations is not None and self.evaluations < 1:
            raise SettingsError(f"a budget needs at least 1 evaluation, that of the start; got {self.evaluations}")
        if self.iterations is not None and self.iterations < 0:
            raise SettingsError(f"iterations must not be negative, got {self.iterations}")
        if self.seconds is not None and not self.seconds > 0:
            raise SettingsError(f"seconds must be positive, got {self.seconds}")

    def spent(self, evaluations: int, iterations: int, seconds: float) -> bool:
        """Whether nothing is left after so much."""
        return (
            (self.evaluations is not None and evaluations >= self.evaluations)
            or (self.iterations is not None and iterations >= self.iterations)
            or (self.seconds is not None and seconds >= self.seconds)
        )


@dataclass(frozen=True)
class RelativeDecrease:
    """The paper's criterion (section 4), on decreases d_k = f(x^0) - f(x^k) instead of on values.

    The paper stops when f(x^k) > 1/W sum_{i=1..W} beta f(x^{k-i}) + epsilon, with W = 5 and beta left open. Where f is
    negative, a beta below 1 raises that bound instead of lowering it, and adding a constant to f changes when it
    stops. Decreases know neither trouble: a run ends when

        d_k <= m - (1 - beta) |m| - epsilon * max(0, max_{i<k} d_i),   m = 1/W sum_{i=1..W} d_{k-i}.

    With beta = 1 and epsilon = 0, the defaults, this is the paper's sentence "the function value at step k is greater
    than the average function value in the previous N steps", except that a run which stands still ends too. A smaller
    beta and a larger epsilon are more patient. It scales with f and does not see constants in f.

    Attributes:
        window: W; the criterion is silent for the first W steps.
    """

    window: int = 5
    beta: float = 1.0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if self.window < 1:
            raise SettingsError(f"the stopping criterion's window must be at least 1 step, got {self.window}")
        if not (0 <= self.beta and math.isfinite(self.beta)):
            raise SettingsError(f"beta must be a finite number of at least 0, got {self.beta}")
        if self.epsilon < 0:
            raise SettingsError(f"epsilon must not be negative, got {self.epsilon}")

    def __call__(self, losses: torch.Tensor) -> torch.Tensor:
        """Whether to end each problem [B], from its losses [k + 1, B] at x^0 to x^k. A NaN loss ends it."""
        if len(losses) <= self.window:
            return torch.zeros(losses.shape[1:], dtype=torch.bool, device=losses.device)
        decrease = losses[0] - losses[-self.window - 1 :]
        mean = decrease[:-1].mean(0)
        bound = mean
        if self.beta != 1:  # 0 times an infinite mean would be NaN
            bound = bound - (1 - self.beta) * mean.abs()
        if self.epsilon:
            bound = bound - self.epsilon * (losses[0] - losses[:-1].amin(0)).clamp_min(0)
        return ~(decrease[-1] > bound)
