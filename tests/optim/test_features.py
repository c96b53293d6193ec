"""The features by name against the averages written out, their second moment, and what they do not see."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim import features as module
from diffmocap.optim.features import Features, FeatureSettings
from tests.optim.function_task import FunctionTask

BATCH, N, STEPS = 3, 12, 8
EXACT = FeatureSettings(epsilon=1e-30)  # second moments of exactly 1


def quiet(x: torch.Tensor) -> torch.Tensor:
    return x.sum(-1)


def trajectory(n: int = N, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Points and gradients [B, n] of some steps; their scales differ from parameter to parameter."""
    g = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-2, 2, n, dtype=torch.float64)
    return [
        (torch.randn(BATCH, n, generator=g, dtype=torch.float64), scale * torch.randn(BATCH, n, generator=g).double())
        for _ in range(STEPS)
    ]


def run(features: Features, steps, shape=(N,)) -> torch.Tensor:
    """Features [B, F, N] after the last of the steps."""
    state = features.init(FunctionTask(quiet, shape), steps[0][0])
    for step, (x, gradient) in enumerate(steps):
        z, state = features(state, x, gradient, step)
    return z


def double(settings: FeatureSettings) -> Features:
    return Features(settings).double()


def named(features: Features, z: torch.Tensor) -> dict[str, torch.Tensor]:
    assert z.shape[1] == features.count == len(features.settings.names)
    return dict(zip(features.settings.names, z.unbind(1)))


def unit(values: torch.Tensor) -> torch.Tensor:
    """With second moment 1 over the last axis."""
    return values / values.square().mean(-1, keepdim=True).sqrt()


def average(values: list[torch.Tensor], decay: float) -> torch.Tensor:
    total = torch.zeros_like(values[0])
    for value in values:
        total = decay * total + (1 - decay) * value
    return total


def test_the_supplements_39_features_of_a_vector() -> None:
    features, steps = double(EXACT), trajectory()
    assert features.count == 39
    found = named(features, run(features, steps))
    gradients = [g for _, g in steps]
    x, g = steps[-1]
    square = average([g**2 for g in gradients], 0.999)
    expected = {"gradient": g, "parameter": x, "square": square, "inverse_root_square": square**-0.5}
    for d in (0.9, 0.99, 0.999):
        m, v = average(gradients, d), average([g**2 for g in gradients], d)
        expected |= {
            f"momentum_{d}": m, f"momentum_{d}_over_root_square": m / square**0.5,
            f"adafactor_{d}_gradient": g / v**0.5, f"adafactor_{d}_row": v, f"adafactor_{d}_column": v,
            f"adafactor_{d}_inverse_root_row": v**-0.5, f"adafactor_{d}_inverse_root_column": v**-0.5,
            f"adafactor_{d}_momentum": m / v**0.5,
        }  # fmt: skip
    for name, value in expected.items():
        assert torch.allclose(found[name], unit(value), rtol=1e-5), name
    for t in (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000):
        time = torch.tensor((STEPS - 1) / t).tanh().double()
        assert torch.allclose(found[f"tanh_time_over_{t}"], time.expand(BATCH, N))
    assert set(found) == {*expected, *module.TIME_FEATURES}


def test_the_papers_networks_have_three_second_moments() -> None:
    """And so 43 features and 9 decays, as their numbers of weights say."""
    features, steps = double(FeatureSettings(epsilon=1e-30, second_moments=3)), trajectory()
    assert features.count == 43 and features.decay_shift.numel() == 9
    found, gradients = named(features, run(features, steps)), [g for _, g in steps]
    for d in (0.9, 0.99, 0.999):
        square = average([g**2 for g in gradients], d)
        assert torch.allclose(found[f"square_{d}"], unit(square), rtol=1e-5)
        assert torch.allclose(found[f"inverse_root_square_{d}"], unit(square**-0.5), rtol=1e-5)
        ratio = average(gradients, d) / square**0.5
        assert torch.allclose(found[f"momentum_{d}_over_root_square"], unit(ratio), rtol=1e-5)
    with pytest.raises(SettingsError, match="second_moments of the features must be 1 or 3, got 2"):
        FeatureSettings(second_moments=2)


def test_a_matrix_of_parameters_is_factored_as_by_shazeer_and_stern() -> None:
    shape, d = (3, 4), 0.99
    features, steps = double(EXACT), trajectory()
    found = named(features, run(features, steps, shape))
    squares = [(g**2).unflatten(-1, shape) for _, g in steps]
    row, column = average([s.mean(-1) for s in squares], d), average([s.mean(-2) for s in squares], d)
    estimate = torch.einsum("br,bc->brc", row, column) / row.mean(-1)[:, None, None]
    g = steps[-1][1]
    assert torch.allclose(found[f"adafactor_{d}_gradient"], unit(g / estimate.flatten(1) ** 0.5))
    tiled = row[..., None].expand(-1, *shape).flatten(1), column[:, None].expand(-1, *shape).flatten(1)
    assert torch.allclose(found[f"adafactor_{d}_row"], unit(tiled[0]))
    assert torch.allclose(found[f"adafactor_{d}_inverse_root_column"], unit(tiled[1] ** -0.5))


@pytest.mark.parametrize("memory", [False, True])
def test_the_scale_of_the_loss_is_not_seen(memory: bool) -> None:
    features, steps = double(FeatureSettings(memory=memory)), trajectory()
    z = run(features, steps)
    for factor in (1e-12, 37.0, 1e12):
        assert torch.allclose(run(features, [(x, factor * g) for x, g in steps]), z, atol=1e-9)
    raw = double(FeatureSettings(relative_gradient=False, memory=memory))
    assert not torch.allclose(run(raw, [(x, 1e-4 * g) for x, g in steps]), run(raw, steps), atol=1e-3)


@pytest.mark.parametrize("memory", [False, True])
def test_permuted_parameters_give_permuted_features(memory: bool) -> None:
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    features, steps = double(FeatureSettings(memory=memory)), trajectory()
    permuted = run(features, [(x[:, order], g[:, order]) for x, g in steps])
    assert torch.allclose(permuted, run(features, steps)[..., order])


def test_second_moments_are_one_and_fade_below_epsilon() -> None:
    features = double(FeatureSettings(epsilon=1e-5))
    steps = trajectory()
    small = [*steps, (steps[-1][0], 1e-4 * steps[-1][1])]
    last = named(features, run(features, small))
    assert float(last["gradient"].detach().square().mean()) < 0.1  # far below the first gradient
    moments = run(double(EXACT), small)[:, : len(module.PARAMETER_FEATURES)].square().mean(-1)
    assert torch.allclose(moments, torch.ones_like(moments))


@pytest.mark.parametrize("memory", [False, True])
def test_extreme_gradients_give_numbers(memory: bool) -> None:
    """Zero, infinite, NaN, and beyond what single precision can square."""
    features = Features(FeatureSettings(memory=memory))
    x = torch.ones(1, 4)
    for values in ([0.0] * 4, [torch.inf, 1.0, -torch.inf, torch.nan], [1e25, 1e20, -1e30, 0.0], [1e-30] * 4):
        gradient = torch.tensor([values])
        for steps in ([(x, gradient)] * 2, [(x, torch.ones(1, 4)), (x, gradient), (x, torch.ones(1, 4))]):
            assert torch.isfinite(run(features, steps, (4,))).all(), values


def test_decays_start_as_published_and_are_learned_where_asked() -> None:
    momentum, square, factor = Features().decays()
    assert momentum.flatten().tolist() == pytest.approx(
        [0.9, 0.99, 0.999]
    ) and square.flatten().tolist() == pytest.approx([0.999])
    assert factor.flatten().tolist() == pytest.approx([0.9, 0.99, 0.999])
    assert sum(p.numel() for p in Features().parameters()) == 7
    assert not list(Features(FeatureSettings(learned_decays=False)).parameters())


def test_epsilon_must_be_positive() -> None:
    with pytest.raises(SettingsError, match="epsilon"):
        FeatureSettings(epsilon=0.0)
