"""Steps that begin with a window's metric, on whole windows: laws, and where they end beside L-BFGS."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.functions import make_function
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.refinement.stream.optimus.network import StreamOptimus, StreamOptimusSettings
from diffmocap.refinement.stream.whole_windows import PERIOD, MetricSteps, OptimusSteps
from diffmocap.refinement.window.task import WindowTask
from tests.refinement.windows import cut, seen

SIZES = StreamOptimusSettings(width=8, heads=2, encoders=1, feedforward=8, mlp_width=6, factors=2)


@pytest.fixture(scope="module")
def task(walks, body, points) -> WindowTask:
    """Two windows of 16 frames that a lifter saw with errors, float32."""
    window = seen(body, *cut(walks[:2], 16)).to(dtype=torch.float32)
    return WindowTask(window, points.to(dtype=torch.float32))


def run(solver, task, evaluations: int, count: int = 2):
    return solver.minimize(task, task.init(count), Budget(evaluations=evaluations))


def untrained() -> StreamOptimus:
    torch.manual_seed(0)
    return StreamOptimus(SIZES).requires_grad_(False)


def test_the_metric_spares_half_of_the_evaluations_of_lbfgs(task):
    found, theirs = run(MetricSteps(), task, 18), run(Lbfgs(), task, 36)
    assert (found.loss < theirs.loss).all() and (found.loss < 0.5 * found.losses[0]).all()


def test_windows_do_not_mix(task):
    together = run(MetricSteps(), task, 10).losses
    alone = [run(MetricSteps(), task.row(i), 10, 1).losses[:, 0] for i in range(2)]
    assert torch.allclose(together, torch.stack(alone, 1), rtol=1e-4)


def test_without_training_the_network_takes_the_metrics_steps(task):
    ours, metric = (run(solver, task, 2 * PERIOD + 2).losses for solver in (OptimusSteps(untrained()), MetricSteps()))
    assert torch.allclose(ours, metric, rtol=2e-3)
    other = untrained()
    other.out.weight.normal_(std=0.3)
    assert not torch.allclose(run(OptimusSteps(other), task, 6).losses[2:], metric[2:6], rtol=2e-3)


def test_encoders_run_once_a_period(task):
    network, seen = untrained(), []
    encode, network.encode = network.encode, lambda of: (seen.append(1), encode(of))[1]
    run(OptimusSteps(network), task.row(0), 2 * PERIOD + 2, 1)
    assert len(seen) == 3, "before steps 0, 4 and 8"


def test_steps_go_on_from_the_best_point(task):
    """Where the loss rises, the next step begins where it was least, and is shorter."""
    solver, one = MetricSteps(), task.row(0)
    state = solver.init(one, one.init(1))
    loss, gradient = one.loss_and_gradient(state.x)
    first = solver.step(state, loss, gradient)
    worse = solver.step(first, loss + 1.0, -gradient)
    assert torch.equal(worse.best, state.x) and torch.equal(worse.loss, loss)
    assert (worse.x - worse.best).norm() < (first.x - first.best).norm()
    nothing = solver.step(first, loss * float("nan"), gradient)
    assert torch.equal(nothing.best, state.x) and torch.isfinite(nothing.x).all()
    better = solver.step(first, loss - 1.0, gradient)
    assert torch.equal(better.best, first.x)


def test_a_loss_that_is_no_number_leaves_the_start(task):
    broken = task.row(0)
    window = replace(broken.window, pelvis=broken.window.pelvis * float("nan"))
    broken = WindowTask(window, broken.points, broken.reference)
    found = run(MetricSteps(), broken, 4, 1)
    assert torch.equal(found.x, broken.init(1)) and not torch.isfinite(found.loss).any()


def test_other_tasks_have_no_metric():
    sphere = make_function("Sphere", 3)
    with pytest.raises(SettingsError, match="MetricSteps needs a metric"):
        MetricSteps().minimize(sphere, torch.ones(1, 3), Budget(evaluations=3))
