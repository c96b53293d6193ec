"""What descends on the meta-loss: Adam, as in the paper, or Muon for the hidden matrices and Adam for all else."""

from __future__ import annotations

import torch
from torch import nn

from diffmocap.errors import SettingsError

DESCENTS = ("adam", "muon")
#: First layers, whose inputs are features: Muon is for what lies between hidden units.
_FIRST = ("inlet.weight", "hidden.0.weight")
#: Fewer outputs than this are no hidden layer.
_SMALLEST = 8


class Descent:
    """One step of all weights of a network along their gradients.

    ``muon`` (Jordan et al. 2024, ``torch.optim.Muon``) makes every hidden matrix's step orthogonal, with the length
    that Adam's would have (Liu et al. 2025), so one learning rate serves both.
    """

    def __init__(self, kind: str, network: nn.Module, learning_rate: float) -> None:
        hidden = hidden_matrices(network) if kind == "muon" else []
        taken = {id(p) for p in hidden}
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam([p for p in network.parameters() if id(p) not in taken], learning_rate)
        ]
        if hidden:
            self.optimizers.append(
                torch.optim.Muon(hidden, learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
            )

    def step(self, learning_rate: float) -> None:
        """Along the gradients that the weights hold."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()

    def state_dict(self) -> list[dict]:
        """For :meth:`load_state_dict`."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, state: list[dict]) -> None:
        """Raises SettingsError where another kind wrote it."""
        if len(state) != len(self.optimizers):
            raise SettingsError("the run was trained with another descent: resume with it, or give another --out")
        for optimizer, part in zip(self.optimizers, state):
            optimizer.load_state_dict(part)


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """Weights between hidden units: no first and no last layers."""
    return [
        p for name, p in network.named_parameters()
        if p.dim() == 2 and min(p.shape) >= _SMALLEST and not name.endswith(_FIRST)
    ]  # fmt: skip
