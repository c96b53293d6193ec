"""The Branin example: the function, and samples that lie on its level sets."""

from __future__ import annotations

import math

import pytest
import torch

from diffmocap.lifting.sampling.schedule import NoiseSchedule
from examples import branin
from examples.toy_diffusion import guided, sample, train

MAXIMA = torch.tensor([[-math.pi, 12.275], [math.pi, 2.275], [9.42478, 2.475]])


def test_the_function_has_its_known_maxima():
    """Branin's three global minima have the value 0.397887; this is the negative."""
    assert torch.allclose(branin.negative_branin(MAXIMA), torch.full((3,), -0.397887), atol=1e-4)
    x = MAXIMA.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(branin.negative_branin(x).sum(), x)
    assert float(gradient.abs().max()) < 1e-3
    grid = branin.from_unit(torch.rand(20_000, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert -309 < float(branin.negative_branin(grid).min()) and float(branin.negative_branin(grid).max()) < -0.3978
    assert float(branin.negative_branin(torch.tensor([-5.0, 0.0]))) == pytest.approx(-308.129, abs=1e-2)
    assert torch.allclose(branin.from_unit(branin.to_unit(grid)), grid, atol=1e-5)


@pytest.fixture(scope="module")
def trained() -> tuple[torch.nn.Module, NoiseSchedule]:
    torch.manual_seed(0)
    schedule = NoiseSchedule("cosine", 1000)
    return train(branin.LevelSetModel(width=96), branin.draw, schedule, 500, batch=256), schedule


def test_samples_lie_nearer_to_the_level_set_than_the_priors(trained):
    errors = branin.level_errors(*trained, count=150, seed=0)
    mean = {name: float(error.mean()) for name, error in errors.items()}
    assert len(mean) == 6 and all(3 * mean[f"w = {w}"] < mean["unconditional"] for w in branin.WEIGHTS), mean


def test_samples_of_one_level_spread_over_its_curve(trained):
    """The inverse of y = -60 is two curves; a regression would answer with one point between them."""
    model, schedule = trained
    x = branin.from_unit(sample(model, schedule, torch.full((200,), -60.0), (2,), 0.0, steps=25))
    left = (x[:, 0] < 1) & (x[:, 1] < 6)
    right = x[:, 1] > 6
    assert float(left.float().mean()) > 0.05 and float(right.float().mean()) > 0.3
    assert bool(((x >= branin.LOW - 1e-3) & (x <= branin.HIGH + 1e-3)).all())


def test_weight_zero_is_conditional_and_weight_minus_one_unconditional(trained):
    model, schedule = trained
    x, y = torch.randn(5, 2, generator=torch.Generator().manual_seed(1)), torch.full((5,), -20.0)
    with torch.inference_mode():
        zero, prior = guided(model, schedule, y, 0.0)(x, 300), guided(model, schedule, y, None)(x, 300)
        minus = guided(model, schedule, y, -1.0)(x, 300)
        assert torch.allclose(minus[0], prior[0], atol=1e-4) and not torch.allclose(zero[0], prior[0], atol=1e-2)
    a, s = schedule.coefficients(torch.full((5,), 300), x)
    assert torch.allclose(a * zero[0] + s * zero[1], x, atol=1e-5)


def test_program_draws_its_figure(tmp_path, monkeypatch, capsys):
    picture = tmp_path / "new" / "branin.png"
    monkeypatch.setattr("sys.argv", ["branin", "--out", str(picture), "--quick", "--steps", "3"])
    branin.main()
    assert picture.stat().st_size > 20_000
    assert "unconditional" in capsys.readouterr().out
