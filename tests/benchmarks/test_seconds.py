"""Races in seconds: what is noted of an evaluation, what is compared, and a whole run on small problems."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch

from benchmarks.optimizers import seconds
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.seconds import Clocked, Raced, compared, least_of, own_step_ms, page, race
from benchmarks.refinement.scores import BFGS, Curves
from benchmarks.refinement.settings import FULL, Settings
from benchmarks.refinement.solvers import LBFGS, OPTIMUS, Solver, searching
from diffmocap.optim.functions import make_function
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.stopping import Budget

pytestmark = pytest.mark.usefixtures("one_thread")


def falling(rates: list[float], ms: list[float], count: int = 100) -> Raced:
    """Problems whose losses fall from 1 by a factor an evaluation, each of so many milliseconds."""
    k = torch.arange(count).double()[:, None]
    return Raced(Curves(torch.tensor(rates).double() ** k, (k + 1) * torch.tensor(ms).double() / 1e3), 0.1, 0.2)


def test_evaluations_are_noted_with_seconds_and_losses():
    class Slow(type(make_function("Sphere", 3))):
        def loss_and_gradient(self, x):
            until = time.process_time() + 0.02
            while time.process_time() < until:
                pass
            return super().loss_and_gradient(x)

    task = Clocked(Slow(3))
    x = torch.ones(1, 3, dtype=torch.float64)
    for solver in searching():
        task.begin()
        result = solver.optimizer.minimize(task, x, Budget(evaluations=3))
        assert task.losses == pytest.approx(result.losses[:, 0].tolist()) and len(task.seconds) == len(task.losses)
        assert (np.diff(task.seconds, prepend=0.0) >= 0.02).all() and 0.02 * len(task.losses) <= task.spent
        assert task.spent <= task.seconds[-1]


def test_of_several_rounds_each_evaluation_has_its_least():
    losses = np.array([3.0, 2.0, 1.0])
    first, second = np.array([0.1, 0.5, 0.6]), np.array([0.3, 0.4, 0.7])
    found = least_of([(losses, first, 0.5), (losses, second, 0.4)])
    assert np.allclose(found[1], [0.1, 0.2, 0.3]) and found[2] == 0.4 and (found[0] == losses).all()
    shorter = least_of([(losses, first, 0.5), (losses[:2], second[:2], 0.4)])
    assert len(shorter[0]) == len(shorter[1]) == 2, "a round that ended sooner says nothing of what came after"


def test_seconds_and_losses_are_compared_with_lbfgs():
    """Two problems. BFGS ends at 0.5^99, so that the target is reached by what falls as fast or faster."""
    raced = {
        BFGS: falling([0.5, 0.5], [50.0, 50.0]), LBFGS: falling([0.5, 0.5], [1.0, 1.0]),
        OPTIMUS: falling([0.25, 0.25], [1.6, 1.6]), PLAIN_STEP: falling([0.9, 0.9], [0.5, 0.5]),
    }  # fmt: skip
    found = compared(raced, ["a", "b"], 100)
    assert found[LBFGS]["evaluations"] == 100 and found[LBFGS]["seconds"] == pytest.approx(0.1)
    # Half the evaluations to 0.5^99 (0.25^49 is above it), 1.6 times the time of each.
    assert found[OPTIMUS]["evaluations"] == 51 and found[OPTIMUS]["seconds_ratio"] == pytest.approx(51 * 1.6 / 100)
    assert found[OPTIMUS]["seconds_ratio_interval"] == pytest.approx([0.816, 0.816])
    # When L-BFGS has spent 100 ms Optimus has made 62 evaluations: 0.25^61 beside 0.5^99.
    assert found[OPTIMUS]["loss_at_equal_seconds"] == pytest.approx(0.25**61 / 0.5**99)
    assert found[BFGS]["seconds_ratio"] == pytest.approx(50) and found[BFGS]["final_loss"] == 1
    assert found[PLAIN_STEP]["reached"] == 0 and found[PLAIN_STEP]["evaluations"] == 100
    assert found[PLAIN_STEP]["seconds"] == pytest.approx(0.05), "one that never gets there has its whole run"
    lines = page(
        {"window": {"solvers": found, "problems": 2, "unknowns": 3, "step_ms": {"pytorch": 3, "onednn": 2}}}, []
    )
    (figure,) = (line for line in lines if "Optimus's seconds" in line)
    assert "0.82 (0.82 to 0.82), reached on 100 % | **missed** |" in figure
    (lower,) = (line for line in lines if "after equal seconds | lower" in line)
    assert lower.endswith("| met |") and any("3.0 ms through PyTorch's own layers, 2.0" in x for x in lines)


def test_all_solvers_run_from_the_same_start_up_to_the_cap():
    torch.manual_seed(0)
    small = Optimus(OptimusSettings(width=8, heads=2, feedforward=8, mlp_width=8, mlp_layers=1)).requires_grad_(False)
    solvers = [*searching(), Solver.plain_step(3), Solver(OPTIMUS, small, True, "")]
    tasks = [make_function("Rosenbrock", 12), make_function("Sphere", 12)]
    for seed, task in enumerate(tasks):
        x = task.init(1, torch.Generator().manual_seed(seed)).double()
        task.init = lambda count, generator=None, x=x: x
    raced = race(solvers, tasks, cap=15, rounds=2)
    assert list(raced) == [BFGS, LBFGS, PLAIN_STEP, OPTIMUS]
    for one in raced.values():
        assert one.curves.best.shape == one.curves.seconds.shape == (15, 2) and one.loss_ms > 0 and one.own_ms >= 0
        assert torch.equal(one.curves.best[0], raced[BFGS].curves.best[0])
        assert (one.curves.best.diff(dim=0) <= 0).all() and (one.curves.seconds.diff(dim=0) >= 0).all()
    assert set(own_step_ms(solvers[-1], tasks[0], steps=4, rounds=1)) == {"pytorch", "onednn"}


def test_the_command_ends_with_its_figures(monkeypatch, capsys, tmp_path):
    task = make_function("Rosenbrock", 6)
    x = task.init(1, torch.Generator().manual_seed(0)).double()
    task.init = lambda count, generator=None: x
    monkeypatch.setattr(seconds, "problems_of", lambda loss, bench, count: ([task] * count, ["walk"] * count))
    solvers = seconds.solvers_of
    monkeypatch.setattr(seconds, "solvers_of", lambda loss, settings: solvers("diffphy", settings))  # it has no metric
    seconds.main(["--losses", "window", "--windows", "1", "--evaluations", "5", "--rounds", "1", "--json",
                  "--out", str(tmp_path)])  # fmt: skip
    figures = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(figures["window"]["solvers"]) == {BFGS, LBFGS, PLAIN_STEP, OPTIMUS}
    (written,) = tmp_path.glob("*-seconds.md")
    assert "## Windows" in written.read_text() and "DiffPhy:" not in written.read_text()


def test_windows_have_optimus_in_both_forms_and_their_metric():
    names = [solver.name for solver in seconds.solvers_of("window", Settings(FULL))]
    assert names == [BFGS, LBFGS, PLAIN_STEP, seconds.METRIC, seconds.PAPER_FORM, OPTIMUS]
    assert OPTIMUS in {s.name for s in seconds.solvers_of("diffphy", Settings(FULL))}
