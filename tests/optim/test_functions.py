"""The 15 functions against the library's formulas written plainly, minima, and gradients by finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.functions import FUNCTIONS, PermScaled, make_function, random_offset

DIMENSIONS = (2, 3, 4, 7, 12)


def perm(x: np.ndarray) -> float:
    n, total = len(x), 0.0
    for i in range(1, n + 1):
        inner = sum((j + 10) * (x[j - 1] ** i - 1 / j**i) for j in range(1, n + 1))
        total += (inner / n**i) ** 2  # the documented scale
    return total


def powell(x: np.ndarray) -> float:
    x = np.pad(x, (0, max(0, 4 - len(x))))
    return sum(
        (x[i] + 10 * x[i + 1]) ** 2 + 5 * (x[i + 2] - x[i + 3]) ** 2 + (x[i + 1] - 2 * x[i + 2]) ** 4
        + 10 * (x[i] - x[i + 3]) ** 4
        for i in range(0, len(x) // 4 * 4, 4)
    )  # fmt: skip


def levy(x: np.ndarray) -> float:
    w = 1 + (x - 1) / 4
    inner = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)
    return np.sin(np.pi * w[0]) ** 2 + inner.sum() + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)


def number(x: np.ndarray) -> np.ndarray:
    return np.arange(1, len(x) + 1)


#: As the library prints them, one point at a time.
PLAIN = {
    "Ackley": lambda x: (
        -20 * np.exp(-0.2 * np.sqrt(np.mean(x**2))) - np.exp(np.mean(np.cos(2 * np.pi * x))) + 20 + np.e
    ),
    "Dixon-Price": lambda x: (x[0] - 1) ** 2 + sum((i + 1) * (2 * x[i] ** 2 - x[i - 1]) ** 2 for i in range(1, len(x))),
    "Griewank": lambda x: np.sum(x**2) / 4000 - np.prod(np.cos(x / np.sqrt(number(x)))) + 1,
    "Levy": levy,
    "Perm": perm,
    "Powell": powell,
    "Rastrigin": lambda x: 10 * len(x) + np.sum(x**2 - 10 * np.cos(2 * np.pi * x)),
    "Rosenbrock": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (x[:-1] - 1) ** 2),
    "Rotated Hyper-Ellipsoid": lambda x: sum(np.sum(x[: i + 1] ** 2) for i in range(len(x))),
    "Sphere": lambda x: np.sum(x**2),
    "Styblinski-Tang": lambda x: np.sum(x**4 - 16 * x**2 + 5 * x) / 2,
    "Sum of Powers": lambda x: np.sum(np.abs(x) ** (number(x) + 1)),
    "Sum of Squares": lambda x: np.sum(number(x) * x**2),
    "Trid": lambda x: np.sum((x - 1) ** 2) - np.sum(x[1:] * x[:-1]),
    "Zakharov": lambda x: np.sum(x**2) + np.sum(0.5 * number(x) * x) ** 2 + np.sum(0.5 * number(x) * x) ** 4,
}  # fmt: skip


def starts(function, count: int = 5) -> torch.Tensor:
    return function.init(count, torch.Generator().manual_seed(0)).double()


def test_there_are_fifteen() -> None:
    assert len(FUNCTIONS) == 15 and set(PLAIN) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_the_formula(name: str) -> None:
    for dimension in DIMENSIONS:
        function = make_function(name, dimension)
        x = starts(function)
        expected = torch.tensor([PLAIN[name](row) for row in x.numpy()])
        assert torch.allclose(function.loss(x), expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))
        low, high = function.domain
        assert x.min() >= low and x.max() <= high


@pytest.mark.parametrize("name", FUNCTIONS)
def test_minimum_is_taken_at_the_minimiser_with_zero_gradient(name: str) -> None:
    for dimension in (*DIMENSIONS, 100):
        function = make_function(name, dimension)
        x = function.minimiser[None]
        loss, gradient = function.loss_and_gradient(x)
        scale = float(function.excess(starts(function)).mean())
        assert float(function.excess(x)) == pytest.approx(0, abs=1e-14 * scale)
        assert float(loss) == pytest.approx(function.minimum, rel=1e-12, abs=1e-14 * scale)
        if dimension < 100 or name != "Perm":  # the plain form overflows
            assert PLAIN[name](x[0].numpy()) == pytest.approx(function.minimum, rel=1e-9, abs=1e-14 * scale + 1e-12)
        assert float(gradient.abs().max()) < 1e-12 * max(1, scale)
        near = x + 1e-3 * torch.randn(20, dimension, generator=torch.Generator().manual_seed(1)).double()
        assert float(function.excess(near).min()) >= 0 and float(function.excess(starts(function)).min()) > 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_finite_differences(name: str) -> None:
    for dimension in (2, 5, 12):
        function = make_function(name, dimension, 0.3 * torch.ones(dimension))
        x = starts(function, 3)
        _, gradient = function.loss_and_gradient(x)
        step = 1e-5 * (function.domain[1] - function.domain[0]) / 10
        for i in range(dimension):
            moved = torch.zeros(dimension, dtype=x.dtype)
            moved[i] = step
            slope = (function.excess(x + moved) - function.excess(x - moved)) / (2 * step)
            assert torch.allclose(gradient[:, i], slope, rtol=1e-5, atol=1e-6 * float(gradient.abs().max()))


def test_values_known_from_elsewhere() -> None:
    """Rosenbrock from SciPy; the others from the library's pages."""
    from scipy.optimize import rosen, rosen_der

    function = make_function("Rosenbrock", 7)
    x = starts(function)
    loss, gradient = function.loss_and_gradient(x)
    assert np.allclose(loss, [rosen(row) for row in x.numpy()]) and np.allclose(gradient[0], rosen_der(x[0].numpy()))
    assert make_function("Trid", 6).minimum == -50 and make_function("Trid", 10).minimum == -210
    assert make_function("Styblinski-Tang", 2).minimum == pytest.approx(2 * -39.16599, abs=1e-3)
    assert make_function("Dixon-Price", 2).minimiser.tolist() == pytest.approx([1, 2**-0.5])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_offsets_move_minimum_domain_and_starts(name: str) -> None:
    plain, generator = make_function(name, 6), torch.Generator().manual_seed(3)
    offset = random_offset(plain, generator)
    low, high = plain.domain
    assert offset.abs().max() <= (high - low) / 4
    shifted = make_function(name, 6, offset)
    x = starts(plain)
    assert torch.allclose(shifted.loss(x + offset), plain.loss(x), rtol=1e-4)
    assert torch.allclose(shifted.init(5, torch.Generator().manual_seed(0)).double(), x + offset, rtol=1e-5)
    assert float(shifted.excess(shifted.minimiser[None])) == pytest.approx(0, abs=1e-9 * float(plain.excess(x).mean()))
    many = make_function(name, 6, random_offset(plain, generator, count=5))
    assert many.init(5).shape == many.minimiser.shape == (5, 6)
    assert float(many.excess(many.minimiser).max()) == pytest.approx(0, abs=1e-9 * float(plain.excess(x).mean()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_thousand_dimensions_stay_finite_in_single_precision(name: str) -> None:
    function = make_function(name, 1000)
    loss, gradient = function.loss_and_gradient(function.init(2, torch.Generator().manual_seed(0)))
    assert loss.dtype == torch.float32 and torch.isfinite(loss).all() and torch.isfinite(gradient).all()


def test_excess_is_resolved_in_single_precision() -> None:
    """1e-4 beside the minimum, where f - f* from the plain formula would be rounding only."""
    for name in ("Ackley", "Rastrigin", "Styblinski-Tang", "Trid", "Levy"):
        function = make_function(name, 50)
        near = function.minimiser + 1e-4 * torch.randn(50, generator=torch.Generator().manual_seed(0)).double()
        near = near.float()
        exact = function.excess(near[None].double())
        assert torch.allclose(function.excess(near[None]).double(), exact, rtol=2e-3 if name == "Trid" else 1e-4), name


def test_perm_keeps_its_minimiser_and_is_the_librarys_up_to_its_scale() -> None:
    """In two dimensions the scales of both sums are 2 and 4."""
    x = torch.tensor([[0.3, -1.2]], dtype=torch.float64)
    first, second = 11 * (0.3 - 1) + 12 * (-1.2 - 0.5), 11 * (0.09 - 1) + 12 * (1.44 - 0.25)
    assert float(PermScaled(2).loss(x)) == pytest.approx((first / 2) ** 2 + (second / 4) ** 2)


def test_powell_ignores_what_is_beyond_the_largest_multiple_of_four() -> None:
    x = starts(make_function("Powell", 10))
    loss, gradient = make_function("Powell", 10).loss_and_gradient(x)
    assert torch.equal(loss, make_function("Powell", 8).loss(x[:, :8])) and not gradient[:, 8:].any()


def test_what_cannot_be_is_refused_with_a_reason() -> None:
    with pytest.raises(SettingsError, match="unknown test function 'Spere'"):
        make_function("Spere", 3)
    with pytest.raises(SettingsError, match="at least 2 dimensions"):
        make_function("Sphere", 1)
    with pytest.raises(SettingsError, match="3 columns"):
        make_function("Sphere", 3, torch.zeros(4))
    assert math.isclose(make_function("Ackley", 2).domain[1], 32.768)
