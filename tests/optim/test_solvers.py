"""The smoke test that every solver passes."""

from __future__ import annotations

import pytest
import torch

from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.basin_hopping import BasinHopping
from diffmocap.optim.features import FeatureSettings
from diffmocap.optim.first_order import Adam, Momentum
from diffmocap.optim.functions import make_function
from diffmocap.optim.learned_gradient_descent import LearnedGradientDescent, LearnedGradientDescentSettings
from diffmocap.optim.optimizer import Optimizer, StepOptimizer
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.optim.stopping import Budget, RelativeDecrease
from diffmocap.optim.task import Task

SMALL = {"width": 16, "heads": 2, "attention_width": 16, "feedforward": 16, "mlp_width": 16, "mlp_layers": 2}
N = 7

SOLVERS = {
    "optimus": lambda: Optimus(OptimusSettings(**SMALL)),
    "optimus_paper_text": lambda: Optimus(OptimusSettings.paper_text(**SMALL)),
    "optimus_paper_algorithm": lambda: Optimus(OptimusSettings.paper_algorithm(**SMALL)),
    "optimus_no_state": lambda: Optimus(OptimusSettings(state=False, **SMALL)),
    "optimus_no_structure": lambda: Optimus(OptimusSettings(structure=False, **SMALL)),
    "optimus_memory": lambda: Optimus(
        OptimusSettings(quasi_newton=False, features=FeatureSettings(memory=True), **SMALL)
    ),
    "adafactor_mlp": lambda: AdafactorMlp(AdafactorMlpSettings(width=16, layers=2)),
    "learned_gradient_descent": lambda: LearnedGradientDescent(LearnedGradientDescentSettings(N, width=16)),
    "adam": lambda: Adam(0.05),
    "momentum": lambda: Momentum(1e-3),
    "bfgs": Bfgs,
    "lbfgs": Lbfgs,
    "basin_hopping": lambda: BasinHopping(Momentum(1e-3), iterations=4),
    "basin_hopping_of_bfgs": lambda: BasinHopping(Bfgs(), iterations=4),
}


class Bowls(Task):
    """Quadratics with a minimum of their own for each problem, in any dtype."""

    shape, minimum = (N,), -2.0

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return torch.randn(count, N, generator=generator)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return ((x - 0.3).square() * torch.linspace(1, 5, N, dtype=x.dtype)).sum(-1) - 2.0


@pytest.fixture(params=SOLVERS)
def solver(request) -> Optimizer:
    torch.manual_seed(0)
    return SOLVERS[request.param]()


def test_a_run_keeps_its_budget_and_its_word(solver: Optimizer) -> None:
    task, x = Bowls(), Bowls().init(3, torch.Generator().manual_seed(0))
    before = x.clone()
    result = solver.minimize(task, x, Budget(evaluations=15))
    assert torch.equal(x, before)
    length = len(result.losses)
    assert result.losses.shape == result.iterations.shape == result.seconds.shape == (length, 3)
    assert length == int(result.evaluations.max()) <= 15 and (result.evaluations >= 1).all()
    assert result.x.shape == result.last.shape == (3, N) and len(result.reasons) == 3
    for tensor in (result.x, result.loss, result.last, result.losses, result.seconds):
        assert torch.isfinite(tensor).all() and not tensor.requires_grad
    assert torch.allclose(result.losses[0].float(), task.loss(x), rtol=1e-5)
    assert torch.equal(result.loss, result.losses.min(0).values)
    assert torch.allclose(result.loss.float(), task.loss(result.x).float(), rtol=1e-4)
    assert (result.loss <= result.losses[0]).all() and (result.loss >= task.minimum - 1e-6).all()
    assert (result.iterations[1:] >= result.iterations[:-1]).all() and not result.iterations[0].any()
    assert (result.seconds[1:] >= result.seconds[:-1]).all()


def test_runs_repeat_and_problems_do_not_mix(solver: Optimizer) -> None:
    """A problem solved alone comes out as in a batch, to rounding."""
    task, x = Bowls(), Bowls().init(3, torch.Generator().manual_seed(1)).double()
    budget = Budget(evaluations=8)
    first, again = (solver.minimize(task, x, budget) for _ in range(2))
    assert torch.allclose(first.losses, again.losses, rtol=1e-6) and torch.allclose(first.x, again.x, rtol=1e-5)
    if not isinstance(solver, BasinHopping):  # its moves are drawn for the batch
        alone = solver.minimize(task, x[1:2], budget)
        length = int(alone.evaluations)
        assert torch.allclose(alone.losses[:, 0], first.losses[:length, 1], rtol=1e-4)


def test_the_criterion_and_the_other_limits_end_runs(solver: Optimizer) -> None:
    task, x = Bowls(), Bowls().init(2, torch.Generator().manual_seed(2))
    stopped = solver.minimize(task, x, Budget(iterations=300), RelativeDecrease(window=2))
    assert int(stopped.iterations.max()) <= 300
    quick = solver.minimize(task, x, Budget(iterations=3))
    assert int(quick.iterations.max()) <= 3
    assert len(solver.minimize(task, x, Budget(seconds=1e-9)).losses) == 1
    assert torch.equal(solver.minimize(task, x, Budget(evaluations=1)).x.float(), x)


def test_tasks_in_double_precision_stay_so(solver: Optimizer) -> None:
    x = Bowls().init(2).double()
    result = solver.minimize(Bowls(), x, Budget(evaluations=4))
    assert result.x.dtype == result.last.dtype == result.losses.dtype == torch.float64


@pytest.mark.parametrize("name", [name for name in SOLVERS if "bfgs" not in name and "hopping" not in name])
def test_steps_from_outside_are_the_loops(name: str) -> None:
    """A caller that wants to own the loop, a trainer for instance, gets the same points; and may go back to a state.

    SciPy and basin hopping own their loops.
    """
    torch.manual_seed(0)
    solver = SOLVERS[name]()
    assert isinstance(solver, StepOptimizer)
    task, x = make_function("Rosenbrock", N), Bowls().init(2, torch.Generator().manual_seed(3))
    result = solver.minimize(task, x, Budget(iterations=4))
    with torch.no_grad():
        states = [solver.init(task, x)]
        for k in range(4):
            loss, gradient = task.loss_and_gradient(states[k].x)
            assert torch.allclose(loss, result.losses[k], rtol=1e-4)
            states.append(solver.step(states[k], loss, gradient))
        assert torch.allclose(states[4].x, result.last, rtol=1e-4, atol=1e-5)
        loss, gradient = task.loss_and_gradient(states[2].x)
        assert torch.allclose(solver.step(states[2], loss, gradient).x, states[3].x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["adam", "momentum", "bfgs", "lbfgs", "basin_hopping", "basin_hopping_of_bfgs"])
def test_what_needs_no_training_minimises(name: str) -> None:
    x = Bowls().init(3, torch.Generator().manual_seed(4))
    result = SOLVERS[name]().minimize(Bowls(), x, Budget(evaluations=150))
    assert ((result.loss + 2) < 0.3 * (result.losses[0] + 2)).all()
