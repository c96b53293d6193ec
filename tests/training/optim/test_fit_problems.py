"""Training on fits whose truth is known: what an error is, the gradient through whole runs, and that it learns."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from diffmocap.body.mocap import load_split
from diffmocap.errors import SettingsError
from diffmocap.fitting.keypoint_fit import UNKNOWNS
from diffmocap.optim.learned_gradient_descent import LearnedGradientDescent, LearnedGradientDescentSettings
from diffmocap.optim.task import Task
from diffmocap.optim.weights import load_optimizer
from training.motions.pose_prior import main as ship_prior
from training.optim import fit_problems as module
from training.optim.__main__ import main
from training.optim.episodes import supervised
from training.optim.fit_problems import FitProblems, fit_problems
from training.optim.problems import FunctionProblems
from training.optim.trainer import MetaRecipe, MetaTrainer

RECIPE = MetaRecipe(method="supervised", steps=40, pairs=1, shortest=3, longest=3, learning_rate=3e-3)


class Aim(Task):
    """Points told in the context; the loss is another function, whose minimum is there too."""

    shape, truth_known = (3,), True

    def __init__(self, target: torch.Tensor) -> None:
        self.target = target

    def init(self, count, generator=None):
        return torch.zeros(count, 3)

    def loss(self, x):
        return (x - self.target).pow(4).sum(-1)

    def error(self, x):
        return (x - self.target).square().sum(-1)

    def context(self, x):
        return self.target


def network(width: int = 8) -> LearnedGradientDescent:
    torch.manual_seed(0)
    return LearnedGradientDescent(LearnedGradientDescentSettings(3, context=3, width=width)).double()


def test_the_gradient_is_that_of_the_mean_error_with_gradients_as_inputs() -> None:
    """Finite differences of the same runs whose gradients are taken from the undisturbed one."""
    optimizer, target = network(), torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.4, -2.0]]).double()
    task, x, steps = Aim(target), torch.zeros(2, 3).double(), 3
    value = supervised(optimizer, task, x, steps)
    with torch.no_grad():
        state, seen = optimizer.init(task, x), []
        for _ in range(steps):
            seen.append(task.loss_and_gradient(state.x))
            state = optimizer.step(state, *seen[-1])

        def error(other: LearnedGradientDescent) -> float:
            state, total = other.init(task, x), 0.0
            for loss, gradient in seen:
                state = other.step(state, loss, gradient)
                total += float(task.error(state.x).mean()) / steps
            return total

        assert float(value) == pytest.approx(error(optimizer))
        for name, p in optimizer.named_parameters():
            along = torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=p.dtype)
            changed = [copy.deepcopy(optimizer) for _ in range(2)]
            for other, sign in zip(changed, (1, -1)):
                dict(other.named_parameters())[name].add_(sign * 1e-6 * along)
            slope = (error(changed[0]) - error(changed[1])) / 2e-6
            assert float((p.grad * along).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-8), name


def test_it_learns_to_go_where_the_context_tells(tmp_path) -> None:
    def problems(generator):
        task = Aim(torch.randn(16, 3, generator=generator).double())
        return task, task.init(16).double()

    problems.truth_known = True
    trainer = MetaTrainer(RECIPE, network(32).requires_grad_(True), problems, tmp_path)
    before = trainer.validate(problems, count=2, iterations=3)
    for _ in range(RECIPE.steps):
        trainer.train_step()
    trainer.ema = trainer.optimizer
    assert trainer.validate(problems, count=2, iterations=3) < 0.5 * before
    assert trainer.episodes == []


def test_problems_without_a_truth_are_refused(tmp_path) -> None:
    problems = FunctionProblems(("Sphere",), 3, 3, batch=1)
    optimizer = LearnedGradientDescent(LearnedGradientDescentSettings(3, width=8))
    with pytest.raises(SettingsError, match="whose truth is known"):
        MetaTrainer(RECIPE, optimizer, problems, tmp_path)


@pytest.fixture(scope="module")
def frames(mocap_dir) -> torch.Tensor:
    return torch.cat([clip.rotations for clip in load_split(mocap_dir / "cmu_smpl30_train.npz")])


def test_the_error_of_a_fit_is_none_at_the_truth_and_grows_with_each_part(frames) -> None:
    task, x = FitProblems(frames, batch=4)(torch.Generator().manual_seed(0))
    truth = task.unknowns(*_optical(task))
    none = task.error(truth)
    assert float(none.max()) < 2e-3 < 0.1 < float(task.error(x).min())
    assert not task.condition.depth_known.any(), "2D keypoints alone"
    for entry in (0, 40, UNKNOWNS - 1):  # the root, the pose, the depth
        moved = truth.clone()
        moved[:, entry] += 0.5
        assert (task.error(moved) > none + 1e-3).all(), entry
    again, _ = FitProblems(frames, batch=4)(torch.Generator().manual_seed(0))
    assert torch.equal(again.condition.points, task.condition.points)


def _optical(task) -> tuple[torch.Tensor, torch.Tensor]:
    (rotations, pelvis), R = task.truth, task.condition.R_camera_crop
    return torch.cat([(R @ rotations[:, 0])[:, None], rotations[:, 1:]], 1), (R @ pelvis[..., None])[..., 0]


def test_the_command_trains_a_network_of_the_size_of_a_fit(mocap_dir, tmp_path, monkeypatch, capsys) -> None:
    data = mocap_dir / "cmu_smpl30_train.npz"
    with pytest.raises(SettingsError, match="no clips besides the held-out ones, or none of these"):
        fit_problems(data, 2)
    monkeypatch.setattr(module, "HELD_OUT_CLIPS", ["16_03"])
    options = ["--out", str(tmp_path), "--problems", "fits", "--data", str(data), "--batch", "2", "--pairs", "1"]
    options += ["--kind", "learned_gradient_descent", "--set", "width=16", "--set", "layers=1"]
    options += ["--method", "supervised", "--shortest", "2", "--longest", "2"]
    options += ["--validation-count", "1", "--validation-iterations", "2"]
    main([*options, "--steps", "2"])
    main([*options, "--steps", "3"])
    printed = capsys.readouterr().out
    assert "resumed at step 2" in printed and json.loads(printed.strip().splitlines()[-1])["step"] == 3
    trained = load_optimizer(tmp_path / "last.safetensors")
    assert (trained.settings.dimension, trained.settings.context, trained.settings.width) == (UNKNOWNS, 77, 16)


def test_the_prior_is_made_of_what_is_not_held_out(mocap_dir, tmp_path, capsys) -> None:
    ship_prior(["--data", str(mocap_dir / "cmu_smpl30_train.npz"), "--models", str(tmp_path)])
    entry = json.loads((tmp_path / "manifest.json").read_text())["files"]["pose_prior.safetensors"]
    assert entry["data"]["frames"] > 15 and "frames" in capsys.readouterr().out
