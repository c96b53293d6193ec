"""The weight of classifier-free guidance as an input of the network.

A student of guided paths says in one evaluation where a path ends that both branches of its teacher walked, for any
weight w up to the largest that it was taught (Meng et al. 2023, "On Distillation of Guided Diffusion Models").
"""

from __future__ import annotations

import torch
from torch import nn

#: Numbers that the weight enters as.
FEATURES = 8


class GuidanceInput(nn.Module):
    """What a weight w >= 0 adds to the first layer; as it is made, nothing."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, hidden), nn.GELU(), nn.Linear(hidden, width))
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """[B, width] for weights [B]."""
        phase = torch.log1p(weight)[:, None] * torch.arange(1, FEATURES // 2 + 1, device=weight.device)
        return self.layers(torch.cat([phase.sin(), phase.cos()], -1))
