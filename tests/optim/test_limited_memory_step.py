"""Limited-memory BFGS without a line search: Optimus with nothing learned, and what it does on its own."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.functions import make_function
from diffmocap.optim.limited_memory_step import LimitedMemoryStep
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.stopping import Budget
from diffmocap.optim.turned import Turned, random_rotation
from tests.optim.function_task import FunctionTask

N = 12


def starts(task, count: int = 3) -> torch.Tensor:
    return task.init(count, torch.Generator().manual_seed(0)).double()


def nothing_learned() -> Optimus:
    """Its learned step is zero, its share of the quasi-Newton step 1: 0.5 and the sigmoid of 0."""
    optimus = Optimus(OptimusSettings(width=8, heads=2, feedforward=8, mlp_width=8, mlp_layers=1))
    with torch.no_grad():
        for parameter in (*optimus.mlp.out.parameters(), *optimus.share.parameters()):
            parameter.zero_()
    return optimus


@pytest.mark.parametrize("name", ["Sum of Squares", "Rosenbrock", "Rastrigin", "Styblinski-Tang"])
def test_it_is_optimus_with_nothing_learned(name: str) -> None:
    """But for the first step's unit, which Optimus has in single precision."""
    task = make_function(name, N)
    budget = Budget(evaluations=15)
    ours = LimitedMemoryStep().minimize(task, starts(task), budget).losses
    assert torch.allclose(nothing_learned().minimize(task, starts(task), budget).losses, ours, rtol=1e-4)
    assert (ours.amin(0) < ours[0]).all()


def test_it_does_not_notice_that_coordinates_are_turned() -> None:
    task = make_function("Rosenbrock", N)
    turned, x = Turned(task, random_rotation(N, torch.Generator().manual_seed(1))), starts(task)
    budget = Budget(evaluations=25)
    here = LimitedMemoryStep().minimize(task, x, budget).losses
    there = LimitedMemoryStep().minimize(turned, turned.turned(x), budget).losses
    assert torch.allclose(here, there, rtol=1e-5)


def test_a_quadratic_is_solved_and_more_pairs_solve_it_sooner() -> None:
    task = make_function("Sum of Squares", 40)
    budget = Budget(evaluations=60)
    few, many = (LimitedMemoryStep(pairs).minimize(task, starts(task), budget).loss for pairs in (2, 40))
    assert (many < 1e-3 * few).all() and (many < 1e-10).all()


def test_the_first_step_is_a_tenth_of_the_scale_against_the_gradient() -> None:
    task = FunctionTask(lambda x: x.square().sum(-1), 4)
    task.scale = 5.0
    x = torch.tensor([[3.0, 0.0, 4.0, 0.0]], dtype=torch.float64)
    optimizer = LimitedMemoryStep()
    state = optimizer.step(optimizer.init(task, x), *task.loss_and_gradient(x))
    step = state.x - x
    assert torch.allclose(step.square().mean().sqrt(), torch.tensor(0.5, dtype=torch.float64))
    assert torch.allclose(torch.cosine_similarity(step, -x), torch.ones(1).double())


def test_a_point_far_above_the_last_ten_is_left_for_the_best() -> None:
    task = make_function("Rastrigin", N)
    result = LimitedMemoryStep().minimize(task, starts(task, 20), Budget(evaluations=80))
    left = 0
    for losses in result.losses.T:
        for k in (k for k in range(11, 79) if losses[k] > losses[k - 10 : k].max()):
            assert losses[k + 1] == losses[: k + 1].min(), "the next evaluation is at the best point"
            left += 1
    assert left > 0, "some steps of these runs go wrong"


def test_it_needs_a_pair() -> None:
    with pytest.raises(SettingsError, match="at least 1 pair, got 0"):
        LimitedMemoryStep(0)
