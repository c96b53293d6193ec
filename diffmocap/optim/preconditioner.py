"""The learned preconditioner B of Optimus without its N x N matrix: scaled identity plus rank-one terms.

B^0 = I, and each step adds L terms u u^T and divides by a norm (section 4 of the paper). So at any time

    B = c I + sum_j w_j u_j u_j^T,   c > 0, w_j >= 0,

from which follow, exactly and with K factors in O(K N) time and memory, the product B s, the norms below, and the
diagonal. With few parameters and many factors the matrix itself is cheaper; :class:`Preconditioner` changes over then,
once, and both forms agree to rounding. Every quantity carries a leading batch of problems.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from diffmocap.errors import SettingsError

#: How B is divided after an update. Lambda are its eigenvalues, so that the identity has norm 1 in all but the first:
#: ``frobenius``: root of the sum of lambda^2, as a norm without a name is read. That of the identity is root N.
#: ``rms``: root of the mean of lambda^2, which is the Frobenius norm over root N.
#: ``mean``: mean of lambda, which is the trace over N.
#: ``bound``: c + sum_j w_j |u_j|^2, an upper bound of the largest lambda that needs no products between factors. B
#: stays a convex combination of the identity and projections, whatever N is.
#: ``none``: no division, as in the paper's algorithm 1.
NORMS = ("frobenius", "rms", "mean", "bound", "none")


@dataclass
class Preconditioner:
    """B of each problem, either as factors or dense. Not changed by its methods, which return new ones.

    Attributes:
        identity: [B] c. bound: [B] c + sum_j w_j |u_j|^2. trace: [B]. square: [B] Frobenius norm squared, kept up by
            the norms that need it.
        weights: [B, K] w, None in the dense form. buffer: :class:`Rows` with the factors [B, K, N].
        matrix: [B, N, N] in the dense form.
        dense_above: the dense form is taken when there would be more than this share of N factors; 0: from the start,
            infinity: never. A step costs about the same in both at one to two times N factors, memory at N.
    """

    identity: torch.Tensor
    square: torch.Tensor
    bound: torch.Tensor
    trace: torch.Tensor
    dimension: int
    dense_above: float
    weights: torch.Tensor | None = None
    buffer: Rows | None = None
    matrix: torch.Tensor | None = None

    @classmethod
    def eye(cls, like: torch.Tensor, dense_above: float = 1.0) -> Preconditioner:
        """The identity for problems ``like`` [B, N]."""
        batch, n = like.shape
        one = like.new_ones(batch)
        rows = Rows(like.new_zeros(batch, 0, n))
        start = cls(one, n * one, one, n * one, n, dense_above, like.new_zeros(batch, 0), rows)
        return start.dense() if dense_above <= 0 else start

    @property
    def is_dense(self) -> bool:
        """Whether the matrix is held."""
        return self.matrix is not None

    @property
    def factors(self) -> torch.Tensor:
        """u [B, K, N] of the factor form."""
        return self.buffer.rows

    def dense(self) -> Preconditioner:
        """The same in the dense form."""
        return self if self.is_dense else replace(self, matrix=self.as_matrix(), weights=None, buffer=None)

    def as_matrix(self) -> torch.Tensor:
        """B [B, N, N]."""
        if self.is_dense:
            return self.matrix
        u = self.factors
        eye = torch.eye(self.dimension, dtype=u.dtype, device=u.device)
        return self.identity[:, None, None] * eye + (self.weights[:, :, None] * u).mT @ u

    def multiply(self, s: torch.Tensor) -> torch.Tensor:
        """B s_m [B, M, N] for vectors s [B, M, N]."""
        if self.is_dense:
            return s @ self.matrix
        u = self.factors
        if not u.shape[1]:
            return self.identity[:, None, None] * s
        inner = (s @ u.mT) * self.weights[:, None]
        return torch.baddbmm(self.identity[:, None, None] * s, inner, u)

    def update(self, u: torch.Tensor, norm: str) -> Preconditioner:
        """(B + sum_l u_l u_l^T) / its norm, for vectors u [B, L, N]."""
        return self.update_and_multiply(u, norm, None)[0]

    def update_and_multiply(
        self, u: torch.Tensor, norm: str, s: torch.Tensor | None
    ) -> tuple[Preconditioner, torch.Tensor | None]:
        """The update by u [B, L, N], and the updated B's product with s [B, N]: both from one pass over the factors.

        With M = sum_l u_l u_l^T, the Frobenius norm follows from |B + M|^2 = |B|^2 + 2 sum_l u_l^T B u_l +
        sum_lm (u_l^T u_m)^2, of which the old factors enter by their products with the new ones alone. All terms are
        positive, so nothing cancels.
        """
        if norm not in NORMS:
            raise SettingsError(f"unknown norm {norm!r} of the preconditioner; one of {', '.join(NORMS)}")
        here = self.dense() if self._should_be_dense(u.shape[1]) else self
        gram = u @ u.mT
        lengths = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
        product, square = None, here.square
        if norm in ("frobenius", "rms"):
            together = u if s is None else torch.cat([u, s[:, None]], 1)
            product = here.multiply(together)
            square = square + 2 * (product[:, : u.shape[1]] * u).sum((-1, -2)) + gram.square().sum((-1, -2))
        elif s is not None:
            product = here.multiply(s[:, None])
        bound, trace = here.bound + lengths, here.trace + lengths
        size = {
            "frobenius": lambda: square.sqrt(), "rms": lambda: (square / here.dimension).sqrt(),
            "mean": lambda: trace / here.dimension, "bound": lambda: bound, "none": lambda: torch.ones_like(bound),
        }[norm]()  # fmt: skip
        updated = here._with(u, 1 / size, square, bound, trace)
        if s is None:
            return updated, None
        return updated, (product[:, -1] + ((u @ s[..., None]).mT @ u)[:, 0]) / size[:, None]

    def _should_be_dense(self, new: int) -> bool:
        if self.is_dense:
            return False
        return self.weights.shape[1] + new > self.dense_above * self.dimension

    def _with(self, u: torch.Tensor, scale: torch.Tensor, square, bound, trace) -> Preconditioner:
        """B + sum u u^T, all times ``scale`` [B]."""
        numbers = (self.identity * scale, square * scale.square(), bound * scale, trace * scale)
        if self.is_dense:
            matrix = torch.baddbmm(self.matrix, u.mT, u) * scale[:, None, None]
            return Preconditioner(*numbers, self.dimension, self.dense_above, matrix=matrix)
        weights = torch.cat([self.weights, torch.ones_like(u[..., 0])], 1) * scale[:, None]
        return Preconditioner(*numbers, self.dimension, self.dense_above, weights, self.buffer.append(u))


class Rows:
    """Rows [B, K, N] that grow: without a gradient in place, within a buffer that doubles; with one, by copying.

    Appending to what was appended to already copies, so that an earlier state may be stepped again.
    """

    def __init__(self, data: torch.Tensor, count: int | None = None, filled: list[int] | None = None) -> None:
        self.data = data
        self.count = data.shape[1] if count is None else count
        #: How many rows the shared buffer holds, known to all that share it.
        self.filled = [self.count] if filled is None else filled

    @property
    def rows(self) -> torch.Tensor:
        """The filled part of the buffer, [B, K, N]."""
        return self.data[:, : self.count]

    def append(self, new: torch.Tensor) -> Rows:
        """These and then ``new`` [B, L, N]."""
        if torch.is_grad_enabled() and (new.requires_grad or self.data.requires_grad):
            return Rows(torch.cat([self.rows, new], 1))
        total = self.count + new.shape[1]
        if self.filled[0] == self.count and total <= self.data.shape[1]:
            data, filled = self.data, self.filled
        else:
            size = max(total, 2 * self.count, 8 * new.shape[1])
            data, filled = self.data.new_empty(len(new), size, new.shape[2]), [0]
            data[:, : self.count] = self.rows
        data[:, self.count : total] = new
        filled[0] = total
        return Rows(data, total, filled)
