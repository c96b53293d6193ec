"""The friction cone: nearest point of it, and the derivative of that."""

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


class ConeProjection:
    """:func:`project` of vectors whose parts along the axis and along two tangents square to it are told apart.

    Coordinates come first, [N, 3, P], and there are as few operations as may be: solvers do this again and again.

    Args:
        vectors: [N, 3, P] part along the axis, then two tangential ones. friction: of the cone.

    Attributes:
        projected: [N, 3, P].
    """

    def __init__(self, vectors: torch.Tensor, friction: float) -> None:
        self.friction, self._shrink = friction, 1.0 / (1.0 + friction**2)
        normal, self._tangent = vectors[..., 0, :], vectors[..., 1:, :]
        self._size = torch.hypot(vectors[..., 1, :], vectors[..., 2, :]).clamp_min_(1e-30)
        # Inside the cone the first is the largest, on its surface the second, in its polar cone zero.
        along = torch.add(normal, self._size, alpha=friction).mul_(self._shrink)
        self._along = torch.maximum(normal, along).clamp_min_(0.0)
        self._scale = (self._along / self._size).mul_(friction).clamp_max_(1.0)
        self.projected = torch.empty_like(vectors)
        self.projected[..., 0, :] = self._along
        torch.mul(self._tangent, self._scale.unsqueeze(-2), out=self.projected[..., 1:, :])

    def _parts(self) -> tuple[torch.Tensor, ...]:
        """Directions d [N, 2, P] of the tangents; 1 inside [N, P]; (a, b) [N, P] of the ray a e + b d that moves."""
        direction = self._tangent / self._size.unsqueeze(-2)
        inside = (self._scale >= 1.0).to(direction.dtype)
        rim = ((self._along > 0).to(direction.dtype) - inside).mul_(self._shrink**0.5)
        return direction, inside, inside + rim, rim * self.friction

    def root(self, matrix: torch.Tensor) -> torch.Tensor:
        """V [N, 6, 3, P] with V V^T = M J M^T for M [N, 6, 3, P], where J is the derivative of the projection.

        J is one on (a e + b d), and inside on d; on the third direction it is what the tangent shrinks by.
        """
        direction, inside, a, b = self._parts()
        first, second = direction.unsqueeze(-3).unbind(-2)
        axis, one, other = matrix.unbind(-2)
        radial = torch.addcmul(first * one, second, other)
        root = torch.empty_like(matrix)
        torch.mul(axis, a.unsqueeze(-2), out=root[..., 0, :]).addcmul_(radial, b.unsqueeze(-2))
        torch.mul(radial, inside.unsqueeze(-2), out=root[..., 1, :])
        first, second = (direction * self._scale.sqrt().unsqueeze(-2)).unsqueeze(-3).unbind(-2)
        torch.mul(other, first, out=root[..., 2, :]).addcmul_(one, second, value=-1.0)
        return root

    def derivative(self) -> torch.Tensor:
        """J [N, 3, 3, P]: symmetric, eigenvalues in [0, 1]; on the border either side's."""
        direction, inside, a, b = self._parts()
        jacobian = direction.new_empty(*direction.shape[:-2], 3, 3, direction.shape[-1])
        jacobian[..., 0, 0, :] = a * a
        jacobian[..., 1:, 0, :] = jacobian[..., 0, 1:, :] = (a * b).unsqueeze(-2) * direction
        weight = torch.addcmul(inside - self._scale, b, b)
        both = direction.unsqueeze(-2) * (weight.unsqueeze(-2) * direction).unsqueeze(-3)
        both.diagonal(dim1=-3, dim2=-2).add_(self._scale.unsqueeze(-1))
        jacobian[..., 1:, 1:, :] = both
        return jacobian
