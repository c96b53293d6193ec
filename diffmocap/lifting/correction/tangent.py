"""The exponential map of rotations with its right Jacobian, in one pass (Sola et al. 2018, eq. 132 and 143)."""

from __future__ import annotations

import torch


def exponential(delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``exp(delta)`` and its right Jacobian, [..., 3, 3] each, for tangent vectors [..., 3].

    The Jacobian J says that ``exp(delta + e)`` is ``exp(delta) exp(J e)`` to first order. (roma has no Jacobian.)
    """
    angle = torch.linalg.vector_norm(delta, dim=-1)[..., None, None]
    small = angle < 1e-4
    theta = torch.where(small, 1.0, angle)
    sine, versine = theta.sin() / theta, (1 - theta.cos()) / theta**2
    a = torch.where(small, 1.0, sine)
    b = torch.where(small, 0.5, versine)
    c = torch.where(small, 1 / 6, (1 - sine) / theta**2)
    x, y, z = delta.unbind(-1)
    zero = torch.zeros_like(x)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    K2 = K @ K
    identity = torch.eye(3, dtype=delta.dtype, device=delta.device)
    return identity + a * K + b * K2, identity - b * K + c * K2
