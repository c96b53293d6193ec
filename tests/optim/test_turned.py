"""Turned coordinates: the same function values and gradients there, and what solvers by inner products make of them."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.first_order import Momentum
from diffmocap.optim.functions import make_function
from diffmocap.optim.quasi_newton import Bfgs
from diffmocap.optim.stopping import Budget
from diffmocap.optim.turned import Turned, random_rotation

N = 7


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def turned() -> Turned:
    return Turned(make_function("Rosenbrock", N), random_rotation(N, seeded()))


def test_random_rotations_are_orthogonal_and_have_no_preferred_direction() -> None:
    generator = seeded()
    matrices = torch.stack([random_rotation(3, generator) for _ in range(2000)])
    assert torch.allclose(matrices @ matrices.mT, torch.eye(3).double().expand(2000, 3, 3), atol=1e-12)
    assert matrices.mean(0).abs().max() < 0.05
    # Householder's reflections alone, without the signs of R's diagonal, all have the same determinant.
    assert 0.45 < (torch.linalg.det(matrices) > 0).double().mean() < 0.55
    assert torch.equal(random_rotation(4, seeded(1)), random_rotation(4, seeded(1)))


def test_losses_gradients_and_starts_are_the_turned_ones(turned: Turned) -> None:
    x, y = turned.task.init(4, seeded()).double(), turned.init(4, seeded()).double()
    q = turned.matrix
    assert torch.allclose(y, torch.stack([q @ row for row in x]), atol=1e-5)  # starts are drawn in single precision
    y = turned.turned(x)
    assert torch.allclose(turned.turned_back(y), x, rtol=1e-12)
    (loss, gradient), (plain, of_plain) = turned.loss_and_gradient(y), turned.task.loss_and_gradient(x)
    assert torch.allclose(loss, plain, rtol=1e-12)
    assert torch.allclose(gradient, torch.stack([q @ row for row in of_plain]), rtol=1e-10)
    assert turned.minimum == turned.task.minimum and turned.shape == (N,)


@pytest.mark.parametrize("solver", [Momentum(1e-4), Bfgs()])
def test_solvers_by_inner_products_alone_do_not_notice(turned: Turned, solver) -> None:
    x = turned.task.init(2, seeded(3)).double()
    budget = Budget(iterations=12)
    there = solver.minimize(turned, turned.turned(x), budget).by_iteration()
    here = solver.minimize(turned.task, x, budget).by_iteration()
    assert torch.allclose(there, here, rtol=1e-6)


def test_each_row_keeps_its_own_offset(turned: Turned) -> None:
    offsets = torch.randn(3, N, generator=seeded(2)).double()
    task = Turned(make_function("Sphere", N, offsets), turned.matrix)
    y = torch.randn(3, N, generator=seeded(4)).double()
    rows = torch.cat([task.row(i).loss(y[i : i + 1]) for i in range(3)])
    assert torch.allclose(rows, task.loss(y)) and torch.allclose(rows, (y - task.turned(offsets)).square().sum(1))


def test_what_does_not_turn_is_refused() -> None:
    task = make_function("Sphere", N)
    with pytest.raises(SettingsError, match=r"matrix \[7, 7\]; got \[6, 6\]"):
        Turned(task, torch.eye(6))
    with pytest.raises(SettingsError, match="orthogonal"):
        Turned(task, 2 * torch.eye(N))
