"""The limited-memory quasi-Newton step: SciPy's, the same in all units, and nothing where it knows nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import LbfgsInvHessProduct

from diffmocap.errors import SettingsError
from diffmocap.optim.features import Features, FeatureSettings
from diffmocap.optim.limited_memory import LIMITED_MEMORY_FEATURES, Pairs, quasi_newton
from tests.optim.function_task import FunctionTask

N = 6


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hessian(seed: int = 0) -> torch.Tensor:
    a = numbers(N, N, seed=seed)
    return a @ a.T + 0.1 * torch.eye(N, dtype=torch.float64)


def pairs_of(h: torch.Tensor, steps: list[torch.Tensor], most: int = 10) -> Pairs:
    """Of steps [B, N] over a quadratic with Hessian ``h``."""
    pairs = Pairs.none(steps[0])
    for s in steps:
        pairs, _ = pairs.with_new(s, s @ h, most)
    return pairs


def walked(points: list[torch.Tensor], gradients: list[torch.Tensor], unit: float = 1.0, scale: float = 1e9):
    """Features [B, M, N] at the last of the points [B, N], and the pairs after; ``scale`` in units."""
    pairs, units = Pairs.none(points[0]), torch.full_like(points[0][:, :1], unit)
    for x, g in zip(points, gradients):
        found, pairs = quasi_newton(pairs, x, g, units, scale * units, most=5)
    return found, pairs


def along(points: list[torch.Tensor], gradients: list[torch.Tensor], unit: float = 1.0) -> torch.Tensor:
    return walked(points, gradients, unit)[0]


def named(found: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(LIMITED_MEMORY_FEATURES, found.unbind(1)))


@pytest.mark.parametrize("most", [1, 3, 10])
def test_the_two_loops_are_scipys(most: int) -> None:
    h, steps = hessian(), [numbers(1, N, seed=i) for i in range(5)]
    g = numbers(1, N, seed=99)
    # SciPy's product begins from the identity; gradients in units in which that is the largest s^T y / y^T y.
    s, y = torch.cat(steps)[-most:].numpy(), (torch.cat(steps) @ h)[-most:].numpy()
    gamma = ((s * y).sum(-1) / (y * y).sum(-1)).max()
    product = LbfgsInvHessProduct(s / np.sqrt(gamma), y * np.sqrt(gamma))
    expected = gamma * product.matvec(g[0].numpy())
    found = pairs_of(h, steps, most).inverse_hessian_times(g)
    assert np.allclose(found[0].numpy(), expected, rtol=1e-10)


def test_the_newest_pair_satisfies_the_secant_equation() -> None:
    h, steps = hessian(), [numbers(2, N, seed=i) for i in range(4)]
    found = pairs_of(h, steps).inverse_hessian_times(steps[-1] @ h)
    assert torch.allclose(found, steps[-1], rtol=1e-8)


def test_conjugate_steps_through_all_dimensions_give_newtons_step() -> None:
    h = hessian()
    directions = torch.linalg.eigh(h)[1].T
    g = numbers(1, N, seed=7)
    found = pairs_of(h, [d[None] for d in directions], N).inverse_hessian_times(g)
    assert torch.allclose(found, torch.linalg.solve(h, g[0])[None], rtol=1e-8)


def test_pairs_of_negative_curvature_change_nothing() -> None:
    h, steps = hessian(), [numbers(1, N, seed=i) for i in range(3)]
    g = numbers(1, N, seed=5)
    pairs = pairs_of(h, steps)
    with_it, cosine = pairs.with_new(steps[0], -steps[0] @ h, 10)
    assert float(cosine) < 0
    assert torch.allclose(with_it.inverse_hessian_times(g), pairs.inverse_hessian_times(g), rtol=1e-12)


def test_where_no_pair_counts_the_step_has_the_newest_ones_length() -> None:
    s, g = numbers(1, N), numbers(1, N, seed=1)
    pairs, _ = Pairs.none(s).with_new(s, -4 * s, 3)
    assert torch.allclose(pairs.inverse_hessian_times(g), g / 4)


def test_no_more_pairs_are_kept_than_asked_for() -> None:
    pairs = pairs_of(hessian(), [numbers(1, N, seed=i) for i in range(9)], 4)
    assert pairs.s.shape == (1, 4, N) and pairs.cosine.shape == (1, 4)
    newest = numbers(1, N, seed=8)
    assert torch.allclose(pairs.s[:, 0], newest / newest.norm())


def test_features_are_the_same_in_all_units() -> None:
    points = [numbers(3, N, seed=i) for i in range(4)]
    gradients = [x @ hessian() for x in points]
    here = along(points, gradients)
    there = along([1e-8 * x for x in points], [1e30 * g for g in gradients], unit=1e-8)
    assert torch.allclose(here, there, rtol=1e-9)


def test_the_step_is_the_features_and_no_longer_than_the_scale() -> None:
    points = [numbers(2, N, seed=i) for i in range(4)]
    gradients = [x @ hessian() for x in points]
    found, pairs = walked(points, gradients, unit=0.2)
    assert torch.allclose(pairs.step, -0.2 * named(found)["quasi_newton_step"], rtol=1e-9)
    assert torch.allclose(pairs.step, -pairs.inverse_hessian_times(gradients[-1]), rtol=1e-9)
    _, held = walked(points, gradients, unit=0.2, scale=0.01)
    assert torch.allclose(held.step.square().mean(-1).sqrt(), torch.full((2,), 0.002, dtype=torch.float64))
    assert torch.allclose(torch.cosine_similarity(held.step, pairs.step), torch.ones(2, dtype=torch.float64))


def test_rows_do_not_know_of_each_other() -> None:
    points = [numbers(3, N, seed=i) for i in range(4)]
    gradients = [x @ hessian() for x in points]
    alone = along([x[1:2] for x in points], [g[1:2] for g in gradients])
    assert torch.allclose(along(points, gradients)[1:2], alone, rtol=1e-12)


def test_before_any_pair_the_step_is_one_unit_against_the_gradient() -> None:
    g = numbers(2, N)
    found = named(along([numbers(2, N, seed=1)], [g], unit=0.3))
    assert torch.allclose(found["quasi_newton_step"], g / g.square().mean(-1, keepdim=True).sqrt())
    assert torch.allclose(found["cosine_gradient_quasi_newton"], torch.ones(2, N).double())
    assert found["cosine_last_pair"].count_nonzero() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, 1e300])
def test_features_are_numbers_whatever_the_gradient(bad: float) -> None:
    points = [numbers(1, N, seed=i) for i in range(3)]
    gradients = [numbers(1, N, seed=3), torch.full((1, N), bad, dtype=torch.float64), numbers(1, N, seed=4)]
    for last in (2, 3):
        found, pairs = walked(points[:last], gradients[:last])
        assert found.isfinite().all() and pairs.step.isfinite().all()
    assert along([points[0]] * 3, [gradients[0]] * 3).isfinite().all()  # no step, no change


def test_nothing_is_learned_from_a_gradient_that_is_no_number() -> None:
    points = [numbers(1, N, seed=i) for i in range(5)]
    gradients = [x @ hessian() for x in points]
    spoilt = [*gradients[:3], torch.full_like(points[3], torch.nan), gradients[4]]
    _, pairs = walked(points, spoilt)
    assert pairs.cosine[0].isinf().tolist() == [True, True, False, False]
    kept = pairs_of(hessian(), [points[1] - points[0], points[2] - points[1]])
    assert torch.allclose(pairs.inverse_hessian_times(gradients[4]), kept.inverse_hessian_times(gradients[4]))


def test_a_task_in_single_precision_is_served_in_it() -> None:
    task = FunctionTask(lambda x: (torch.logspace(-2, 2, N) * x.square()).sum(-1), N)
    features = Features(FeatureSettings(memory=True, pairs=3))
    x = numbers(2, N).float()
    state = features.init(task, x)
    for step in range(5):
        z, state = features(state, x, task.loss_and_gradient(x)[1], step)
        x = 0.9 * x
    assert z.dtype == torch.float32 and z.isfinite().all() and z.shape == (2, features.count, N)
    assert state.pairs.s.dtype == torch.float32 and state.pairs.s.shape == (2, 3, N)


def test_pairs_need_the_unit_of_the_memory() -> None:
    with pytest.raises(SettingsError, match="memory=True"):
        FeatureSettings(pairs=4)
    with pytest.raises(SettingsError, match="pairs"):
        FeatureSettings(memory=True, pairs=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unused", [(), (0,), (1, 3), range(5)])
def test_machine_code_computes_what_torch_does(dtype: torch.dtype, unused) -> None:
    """Pairs that are not used, all of them included, and problems of a batch that do not mix."""
    steps = [numbers(3, N, seed=i).to(dtype) for i in range(5)]
    pairs = Pairs.none(steps[0])
    for s in steps:
        pairs, _ = pairs.with_new(s, s @ hessian().to(dtype), 4)
    cosine = pairs.cosine.clone()
    cosine[1, [k for k in unused if k < 4]] = torch.inf
    pairs = replace(pairs, cosine=cosine)
    gradient = numbers(3, N, seed=9).to(dtype)
    torch_s = pairs.inverse_hessian_times(gradient)
    with torch.no_grad():
        compiled = pairs.inverse_hessian_times(gradient)
    assert compiled.dtype == dtype and compiled.shape == torch_s.shape
    assert torch.allclose(compiled, torch_s, rtol=1e-4 if dtype == torch.float32 else 1e-12, atol=1e-12)
    assert not torch.equal(compiled[0], compiled[1]) and torch.equal(gradient, numbers(3, N, seed=9).to(dtype))
