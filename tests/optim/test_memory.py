"""What is remembered of steps and gradients: exact on quadratics, the same in all units, differentiable."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.features import Features, FeatureSettings
from diffmocap.optim.memory import FIRST_UNIT, GROW, MEMORY_FEATURES
from diffmocap.optim.optimus import Optimus, OptimusSettings
from tests.optim.function_task import FunctionTask

N = 7
SMALL = {"width": 16, "heads": 2, "attention_width": 8, "feedforward": 16, "mlp_width": 16, "mlp_layers": 2}


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadratic(curvature: torch.Tensor, centre: torch.Tensor) -> FunctionTask:
    """sum h_i (x_i - c_i)^2 / 2."""
    return FunctionTask(lambda x: (curvature * (x - centre).square()).sum(-1) / 2, len(curvature))


def after(task: FunctionTask, points: list[torch.Tensor]):
    """Features by name [B, N] and the state after the last of the points [B, N]."""
    features = Features(FeatureSettings(memory=True)).double()
    state = features.init(task, points[0])
    for step, x in enumerate(points):
        z, state = features(state, x, task.loss_and_gradient(x)[1], step)
    return dict(zip(features.settings.names, z.detach().unbind(1))), state


def test_on_a_diagonal_quadratic_all_secant_steps_are_newtons() -> None:
    curvature, centre = torch.logspace(-1, 1, N, dtype=torch.float64), numbers(N)
    points = [centre + numbers(2, N, seed=i) for i in range(4)]
    found, state = after(quadratic(curvature, centre), points)
    newton = (points[-1] - centre) / state.unit
    kept = newton.abs() < 49  # larger ones are cut
    assert kept.float().mean() > 0.6
    for name in ("secant_0.0", "secant_0.7", "secant_0.9", "long_secant_0.7"):
        assert torch.allclose(found[name][kept], newton[kept], rtol=1e-4), name
    relative = -curvature.log10() / 4
    assert torch.allclose(found["log_inverse_curvature"], (relative - relative.mean()).expand(2, -1), atol=1e-6)
    assert torch.allclose(found["curvature_0.7"], torch.ones(2, N, dtype=torch.float64))


def test_negative_curvature_is_told_and_the_step_still_descends() -> None:
    curvature = torch.tensor([1.0, -1.0], dtype=torch.float64)
    points = [numbers(1, 2, seed=i) for i in range(3)]
    task = quadratic(curvature, torch.zeros(2).double())
    found, _ = after(task, points)
    assert found["curvature_0.9"].sign().tolist() == [[1.0, -1.0]]
    gradient = task.loss_and_gradient(points[-1])[1]
    assert (found["secant_0.7"] * gradient > 0).all()


def test_the_unit_is_the_distance_to_the_minimum_of_a_bowl() -> None:
    centre = numbers(N)
    points = [centre + r * torch.ones(1, N).double() for r in (2.0, 1.9, 1.2)]
    task = quadratic(3.0 * torch.ones(N).double(), centre)
    task.scale = 10.0  # a first unit near it: the unit changes by steps
    _, state = after(task, points)
    assert state.unit.item() == pytest.approx(1.2)


def test_the_unit_begins_with_the_scale_and_grows_by_steps() -> None:
    task = quadratic(torch.ones(N).double(), 5 + numbers(N))
    x = numbers(1, N)
    _, first = after(task, [x])
    assert first.unit.item() == pytest.approx(FIRST_UNIT * float(x.square().mean().sqrt()))
    _, second = after(task, [x, x + 1e-3])  # the minimum is further away
    assert second.unit.item() == pytest.approx(GROW * first.unit.item())
    task.scale = 40.0
    assert after(task, [x])[1].unit.item() == pytest.approx(40 * FIRST_UNIT)
    task.scale = None
    assert after(task, [torch.zeros(1, N).double()])[1].unit.item() == pytest.approx(FIRST_UNIT)


@pytest.mark.parametrize("kind", ["optimus", "adafactor_mlp"])
def test_a_run_does_not_depend_on_the_units_of_x_and_f(kind: str) -> None:
    torch.manual_seed(0)
    memory = FeatureSettings(memory=True)
    if kind == "optimus":
        optimizer = Optimus(OptimusSettings(features=replace(memory, pairs=3), **SMALL)).double()
    else:
        optimizer = AdafactorMlp(AdafactorMlpSettings(16, 2, lambda_a=1.0, features=memory)).double()

    def bent(x: torch.Tensor) -> torch.Tensor:
        return (x.square().sum(-1) - 1).square() + x.sin().sum(-1)

    def path(a: float, b: float, c: float) -> torch.Tensor:
        task = FunctionTask(lambda x: a * bent(b * x) + c, N)
        state, points = optimizer.init(task, numbers(2, N) / b), []
        with torch.no_grad():
            for _ in range(6):
                state = optimizer.step(state, *task.loss_and_gradient(state.x))
                points.append(b * state.x)
        return torch.stack(points)

    plain = path(1, 1, 0)
    assert (plain[1:] - plain[:-1]).abs().min() > 0
    for a, b, c in ((1e4, 1, -7), (1, 1e3, 0), (1e-6, 1e-4, 3)):
        assert torch.allclose(path(a, b, c), plain, rtol=1e-5, atol=1e-7), (a, b, c)


def test_derivatives_through_steps_are_finite_also_where_nothing_moves() -> None:
    torch.manual_seed(0)
    features = Features(FeatureSettings(memory=True)).double()
    gradient = numbers(1, N)
    for moved in (0.0, 1e-12, 1.0):
        x = numbers(1, N, seed=3).requires_grad_(True)
        state = features.init(FunctionTask(lambda x: x.sum(-1), N), x)
        _, state = features(state, x, gradient, 0)
        z, state = features(state, x + moved, gradient * (1 + moved) + x * moved, 1)
        (found,) = torch.autograd.grad(z.square().sum(), x)
        assert torch.isfinite(found).all(), moved


def test_names_and_features_are_as_many() -> None:
    found, _ = after(quadratic(torch.ones(N).double(), numbers(N)), [numbers(1, N), numbers(1, N, seed=1)])
    assert set(MEMORY_FEATURES) <= set(found) and len(found) == 39 + len(MEMORY_FEATURES)
