"""The baselines against torch.optim and SciPy, and counting of evaluations."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, rosen, rosen_der

from diffmocap.errors import SettingsError
from diffmocap.optim.first_order import Adam, Momentum
from diffmocap.optim.functions import make_function, random_offset
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.optim.stopping import Budget, RelativeDecrease
from tests.optim.function_task import FunctionTask

ROSENBROCK = make_function("Rosenbrock", 6)
STARTS = ROSENBROCK.init(4, torch.Generator().manual_seed(0)).double()


def torch_losses(optimizer_class, steps: int, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses [steps + 1, B] and the last point of a ``torch.optim`` optimizer on the same problems."""
    x = STARTS.clone().requires_grad_(True)
    optimizer, losses = optimizer_class([x], **options), []
    for step in range(steps + 1):
        optimizer.zero_grad()
        loss = ROSENBROCK.loss(x)
        losses.append(loss.detach())
        if step < steps:
            loss.sum().backward()
            optimizer.step()
    return torch.stack(losses), x.detach()


@pytest.mark.parametrize(
    "ours, theirs, options",
    [
        (Adam(0.05), torch.optim.Adam, {"lr": 0.05}),
        (Adam(0.01, (0.8, 0.99), 1e-6), torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6}),
        (Momentum(1e-6, mu=0.9), torch.optim.SGD, {"lr": 1e-6, "momentum": 0.9}),
        (Momentum(1e-6, mu=0.0), torch.optim.SGD, {"lr": 1e-6}),
    ],
)
def test_first_order_solvers_are_those_of_torch(ours, theirs, options) -> None:
    losses, x = torch_losses(theirs, 60, **options)
    result = ours.minimize(ROSENBROCK, STARTS, Budget(iterations=60))
    assert torch.allclose(result.losses, losses, rtol=1e-9) and torch.allclose(result.last, x, rtol=1e-9)
    assert losses[-1].mean() < 0.9 * losses[0].mean() and result.evaluations.tolist() == [61] * 4


def test_a_column_of_rates_is_one_run_for_each_rate() -> None:
    rates = torch.tensor([[1e-3], [1e-2], [1e-1]], dtype=torch.float64)
    together = Adam(rates).minimize(ROSENBROCK, STARTS[:1].expand(3, -1), Budget(iterations=20))
    for column, rate in zip(together.losses.T, rates[:, 0].tolist()):
        alone = Adam(rate).minimize(ROSENBROCK, STARTS[:1], Budget(iterations=20))
        assert torch.allclose(column, alone.losses[:, 0])


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Ours, for SciPy: its own differs in the last digit, and with that, on some processors, a run by an evaluation."""
    loss, gradient = ROSENBROCK.loss_and_gradient(torch.from_numpy(x)[None])
    return float(loss), gradient[0].numpy()


def test_rosenbrock_is_scipys() -> None:
    for start in STARTS.numpy():
        loss, gradient = rosenbrock(start)
        assert loss == pytest.approx(rosen(start), rel=1e-12)
        assert np.allclose(gradient, rosen_der(start), rtol=1e-12)


@pytest.mark.parametrize("solver, method", [(Bfgs(), "BFGS"), (Lbfgs(), "L-BFGS-B")])
def test_quasi_newton_counts_and_finds_what_scipy_does(solver, method) -> None:
    result = solver.minimize(ROSENBROCK, STARTS, Budget(evaluations=10_000))
    for b, start in enumerate(STARTS.numpy()):
        reference = minimize(rosenbrock, start, jac=True, method=method)
        assert int(result.evaluations[b]) == reference.nfev and int(result.iterations[-1, b]) == reference.nit
        assert float(result.loss[b]) == pytest.approx(reference.fun, rel=1e-6, abs=1e-12)
        assert np.allclose(result.last[b], reference.x, rtol=1e-6) and result.reasons[b] == reference.message
    assert result.losses.dtype == torch.float64 and len(result.losses) == int(result.evaluations.max())


@pytest.mark.parametrize("solver", [Bfgs(), Lbfgs()])
def test_evaluations_of_line_searches_are_charged_to_their_iteration(solver) -> None:
    """SciPy cut after k iterations has seen what the record shows up to k."""
    whole = solver.minimize(ROSENBROCK, STARTS[:1], Budget(evaluations=10_000))
    by_iteration = whole.by_iteration()[:, 0]
    for k in (1, 2, 5, 9):
        cut = minimize(rosen, STARTS[0].numpy(), jac=rosen_der, method=solver.method, options={"maxiter": k})
        assert int((whole.iterations[:, 0] <= k).sum()) == cut.nfev
        assert float(by_iteration[k]) == pytest.approx(cut.fun, rel=1e-9)
        assert len(solver.minimize(ROSENBROCK, STARTS[:1], Budget(iterations=k)).losses) == cut.nfev


@pytest.mark.parametrize("solver", [Bfgs(), Lbfgs()])
def test_problems_with_offsets_of_their_own_are_solved_one_by_one(solver) -> None:
    plain = make_function("Sum of Squares", 5)
    offset = random_offset(plain, torch.Generator().manual_seed(0), count=3)
    task = make_function("Sum of Squares", 5, offset)
    result = solver.minimize(task, task.init(3), Budget(evaluations=100))
    assert torch.allclose(result.x, task.minimiser, atol=1e-4)


def slow(x: torch.Tensor) -> torch.Tensor:
    time.sleep(0.02)
    return x.square().sum(-1)


@pytest.mark.parametrize("solver", [Adam(1e-3), Momentum(1e-3), Bfgs(), Lbfgs()])
def test_budgets_are_kept(solver) -> None:
    for count in (1, 2, 7):
        result = solver.minimize(ROSENBROCK, STARTS, Budget(evaluations=count))
        assert result.evaluations.tolist() == [count] * 4 and set(result.reasons) == {"budget"}
    valley = FunctionTask(lambda x: slow(x) + 0.05 * (5 * x).cos().sum(-1), 3)
    result = solver.minimize(valley, 3 * torch.ones(1, 3), Budget(seconds=0.1, evaluations=1000))
    assert 1 < int(result.evaluations[0]) <= 6 and 0.02 < float(result.seconds[0, 0])
    assert (result.seconds[1:] >= result.seconds[:-1]).all()
    nothing = solver.minimize(ROSENBROCK, STARTS, Budget(iterations=0))
    assert torch.allclose(nothing.x, STARTS) and torch.equal(nothing.last, nothing.x)


def test_quasi_newton_ends_by_the_criterion_on_its_iterates() -> None:
    """A line search's failed trials do not count as steps upwards."""
    criterion = RelativeDecrease(window=3, beta=1.01)
    result = Bfgs().minimize(ROSENBROCK, STARTS, Budget(evaluations=1000), criterion)
    whole = Bfgs().minimize(ROSENBROCK, STARTS, Budget(evaluations=1000))
    assert set(result.reasons) == {"criterion"} and (result.evaluations < whole.evaluations).all()


def test_losses_that_are_no_numbers_are_recorded_as_infinite() -> None:
    task = FunctionTask(lambda x: torch.where(x[:, 0] < 0, torch.nan, (x**2).sum(-1)), 2)
    x = torch.tensor([[0.5, 2.0], [3.0, 2.0]])
    for solver in (Momentum(0.3), Bfgs()):
        result = solver.minimize(task, x, Budget(evaluations=8))
        assert not result.losses.isnan().any() and torch.isfinite(result.loss).all() and torch.isfinite(result.x).all()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Adam(0.0), "learning_rate must be positive"),
        (lambda: Adam(betas=(0.9, 1.0)), r"beta must lie in \[0, 1\)"),
        (lambda: Momentum(mu=-0.1), r"mu must lie in \[0, 1\)"),
        (lambda: Adam().minimize(ROSENBROCK, torch.zeros(6), Budget(evaluations=1)), r"\[problems, 6\], got \[6\]"),
        (lambda: Bfgs().minimize(ROSENBROCK, torch.zeros(2, 5), Budget(evaluations=1)), "got"),
        (lambda: Adam().minimize(ROSENBROCK, torch.full((1, 6), torch.nan), Budget(evaluations=1)), "finite"),
    ],
)
def test_wrong_settings_and_starts_are_refused(make, message) -> None:
    with pytest.raises(SettingsError, match=message):
        make()
