"""Adafactor MLP (Metz et al. 2022), the paper's learned baseline: an MLP for each parameter, nothing that couples."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from diffmocap.optim.features import Features, FeatureSettings, FeatureState
from diffmocap.optim.learned import LearnedOptimizer, PerParameterMlp, step_from
from diffmocap.optim.optimizer import State
from diffmocap.optim.task import Task


@dataclass(frozen=True)
class AdafactorMlpSettings:
    """Size and step units. The paper compares 128 x 4 and 512 x 4 with Optimus, all with the same budget.

    Attributes:
        width, layers: of the hidden layers. lambda_a, lambda_b: units of step and log step (eq. 2), those of Optimus;
            in Metz et al.'s code both are 0.001.
    """

    width: int = 128
    layers: int = 4
    lambda_a: float = 0.1
    lambda_b: float = 0.1
    features: FeatureSettings = field(default_factory=FeatureSettings)

    @classmethod
    def paper_128x4(cls, **changes) -> AdafactorMlpSettings:
        """The one of 22,411 weights in the paper's table 4: they leave room for two hidden layers, not for four."""
        return cls(**{"layers": 2, "features": FeatureSettings(second_moments=3), **changes})

    @classmethod
    def paper_512x4(cls, **changes) -> AdafactorMlpSettings:
        """The one of 811,531 weights in the paper's table 4."""
        return cls(**{"width": 512, "features": FeatureSettings(second_moments=3), **changes})


@dataclass
class AdafactorMlpState(State):
    """``features``: the averages so far."""

    features: FeatureState


class AdafactorMlp(LearnedOptimizer):
    """x <- x + lambda_a exp(lambda_b alpha) d, with alpha and d of each parameter from its features."""

    def __init__(self, settings: AdafactorMlpSettings = AdafactorMlpSettings()) -> None:
        super().__init__()
        self.settings = settings
        self.features = Features(settings.features)
        self.mlp = PerParameterMlp(self.features.count, settings.width, settings.layers, 2)

    def init(self, task: Task, x: torch.Tensor) -> AdafactorMlpState:
        return AdafactorMlpState(x, 0, self.features.init(task, x))

    def step(self, state: AdafactorMlpState, loss: torch.Tensor, gradient: torch.Tensor) -> AdafactorMlpState:
        z, features = self.features(state.features, state.x, gradient, state.step)
        alpha, d = self.mlp(z).unbind(1)
        s = step_from(alpha, d, self.settings.lambda_a, self.settings.lambda_b)
        return AdafactorMlpState(state.x + (features.unit * s).to(state.x), state.step + 1, features)
