"""The exponential map of rotations with its right Jacobian, in one pass (Sola et al. 2018, eq. 132 and 143)."""

from __future__ import annotations

from functools import lru_cache

import torch


# Cached tensors must not be made in inference mode: no gradient could pass through them.
@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _constants(dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-product matrices [3, 9] of the axes, and the identity."""
    identity = torch.eye(3, dtype=dtype, device=device)
    return torch.linalg.cross(identity[:, None].expand(3, 3, 3), identity.expand(3, 3, 3)).mT.flatten(1), identity


def exponential(delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``exp(delta)`` and its right Jacobian, [..., 3, 3] each, for tangent vectors [..., 3].

    The Jacobian J says that ``exp(delta + e)`` is ``exp(delta) exp(J e)`` to first order. (roma has no Jacobian.)
    """
    axes, identity = _constants(delta.dtype, delta.device)
    # Below 1e-4 rad the three quotients are those of 1e-4 rad, to nine digits.
    angle = torch.linalg.vector_norm(delta, dim=-1).clamp_min(1e-4)[..., None, None]
    square = angle.square()
    sine, versine = angle.sin() / angle, (0.5 * angle).sin().square() * 2 / square
    K = (delta @ axes).unflatten(-1, (3, 3))
    K2 = K @ K
    return identity + sine * K + versine * K2, identity - versine * K + ((1 - sine) / square) * K2
