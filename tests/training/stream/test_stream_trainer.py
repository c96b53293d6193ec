"""Meta-training on streams: its gradients, and that it learns, saves and goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import training.stream.walk as walk_module
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.errors import MotionFileError, SettingsError
from diffmocap.refinement.physics_refiner import points_of
from diffmocap.refinement.stream.optimus.network import StreamOptimus, StreamOptimusSettings
from diffmocap.refinement.stream.optimus.weights import load_stream_optimus
from diffmocap.refinement.stream.settings import LiveSettings
from training.motions.live_streams import live_stream
from training.stream.differentiable import LossAndGradient, Symmetric, gradients_at, hessian_times
from training.stream.episodes import Episode
from training.stream.streams import kept_streams, load_streams, save_streams
from training.stream.trainer import StreamRecipe, StreamTrainer, walked
from training.stream.walk import Walk

SIZES = StreamOptimusSettings(width=8, heads=2, encoders=1, feedforward=8, mlp_width=6, factors=2)
SETTINGS = LiveSettings(window_frames=9, spacing=4)
RECIPE = StreamRecipe(minutes=1.0, batch=2, piece=2, shortest=12, longest=16, most_steps=2)


@pytest.fixture(scope="module")
def points():
    return points_of(BodyModel.load()).to(dtype=torch.float32)


@pytest.fixture(scope="module")
def streams(mocap_dir):
    body = BodyModel.load()
    clips = [c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if len(c) >= 30][:2]
    return [live_stream(clip, body, "synthetic", 30, 0.4 + i, seed=i) for i, clip in enumerate(clips)]


@pytest.fixture
def problem(streams, points):
    """A problem in the middle of a stream, and a point near its solution."""
    episode = Episode(streams[0], points, SETTINGS, 3, 20, with_ground=True)
    task = None
    for _ in range(10):
        task, _ = episode.next_task(torch.zeros(episode.dimension))
    return episode, task, 0.05 * torch.randn(1, episode.dimension, generator=torch.Generator().manual_seed(0))


def test_the_second_derivative_is_symmetric_and_that_of_the_gradient(problem):
    _, task, x = problem
    g = torch.Generator().manual_seed(1)
    v, w = torch.randn(2, 1, x.shape[1], generator=g)
    of_v, of_w = hessian_times(x, v, [task]), hessian_times(x, w, [task])
    assert float((w * of_v).sum()) == pytest.approx(float((v * of_w).sum()), rel=0.02)
    ahead = gradients_at(x + 1e-3 * v, [task])[1] - gradients_at(x, [task])[1]
    assert torch.nn.functional.cosine_similarity(ahead, of_v).item() > 0.99
    loss, _ = LossAndGradient.apply(x.requires_grad_(), [task])
    loss.sum().backward()
    assert torch.allclose(x.grad, gradients_at(x, [task])[1], rtol=1e-4, atol=1e-4)


def test_symmetric_products_go_back_as_they_went():
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    x = torch.tensor([[1.0, -1.0]], requires_grad=True)
    y = Symmetric.apply(x, [lambda v: matrix @ v])
    assert y.tolist() == [[1.0, -2.0]]
    y.backward(torch.tensor([[1.0, 2.0]]))
    assert x.grad.tolist() == [[4.0, 7.0]]


def test_the_gradient_of_a_walk_is_that_of_its_losses(streams, points):
    """Over two frames of one step, whose pairs are not learned yet; by a difference along the gradient."""
    torch.manual_seed(0)
    network = StreamOptimus(SIZES)
    with torch.no_grad():
        network.out.weight.normal_(std=0.1)
        network.share.weight.normal_(std=0.1)

    def loss_of() -> torch.Tensor:
        starts = iter(streams)
        walk = Walk(lambda: Episode(next(starts), points, SETTINGS, 0, 20, with_ground=True), 2, SIZES.factors)
        with torch.no_grad():
            for _ in range(9):
                walk.frame(network.requires_grad_(False), 1)
        walk.detach()
        network.requires_grad_(True)
        return sum(walk.frame(network, 1).losses[-1].log().sum() for _ in range(2))

    loss_of().backward()
    slopes = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    owners = [p for p in network.parameters() if p.grad is not None]
    size = torch.cat([s.flatten() for s in slopes]).norm()
    # The frames before take part of the change, too, without a gradient: the last ones are compared alone.
    frozen = StreamOptimus(SIZES)
    frozen.load_state_dict(network.state_dict())

    def moved(by: float) -> float:
        starts = iter(streams)
        walk = Walk(lambda: Episode(next(starts), points, SETTINGS, 0, 20, with_ground=True), 2, SIZES.factors)
        with torch.no_grad():
            for _ in range(9):
                walk.frame(frozen, 1)
            for p, s in zip(owners, slopes, strict=True):
                p.add_(by * s / size)
            total = sum(walk.frame(network, 1).losses[-1].log().sum() for _ in range(2))
            for p, s in zip(owners, slopes, strict=True):
                p.sub_(by * s / size)
        return float(total)

    assert (moved(0.02) - moved(-0.02)) / 0.04 == pytest.approx(float(size), rel=0.1)


def test_it_learns_to_lower_the_loss_below_the_metrics(streams, points, tmp_path):
    torch.manual_seed(0)
    recipe = replace(RECIPE, learning_rate=3e-3, ema_decay=0.8, truth=0.0, smooth=0.0)
    trainer = StreamTrainer(recipe, StreamOptimus(SIZES), streams, points, tmp_path)
    before = trainer.validate(streams, 30, (1,))
    assert before["loss_1"] == pytest.approx(0.0, abs=1e-3)  # it begins as the metric
    for _ in range(40):
        trainer.train_step()
    assert trainer.validate(streams, 30, (1,))["loss_1"] < -0.005


def test_a_run_goes_on_and_another_recipe_is_refused(streams, points, tmp_path):
    torch.manual_seed(0)
    trainer = StreamTrainer(RECIPE, StreamOptimus(SIZES), streams, points, tmp_path)
    trainer.train_step()
    trainer.seconds = 30.0
    trainer.save()
    assert json.loads((tmp_path / "recipe.json").read_text())["batch"] == 2
    again = StreamTrainer(RECIPE, StreamOptimus(SIZES), streams, points, tmp_path)
    assert again.resume() and again.step == 1 and again.progress == 0.5
    assert torch.equal(again.network.inlet.weight, trainer.network.inlet.weight)
    kept = load_stream_optimus(tmp_path / "last.safetensors")
    assert torch.equal(kept.inlet.weight, trainer.ema.inlet.weight)
    other = StreamTrainer(replace(RECIPE, batch=3), StreamOptimus(SIZES), streams, points, tmp_path)
    with pytest.raises(SettingsError, match="another recipe .batch."):
        other.resume()
    wide = StreamTrainer(RECIPE, StreamOptimus(replace(SIZES, width=10)), streams, points, tmp_path)
    with pytest.raises(SettingsError, match="another network"):
        wide.resume()


@pytest.mark.parametrize("other", [{"heads": 4}, {"lambda_a": 1.0}, {"factors": 3}])
def test_a_network_whose_tensors_fit_but_not_its_settings_is_refused(streams, points, tmp_path, other):
    StreamTrainer(RECIPE, StreamOptimus(SIZES), streams, points, tmp_path).save()
    another = StreamTrainer(RECIPE, StreamOptimus(replace(SIZES, **other)), streams, points, tmp_path)
    with pytest.raises(SettingsError, match=f"another network .{next(iter(other))}."):
        another.resume()


def test_streams_of_other_options_are_refused(streams, tmp_path):
    how = {"data": ["a.npz"], "views": 2, "frames": 90, "everything": False}
    save_streams(streams, tmp_path / "streams.safetensors", how)
    options = {"held_out": False, "views": 2, "frames": 90}
    assert len(kept_streams(tmp_path / "streams.safetensors", [tmp_path / "a.npz"], **options)) == 2
    with pytest.raises(MotionFileError, match="other options .everything."):
        kept_streams(tmp_path / "streams.safetensors", [tmp_path / "a.npz"], **options, everything=True)


def test_a_window_without_a_gradient_takes_no_step(streams, points, monkeypatch):
    """Of two rows, one is NaN in one frame; neither keeps anything of it."""
    starts = iter(streams)
    walk = Walk(lambda: Episode(next(starts), points, SETTINGS, 0, 25, with_ground=True), 2, SIZES.factors)
    network, true = StreamOptimus(SIZES).requires_grad_(False), walk_module.LossAndGradient.apply
    network.out.weight.normal_(std=0.2)
    for number in range(14):

        def broken(x, tasks, number=number):
            losses, gradients = true(x, tasks)
            if number == 10:
                gradients = gradients.clone()
                gradients[0, 3] = torch.nan
            return losses, gradients

        monkeypatch.setattr(walk_module, "LossAndGradient", SimpleNamespace(apply=broken))
        frame = walk.frame(network, 2)
    assert bool(frame.x.isfinite().all()) and bool(walk.memory.last.isfinite().all())
    assert bool(walk.memory.factors.isfinite().all()) and bool((frame.losses < 100.0).all())


def test_streams_come_back_from_their_file(streams, tmp_path):
    lost = replace(streams[0].frames[4], rotations=None, pelvis=None, log_weights=None)
    holey = replace(streams[0], frames=[*streams[0].frames[:4], lost, *streams[0].frames[5:]])
    save_streams([holey, streams[1]], tmp_path / "streams.safetensors")
    back = load_streams(tmp_path / "streams.safetensors")
    assert len(back) == 2 and back[0].frames[4].rotations is None
    assert torch.equal(back[0].frames[5].rotations, holey.frames[5].rotations)
    assert torch.equal(back[1].pelvis, streams[1].pelvis)
    assert back[0].ground_height == pytest.approx(holey.ground_height)
    (tmp_path / "streams.safetensors").write_bytes(b"nothing")
    with pytest.raises(MotionFileError, match="made again"):
        load_streams(tmp_path / "streams.safetensors")


def test_frames_lost_on_the_way_and_no_ground_are_walked_over(streams, points):
    torch.manual_seed(0)
    losses, errors = walked(StreamOptimus(SIZES), streams, points, SETTINGS, 20, 1)
    assert losses.shape == errors.shape == (11, 2) and bool((losses > 0).all())
    starts = iter(streams)
    walk = Walk(lambda: Episode(next(starts), points, SETTINGS, 0, 29, False, lost=0.4, seed=5), 2, SIZES.factors)
    with torch.no_grad():
        for _ in range(10):
            frame = walk.frame(StreamOptimus(SIZES), 1)
    assert all(e.frame > 12 for e in walk.episodes) and bool(torch.isfinite(frame.losses).all())


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"piece": 0}, {"minutes": 0.0}, {"shortest": 9, "longest": 8}])
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(SettingsError):
        replace(RECIPE, **wrong)
