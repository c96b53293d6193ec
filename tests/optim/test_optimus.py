"""Optimus: its update written out with matrices, equivariance, any dimension, ablations, memory."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from diffmocap.errors import ModelFileError, SettingsError
from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.features import FeatureSettings
from diffmocap.optim.functions import make_function
from diffmocap.optim.learned_gradient_descent import LearnedGradientDescent, LearnedGradientDescentSettings
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.safeguard import Safeguard
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from diffmocap.optim.weights import load_optimizer, save_optimizer
from tests.optim.function_task import FunctionTask

SMALL = {"width": 16, "heads": 2, "attention_width": 16, "feedforward": 16, "mlp_width": 16, "mlp_layers": 2}
SETTINGS = {
    "default": OptimusSettings(**SMALL), "paper_text": OptimusSettings.paper_text(**SMALL),
    "paper_algorithm": OptimusSettings.paper_algorithm(**SMALL), "rms": OptimusSettings(norm="rms", **SMALL),
    "use_first": OptimusSettings(order="use_first", norm="mean", **SMALL),
    "memory": OptimusSettings(quasi_newton=False, features=FeatureSettings(memory=True), **SMALL),
    "no_state": OptimusSettings(state=False, **SMALL), "no_structure": OptimusSettings(structure=False, **SMALL),
}  # fmt: skip


def make(settings: OptimusSettings, seed: int = 0) -> Optimus:
    torch.manual_seed(seed)
    return Optimus(settings).double()


def run(optimizer, task: Task, x: torch.Tensor, steps: int = 6) -> torch.Tensor:
    """Points [steps + 1, B, N]."""
    points = []
    with torch.no_grad():
        state = optimizer.init(task, x)
        for _ in range(steps + 1):
            points.append(state.x)
            state = optimizer.step(state, *task.loss_and_gradient(state.x))
    return torch.stack(points)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "no_structure"])
def test_the_step_is_the_papers_with_matrices(name: str) -> None:
    """Equations 1 and 2 and the update of B, with an N x N matrix for each problem; a share of the quasi-Newton step
    is added, and the safeguard has the last word."""
    settings, task = SETTINGS[name], make_function("Rosenbrock", 9)
    optimizer, x = make(settings), task.init(2, torch.Generator().manual_seed(0)).double()
    points, eye = run(optimizer, task, x), torch.eye(9, dtype=torch.float64)
    identity, b = torch.ones(2, 1, 1, dtype=torch.float64), eye.expand(2, 9, 9)
    features, losses = optimizer.features.init(task, x), torch.stack([task.loss(p) for p in points])
    guard = Safeguard.begin(x)
    with torch.no_grad():
        for step in range(6):
            z, features = optimizer.features(features, points[step], task.loss_and_gradient(points[step])[1], step)
            alpha, d = optimizer.mlp(z).unbind(1)
            s = settings.lambda_a * (settings.lambda_b * alpha).exp() * d
            tokens, update = optimizer.inlet(z.mT), 0
            for encoder, outlet in zip(optimizer.encoders, optimizer.outlets):
                tokens = encoder(tokens)
                u = outlet(tokens) / (3 if settings.factor_scale == "mean" else 1)  # root of N = 9
                update = update + u @ u.mT
            if not settings.state:
                identity, b = torch.ones_like(identity), eye.expand(2, 9, 9)
            new = b + update
            values = torch.linalg.eigvalsh(new)
            size = {
                "frobenius": torch.linalg.matrix_norm(new), "rms": torch.linalg.matrix_norm(new) / 3,
                "mean": values.mean(-1), "none": torch.ones(2), "bound": values.sum(-1) - 8 * identity[:, 0, 0],
            }[settings.norm][:, None, None]  # fmt: skip
            used = b if settings.order == "use_first" else new / size
            identity, b = identity / size, new / size
            moved = features.unit * (used @ s[..., None])[..., 0]
            if settings.quasi_newton:
                share = 0.5 + optimizer.share(tokens.mean(1)).sigmoid()
                moved = moved + share * features.pairs.step
            if settings.safeguard:
                expected, guard = guard.next(points[step], losses[step], moved)
            else:
                expected = points[step] + moved
            assert torch.allclose(points[step + 1], expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_permuted_parameters_give_permuted_steps(name: str) -> None:
    optimizer, n = make(SETTINGS[name]), 10
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    weights = torch.linspace(1, 4, n, dtype=torch.float64)
    coupled = torch.linspace(-1, 1, n, dtype=torch.float64)
    plain = FunctionTask(lambda x: (weights * x**4).sum(-1) + (coupled * x).sum(-1).square(), n)
    permuted = FunctionTask(lambda x: (weights[order] * x**4).sum(-1) + (coupled[order] * x).sum(-1).square(), n)
    x = plain.init(3, torch.Generator().manual_seed(2)).double()
    assert torch.allclose(run(optimizer, permuted, x[:, order]), run(optimizer, plain, x)[..., order], rtol=1e-7)


@pytest.mark.parametrize("name", SETTINGS)
def test_scale_and_constants_of_the_loss_do_not_matter(name: str) -> None:
    optimizer, task = make(SETTINGS[name]), make_function("Rosenbrock", 6)
    scaled = FunctionTask(lambda x: 1e6 * task.loss(x) - 17, 6)
    x = task.init(2, torch.Generator().manual_seed(0)).double()
    assert torch.allclose(run(optimizer, scaled, x), run(optimizer, task, x), rtol=1e-7)


@pytest.mark.parametrize("name", SETTINGS)
def test_one_network_serves_any_dimension(name: str) -> None:
    optimizer = make(SETTINGS[name]).float()
    for n in (2, 3, 30, 300):
        task = make_function("Ackley", n)
        result = optimizer.minimize(task, task.init(2), Budget(iterations=4))
        assert torch.isfinite(result.losses).all() and not torch.equal(result.last, result.losses.new_zeros(2, n))


def test_steps_keep_their_size_when_copies_of_a_problem_stand_side_by_side() -> None:
    """The defaults are chosen for it; by the Frobenius norm, steps shrink with the root of N."""

    def growth(settings: OptimusSettings) -> float:
        optimizer, steps = make(settings), []
        for copies in (1, 100):
            base = torch.linspace(-1, 2, 4, dtype=torch.float64)
            task = FunctionTask(lambda x: (x**2).sum(-1), 4 * copies)
            points = run(optimizer, task, base.repeat(copies)[None], 3)
            steps.append((points[1:] - points[:-1])[..., :4].norm())
        return float(steps[1] / steps[0])

    assert growth(SETTINGS["default"]) == pytest.approx(1, abs=1e-6)
    assert growth(SETTINGS["no_structure"]) == pytest.approx(1, abs=1e-6)
    assert growth(SETTINGS["paper_algorithm"]) > 3


@pytest.mark.parametrize("name", ["default", "paper_text", "rms"])
def test_matrix_and_factors_give_the_same_run(name: str) -> None:
    """Over 12 steps with 17 parameters: factors only, changing over at 9 factors, and the matrix from the start."""
    from dataclasses import replace

    task = make_function("Levy", 17)
    x = task.init(3, torch.Generator().manual_seed(0)).double()
    runs = [run(make(replace(SETTINGS[name], dense_above=above)), task, x, 12) for above in (math.inf, 0.5, 0.0)]
    assert torch.allclose(runs[0], runs[2], rtol=1e-7) and torch.allclose(runs[1], runs[2], rtol=1e-7)


def test_ablations_have_the_parameters_the_paper_says() -> None:
    """No state has those of Optimus; no structure only lacks the M_l, three maps from 128 to 1, and has other ends."""
    count = {name: make(OptimusSettings(**changes)).theta.numel() for name, changes in (
        ("full", {}), ("no_state", {"state": False}), ("no_structure", {"structure": False}),
    )}  # fmt: skip
    assert count["no_state"] == count["full"]
    assert count["full"] - count["no_structure"] == 3 * 129 - 2 * 129 - 2 * 128  # two outputs, and s as an input


def test_adafactor_mlp_counts() -> None:
    """Ours sees 39 features, has 7 decays and 4 hidden layers; 512 x 4 is of the paper's size (811,531)."""

    def weights(width: int) -> int:
        return AdafactorMlp(AdafactorMlpSettings(width=width)).theta.numel()

    assert weights(128) == 40 * 128 + 3 * 129 * 128 + 2 * 129 + 7
    assert weights(512) == pytest.approx(811_531, rel=0.005)


def test_the_papers_own_counts_follow_from_43_features_and_9_decays_alone() -> None:
    """Two numbers, two unknowns: a network of H hidden layers of W on F features with S scalars beside."""
    for settings, count in (
        (AdafactorMlpSettings.paper_128x4(), 22_411), (AdafactorMlpSettings.paper_512x4(), 811_531),
    ):  # fmt: skip
        assert AdafactorMlp(settings).theta.numel() == count

    def weights(f: int, w: int, hidden: int, scalars: int) -> int:
        return (f + 1) * w + (hidden - 1) * (w + 1) * w + 2 * (w + 1) + scalars

    fitting = [
        (f, small, large, scalars) for f in range(1, 200) for small in range(1, 6) for large in range(1, 6)
        if 0 <= (scalars := 22_411 - weights(f, 128, small, 0)) < 128 and weights(f, 512, large, scalars) == 811_531
    ]  # fmt: skip
    assert fitting == [(43, 2, 4, 9)]


def test_theta_makes_an_optimizer() -> None:
    optimizer, task = make(SETTINGS["default"]), make_function("Sphere", 5)
    x = task.init(2).double()
    before = run(optimizer, task, x)
    other = make(SETTINGS["default"], seed=1)
    assert torch.allclose(run(other.at(optimizer.theta), task, x), before, rtol=1e-6)
    optimizer.at(torch.zeros_like(optimizer.theta))
    assert torch.allclose(run(optimizer, task, x), before, rtol=1e-6)
    assert not torch.allclose(run(other, task, x), before, rtol=1e-3)
    with pytest.raises(SettingsError, match=r"weights; got theta of shape \[3\]"):
        optimizer.at(torch.zeros(3))


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_reach_all_weights_through_a_run(name: str) -> None:
    """As truncated backpropagation needs it: the loss after three steps by theta."""
    optimizer, task = make(SETTINGS[name]), make_function("Rosenbrock", 8)
    state = optimizer.init(task, task.init(2, torch.Generator().manual_seed(0)).double())
    for _ in range(3):
        state = optimizer.step(state, *task.loss_and_gradient(state.x))
    task.loss(state.x).sum().backward()
    for parameter, weight in optimizer.named_parameters():
        assert weight.grad is not None and torch.isfinite(weight.grad).all(), parameter
        last = f"encoders.{len(optimizer.encoders) - 1}"
        assert weight.grad.any() or (name == "use_first" and parameter.startswith(last)), parameter


@pytest.mark.parametrize(
    "optimizer",
    [
        Optimus(OptimusSettings(norm="rms", quasi_newton=False, features=FeatureSettings(memory=True), **SMALL)),
        AdafactorMlp(AdafactorMlpSettings(width=8, features=FeatureSettings(epsilon=1e-3))),
        LearnedGradientDescent(LearnedGradientDescentSettings(5, width=8)),
    ],
)
def test_saved_optimizers_come_back(optimizer, tmp_path) -> None:
    save_optimizer(optimizer, tmp_path / "theta.safetensors", {"command": "made up"})
    loaded = load_optimizer(tmp_path / "theta.safetensors")
    assert type(loaded) is type(optimizer) and loaded.settings == optimizer.settings
    assert torch.equal(loaded.theta, optimizer.theta) and not any(p.requires_grad for p in loaded.parameters())
    task = make_function("Sphere", 5)
    x = task.init(2)
    # Not bit by bit: products of the same numbers differ by rounding with their place in memory.
    torch.testing.assert_close(run(loaded, task, x), run(optimizer, task, x), rtol=1e-4, atol=1e-4)


def test_files_that_are_no_optimizer_are_refused(tmp_path) -> None:
    path = tmp_path / "theta.safetensors"
    with pytest.raises(ModelFileError, match="does not exist"):
        load_optimizer(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_optimizer(path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, path, {"format": "another"})
    with pytest.raises(ModelFileError, match="holds no learned optimizer"):
        load_optimizer(path)
    header = {"format": "diffmocap-optimizer-1", "kind": '"optimus"', "settings": '{"width": 16, "heads": 3}'}
    save_file({"a": torch.zeros(16)}, path, header)
    with pytest.raises(ModelFileError, match="must be a multiple of heads"):
        load_optimizer(path)


def test_learned_gradient_descent_hears_the_context_and_serves_one_dimension() -> None:
    class Aim(Task):
        shape = (3,)

        def init(self, count, generator=None):
            return torch.zeros(count, 3)

        def loss(self, x):
            return (x - 1).square().sum(-1)

        def context(self, x):
            return torch.arange(2.0 * len(x)).view(-1, 2)

    torch.manual_seed(0)
    optimizer = LearnedGradientDescent(LearnedGradientDescentSettings(3, context=2, width=8))
    points = run(optimizer, Aim(), torch.zeros(2, 3), 1)
    assert not torch.allclose(points[1, 0], points[1, 1])
    with pytest.raises(SettingsError, match="for 3 parameters and 2 numbers of context; the task has 4 and 0"):
        optimizer.minimize(make_function("Sphere", 4), torch.zeros(1, 4), Budget(evaluations=1))


MEMORY_PROGRAM = """
import resource, torch
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.functions import make_function
torch.set_num_threads(1)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
optimizer, task = Optimus(), make_function("Sphere", 10_000)
small = make_function("Sphere", 100)
with torch.no_grad():
    state = optimizer.init(small, small.init(1))
    state = optimizer.step(state, *small.loss_and_gradient(state.x))
    before = peak()
    x = task.init(1)
    state = optimizer.init(task, x)
    b = state.b
    for _ in range(66):  # as many factors as 198 steps leave, without the time of their attention
        b = b.update(1e-2 * torch.randn(1, 9, 10_000), "bound")
    state.b = b
    state = optimizer.step(state, *task.loss_and_gradient(state.x))
    assert state.b.factors.shape[1] == 597 and not state.b.is_dense
print(peak() - before)
"""


def test_ten_thousand_parameters_need_less_than_200_mb(repo_root) -> None:
    """The 199th step, in a process of its own. A matrix alone would take 400 MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM], cwd=repo_root, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 200, done.stdout


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"order": "never"}, "unknown order 'never'"),
        ({"norm": "spectral"}, "unknown norm 'spectral'"),
        ({"factor_scale": "max"}, "unknown factor_scale"),
        ({"heads": 3}, "multiple of heads"),
        ({"encoders": 0}, "at least 1 encoder"),
        ({"state": False, "order": "use_first"}, "updated before it is used"),
        ({"mlp_layers": 0}, "layers of at least 1"),
    ],
)
def test_settings_are_checked(changes, message) -> None:
    with pytest.raises(SettingsError, match=message):
        Optimus(OptimusSettings(**changes))
