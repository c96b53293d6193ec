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


def sixd_from_matrix(matrix: torch.Tensor) -> torch.Tensor:
    """6D vectors [..., 6] of rotation matrices [..., 3, 3]."""
    return matrix[..., :2].transpose(-1, -2).flatten(-2)
