"""Problems side by side are what they are alone, and one call answers a round."""

from __future__ import annotations

import warnings

import pytest
import torch

from benchmarks.optimizers.lockstep import minimize_in_rounds
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.optim.stopping import Budget, RelativeDecrease
from tests.optim.function_task import FunctionTask

CURVATURE = torch.tensor([[1.0, 4.0, 0.3], [2.0, 0.1, 9.0], [1.0, 1.0, 1.0]], dtype=torch.float64)


class Bowls(FunctionTask):
    """A bowl of its own in each row, with a bend; counts the calls."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows, self.calls = rows, []
        super().__init__(lambda x: (rows * (x - 1).square()).sum(-1) + 0.1 * (x**4).sum(-1), rows.shape[1])

    def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls.append(len(x))
        return super().loss_and_gradient(x)

    def row(self, index: int) -> Bowls:
        return Bowls(self.rows[index : index + 1])


@pytest.mark.parametrize("solver", [Bfgs(), Lbfgs()])
@pytest.mark.parametrize("stop", [None, RelativeDecrease()])
def test_rows_are_solved_as_they_are_alone(solver, stop) -> None:
    task, x = Bowls(CURVATURE), torch.linspace(-2.0, 2.0, 9, dtype=torch.float64).view(3, 3)
    found = minimize_in_rounds(solver, task, x, Budget(evaluations=30), stop)
    for b, result in enumerate(found):
        alone = solver.minimize(task.row(b), x[b : b + 1], Budget(evaluations=30), stop)
        torch.testing.assert_close(result.x, alone.x, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(result.losses, alone.losses, rtol=1e-10, atol=1e-10)
        assert int(result.evaluations[0]) == int(alone.evaluations[0])


def test_a_round_is_one_call_and_ends_of_some_rows_hold_up_no_other() -> None:
    task, x = Bowls(CURVATURE), torch.zeros(3, 3, dtype=torch.float64)
    x[1] = Bfgs().minimize(task.row(1), x[1:2], Budget(evaluations=50)).x[0]  # a row that ends at once
    task.calls.clear()
    filters = list(warnings.filters)
    found = minimize_in_rounds(Bfgs(), task, x, Budget(evaluations=50))
    counts = [int(r.evaluations[0]) for r in found]
    assert counts[1] < min(counts[0], counts[2])
    assert task.calls == [3] * max(counts)
    assert warnings.filters == filters


def test_what_a_task_raises_reaches_the_caller() -> None:
    class Broken(Bowls):
        def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            raise ValueError("no ground")

    with pytest.raises(ValueError, match="no ground"):
        minimize_in_rounds(Bfgs(), Broken(CURVATURE), torch.zeros(3, 3), Budget(evaluations=5))


def test_a_row_is_a_task_like_any_other() -> None:
    seen = []

    class Asks(Bfgs):
        def minimize(self, task, x, budget, stop=None):
            at = x.clone().requires_grad_(True)
            loss = task.loss(at)
            seen.append((loss.detach(), torch.autograd.grad(loss.sum(), at)[0]))
            return super().minimize(task, x, budget, stop)

    task = Bowls(CURVATURE)
    minimize_in_rounds(Asks(), task, torch.ones(3, 3, dtype=torch.float64) * 0.5, Budget(evaluations=3))
    wanted = [task.row(b).loss_and_gradient(torch.full((1, 3), 0.5, dtype=torch.float64)) for b in range(3)]
    found = sorted(((float(loss), gradient) for loss, gradient in seen), key=lambda pair: pair[0])
    for (loss, gradient), (value, slope) in zip(found, sorted(wanted, key=lambda pair: float(pair[0])), strict=True):
        assert loss == pytest.approx(float(value))
        torch.testing.assert_close(gradient, slope)
