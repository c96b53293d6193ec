"""Learned gradient descent (Song et al. 2020), as the Optimus paper and its slides describe it.

One MLP on the whole vector: from gradient, parameters and what describes the problem to the update of all parameters at
once, without memory, for a handful of steps. It couples the parameters, and serves one dimension only: that in which it
was trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from diffmocap.errors import SettingsError
from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.optimizer import State
from diffmocap.optim.task import Task


@dataclass(frozen=True)
class LearnedGradientDescentSettings:
    """Size of the network. The published network's layers are not in our sources: these are wide ones, each normalised
    and added to its input.

    Attributes:
        dimension: N. context: numbers that describe a problem, C of :meth:`Task.context`. scale: unit of the update.
    """

    dimension: int
    context: int = 0
    width: int = 1024
    layers: int = 2
    scale: float = 0.1

    def __post_init__(self) -> None:
        if min(self.dimension, self.width, self.layers) < 1 or self.context < 0:
            raise SettingsError(f"dimension, width and layers must be at least 1 and context at least 0, got {self}")


@dataclass
class LearnedGradientDescentState(State):
    """``context`` [B, C] of the problems, and ``scale`` [B, 1]: root mean square of the first gradient, None at the
    start."""

    context: torch.Tensor
    scale: torch.Tensor | None = None


class LearnedGradientDescent(LearnedOptimizer):
    """x <- x + N_w(gradient, x, context).

    Gradients are told in units of the run's first, as asinh(10 g): they fall by decades as a run converges, and rise
    by as many where a step went wrong. An untrained network takes small steps.
    """

    def __init__(self, settings: LearnedGradientDescentSettings) -> None:
        super().__init__()
        c = self.settings = settings
        self.inlet = nn.Linear(2 * c.dimension + c.context, c.width)
        self.blocks = nn.ModuleList(nn.Linear(c.width, c.width) for _ in range(c.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(c.width) for _ in range(c.layers + 1))
        self.outlet = nn.Linear(c.width, c.dimension)
        with torch.no_grad():
            self.outlet.weight *= 0.1
            self.outlet.bias.zero_()

    def init(self, task: Task, x: torch.Tensor) -> LearnedGradientDescentState:
        c, context = self.settings, task.context(x)
        context = x.new_zeros(len(x), 0) if context is None else context.to(x)
        if x.shape[1] != c.dimension or context.shape[1] != c.context:
            raise SettingsError(
                f"this learned gradient descent is for {c.dimension} parameters and {c.context} numbers of context; "
                f"the task has {x.shape[1]} and {context.shape[1]}. Optimus serves any dimension"
            )
        return LearnedGradientDescentState(x, 0, context)

    def step(
        self, state: LearnedGradientDescentState, loss: torch.Tensor, gradient: torch.Tensor
    ) -> LearnedGradientDescentState:
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=1e15, neginf=-1e15).clamp(-1e15, 1e15)
        scale = state.scale
        if scale is None:
            scale = gradient.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-30)
        told = torch.cat([(10 * gradient / scale).asinh(), state.x, state.context], -1).to(self.inlet.weight.dtype)
        h = self.inlet(told)
        for norm, block in zip(self.norms, self.blocks):
            h = h + block(norm(h)).relu()
        x = state.x + (self.settings.scale * self.outlet(self.norms[-1](h))).to(state.x)
        return LearnedGradientDescentState(x, state.step + 1, state.context, scale)
