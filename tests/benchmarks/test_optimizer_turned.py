"""Turned tasks of the optimizers' benchmark: the same problems elsewhere, and what is counted beyond the plain step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.optimizers.learned import PLAIN_STEP, LearnedSolver, run_tasks
from benchmarks.optimizers.tasks import BenchmarkTask
from benchmarks.optimizers.turned import figures_of, headline, median_interval, turned_part
from diffmocap.optim.optimus import Optimus
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.optim.stopping import Budget

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_turned_task_is_the_shifted_one_seen_from_elsewhere():
    task = BenchmarkTask("Dixon-Price", 10)
    q, x, y = task.rotation(), task.starts(3, shifted=True), task.starts(3, shifted=True, turned=True)
    assert torch.allclose(y, torch.stack([q @ row for row in x])) and not torch.allclose(x, y)
    assert torch.allclose(task.problem(True, turned=True).loss(y), task.problem(True).loss(x))
    assert torch.equal(task.rotation(), q) and not torch.equal(BenchmarkTask("Levy", 10).rotation(), q)
    assert task.problem(True, turned=True).minimum == 0


@pytest.mark.parametrize("solver", [Bfgs, Lbfgs])
def test_curves_of_line_searches_stand_for_turned_tasks_too(solver):
    task = BenchmarkTask("Rosenbrock", 20)
    budget = Budget(iterations=25)
    here, there = (
        solver().minimize(task.problem(True, turned), task.starts(2, True, turned), budget).by_iteration()
        for turned in (False, True)
    )
    assert torch.allclose(here, there, rtol=1e-4)


def test_the_plain_step_does_not_notice_and_a_network_would():
    plain, tasks = LearnedSolver.plain_step(), [BenchmarkTask("Sum of Squares", 20)]
    here, there = (run_tasks(plain, tasks, lambda task: 2, True, turned=t)[tasks[0]].curves for t in (False, True))
    assert torch.allclose(here[:30], there[:30], rtol=1e-4) and plain.parameters == 0
    torch.manual_seed(0)
    found = turned_part({"Optimus": LearnedSolver("Optimus", None, Optimus().requires_grad_(False), "random"),
                         PLAIN_STEP: plain}, tasks, lambda task: 2, None)  # fmt: skip
    again = turned_part({PLAIN_STEP: plain, "Optimus": plain}, tasks, lambda task: 2, None, {"Optimus": {
        tasks[0]: torch.ones(201, 2)}})  # fmt: skip
    assert again["tasks"]["Sum of Squares 20d"]["as_they_are"]["Optimus"] == [0, 0, 0], "what is known is not run again"
    rows = found["tasks"]["Sum of Squares 20d"]
    assert rows["turned"][PLAIN_STEP] == pytest.approx(rows["as_they_are"][PLAIN_STEP], abs=0.01)
    assert rows["turned"]["Optimus"] != pytest.approx(rows["as_they_are"]["Optimus"], abs=0.01)


def test_turned_runs_are_kept_apart(tmp_path, monkeypatch):
    plain, tasks = LearnedSolver.plain_step(), [BenchmarkTask("Levy", 2)]
    run_tasks(plain, tasks, lambda task: 2, True, tmp_path)
    run_tasks(plain, tasks, lambda task: 2, True, tmp_path, turned=True)
    assert {p.name for p in tmp_path.rglob("*.npy")} == {"Levy_2d-shifted-2.npy", "Levy_2d-shifted_turned-2.npy"}


def test_decades_beyond_the_plain_step_by_hand():
    """Two tasks of one start: for each decade of the plain step Optimus gains two on the first, none on the other."""
    tasks = [BenchmarkTask("Levy", 250), BenchmarkTask("Sphere", 250)]

    def falling(decades: float) -> torch.Tensor:
        return (10.0 ** (-decades * torch.arange(201).double()))[:, None]

    curves = {
        PLAIN_STEP: dict.fromkeys(tasks, falling(0.1)), "Optimus": {tasks[0]: falling(0.2), tasks[1]: falling(0.0)},
    }  # fmt: skip
    found = figures_of({"turned": curves, "as_they_are": curves})
    assert found["tasks"]["Levy 250d"]["turned"] == {PLAIN_STEP: [0.9, 2.9, 9.9], "Optimus": [1.8, 5.8, 14.0]}
    assert found["medians"]["turned"] == {PLAIN_STEP: [0.9, 2.9, 9.9], "Optimus": [0.9, 2.9, 7.0]}
    assert found["over_plain_step"]["turned"]["Optimus"]["30"] == [0.0, -2.9, 2.9]
    figures = headline(found)
    assert figures["rotated_decades_over_lbfgs_step"] == 0
    assert figures["rotated_decades_over_lbfgs_step_interval"] == [-2.9, 2.9]


def test_the_interval_draws_functions_not_tasks():
    values = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0] * 4)
    apart = median_interval(values, [str(i) for i in range(36)])
    together = median_interval(values, [str(i // 3) for i in range(36)])
    one = median_interval(values, ["a"] * 36)
    assert apart[0] == together[0] == one[0] == 2 and one[1:] == [2, 2]
    assert together[2] - together[1] >= apart[2] - apart[1] > 0
