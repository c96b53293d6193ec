"""The way back: small rises pass, explosions do not, and no problem knows of another."""

from __future__ import annotations

import pytest
import torch

from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.safeguard import RECENT, Safeguard
from diffmocap.optim.stopping import Budget
from tests.optim.function_task import FunctionTask

SMALL = {"width": 16, "heads": 2, "attention_width": 8, "feedforward": 16, "mlp_width": 16, "mlp_layers": 2}


def accepted(losses: list[float]) -> tuple[list[bool], Safeguard]:
    """Of one run through points 0, 1, 2, ... with these losses."""
    guard, said = Safeguard.begin(torch.zeros(1, 1)), []
    for k, loss in enumerate(losses):
        ok, guard = guard.accept(torch.full((1, 1), float(k)), torch.tensor([loss]))
        said.append(bool(ok))
    return said, guard


def test_a_rise_below_one_of_the_last_losses_is_accepted_and_one_above_all_is_not() -> None:
    said, guard = accepted([5.0, 2.0, 4.9, 5.1, 3.0])
    assert said == [True, True, True, False, True]
    assert float(guard.best) == 1.0 and float(guard.best_loss) == 2.0


def test_losses_are_forgotten_after_the_last_ten_and_rejected_ones_never_count() -> None:
    said, _ = accepted([9.0] + [1.0] * (RECENT - 1) + [8.0])
    assert said[-1]
    said, _ = accepted([9.0] + [1.0] * RECENT + [8.0, 8.0])
    assert said[-2:] == [False, False]


def test_what_is_no_number_is_rejected_except_at_the_start() -> None:
    assert accepted([1.0, float("nan"), float("inf"), 0.5])[0] == [True, False, False, True]
    said, guard = accepted([1.0, -float("inf"), 0.5])
    assert said == [True, False, True] and float(guard.best_loss) == 0.5
    said, guard = accepted([float("nan"), 3.0])
    assert said == [True, True] and float(guard.best_loss) == 3.0


def test_steps_are_shorter_after_each_rejection_and_grow_back_to_their_length() -> None:
    guard, x, step, lengths = Safeguard.begin(torch.zeros(1, 2)), torch.zeros(1, 2), torch.ones(1, 2), []
    for loss in (1.0, 9.0, 1.0, 9.0, 1.0, 0.5, 0.4, 0.3, 0.2):
        there, guard = guard.next(x, torch.tensor([loss]), step)
        lengths.append(float((there - x).norm() / step.norm()))
    assert lengths == pytest.approx([1.0, 0.0, 0.5, 0.0, 0.25, 0.5, 1.0, 1.0, 1.0])


def test_a_step_that_is_no_number_is_not_taken() -> None:
    step = torch.tensor([[1.0, 1.0], [torch.nan, 1.0], [1.0, -torch.inf]])
    there, _ = Safeguard.begin(torch.zeros(3, 2)).next(torch.zeros(3, 2), torch.ones(3), step)
    assert there.tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_rows_are_judged_one_by_one() -> None:
    guard = Safeguard.begin(torch.zeros(2, 3))
    for losses in ([1.0, 1.0], [0.5, 2.0]):
        ok, guard = guard.accept(torch.full((2, 3), losses[0]), torch.tensor(losses))
    assert ok.tolist() == [True, False]
    assert guard.best[:, 0].tolist() == [0.5, 1.0]


def test_optimus_returns_to_its_best_point_after_an_explosion() -> None:
    torch.manual_seed(0)
    task = FunctionTask(lambda x: x.square().sum(-1) ** 4, 5)
    x = task.init(2, torch.Generator().manual_seed(0)).double()
    runs = {}
    for guarded in (True, False):
        torch.manual_seed(0)
        wild = Optimus(OptimusSettings(**SMALL, lambda_a=1e4, safeguard=guarded))  # untrained, and with giant steps
        runs[guarded] = wild.minimize(task, x, Budget(iterations=40))
    assert (runs[False].losses[-1] > 1e10 * runs[False].losses[0]).any()
    losses = runs[True].losses
    rejected = losses[1:-1] > losses[0]
    assert rejected.any()
    following = losses[2:][rejected]
    best = runs[True].best_so_far()[1:-1][rejected]
    assert torch.equal(following, best)
