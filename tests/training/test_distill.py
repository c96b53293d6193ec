"""Distillation learns where the teacher's paths end, resumes exactly, and says in the weights what they are."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.ray_denoiser import RayConfig, RayDenoiser
from diffmocap.lifting.network.weights import load_weights, save_weights
from diffmocap.lifting.sampling.ddim import ddim_timesteps
from diffmocap.lifting.sampling.guidance import guided_denoiser, is_guided
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from training.lifting.distill import Distillation, Distiller, main, walk
from training.lifting.recipe import Recipe
from training.lifting.trainer import Trainer
from training.motions.poses import load_rotations

TINY = DenoiserConfig(width=32, heads=2, feedforward=32, decoder_layers=1, keypoint_layers=1)


@pytest.fixture(scope="module")
def frames(mocap_dir) -> torch.Tensor:
    return load_rotations([mocap_dir / "cmu_smpl30_val.npz"])[::50]


@pytest.fixture(scope="module")
def teacher(frames, tmp_path_factory):
    """A network that has learnt a little: its paths bend."""
    folder = tmp_path_factory.mktemp("teacher")
    recipe = Recipe(batch=64, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9, model=TINY)
    trainer = Trainer(recipe, frames, frames[:4], folder)
    for _ in range(60):
        trainer.train_step()
    trainer.save()
    return folder / "lifting.safetensors"


def distiller(frames, teacher, out, distillation=None, **changes) -> Distiller:
    recipe = Recipe(**{"batch": 16, "warmup_steps": 5, "null_share": 0.0, "ema_decay": 0.9, **changes})
    return Distiller(recipe, distillation or Distillation(), teacher, frames, frames[:6], out)


def test_paths_of_a_gaussian_end_where_its_ode_does():
    """Least squares of the ends on the states must find the ODE's affine map at every time of the path."""
    schedule, mean, std = NoiseSchedule("cosine", 1000), 0.7, 0.3

    def exact(x, t):
        a, b = schedule.coefficients(t, x)
        return schedule.x0_and_epsilon((a * std**2 * x + b * b * mean) / (a * a * std**2 + b * b), x, t, "x0")

    timesteps = ddim_timesteps(1000, 50)
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    states, end = walk(exact, x, schedule, timesteps)
    assert states.shape == (200, 50, 1) and torch.equal(states[:, 0], x)
    for i, t in enumerate(timesteps):
        a, b = schedule.coefficients(t, x)
        known = torch.cat([states[:, i], torch.ones_like(x)], 1)
        slope, offset = torch.linalg.lstsq(known, end).solution.flatten().tolist()
        expected = std / (a * a * std**2 + b * b) ** 0.5
        assert slope == pytest.approx(expected, rel=0.015)
        assert offset == pytest.approx(mean - expected * a * mean, abs=0.015)


def test_examples_lie_on_the_teachers_paths(frames, teacher, tmp_path):
    run = distiller(frames, teacher, tmp_path, Distillation(points=3, cold_share=1.0, quiet_share=0.0))
    batch = run.draw()
    x, t, end, _ = run.paths(batch)
    assert x.shape == end.shape == (48, 24, 6) and set(t.tolist()) <= set(ddim_timesteps(1000, 8))
    first = t == 999
    assert int(first.sum()) == 16 and torch.allclose(x[first], batch.noise, atol=1e-3)
    # A path walked on from a later state ends at the same place.
    code = run.teacher.encode_condition(batch.view.condition)
    state, following = x.view(16, 3, 24, 6)[:, 1], int(t[1])
    grid = [s for s in ddim_timesteps(1000, 8) if s <= following]

    def denoise(x, s):
        return run.schedule.x0_and_epsilon(run.teacher(x, torch.full((16,), s), code), x, s, "x0")

    _, again = walk(denoise, state, run.schedule, grid)
    assert float((again - end[::3]).square().mean().sqrt()) < 0.2 * float(end.std())


def test_the_student_comes_to_agree_with_itself_along_paths(frames, teacher, tmp_path):
    run = distiller(frames, teacher, tmp_path, learning_rate=2e-3)

    def disagreement() -> float:
        """Between the student's answers at the beginning of a path and at its later points."""
        distances, g, start = [], torch.Generator().manual_seed(1), run.generator
        run.generator = g
        with torch.no_grad():
            for _ in range(8):
                batch = run.draw()
                x, t, end, _ = run.paths(batch)
                code = run.ema.encode_condition(batch.view.condition).repeat(len(x) // 16)
                answers = run.ema(x, t, code).view(16, -1, 24, 6)
                distances.append((answers[:, :1] - answers[:, 1:]).square().mean())
        run.generator = start
        return float(sum(distances))

    before = disagreement()
    first = [run.train_step()["total"].item() for _ in range(10)]
    for _ in range(30):
        run.train_step()
    last = [run.train_step()["total"].item() for _ in range(10)]
    assert sum(last) < 0.9 * sum(first) and disagreement() < 0.8 * before


def test_resumed_run_is_the_uninterrupted_run(frames, teacher, tmp_path):
    whole = distiller(frames, teacher, tmp_path)
    for _ in range(4):
        whole.train_step()
    first = distiller(frames, teacher, tmp_path)
    for _ in range(2):
        first.train_step()
    first.save()
    second = distiller(frames, teacher, tmp_path)
    assert second.resume() and second.step == 2
    for _ in range(2):
        second.train_step()
    for a, b in zip(whole.ema.parameters(), second.ema.parameters()):
        assert torch.equal(a, b)


def test_command_writes_a_student_that_says_so_and_resumes(mocap_dir, teacher, tmp_path, capsys):
    data = str(mocap_dir / "cmu_smpl30_val.npz")
    arguments = [
        "--teacher", str(teacher), "--data", data, "--val", data, "--out", str(tmp_path), "--batch", "4",
        "--device", "cpu", "--validation-frames", "4", "--minutes", "0", "--guidance", "0.5",
    ]  # fmt: skip
    main([*arguments, "--steps", "1"])
    main([*arguments, "--steps", "2"])
    printed = capsys.readouterr().out
    assert "resumed at step 1" in printed and "spread_mm" in printed
    figures = json.loads(printed.strip().splitlines()[-1])
    assert {f"{name}_{n}_steps" for name in ("pixel_error", "spread_mm") for n in (1, 2, 4)} < set(figures)
    with safe_open(tmp_path / "lifting.safetensors", "pt") as f:
        student = json.loads(f.metadata()["info"])["student"]
    assert student["steps"] == [1, 2, 4] and student["sampler"] == "consistency" and student["guidance"] == 0.5
    assert load_weights(tmp_path / "lifting.safetensors").config == load_weights(teacher).config
    assert json.loads((tmp_path / "config.json").read_text())["distillation"]["guidance"] == 0.5


def test_a_teacher_that_says_nothing_at_pure_noise_is_refused(frames, tmp_path):
    path = tmp_path / "epsilon.safetensors"
    save_weights(TransformerDenoiser(DenoiserConfig(width=32, heads=2, parameterisation="epsilon")), path)
    with pytest.raises(SettingsError, match="epsilon"):
        distiller(frames, path, tmp_path)


def test_a_ray_denoiser_is_distilled_like_any_other(frames, tmp_path):
    torch.manual_seed(0)
    teacher = RayDenoiser(RayConfig(width=32, layers=1, time_width=16))
    teacher.head.set_body(BodyModel.load())
    save_weights(teacher, tmp_path / "teacher.safetensors")
    run = distiller(frames, tmp_path / "teacher.safetensors", tmp_path, learning_rate=3e-3, steps=10_000, made=64)
    with torch.no_grad():
        run.model.out.weight.mul_(2.0)  # the student starts as the teacher: let it have something to learn
    batch, errors = run.draw(), []
    for _ in range(40):
        run.generator.manual_seed(1)  # the same paths again
        errors.append(run.gradient(batch)["mse"].item())
        run.optimizer.step()
    assert errors[-1] < 0.92 * errors[0]
    run.save()
    student = load_weights(tmp_path / "lifting.safetensors")
    assert isinstance(student, RayDenoiser) and student.student["sampler"] == "consistency"


def test_paths_of_a_ray_denoiser_end_where_those_of_their_weight_do(frames, tmp_path):
    torch.manual_seed(0)
    teacher = RayDenoiser(RayConfig(width=32, layers=1, time_width=16))
    teacher.head.set_body(BodyModel.load())
    save_weights(teacher, tmp_path / "teacher.safetensors")
    how = Distillation(guidance=2.0, cold_share=1.0, quiet_share=0.0, points=2)
    run = distiller(frames, tmp_path / "teacher.safetensors", tmp_path, how, made=64)
    batch = run.draw()
    x, t, end, weight = run.paths(batch)
    assert is_guided(run.model) and not is_guided(run.teacher)
    assert 0 < int((weight == 0).sum()) < len(weight) and 1.0 < float(weight.max()) <= 2.0
    timesteps = ddim_timesteps(1000, how.teacher_steps)
    for row in (int(weight.argmin()), int(weight.argmax())):
        code = run.teacher.encode_condition(batch.view.condition.rows(slice(row, row + 1)))
        denoise = guided_denoiser(run.teacher, run.schedule, code, float(weight[row]), timesteps=timesteps)
        assert torch.allclose(
            walk(denoise, x[2 * row : 2 * row + 1], run.schedule, timesteps)[1][0], end[2 * row], atol=1e-3
        )
