"""The metric of DiffPhy's controls: whose parameters it knows, and that it helps."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import ModelFileError, SettingsError
from diffmocap.optim.first_order import Momentum
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.physics.ground import Ground
from diffmocap.physics.simulation import Simulator
from diffmocap.refinement.diffphy import control_metric
from diffmocap.refinement.diffphy.control_metric import FORMAT, ControlMetric, InControlMetric, in_control_metric
from diffmocap.refinement.diffphy.controls import JOINT_SETS, ControlTrajectory
from diffmocap.refinement.diffphy.horizon import window_frames
from diffmocap.refinement.diffphy.initial_state import SIZE
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.diffphy.task import DiffphyTask

DT, KNOTS, COLUMNS = 1 / 30, 5, 69
FLOOR = Ground(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))


@pytest.fixture(scope="module")
def known() -> ControlMetric:
    """Of five knots: a random matrix without negative eigenvalues."""
    n = KNOTS * COLUMNS + SIZE
    factor = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ControlMetric(factor @ factor.mT / n)


def task_of(simulated_body, frames=7, joints="main", held=None, free_start=True) -> DiffphyTask:
    """A body in the T-pose; seven frames have five knots."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(1, frames, NUM_JOINTS, 1, 1)
    pelvis = torch.tensor([0.0, 0.95, 0.0], dtype=torch.float64).repeat(1, frames, 1)
    controls = ControlTrajectory.every(frames, 3, JOINT_SETS[joints], held)
    return DiffphyTask(
        Simulator(simulated_body.articulated, FLOOR), rotations, pelvis, DT, controls, free_start=free_start
    )


def test_it_is_the_part_of_the_parameters_there_are(known, simulated_body):
    """Of 16 joints' columns, from the first unknown knot on; then the state's, and nothing of what fills its rows."""
    task = task_of(simulated_body)
    root = known.root(task)
    inverse = torch.linalg.inv(root @ root)
    main = [3 * (j - 1) + axis for j in task.controls.joints for axis in range(3)]
    places = [COLUMNS * knot + column for knot in range(KNOTS) for column in main]
    places += list(range(KNOTS * COLUMNS, KNOTS * COLUMNS + SIZE))
    count, least = len(places), control_metric._LEAST
    expected = known.curvature[places][:, places] + least * torch.eye(count)
    torch.testing.assert_close(inverse[:count, :count], expected)
    assert task.dimension - count == 42
    torch.testing.assert_close(inverse[count:, count:], least * torch.eye(42, dtype=torch.float64))
    assert float(inverse[:count, count:].abs().max()) < 1e-9
    assert known.root(task) is root, "made once"


def test_knots_that_are_known_and_states_that_are_given_are_left_out(known, simulated_body):
    everything = task_of(simulated_body, joints="all", free_start=False)
    assert known.root(everything).shape == (KNOTS * COLUMNS,) * 2
    later = task_of(simulated_body, joints="all", held=torch.zeros(3, COLUMNS), free_start=False)
    root = known.root(later)
    expected = known.curvature[3 * COLUMNS : KNOTS * COLUMNS, 3 * COLUMNS : KNOTS * COLUMNS]
    inverse = torch.linalg.inv(root @ root) - control_metric._LEAST * torch.eye(2 * COLUMNS)
    torch.testing.assert_close(inverse, expected)
    shorter = task_of(simulated_body, frames=4, joints="all", free_start=False)
    assert known.root(shorter).shape == ((KNOTS - 1) * COLUMNS,) * 2


def test_windows_of_a_second_have_it_at_every_rate_of_frames():
    measured = (len(ControlMetric.load().curvature) - SIZE) // COLUMNS
    for fps in (10, 12, 12.5, 15, 20, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 100, 120, 240):
        spacing, _, length = window_frames(SimulationSettings(), 1.0 / fps)
        assert ControlTrajectory.every(length, spacing).shape[0] <= measured, fps


def test_longer_windows_than_were_measured_keep_their_coordinates_and_say_so(
    known, simulated_body, monkeypatch, caplog
):
    task = task_of(simulated_body, frames=10)
    assert known.root(task) is None
    monkeypatch.setattr(ControlMetric, "load", lambda: known)
    control_metric._say_unknown.cache_clear()
    for _ in range(2):
        in_control_metric(task, task.init(1))
    assert len(caplog.messages) == 1 and "controls with 6 knots" in caplog.text
    x = torch.randn(1, task.dimension, generator=torch.Generator().manual_seed(1))
    y = torch.randn(1, task.dimension, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(in_control_metric(task, x).point(y), x + y)


@pytest.mark.parametrize("free_start", [False, True])
def test_optimizers_get_lower_with_the_shipped_one(simulated_body, free_start):
    """A window of a second, which begins with the T-pose's own targets, and falls."""
    task, budget = task_of(simulated_body, frames=31, free_start=free_start), Budget(evaluations=12)
    x = task.init(1)
    with_it, without = (solver.minimize(task, x, budget) for solver in (InControlMetric(Lbfgs()), Lbfgs()))
    assert float(with_it.loss) < 0.9 * float(without.loss)
    assert float(task.loss(with_it.x)) == pytest.approx(float(with_it.loss)) and with_it.x.shape == x.shape


def test_points_are_the_tasks_own(simulated_body):
    """The best one, and the one where a run of two motions ended: two steps of momentum."""
    task = task_of(simulated_body)
    both = DiffphyTask(
        task.simulator, task.rotations.repeat(2, 1, 1, 1, 1), task.pelvis.repeat(2, 1, 1), DT, task.controls
    )  # fmt: skip
    x = 0.01 * torch.randn(2, both.dimension, generator=torch.Generator().manual_seed(3))
    found = InControlMetric(Momentum(1e-4)).minimize(both, x, Budget(evaluations=2))
    scaled = in_control_metric(both, x)
    y = scaled.init(2)
    _, gradient = scaled.loss_and_gradient(y)
    torch.testing.assert_close(found.last, scaled.point(y - 1e-4 * gradient), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(both.loss(found.x), found.loss.double(), rtol=1e-5, atol=1e-7)


def test_starts_that_are_no_numbers_are_refused(simulated_body):
    task = task_of(simulated_body)
    with pytest.raises(SettingsError, match="must be finite"):
        InControlMetric(Lbfgs()).minimize(task, task.init(1) * float("nan"), Budget(evaluations=1))
    with pytest.raises(SettingsError, match="starts must have shape"):
        InControlMetric(Lbfgs()).minimize(task, torch.zeros(1, 3), Budget(evaluations=1))


def test_a_file_of_something_else_is_refused(tmp_path, monkeypatch):
    path = tmp_path / control_metric.FILE
    monkeypatch.setattr(control_metric, "verified_model", lambda name: path)
    for wrong in (torch.eye(100), torch.eye(SIZE - COLUMNS), torch.eye(SIZE + COLUMNS)[:-1], torch.tensor(1.0)):
        save_file({"curvature": wrong}, path, {"format": FORMAT})
        with pytest.raises(ModelFileError, match="of no set of knots"):
            ControlMetric.load.__wrapped__(ControlMetric)
    save_file({"curvature": torch.eye(100)}, path, {"format": "else"})
    with pytest.raises(ModelFileError, match="holds no curvature of controls"):
        ControlMetric.load.__wrapped__(ControlMetric)
