"""Limited-memory BFGS without a line search and without anything learned: what Optimus takes its shares of.

One evaluation per step, for a batch of problems: the step of :mod:`~diffmocap.optim.limited_memory` as it is, with the
safeguard of :mod:`~diffmocap.optim.safeguard` in the place of a line search. It is Optimus with B s = 0 and a share of
1, and so tells what is learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.limited_memory import Pairs, quasi_newton
from diffmocap.optim.memory import FIRST_UNIT, begin
from diffmocap.optim.optimizer import State, StepOptimizer
from diffmocap.optim.safeguard import Safeguard
from diffmocap.optim.task import Task


@dataclass
class LimitedMemoryState(State):
    """``pairs`` of steps and gradient changes, ``unit`` [B, 1] of the first step, and where to go back to."""

    pairs: Pairs
    unit: torch.Tensor
    safeguard: Safeguard


class LimitedMemoryStep(StepOptimizer):
    """x <- x - H g, H of the last ``pairs`` pairs; a point whose loss exceeds the last ten is left for the best one.

    The first step goes a tenth of the task's scale against the gradient, and none goes farther than the scale.

    Args:
        pairs: how many are stored; Optimus stores 16.
    """

    def __init__(self, pairs: int = 16) -> None:
        if pairs < 1:
            raise SettingsError(f"limited-memory BFGS needs at least 1 pair, got {pairs}")
        self.pairs = pairs

    def init(self, task: Task, x: torch.Tensor) -> LimitedMemoryState:
        return LimitedMemoryState(x, 0, Pairs.none(x), begin(x, task.scale, x.dtype).first_unit, Safeguard.begin(x))

    def step(self, state: LimitedMemoryState, loss: torch.Tensor, gradient: torch.Tensor) -> LimitedMemoryState:
        scale = state.unit / FIRST_UNIT
        _, pairs = quasi_newton(state.pairs, state.x, gradient, state.unit, scale, self.pairs)
        x, safeguard = state.safeguard.next(state.x, loss, pairs.step)
        return LimitedMemoryState(x, state.step + 1, pairs, state.unit, safeguard)
