"""The 6D rotation representation of Zhou et al. 2019, and the exponential map and its inverse as live frames take them;
every other conversion is roma's.

6D here is the first two *columns* of the rotation matrix, one after the other: ``[c0, c1]``. On the CPU and without
gradients, as in a live frame, machine code makes rotation vectors and matrices of one another in a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import roma
import torch

from diffmocap import compiler


def matrix_from_6d(sixd: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [..., 3, 3] from 6D vectors [..., 6] by Gram-Schmidt (Zhou et al. 2019, eq. 15).

    Any vector with two independent halves is accepted; nothing needs to be normalised.
    """
    if compiler.serves(sixd):
        from diffmocap.body.rotation_kernels import gram_schmidt

        return _made(gram_schmidt, sixd, (6,), (3, 3))
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


def rotation_vector(matrix: torch.Tensor) -> torch.Tensor:
    """Logarithm [..., 3] rad of rotation matrices [..., 3, 3] that turn by less than pi.

    Fewer operations than by way of quaternions, and smooth at the identity: theta / sin(theta) from atan2.
    """
    if compiler.serves(matrix):
        from diffmocap.body.rotation_kernels import logarithms

        return _made(logarithms, matrix, (3, 3), (3,))
    m = matrix.flatten(-2)
    doubled = torch.stack([m[..., 7] - m[..., 5], m[..., 2] - m[..., 6], m[..., 3] - m[..., 1]], dim=-1)  # 2 sin
    sine = (doubled.square().sum(-1) + 1e-20).sqrt()
    cosine = m[..., 0] + m[..., 4] + m[..., 8] - 1.0
    return doubled * (torch.atan2(sine, cosine) / sine)[..., None]


def rotation_matrix(vectors: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [..., 3, 3] of rotation vectors [..., 3] rad; smooth at zero.

    By the unit quaternion, whose products are the matrix's entries up to a constant linear map: a third of the
    operations of assembling them.
    """
    if compiler.serves(vectors):
        from diffmocap.body.rotation_kernels import exponentials

        return _made(exponentials, vectors, (3,), (3, 3))
    half = (0.25 * vectors.square().sum(-1, keepdim=True) + 1e-20).sqrt()
    quaternion = torch.cat([vectors * (0.5 * half.sin() / half), half.cos()], -1)
    products = quaternion[..., :, None] * quaternion[..., None, :]
    entries = products.flatten(-2) @ _TABLE.to(vectors)
    return entries.unflatten(-1, (3, 3))


def unit_quaternion(matrix: torch.Tensor) -> torch.Tensor:
    """Unit quaternions [..., 4] (x, y, z, w) of rotation matrices [..., 3, 3]; w is not negative, so that equal
    rotations read equal."""
    if compiler.serves(matrix):
        from diffmocap.body.rotation_kernels import quaternions

        return _made(quaternions, matrix, (3, 3), (4,))
    xyzw = roma.quat_normalize(roma.rotmat_to_unitquat(matrix))
    return torch.where(xyzw[..., 3:] < 0, -xyzw, xyzw)


def reorthonormalized(matrix: torch.Tensor) -> torch.Tensor:
    """Matrices [..., 3, 3] that rounding took off the rotations, back by one step of Newton's method for the orthogonal
    polar factor (Higham 1986): what is left of an error is its square, so that products over hours do not drift."""
    return 1.5 * matrix - 0.5 * matrix @ matrix.mT @ matrix


def _made(kernel: Callable, x: torch.Tensor, of: tuple[int, ...], out: tuple[int, ...]) -> torch.Tensor:
    """What machine code makes of the last axes ``of`` of a tensor: ``out`` in their place."""
    given = x.detach().contiguous().numpy()
    batch = given.shape[: given.ndim - len(of)]
    made = np.empty(batch + out, given.dtype)
    kernel(given.reshape(-1, *of), made.reshape(-1, *out))
    return torch.from_numpy(made)


def _entry_table() -> torch.Tensor:
    """[16, 9]: entries of the rotation matrix from products of the quaternion (x, y, z, w)."""
    table = torch.zeros(4, 4, 3, 3)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        table[3, 3, i, i] = table[i, i, i, i] = 1.0
        table[j, j, i, i] = table[k, k, i, i] = -1.0
        table[i, j, i, j] = table[i, j, j, i] = 2.0
        table[3, k, j, i], table[3, k, i, j] = 2.0, -2.0
    return table.reshape(16, 9)


_TABLE = _entry_table()
