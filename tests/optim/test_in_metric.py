"""Coordinates in which a metric is the identity: the same losses, and what optimizers make of the inverse metric."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.functions import make_function
from diffmocap.optim.in_metric import InMetric
from diffmocap.optim.quasi_newton import Bfgs
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task

N = 6


class Bowl(Task):
    """Half of x^T M x - 2 b^T x, which is least at M^-1 b; ``b`` [B, N]."""

    shape, scale = (N,), 0.5

    def __init__(self, metric: torch.Tensor, b: torch.Tensor) -> None:
        self.metric, self.b = metric, b

    def init(self, count, generator=None):
        return torch.zeros(count, N, dtype=torch.float64)

    def loss(self, x):
        return ((x @ self.metric) * x).sum(1) / 2 - (self.b.to(x) * x).sum(1)

    def row(self, index):
        return Bowl(self.metric, self.b[index : index + 1])


@pytest.fixture(scope="module")
def metric() -> torch.Tensor:
    """Symmetric, with curvatures from 1e-2 to 1e4."""
    q, _ = torch.linalg.qr(torch.randn(N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    return (q * torch.logspace(-2, 4, N, dtype=torch.float64)) @ q.mT


@pytest.fixture(scope="module")
def root(metric) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(metric)
    return (vectors * values.rsqrt()) @ vectors.mT


@pytest.fixture
def bowl(metric) -> Bowl:
    return Bowl(metric, torch.randn(2, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64))


def test_losses_and_gradients_are_those_of_the_task(root):
    task = make_function("Rosenbrock", N)
    origin = task.init(3, torch.Generator().manual_seed(2)).double()
    scaled = InMetric(task, origin, root)
    assert torch.equal(scaled.point(scaled.init(3)), origin) and scaled.shape == task.shape
    y = torch.randn(3, N, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    loss, gradient = scaled.loss_and_gradient(y)
    torch.testing.assert_close(loss, task.loss(scaled.point(y)))
    with torch.enable_grad():
        leaf = y.clone().requires_grad_(True)
        (expected,) = torch.autograd.grad(scaled.loss(leaf).sum(), leaf)
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(scaled.row(1).loss(y[1:2]), loss[1:2])


def test_what_describes_a_problem_is_that_of_its_point(bowl, root):
    bowl.context = lambda x: 2.0 * x
    scaled = InMetric(bowl, torch.ones(2, N, dtype=torch.float64), root)
    y = torch.full((2, N), 0.5, dtype=torch.float64)
    torch.testing.assert_close(scaled.context(y), 2.0 * scaled.point(y))


def test_a_gradient_step_is_newtons_and_bfgs_begins_with_it(bowl, root):
    origin = torch.ones(2, N, dtype=torch.float64)
    scaled = InMetric(bowl, origin, root)
    start = scaled.init(2)
    _, gradient = scaled.loss_and_gradient(start)
    least = torch.linalg.solve(bowl.metric, bowl.b.mT).mT
    torch.testing.assert_close(scaled.point(start - gradient), least, rtol=1e-6, atol=1e-6)
    budget = Budget(evaluations=12)
    there = Bfgs().minimize(scaled, start, budget).loss - bowl.loss(least)
    here = Bfgs().minimize(bowl, origin, budget).loss - bowl.loss(least)
    assert float(there.max()) < 1e-8 and float(here.min()) > 1e-3


def test_single_precision_parameters_keep_theirs(bowl, root):
    scaled = InMetric(bowl, torch.ones(2, N), root)
    loss, gradient = scaled.loss_and_gradient(torch.zeros(2, N))
    assert loss.dtype == gradient.dtype == torch.float32 and scaled.point(torch.zeros(2, N)).dtype == torch.float64


def test_what_does_not_fit_is_refused(bowl, root):
    origin = bowl.init(2)
    with pytest.raises(SettingsError, match="want a matrix"):
        InMetric(bowl, origin, root[:4, :4])
    with pytest.raises(SettingsError, match="want a matrix"):
        InMetric(bowl, origin[:, :4], root)
    for wrong in (root.triu(), root * float("nan")):
        with pytest.raises(SettingsError, match="symmetric"):
            InMetric(bowl, origin, wrong)
    with pytest.raises(SettingsError, match="holds 2 origins"):
        InMetric(bowl, origin, root).init(3)
