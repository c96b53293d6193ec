"""The 6D rotation representation of Zhou et al. 2019; every other conversion is roma's.

6D here is the first two *columns* of the rotation matrix, one after the other: ``[c0, c1]``.
"""

from __future__ import annotations

import torch


def matrix_from_6d(sixd: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [..., 3, 3] from 6D vectors [..., 6] by Gram-Schmidt (Zhou et al. 2019, eq. 15).

    Any vector with two independent halves is accepted; nothing needs to be normalised.
    """
    a, b = sixd[..., :3], sixd[..., 3:]
    x = torch.nn.functional.normalize(a, dim=-1)
    y = torch.nn.functional.normalize(b - (x * b).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def gradient_from_turns(turns: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Gradient [..., 3, 3] by the entries of rotations [..., 3, 3] that is worth the gradient [..., 3] by their turns,
    in the axes that the rotations lead to: of all such, the one that is nothing beside rotations."""
    return 0.5 * torch.linalg.cross(turns[..., None], rotations, dim=-2)


def sixd_from_matrix(matrix: torch.Tensor) -> torch.Tensor:
    """6D vectors [..., 6] of rotation matrices [..., 3, 3]."""
    return matrix[..., :2].transpose(-1, -2).flatten(-2)
