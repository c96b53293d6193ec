"""Hops leave local minima, and what they are charged."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.basin_hopping import BasinHopping
from diffmocap.optim.first_order import Momentum
from diffmocap.optim.functions import make_function
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget

RASTRIGIN = make_function("Rastrigin", 2)
STARTS = RASTRIGIN.init(6, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("inner", [Lbfgs(), Momentum(2e-3)])
def test_hops_find_lower_minima_than_the_first(inner) -> None:
    alone = inner.minimize(RASTRIGIN, STARTS, Budget(iterations=40))
    hopped = BasinHopping(inner, iterations=40, step=1.0).minimize(RASTRIGIN, STARTS, Budget(evaluations=1200))
    assert (hopped.loss <= alone.loss + 1e-9).all() and hopped.loss.mean() < 0.3 * alone.loss.mean()
    first = int(alone.evaluations.min())
    assert torch.equal(hopped.losses[:first], alone.losses[:first])
    assert int(hopped.evaluations.max()) <= 1200


def test_iterations_and_evaluations_are_summed_over_the_runs() -> None:
    result = BasinHopping(Momentum(1e-3), iterations=10).minimize(RASTRIGIN, STARTS, Budget(iterations=25))
    assert result.evaluations.tolist() == [26] * 6  # the start's, and one per iteration; a move is an iteration
    assert torch.equal(result.iterations[:, 0], torch.arange(26))


def test_a_cold_run_hops_from_its_lowest_minimum_and_a_hot_one_from_anywhere() -> None:
    class Recorder(Momentum):
        starts: list[torch.Tensor] = []

        def minimize(self, task, x, budget, stop=None):
            self.starts.append(x)
            return super().minimize(task, x, budget, stop)

    for temperature, near in ((0.0, True), (1e9, False)):
        Recorder.starts = []
        solver = BasinHopping(Recorder(2e-3), iterations=15, step=2.0, temperature=temperature)
        lowest = solver.minimize(RASTRIGIN, STARTS, Budget(iterations=400)).x
        assert (((Recorder.starts[-1] - lowest).abs() <= 2.0).all().item()) is near


@pytest.mark.parametrize("options", [{"iterations": 0}, {"step": 0.0}, {"temperature": -1.0}])
def test_settings_are_checked(options) -> None:
    with pytest.raises(SettingsError, match="basin hopping needs"):
        BasinHopping(Momentum(), **options)
