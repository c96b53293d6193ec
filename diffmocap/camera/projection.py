"""Perspective projection of an ideal pinhole camera (optical frame: x right, y down, z forward)."""

from __future__ import annotations

import torch

#: Depth below which nothing of a person is looked for [m]: what lies nearer, or behind the camera, counts as this deep,
#: so that errors and gradients stay finite.
NEAREST_M = 0.1


def project(points_optical: torch.Tensor, K: torch.Tensor, min_depth: float = 1e-3) -> torch.Tensor:
    """Pixels [..., 2] of points [..., 3] in the optical frame [m] for K [3, 3] or [..., 3, 3].

    Points closer than ``min_depth`` metres (or behind the camera) are projected as if they lay at
    that depth, so that gradients stay finite; mask them with ``points_optical[..., 2]`` where it matters.
    """
    if K.dim() > 2:
        K = K.unsqueeze(-3)  # one camera for all points of a row
    z = points_optical[..., 2:].clamp_min(min_depth)
    homogeneous = torch.cat([points_optical[..., :2] / z, torch.ones_like(z)], -1)
    return (homogeneous.unsqueeze(-2) @ K[..., :2, :].transpose(-1, -2)).squeeze(-2)


def rays_to(points_optical: torch.Tensor) -> torch.Tensor:
    """Positions [..., 2] on the image plane at depth 1 of points [..., 3] in the optical frame [m]; what is nearer than
    :data:`NEAREST_M` counts as that deep."""
    return points_optical[..., :2] / points_optical[..., 2:].clamp_min(NEAREST_M)


def rays_from_pixels(points_px: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
    """Positions [..., N, 2] on the image plane at depth 1 of pixels [..., N, 2], K [3, 3] or [..., 3, 3]."""
    K = K.unsqueeze(-3) if K.dim() > 2 else K
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]], -1)
    centre = torch.stack([K[..., 0, 2], K[..., 1, 2]], -1)
    return (points_px - centre) / focal
