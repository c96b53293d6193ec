"""The quasi-Newton step of limited-memory BFGS, as a feature of a learned optimizer.

Averages for each parameter describe how its own gradient changes, not how parameters are coupled. The last pairs of
steps s and gradient changes y do: from them the two-loop recursion of Nocedal 1980 ("Updating quasi-Newton matrices
with limited storage"; Nocedal & Wright 2006, algorithm 7.4) computes a step. Here it runs over a batch of problems, in
the task's dtype, on pairs of length 1, which avoids overflow and makes runs the same for f(x) and a f(b x) + c. Unlike
there, no line search follows, and the initial matrix is the identity times the largest inverse curvature of the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

#: Names of the features in their order. The last three are the same for all parameters of a problem.
LIMITED_MEMORY_FEATURES = (
    "quasi_newton_step", "quasi_newton_direction", "log_quasi_newton_rms", "cosine_gradient_quasi_newton",
    "cosine_last_pair",
)  # fmt: skip

#: A pair is used if the cosine between s and y is above this: others show negative curvature, or none.
LEAST_COSINE = 1e-6
#: Largest value of a step's feature in units, of one of mean square 1, and decades that logarithms are divided by.
_LARGEST, _LARGEST_NORMALISED, _DECADES = 50.0, 5.0, 4.0


@dataclass
class Pairs:
    """The last K pairs of each of B problems, the newest first.

    Attributes:
        s, y: [B, K, N], of length 1. cosine: [B, K] between them, infinite for a pair that is not used: it
            occupies a place and has no effect. inverse_curvature: [B, K] |s| / |y|.
        x, gradient: [B, N] of the previous step, None at the start.
        step: [B, N] of limited-memory BFGS from x; its root mean square is at most the task's scale.
    """

    s: torch.Tensor
    y: torch.Tensor
    cosine: torch.Tensor
    inverse_curvature: torch.Tensor
    x: torch.Tensor | None = None
    gradient: torch.Tensor | None = None
    step: torch.Tensor | None = None

    @classmethod
    def none(cls, x: torch.Tensor) -> Pairs:
        """No pairs, for runs from ``x`` [B, N]."""
        vectors, numbers = x.new_zeros(len(x), 0, x.shape[1]), x.new_zeros(len(x), 0)
        return cls(vectors, vectors, numbers, numbers)

    def with_new(self, s: torch.Tensor, y: torch.Tensor, most: int) -> tuple[Pairs, torch.Tensor]:
        """These and the pair ``s``, ``y`` [B, N], at most ``most`` in all, and the cosine [B, 1] of the new pair."""
        length, change = _length(s), _length(y)
        s, y = s / length, y / change
        cosine = (s * y).sum(-1, keepdim=True)
        counting = torch.where(cosine > LEAST_COSINE, cosine, torch.inf)

        def joined(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
            return torch.cat([new, old[:, : most - 1]], 1)

        pairs = replace(
            self, s=joined(s[:, None], self.s), y=joined(y[:, None], self.y), cosine=joined(counting, self.cosine),
            inverse_curvature=joined(length / change, self.inverse_curvature),
        )  # fmt: skip
        return pairs, cosine

    def inverse_hessian_times(self, gradient: torch.Tensor) -> torch.Tensor:
        """H g [B, N] for ``gradient`` [B, N], H being the inverse Hessian that the pairs tell of.

        It begins from the largest s^T y / y^T y of all pairs, since the pairs themselves tell of the directions in
        which that is too large; from |s| / |y| of the newest if none counts; without pairs H = I.
        """
        if not self.s.shape[1]:
            return gradient
        first = torch.where(self.cosine.isinf(), 0.0, self.cosine * self.inverse_curvature).amax(-1, keepdim=True)
        first = torch.where(first > 0, first, self.inverse_curvature[:, :1])
        if gradient.device.type == "cpu" and not torch.is_grad_enabled():
            from diffmocap.optim.cpu.two_loops import inverse_hessians_times  # here: it loads and compiles Numba's code

            numbers = (self.s, self.y, self.cosine, self.inverse_curvature, first[:, 0], gradient)
            return torch.from_numpy(inverse_hessians_times(*(x.contiguous().numpy() for x in numbers)))
        q, inner = gradient, []
        for i in range(self.s.shape[1]):
            inner.append((self.s[:, i] * q).sum(-1, keepdim=True) / self.cosine[:, i, None])
            q = q - inner[i] * self.y[:, i]
        r = q * first
        for i in reversed(range(len(inner))):
            b = (self.y[:, i] * r).sum(-1, keepdim=True) / self.cosine[:, i, None]
            r = r + (self.inverse_curvature[:, i, None] * inner[i] - b) * self.s[:, i]
        return r


@torch.no_grad()
def quasi_newton(
    pairs: Pairs, x: torch.Tensor, gradient: torch.Tensor, unit: torch.Tensor, scale: torch.Tensor, most: int
) -> tuple[torch.Tensor, Pairs]:
    """Features [B, M, N] at ``x`` [B, N] with the gradient [B, N] there, and the pairs after, ``most`` at the most.

    Steps are measured in ``unit`` [B, 1], whose dtype the features have, and bounded by ``scale`` [B, 1]. No derivative
    flows through them.
    """
    gradient = gradient.to(x)
    g = torch.nan_to_num(gradient, nan=0.0, posinf=_huge(x), neginf=-_huge(x))
    told = x.new_zeros(len(x), 1)
    if pairs.x is not None:
        y = gradient - pairs.gradient
        y = torch.where(y.isfinite().all(-1, keepdim=True), y, 0.0)  # of a gradient without a value nothing is learned
        pairs, told = pairs.with_new(x - pairs.x, y, most)
    size, root = _length(g), x.shape[1] ** 0.5
    # Before there is any pair, a step of one unit against the gradient. All here in units.
    step = pairs.inverse_hessian_times(g / size)
    step = step * (size / unit.to(x)) if pairs.s.shape[1] else step * root
    length = _length(step)
    bound = (scale / unit).to(x) * root / length
    step, length = step * bound.clamp_max(1.0), length * bound.clamp_max(1.0)
    cosine = (step / length * (g / size)).sum(-1, keepdim=True)
    features = [
        step.clamp(-_LARGEST, _LARGEST),
        (step * (root / length)).clamp(-_LARGEST_NORMALISED, _LARGEST_NORMALISED),
        *(v.expand_as(g) for v in ((length / root + 1e-6).log10() / _DECADES, cosine, told)),
    ]
    found = torch.nan_to_num(torch.stack(features, 1), nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)
    step = torch.nan_to_num(-unit.to(x) * step, nan=0.0, posinf=0.0, neginf=0.0)
    return found.to(unit), replace(pairs, x=x.detach(), gradient=gradient, step=step)


def _huge(like: torch.Tensor) -> float:
    """What infinities are replaced by: larger than any gradient that a run survives."""
    return torch.finfo(like.dtype).max ** 0.75


def _length(values: torch.Tensor) -> torch.Tensor:
    """[B, 1] of [B, N], never zero; taken beside the largest, since squares may leave the range of numbers."""
    largest = values.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny ** 0.5)
    return torch.linalg.vector_norm(values / largest, dim=-1, keepdim=True).clamp_min(1e-6) * largest
