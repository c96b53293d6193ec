"""The 15 classical test functions of the Optimus paper, for any dimension, with domains, minima and minimisers.

Formulas and domains: S. Surjanovic and D. Bingham, Virtual Library of Simulation Experiments (sfu.ca/~ssurjano), which
the paper cites. Each class gives the excess f - f* in a form without cancellation, so that float32 can tell how near
to the minimum a point is; the loss is excess plus minimum. Where the paper's name says less than the formula: Sum of
Powers is the library's "sum of different powers", with exponents 2 to N + 1.
"""

from __future__ import annotations

import math

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.task import Task


class ClassicFunction(Task):
    """f(x - offset) for N parameters; its domain, from which starts are drawn uniformly, moves with the offset.

    So a shifted problem is the unshifted one seen from elsewhere: as hard, but no longer solved by shrinking x.

    Args:
        dimension: N. offset: added to the minimiser, [N] for all problems or [B, N], one each.

    Attributes:
        domain: bounds of each coordinate before the offset. minimum: f*. minimiser: [N] float64, with an offset for
        all in it; None where there is none to name.
    """

    #: Bounds where they do not depend on N.
    bounds: tuple[float, float] = (-10.0, 10.0)

    def __init__(self, dimension: int, offset: torch.Tensor | None = None) -> None:
        if dimension < 2:
            raise SettingsError(f"the test functions need at least 2 dimensions, got {dimension}")
        if offset is not None and offset.shape[-1] != dimension:
            raise SettingsError(
                f"an offset for {dimension} dimensions has {dimension} columns; got shape {list(offset.shape)}"
            )
        self.shape, self.offset = (dimension,), offset
        self.domain = self._domain()
        self.minimum = self._minimum()

    def _domain(self) -> tuple[float, float]:
        return self.bounds

    def _minimum(self) -> float:
        return 0.0

    def _solution(self) -> torch.Tensor:
        return torch.zeros(self.dimension, dtype=torch.float64)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        """f - f* [B] of the function without offset at x [B, N]."""
        raise NotImplementedError

    @property
    def minimiser(self) -> torch.Tensor:
        """Where the minimum is taken: [N], or [B, N] with an offset for each problem."""
        solution = self._solution()
        return solution if self.offset is None else solution + self.offset.to(solution)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        low, high = self.domain
        x = low + (high - low) * torch.rand(count, self.dimension, generator=generator)
        return x if self.offset is None else x + self.offset.to(x)

    def excess(self, x: torch.Tensor) -> torch.Tensor:
        """f - f* [B] at x [B, N], accurate also where it is tiny beside f*."""
        return self.excess_at(x if self.offset is None else x - self.offset.to(x))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.excess(x) + self.minimum

    def row(self, index: int) -> ClassicFunction:
        if self.offset is None or self.offset.dim() == 1:
            return self
        return type(self)(self.dimension, self.offset[index])

    def _numbers(self, x: torch.Tensor) -> torch.Tensor:
        """1, 2, .. N like x."""
        return torch.arange(1, self.dimension + 1, device=x.device, dtype=x.dtype)


class Ackley(ClassicFunction):
    """Many local minima in a funnel. 20 + e - 20 exp(-0.2 rms(x)) - exp(mean cos 2 pi x)."""

    bounds = (-32.768, 32.768)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        rms = torch.linalg.vector_norm(x, dim=-1) / math.sqrt(self.dimension)
        # cos 2 pi x - 1 = -2 sin^2 pi x
        waves = -2 * (math.pi * x).sin().square().mean(-1)
        return -20 * torch.expm1(-0.2 * rms) - math.e * torch.expm1(waves)


class DixonPrice(ClassicFunction):
    """A bent valley. (x_1 - 1)^2 + sum_{i>1} i (2 x_i^2 - x_{i-1})^2."""

    def _solution(self) -> torch.Tensor:
        # x_i = 2^-(2^i - 2) / 2^i, written so that 2^i does not overflow
        return 2.0 ** -(1 - 2.0 ** (1 - torch.arange(1, self.dimension + 1, dtype=torch.float64)))

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        terms = self._numbers(x)[1:] * (2 * x[:, 1:].square() - x[:, :-1]).square()
        return (x[:, 0] - 1).square() + terms.sum(-1)


class Griewank(ClassicFunction):
    """A bowl with ripples. |x|^2 / 4000 - prod cos(x_i / sqrt i) + 1."""

    bounds = (-600.0, 600.0)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(-1) / 4000 + (1 - (x / self._numbers(x).sqrt()).cos().prod(-1))


class Levy(ClassicFunction):
    """Many local minima, with w = 1 + (x - 1) / 4:
    sin^2 pi w_1 + sum_{i<N} (w_i - 1)^2 (1 + 10 sin^2(pi w_i + 1)) + (w_N - 1)^2 (1 + sin^2 2 pi w_N)."""

    def _solution(self) -> torch.Tensor:
        return torch.ones(self.dimension, dtype=torch.float64)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        v = (x - 1) / 4  # w - 1, whose sines are those of w up to sign
        inner, last = v[:, :-1], v[:, -1]
        terms = inner.square() * (1 + 10 * (math.pi * inner + 1).sin().square())
        first = (math.pi * v[:, 0]).sin().square()
        return first + terms.sum(-1) + last.square() * (1 + (2 * math.pi * last).sin().square())


class PermScaled(ClassicFunction):
    """Perm 0, d, beta with beta = 10, scaled: sum_i (sum_j (j + beta) (y_j^i - (1 / jN)^i))^2 with y = x / N.

    The library's function has x_j^i - 1 / j^i there: beyond about N = 30 it overflows, with values of N^2N on its
    domain [-N, N]. Here the i-th inner sum is divided by N^i, which keeps the minimiser x_j = 1 / j and the minimum 0.
    The values are not those of the library, and the paper's row for Perm repeats that of Sum of Squares: leave it out
    of comparisons. Memory grows with N^2 for each problem.
    """

    BETA = 10.0

    def _domain(self) -> tuple[float, float]:
        return (-float(self.dimension), float(self.dimension))

    def _solution(self) -> torch.Tensor:
        return 1 / torch.arange(1, self.dimension + 1, dtype=torch.float64)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        j = self._numbers(x)
        powers = (x / self.dimension)[:, None].expand(-1, self.dimension, -1).cumprod(1)  # [B, i, j]
        wanted = (1 / (j * self.dimension)).expand(self.dimension, -1).cumprod(0)
        return ((powers - wanted) @ (j + self.BETA)).square().sum(-1)


class Powell(ClassicFunction):
    """Singular Hessian at the minimum. Groups of four coordinates a, b, c, d, over the largest multiple of 4:
    (a + 10 b)^2 + 5 (c - d)^2 + (b - 2 c)^4 + 10 (a - d)^4.

    What remains beyond the multiple has no influence. Below four dimensions the missing coordinates are zero, so that
    there is a function at all.
    """

    bounds = (-4.0, 5.0)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        if self.dimension < 4:
            x = torch.nn.functional.pad(x, (0, 4 - self.dimension))
        a, b, c, d = x[:, : x.shape[1] // 4 * 4].unflatten(1, (-1, 4)).unbind(-1)
        terms = (a + 10 * b).square() + 5 * (c - d).square() + (b - 2 * c) ** 4 + 10 * (a - d) ** 4
        return terms.sum(-1)


class Rastrigin(ClassicFunction):
    """A bowl with deep regular ripples. sum x^2 + 10 - 10 cos 2 pi x."""

    bounds = (-5.12, 5.12)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        return (x.square() + 20 * (math.pi * x).sin().square()).sum(-1)


class Rosenbrock(ClassicFunction):
    """A long bent valley. sum_{i<N} 100 (x_{i+1} - x_i^2)^2 + (x_i - 1)^2."""

    bounds = (-5.0, 10.0)

    def _solution(self) -> torch.Tensor:
        return torch.ones(self.dimension, dtype=torch.float64)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        return (100 * (x[:, 1:] - x[:, :-1].square()).square() + (x[:, :-1] - 1).square()).sum(-1)


class RotatedHyperEllipsoid(ClassicFunction):
    """The convex quadratic f(x) = sum_i sum_{j<=i} x_j^2."""

    bounds = (-65.536, 65.536)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        return (self._numbers(x).flip(0) * x.square()).sum(-1)


class Sphere(ClassicFunction):
    """sum x^2."""

    bounds = (-5.12, 5.12)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(-1)


class StyblinskiTang(ClassicFunction):
    """Two wells in each coordinate. sum (x^4 - 16 x^2 + 5 x) / 2."""

    bounds = (-5.0, 5.0)
    #: The lower of the two minima, a root of 4 a^3 - 32 a + 5.
    WELL = -2.903534027771177

    def _minimum(self) -> float:
        a = self.WELL
        return self.dimension * (a**4 - 16 * a**2 + 5 * a) / 2

    def _solution(self) -> torch.Tensor:
        return torch.full((self.dimension,), self.WELL, dtype=torch.float64)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        a = self.WELL  # the polynomial minus its minimum has the double root a
        return ((x - a).square() * (x.square() + 2 * a * x + 3 * a**2 - 16)).sum(-1) / 2


class SumOfPowers(ClassicFunction):
    """Flatter in each further coordinate. sum |x_i|^(i + 1)."""

    bounds = (-1.0, 1.0)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        return (x.abs() ** (self._numbers(x) + 1)).sum(-1)


class SumOfSquares(ClassicFunction):
    """sum i x_i^2."""

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        return (self._numbers(x) * x.square()).sum(-1)


class Trid(ClassicFunction):
    """A quadratic that couples neighbours, on a domain of width 2 N^2. sum (x_i - 1)^2 - sum_{i>1} x_i x_{i-1}."""

    def _domain(self) -> tuple[float, float]:
        return (-float(self.dimension**2), float(self.dimension**2))

    def _minimum(self) -> float:
        n = self.dimension
        return -n * (n + 4) * (n - 1) / 6

    def _solution(self) -> torch.Tensor:
        i = torch.arange(1, self.dimension + 1, dtype=torch.float64)
        return i * (self.dimension + 1 - i)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        e = torch.nn.functional.pad(x - self._solution().to(x), (1, 1))  # zero at both ends: x_0 and x_{N+1}
        return (e[:, 1:] - e[:, :-1]).square().sum(-1) / 2


class Zakharov(ClassicFunction):
    """A plate that steepens along one direction. sum x^2 + s^2 + s^4 with s = sum 0.5 i x_i."""

    bounds = (-5.0, 10.0)

    def excess_at(self, x: torch.Tensor) -> torch.Tensor:
        s = 0.5 * (self._numbers(x) * x).sum(-1)
        return x.square().sum(-1) + s.square() + s**4


#: All functions by the names of the paper's table, which are also those of the benchmark.
FUNCTIONS: dict[str, type[ClassicFunction]] = {
    "Ackley": Ackley, "Dixon-Price": DixonPrice, "Griewank": Griewank, "Levy": Levy, "Perm": PermScaled,
    "Powell": Powell, "Rastrigin": Rastrigin, "Rosenbrock": Rosenbrock,
    "Rotated Hyper-Ellipsoid": RotatedHyperEllipsoid, "Sphere": Sphere, "Styblinski-Tang": StyblinskiTang,
    "Sum of Powers": SumOfPowers, "Sum of Squares": SumOfSquares, "Trid": Trid, "Zakharov": Zakharov,
}  # fmt: skip


def random_offset(
    function: ClassicFunction, generator: torch.Generator, share: float = 0.5, count: int | None = None
) -> torch.Tensor:
    """Offset [N], or [count, N], each coordinate uniform within ``share`` of half the width of the domain."""
    low, high = function.domain
    shape = (function.dimension,) if count is None else (count, function.dimension)
    return share * (high - low) / 2 * (2 * torch.rand(shape, generator=generator) - 1)


def make_function(name: str, dimension: int, offset: torch.Tensor | None = None) -> ClassicFunction:
    """One of :data:`FUNCTIONS` by name.

    Raises:
        SettingsError: a name that is none of them, a dimension below 2, or an offset of another dimension.
    """
    if name not in FUNCTIONS:
        raise SettingsError(f"unknown test function {name!r}; one of {', '.join(FUNCTIONS)}")
    return FUNCTIONS[name](dimension, offset)
