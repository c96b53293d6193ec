"""Uniform cubic B-splines (de Boor, "A Practical Guide to Splines", 1978): twice differentiable, summing to one."""

from __future__ import annotations

import torch


def cubic_b_splines(at: torch.Tensor, knots: int) -> torch.Tensor:
    """Values [len(at), knots] at places ``at`` [T], measured in distances of knots; knot k stands at k - 1.

    Rows sum to one for places from 0 to ``knots`` - 3.
    """
    away = (at[:, None] - (torch.arange(knots, dtype=at.dtype, device=at.device) - 1)).abs()
    near = 2.0 / 3.0 - away**2 + 0.5 * away**3
    far = (2.0 - away).clamp_min(0.0) ** 3 / 6.0
    return torch.where(away < 1.0, near, far)
