"""The friction cone in torch, written on its own: what the compiled one is compared with."""

from __future__ import annotations

import torch


def project(vectors: torch.Tensor, up: torch.Tensor, friction: float) -> torch.Tensor:
    """Nearest forces [..., 3] that push along ``up`` [..., 3] and slide with at most ``friction`` times that."""
    normal, tangent, size = _split(vectors, up)
    along = ((normal + friction * size) / (1.0 + friction**2)).clamp_min(0.0)
    sliding = along[..., None] * (up + (friction / size)[..., None] * tangent)
    return torch.where((size <= friction * normal)[..., None], vectors, sliding)


def _split(vectors: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Part along ``up`` [...], the rest [..., 3], and its length [...], never zero."""
    normal = (vectors * up).sum(-1)
    tangent = vectors - normal[..., None] * up
    return normal, tangent, (tangent.square().sum(-1) + 1e-30).sqrt()
