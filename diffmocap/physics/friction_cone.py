"""The friction cone: nearest point of it, and the derivative of that."""

from __future__ import annotations

import torch


def project(vectors: torch.Tensor, up: torch.Tensor, friction: float) -> torch.Tensor:
    """Nearest forces [..., 3] that push along ``up`` [..., 3] and slide with at most ``friction`` times that."""
    normal, tangent, size = _split(vectors, up)
    along = ((normal + friction * size) / (1.0 + friction**2)).clamp_min(0.0)
    sliding = along[..., None] * (up + (friction / size)[..., None] * tangent)
    return torch.where((size <= friction * normal)[..., None], vectors, sliding)


def project_with_jacobian(
    vectors: torch.Tensor, up: torch.Tensor, friction: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """:func:`project` and its derivative [..., 3, 3]: symmetric, eigenvalues in [0, 1]; on the border either side's."""
    normal, tangent, size = _split(vectors, up)
    along = ((normal + friction * size) / (1.0 + friction**2)).clamp_min(0.0)
    direction = tangent / size[..., None]
    ray = up + friction * direction
    identity = torch.eye(3, device=vectors.device, dtype=vectors.dtype)
    across = identity - up[..., :, None] * up[..., None, :] - direction[..., :, None] * direction[..., None, :]
    sliding = ray[..., :, None] * ray[..., None, :] / (1.0 + friction**2)
    sliding = (along > 0)[..., None, None] * (sliding + (friction * along / size)[..., None, None] * across)
    inside = (size <= friction * normal)[..., None]
    projected = torch.where(inside, vectors, along[..., None] * ray)
    return projected, torch.where(inside[..., None], identity, sliding)


def _split(vectors: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Part along ``up`` [...], the rest [..., 3], and its length [...], never zero."""
    normal = (vectors * up).sum(-1)
    tangent = vectors - normal[..., None] * up
    return normal, tangent, (tangent.square().sum(-1) + 1e-30).sqrt()
