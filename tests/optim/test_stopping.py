"""Budgets, the stopping criterion's laws, and the bookkeeping of results."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.first_order import Momentum
from diffmocap.optim.result import Result, pad
from diffmocap.optim.stopping import Budget, RelativeDecrease
from tests.optim.function_task import FunctionTask


def ends(losses: list[float] | torch.Tensor, **options) -> int | None:
    """Step at which a run with these losses ends."""
    losses = torch.as_tensor(losses, dtype=torch.float64)[:, None]
    criterion = RelativeDecrease(**options)
    return next((k for k in range(len(losses)) if criterion(losses[: k + 1])[0]), None)


def test_it_ends_where_the_paper_says() -> None:
    """The first value above the mean of the five before, and never within the first five steps."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        losses = torch.randn(40, generator=generator, dtype=torch.float64) + torch.linspace(8, 0, 40).double()
        paper = next((k for k in range(5, 40) if losses[k] > losses[k - 5 : k].mean()), None)
        assert ends(losses) == paper
    assert ends([9, 10, 11, 12, 13]) is None and ends([9, 10, 11, 12, 13, 14]) == 5


def test_scale_and_constants_of_the_loss_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    for options in ({}, {"beta": 0.9}, {"beta": 1.05, "epsilon": 0.01}, {"epsilon": 0.1, "window": 3}):
        for _ in range(10):
            losses = 10 * torch.rand(30, generator=generator) + torch.linspace(20, 0, 30)
            found = ends(losses, **options)
            assert ends(1000 * losses, **options) == ends(losses - 500, **options) == found


def test_patience_grows_with_epsilon_and_shrinks_with_beta() -> None:
    losses = [100, 60, 40, 30, 25, 22, 20, 19, 18.5, 18.3, 18.2, 18.25, 18.3, 18.3, 18.3, 18.3, 18.3, 18.3]
    assert ends(losses) == 14 and ends(losses, beta=1.02) == 10
    assert ends(losses, epsilon=0.1) is None and ends(losses, beta=0.9) is None
    assert ends([5.0] * 8) == 5  # standing still is an end


def test_losses_that_are_no_numbers() -> None:
    assert ends([3.0, 2.0, torch.nan, 1.0, 1.0, 1.0, 1.0]) == 5
    assert ends([3.0, torch.inf, torch.inf, 2.0, 2.0, 1.0]) is None  # it came back and is below its start


def test_problems_end_on_their_own_and_are_frozen() -> None:
    """The second problem stands at its minimum from the start."""
    task = FunctionTask(lambda x: x.square().sum(-1), 2)
    x = torch.tensor([[1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    result = Momentum(0.01, mu=0.0).minimize(task, x, Budget(iterations=30), RelativeDecrease())
    assert result.evaluations.tolist() == [31, 6] and result.reasons == ["budget", "criterion"]
    assert result.iterations[-1].tolist() == [30, 5] and result.losses.shape == (31, 2)
    assert float(result.seconds[-1, 1]) == float(result.seconds[5, 1]) < float(result.seconds[-1, 0])


def test_a_run_ends_when_all_problems_have() -> None:
    task = FunctionTask(lambda x: 1 + 0 * x.sum(-1), 2)
    result = Momentum().minimize(task, torch.zeros(3, 2), Budget(iterations=30), RelativeDecrease())
    assert result.losses.shape == (6, 3)


def history(losses: list[list[float]], iterations: list[list[int]]) -> Result:
    columns = [torch.tensor(c) for c in losses]
    best = torch.stack([c.min() for c in columns])
    return Result(
        best[:, None], best, torch.stack([c[-1:] for c in columns]), pad(columns),
        pad([torch.tensor(c) for c in iterations]), pad([0.1 * torch.arange(1, len(c) + 1) for c in losses]),
        torch.tensor([len(c) for c in losses]), ["budget"] * len(losses),
    )  # fmt: skip


def test_history_by_iteration_keeps_the_best_of_each() -> None:
    result = history([[9.0, 20.0, 7.0, 8.0, 3.0], [5.0, 4.0, 6.0]], [[0, 1, 1, 2, 3], [0, 1, 2]])
    assert result.by_iteration().T.tolist() == [[9, 7, 7, 3], [5, 4, 4, 4]]
    assert result.best_so_far()[:, 0].tolist() == [9, 9, 7, 7, 3]


def test_one_run_after_another_is_one_history() -> None:
    first = history([[9.0, 7.0], [5.0, 4.0, 6.0]], [[0, 1], [0, 1, 2]])
    second = history([[8.0, 2.0, 3.0], [7.0]], [[0, 1, 2], [0]])
    both = first.then(second)
    assert both.losses.T.tolist() == [[9, 7, 8, 2, 3], [5, 4, 6, 7, 7]] and both.evaluations.tolist() == [5, 4]
    assert both.iterations.T.tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 3]]
    assert both.loss.tolist() == [2, 4] and both.x[:, 0].tolist() == [2, 4] and both.last[:, 0].tolist() == [3, 7]
    assert torch.allclose(both.seconds[:, 0], torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Budget(), "needs a limit"),
        (lambda: Budget(evaluations=0), "at least 1 evaluation"),
        (lambda: Budget(iterations=-1), "must not be negative"),
        (lambda: Budget(seconds=0.0), "must be positive"),
        (lambda: RelativeDecrease(window=0), "at least 1 step"),
        (lambda: RelativeDecrease(beta=-1.0), "beta"),
        (lambda: RelativeDecrease(epsilon=-1.0), "epsilon"),
    ],
)
def test_settings_are_checked(make, message) -> None:
    with pytest.raises(SettingsError, match=message):
        make()


def test_a_loss_of_the_wrong_shape_is_named() -> None:
    task = FunctionTask(lambda x: x.square(), 2)
    with pytest.raises(SettingsError, match="one number per problem"):
        Momentum().minimize(task, torch.zeros(3, 2), Budget(evaluations=2))
