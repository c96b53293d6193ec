"""What learned optimizers share: weights theta as one vector, and the networks that see one parameter at a time."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from diffmocap.errors import SettingsError
from diffmocap.optim.cpu.layers import linear
from diffmocap.optim.optimizer import StepOptimizer

#: Bound of the exponent of a step length: reached by no sensible network, it keeps others from overflowing.
_MAX_EXPONENT = 20.0


class LearnedOptimizer(nn.Module, StepOptimizer):
    """An optimizer whose step a network computes; its parameters are theta.

    ``settings`` is a frozen dataclass that says how to build the same network again; see
    :mod:`diffmocap.optim.weights`.
    """

    @property
    def theta(self) -> torch.Tensor:
        """All weights as one vector [P], a copy."""
        return parameters_to_vector(self.parameters()).detach()

    def at(self, theta: torch.Tensor) -> LearnedOptimizer:
        """The optimizer with weights ``theta`` [P]; this one keeps its own.

        Raises:
            SettingsError: another number of weights than this network has.
        """
        count = sum(p.numel() for p in self.parameters())
        if theta.shape != (count,):
            raise SettingsError(f"this optimizer has {count} weights; got theta of shape {list(theta.shape)}")
        other = copy.deepcopy(self)
        vector_to_parameters(theta.detach().clone(), other.parameters())
        return other


class PerParameterMlp(nn.Module):
    """One MLP for every parameter: features [B, F, N] to ``outputs`` numbers each, [B, outputs, N].

    Args:
        layers: hidden layers with ReLU, of ``width`` units.
    """

    def __init__(self, features: int, width: int, layers: int, outputs: int) -> None:
        super().__init__()
        if width < 1 or layers < 1:
            raise SettingsError(f"the per-parameter MLP needs width and layers of at least 1, got {width} and {layers}")
        sizes = [features] + [width] * layers
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.out = nn.Linear(width, outputs)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        h = z.mT
        for layer in self.hidden:
            h = linear(layer, h, "relu")
        return self.out(h).mT


def step_from(log_length: torch.Tensor, direction: torch.Tensor, lambda_a: float, lambda_b: float) -> torch.Tensor:
    """lambda_a exp(lambda_b alpha) d, element by element (eq. 2)."""
    return lambda_a * (lambda_b * log_length).clamp(-_MAX_EXPONENT, _MAX_EXPONENT).exp() * direction
