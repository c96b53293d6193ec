"""A run learns, resumes exactly, and leaves a record beside its weights."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.lifting.network.denoiser import DenoiserConfig
from diffmocap.lifting.network.ray_denoiser import RayConfig
from diffmocap.lifting.network.weights import load_weights, save_weights
from training.lifting import loop
from training.lifting.__main__ import main, parse
from training.lifting.loop import Throughput
from training.lifting.recipe import PRESETS, Recipe, build, recipe_from
from training.lifting.trainer import MOMENTS, Trainer
from training.lifting.validation import CONDITIONS, Validation
from training.motions.poses import load_rotations
from training.views.views import ViewConfig

TINY = DenoiserConfig(width=32, heads=2, feedforward=32, decoder_layers=1, keypoint_layers=1)


@pytest.fixture(scope="module")
def frames(mocap_dir) -> torch.Tensor:
    return load_rotations([mocap_dir / "cmu_smpl30_val.npz"])[::50]


def trainer(frames, out, **changes) -> Trainer:
    recipe = Recipe(**{"batch": 32, "steps": 60, "warmup_steps": 5, "model": TINY, **changes})
    return Trainer(recipe, frames, frames[:8], out, "cpu")


def test_resumed_run_is_the_uninterrupted_run(frames, tmp_path):
    whole = trainer(frames, tmp_path)
    for _ in range(6):
        whole.train_step()
    first = trainer(frames, tmp_path)
    for _ in range(3):
        first.train_step()
    first.save()
    second = trainer(frames, tmp_path)
    assert second.resume() and second.step == 3
    for _ in range(3):
        second.train_step()
    for a, b in zip(whole.ema.parameters(), second.ema.parameters()):
        assert torch.equal(a, b)


def test_the_best_weights_are_kept(frames, tmp_path):
    run = trainer(frames, tmp_path)
    assert run.keep_if_best(0.5)
    kept = (tmp_path / "best.safetensors").read_bytes()
    run.train_step()
    assert not run.keep_if_best(0.6) and not run.keep_if_best(float("nan"))
    assert (tmp_path / "best.safetensors").read_bytes() == kept
    assert run.keep_if_best(0.4) and (tmp_path / "best.safetensors").read_bytes() != kept
    run.save()
    resumed = trainer(frames, tmp_path)
    assert resumed.resume() and not resumed.keep_if_best(0.45)


def test_a_share_of_the_rows_goes_without_its_condition(frames, tmp_path):
    """What guidance weighs the condition against is learnt: the network's answer where nothing is told."""
    drawn = {share: trainer(frames, tmp_path, batch=400, null_share=share).draw().keep for share in (0.0, 0.3)}
    assert bool(drawn[0.0].all()) and float((~drawn[0.3]).float().mean()) == pytest.approx(0.3, abs=0.07)
    assert 0.0 < Recipe().null_share < 0.5


def test_rows_without_their_condition_do_not_see_it(frames, tmp_path):
    run = trainer(frames, tmp_path)
    batch = run.draw()

    def error(keep: bool, points: torch.Tensor) -> float:
        condition = replace(batch.view.condition, points=points)
        told = replace(batch, view=replace(batch.view, condition=condition), keep=torch.full_like(batch.keep, keep))
        return float(run.gradient(told)["mse"])

    run.model.eval()
    points = batch.view.condition.points
    assert error(False, points) == pytest.approx(error(False, 0.3 * points), rel=1e-6)
    assert error(True, points) != pytest.approx(error(True, 0.3 * points), rel=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "x0", "v"])
def test_loss_falls_for_every_parameterisation(frames, tmp_path, kind):
    run = trainer(frames, tmp_path, model=replace(TINY, parameterisation=kind), learning_rate=3e-3, steps=10_000)
    history = [run.train_step()["mse"].item() for _ in range(40)]
    assert sum(history[-10:]) < 0.9 * sum(history[:10])


def test_no_step_follows_a_longer_gradient_than_the_recipe_allows(frames, tmp_path):
    lengths = []
    for bound in (1e6, 0.01):
        run = trainer(frames, tmp_path, clip_norm=bound)
        run.train_step()
        lengths.append(float(torch.stack([p.grad.norm() for p in run.model.parameters() if p.grad is not None]).norm()))
    assert lengths[0] > 0.02 and lengths[1] == pytest.approx(0.01, rel=1e-3)


def test_what_is_kept_is_a_running_mean_of_the_weights(frames, tmp_path):
    """With a short memory at first, so that the start is soon forgotten: min(decay, (1 + n) / (10 + n)) at step n."""
    run = trainer(frames, tmp_path, ema_decay=0.15)
    for decay in (0.15, 0.15):
        before = [p.clone() for p in run.ema.parameters()]
        run.train_step()
        for old, new, now in zip(before, run.ema.parameters(), run.model.parameters(), strict=True):
            torch.testing.assert_close(new, decay * old + (1 - decay) * now, rtol=1e-4, atol=1e-7)
    quick = trainer(frames, tmp_path, ema_decay=0.999)
    before = [p.clone() for p in quick.ema.parameters()]
    quick.train_step()
    moved = [(new - old, now.detach() - old) for old, new, now in zip(
        before, quick.ema.parameters(), quick.model.parameters(), strict=True)]  # fmt: skip
    share = sum(float((a * b).sum()) for a, b in moved) / sum(float(b.square().sum()) for _, b in moved)
    assert share == pytest.approx(1 - 2 / 11, rel=1e-3)


def test_learning_rate_warms_up_and_decays_to_zero(frames, tmp_path):
    run = trainer(frames, tmp_path, steps=100, decay_share=0.5)
    rates = []
    for run.step in range(101):
        rates.append(run.learning_rate())
    assert rates[0] < rates[4] == pytest.approx(rates[49]) == pytest.approx(1e-3)
    assert rates[75] == pytest.approx(0.5e-3, rel=1e-3) and rates[100] == pytest.approx(0.0, abs=1e-9)


def test_command_writes_weights_config_and_resumes(mocap_dir, tmp_path, capsys):
    data, path = str(mocap_dir / "cmu_smpl30_val.npz"), tmp_path / "config.json"
    arguments = ["--data", data, "--val", data, "--out", str(tmp_path), "--batch", "8", "--validation-frames", "4"]
    main([*arguments, "--steps", "2", "--device", "cpu"])
    first = json.loads(path.read_text())
    assert [start["step"] for start in first.pop("starts")] == [0] and len(first["commit"]) >= 7
    path.write_text(json.dumps(first))  # as runs were recorded before their starts were listed
    main([*arguments, "--steps", "3", "--device", "cpu", "--no-bf16"])
    assert "resumed at step 2" in capsys.readouterr().out
    record = json.loads(path.read_text())
    assert record["recipe"]["steps"] == 3 and record["recipe"]["bf16"] is False and record["parameters"] > 1e6
    assert [start["step"] for start in record["starts"]] == [0, 2]
    assert "--steps 2" in record["starts"][0]["command"] and "--no-bf16" in record["starts"][1]["command"]
    assert load_weights(tmp_path / "lifting.safetensors").config.width == record["recipe"]["model"]["width"]


def test_throughput_follows_the_last_half_minute():
    throughput = Throughput(samples_per_step=100, memory_s=30.0)
    throughput.add(10, 1.0)
    assert throughput.recent == throughput.overall == 1000
    for _ in range(120):
        throughput.add(5, 1.0)
    assert throughput.recent == pytest.approx(500, rel=0.05)
    assert throughput.overall == pytest.approx(100 * 610 / 121)


def test_half_precision_is_the_default_on_gpus_alone():
    data = ["--data", "d", "--val", "v", "--out", "o"]
    for device, expected in (("cuda:0", True), ("cpu", False)):
        assert recipe_from(parse([*data, "--device", device])).bf16 is expected
    assert recipe_from(parse([*data, "--device", "cuda", "--no-bf16"])).bf16 is False
    assert recipe_from(parse([*data, "--device", "cpu", "--bf16"])).bf16 is True


def test_noise_schedule_fits_what_is_predicted():
    for kind, given, expected in (
        ("epsilon", [], "linear"), ("x0", [], "cosine"), ("v", [], "cosine"),
        ("epsilon", ["--schedule", "cosine"], "cosine"),
    ):  # fmt: skip
        options = parse(["--data", "d", "--val", "v", "--out", "o", "--parameterisation", kind, *given])
        assert recipe_from(options).model.schedule == expected


def test_options_reach_the_recipe():
    options = ["--mix-share", "0.7", "--joint-noise", "0.3", "--paper-share", "0.1", "--batch", "5"]
    options += ["--architecture", "mlp", "--preset", "paper", "--parameterisation", "epsilon"]
    recipe = recipe_from(parse(["--data", "d", "--val", "v", "--out", "o", "--device", "cpu", *options]))
    assert (recipe.poses.mix_share, recipe.poses.joint_noise) == (0.7, 0.3)
    assert (recipe.view.paper_share, recipe.batch) == (0.1, 5)
    assert recipe.model == replace(PRESETS["mlp"]["paper"], parameterisation="epsilon", schedule="linear")


@pytest.mark.parametrize("architecture, millions", [("transformer", 11), ("mlp", 27)])
def test_presets_have_the_papers_sizes_and_proportion(architecture, millions):
    paper, small = (
        sum(p.numel() for p in build(PRESETS[architecture][size]).parameters()) / 1e6 for size in ("paper", "small")
    )
    assert paper == pytest.approx(millions, rel=0.08 if architecture == "transformer" else 0.05)
    transformer = sum(p.numel() for p in build(PRESETS["transformer"]["small"]).parameters()) / 1e6
    assert small == pytest.approx(transformer * millions / 11, rel=0.05)


def test_views_of_the_recipe_are_validated_by_name():
    with pytest.raises(TypeError):
        ViewConfig(papershare=0.1)


RAY = RayConfig(width=64, layers=1, time_width=16)


def ray_trainer(frames, out, **changes) -> Trainer:
    return trainer(frames, out, **{"model": RAY, "made": 256, **changes})


def test_a_ray_denoiser_learns_and_resumes_exactly(frames, tmp_path):
    whole = ray_trainer(frames, tmp_path, learning_rate=3e-3, steps=10_000)
    totals = [whole.train_step()["total"].item() for _ in range(30)]
    assert sum(totals[-5:]) < 0.8 * sum(totals[:5])
    whole.save()
    again = ray_trainer(frames, tmp_path, learning_rate=3e-3, steps=10_000)
    assert again.resume() and again.step == 30
    for run in (whole, again):
        run.train_step()
    for a, b in zip(whole.ema.parameters(), again.ema.parameters()):
        assert torch.equal(a, b)


def test_a_ray_denoiser_is_validated_as_it_lifts(frames, tmp_path):
    figures = ray_trainer(frames, tmp_path).validate()
    assert figures["pa_mean"] == pytest.approx(
        sum(v for k, v in figures.items() if k.startswith("pa_") and k != "pa_mean") / 6
    )
    assert all(20 < figures[f"pa_{name}"] < 400 for name in (*(c[0] for c in CONDITIONS), "measured"))


def test_values_of_the_sequence_reach_the_recipe():
    data = ["--data", "d", "--val", "v", "--out", "o", "--device", "cpu", "--architecture", "ray"]
    recipe = recipe_from(parse([*data, "--sequence", "made_share=0.5", "up_share=0", "--ray-loss", "placed=7"]))
    assert (recipe.sequence.made_share, recipe.sequence.up_share, recipe.ray_loss.placed) == (0.5, 0.0, 7.0)
    for wrong in ("made_share", "nothing=1", "made_share=x"):
        with pytest.raises(SettingsError, match="followed by ="):
            recipe_from(parse([*data, "--sequence", wrong]))


def test_shipped_weights_are_trained_on_with_their_second_moments(frames, tmp_path):
    run = ray_trainer(frames, tmp_path)
    for _ in range(3):
        run.train_step()
    run.save()
    (tmp_path / "next").mkdir()
    on = ray_trainer(frames, tmp_path / "next")
    on.start_from(tmp_path / "lifting.safetensors")
    for (name, p), q in zip(run.model.named_parameters(), on.model.parameters()):
        state = run.optimizer.state[p]
        if "exp_avg_sq" not in state:
            continue
        square, found = state["exp_avg_sq"], on.optimizer.state[q]["exp_avg_sq"]
        assert float(found.mean()) == pytest.approx(float(square.mean()), rel=1e-3), name
        if square.dim() == 2:
            torch.testing.assert_close(found.mean(1), square.mean(1), rtol=1e-3, atol=0)
    on.train_step()
    # Far smaller than the weights themselves.
    assert (tmp_path / MOMENTS).stat().st_size < 0.25 * (tmp_path / "lifting.safetensors").stat().st_size


def test_another_recipe_in_the_same_folder_is_refused(mocap_dir, tmp_path):
    data = str(mocap_dir / "cmu_smpl30_val.npz")
    arguments = ["--data", data, "--val", data, "--out", str(tmp_path), "--validation-frames", "4", "--device", "cpu"]
    main([*arguments, "--batch", "8", "--steps", "1"])
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(SettingsError, match="batch"):
        main([*arguments, "--batch", "16", "--steps", "2"])
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_before_anything_is_validated(frames, tmp_path, number, capsys, monkeypatch):
    before = signal.getsignal(number)
    run = trainer(frames, tmp_path, steps=1000)
    step = run.train_step

    def interrupted():
        terms = step()
        if run.step == 3:
            os.kill(os.getpid(), number)
        return terms

    monkeypatch.setattr(run, "train_step", interrupted)
    monkeypatch.setattr(run, "validate", lambda *a: pytest.fail("validated after the signal"))
    loop.run(run, checkpoint_minutes=60, validate_minutes=60, stop_after_minutes=0)
    assert "goes on from there" in capsys.readouterr().out
    assert trainer(frames, tmp_path, steps=1000).resume() and run.step == 3
    assert signal.getsignal(number) == before


def test_exact_depths_of_the_validation_are_those_of_training(frames):
    """Bodies that are placed at the told depths along their rays have their own shape."""
    body = BodyModel.load()
    views = Validation(body, frames[:16])
    condition, _ = views.conditions["exact_depth"]
    crop = body.keypoints(views.rotations, views.pelvis) @ condition.R_camera_crop
    assert torch.allclose(condition.depth, crop[..., 2] - crop[:, 8, None, 2], atol=1e-4)


def test_moments_of_another_network_are_left_alone(frames, tmp_path):
    """Several weights may lie in one folder, with the moments of one of them."""
    run = ray_trainer(frames, tmp_path)
    run.train_step()
    run.save()
    other = trainer(frames, tmp_path)
    save_weights(other.ema, tmp_path / "other.safetensors")
    other.start_from(tmp_path / "other.safetensors")
    assert not other.optimizer.state


def test_a_checkpoint_comes_before_every_validation(frames, tmp_path, monkeypatch):
    run, order = trainer(frames, tmp_path, steps=2), []
    monkeypatch.setattr(run, "save", lambda: order.append("save"))
    monkeypatch.setattr(run, "validate_and_keep", lambda guidance: order.append("validate") or {})
    run.history.append({})
    loop.run(run, checkpoint_minutes=60, validate_minutes=0, stop_after_minutes=0)
    assert order[order.index("validate") - 1] == "save" and order[-2:] == ["validate", "save"]
