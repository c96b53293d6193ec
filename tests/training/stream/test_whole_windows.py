"""Training on whole windows: what an episode is, and that a network comes to leave less than the metric."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffmocap.optim.stopping import Budget
from diffmocap.refinement.physics_refiner import points_of
from diffmocap.refinement.stream.optimus.network import StreamOptimus, StreamOptimusSettings
from diffmocap.refinement.stream.optimus.weights import SHIPPED_WINDOWS
from diffmocap.refinement.stream.whole_windows import PERIOD, OptimusSteps
from diffmocap.refinement.window.task import WindowTask
from tests.refinement.windows import cut, seen
from training.stream import whole_windows
from training.stream.ship import main as ship
from training.stream.trainer import StreamRecipe
from training.stream.walk import Walk
from training.stream.whole_windows import WindowEpisode, WindowProblem, WindowTrainer

SIZES = StreamOptimusSettings(width=8, heads=2, encoders=1, feedforward=8, mlp_width=6, factors=2)


@pytest.fixture(scope="module")
def problems(mocap_dir):
    """Two windows of nine frames, by their length."""
    from diffmocap.body.mocap import load_split, retarget
    from diffmocap.body.model import BodyModel

    body = BodyModel.load()
    walks = [c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.action.startswith("walk") and len(c) > 60]
    points = points_of(body).to(dtype=torch.float32)
    window = seen(body, *cut([retarget(c, body) for c in walks[:2]], 9)).to(dtype=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_windows, "SEARCH", 40)
        patch.setattr(whole_windows, "window_of", lambda motions: motions[0])
        patch.setattr(whole_windows, "reference_motion", lambda window, k: WindowTask(window, points).reference)
        return {9: [WindowProblem(window.row(i), points) for i in range(2)]}


def network() -> StreamOptimus:
    torch.manual_seed(0)
    return StreamOptimus(SIZES)


def trainer(problems, out: Path, **changes) -> WindowTrainer:
    recipe = StreamRecipe(**{"minutes": 1.0, "batch": 2, "piece": 1, "learning_rate": 3e-3, **changes})
    return WindowTrainer(recipe, network(), problems, problems[9][0].task.points, out)


@torch.no_grad()
def test_training_walks_as_the_solver_does(problems):
    """Two rounds of an episode are the solver's first eight steps: pairs, lengths and memory go on between them."""
    made = network().requires_grad_(False)
    made.out.weight.normal_(std=0.2)
    problem = problems[9][0]
    walk = Walk(lambda: WindowEpisode(problem, 5), 1, SIZES.factors)
    trained = torch.cat([walk.frame(made, PERIOD).losses[1:, 0] for _ in range(2)])
    solved = OptimusSteps(made).minimize(problem.task, problem.task.init(1), Budget(evaluations=2 * PERIOD + 1))
    assert torch.allclose(trained, solved.losses[1:, 0], rtol=2e-3)


def test_it_leaves_less_above_the_least_loss_than_the_metric(problems, tmp_path, monkeypatch):
    monkeypatch.setattr(whole_windows, "LONGEST", 8)
    monkeypatch.setattr(whole_windows, "LOOKS", (4, 8))
    run = trainer(problems, tmp_path)
    assert run.validate(problems)["loss"] == pytest.approx(0.0, abs=0.02)
    for _ in range(24):
        run.train_step()
    run.ema.load_state_dict(run.network.state_dict())
    figures = run.validate(problems)
    assert set(figures) == {"loss", "loss_9_4", "loss_9_8"} and figures["loss_9_8"] < -0.05


def test_a_run_is_shipped_under_the_name_of_whole_windows(problems, tmp_path, capsys):
    run = trainer(problems, tmp_path)
    run.keep({"loss": 1.0})
    run.save()
    command = '{"command": "python -m training.stream --windows 9 --data walks.npz", "step": 0}\n'
    (tmp_path / "starts.jsonl").write_text(command)
    models = tmp_path / "models"
    models.mkdir()
    (models / "manifest.json").write_text('{"files": {}}')
    ship([str(tmp_path), "--models", str(models)])
    assert (models / SHIPPED_WINDOWS).is_file() and SHIPPED_WINDOWS in capsys.readouterr().out
    assert "optimizer of whole windows" in (models / "manifest.json").read_text()
