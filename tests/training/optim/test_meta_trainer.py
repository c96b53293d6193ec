"""Meta-training: problems, episodes, both gradients, resumption, two processes, and that it learns."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.features import FeatureSettings
from diffmocap.optim.functions import FUNCTIONS, make_function
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.turned import Turned
from diffmocap.optim.weights import load_optimizer
from tests.forked import run_ranks
from tests.optim.function_task import FunctionTask
from tests.training.optim import two_processes
from training.optim.__main__ import main, parse, problems_of
from training.optim.episodes import Episode, PieceByPiece, advance, backpropagated, bounded, followed, meta_loss
from training.optim.problems import TRAINED, FunctionProblems, MixedProblems, TaskProblems
from training.optim.trainer import MetaRecipe, MetaTrainer, flat_gradient

RECIPE = MetaRecipe(method="pes", steps=20, pairs=2, truncation=2, shortest=4, longest=6, sigma=0.02)
PROBLEMS = FunctionProblems(("Sphere", "Rosenbrock"), 2, 6, batch=2)
SMALL = OptimusSettings(width=8, heads=2, feedforward=8, mlp_width=8, mlp_layers=1)


def network(seed: int = 0) -> AdafactorMlp:
    torch.manual_seed(seed)
    return AdafactorMlp(AdafactorMlpSettings(width=8, layers=1))


# --- problems and losses ------------------------------------------------------------------------------------------


def test_problems_are_all_functions_and_dimensions_with_offsets_of_their_own() -> None:
    generator, problems, seen = torch.Generator().manual_seed(0), FunctionProblems(batch=3), {}
    for _ in range(300):
        task, x = problems(generator)
        assert x.shape == (3, task.dimension) == task.offset.shape and not torch.equal(task.offset[0], task.offset[1])
        assert torch.equal(task.loss(x), task.excess(x))
        seen.setdefault(type(task).__name__, []).append(task.dimension)
    dimensions = sum(seen.values(), [])
    assert len(seen) == len(TRAINED) == 14 and min(dimensions) == 2 and 90 < max(dimensions) <= 100
    assert 0.3 < sum(d < 14 for d in dimensions) / 300 < 0.7  # log-uniform: half of them below the geometric mean
    again = problems(torch.Generator().manual_seed(0))[1]
    assert torch.equal(again, problems(torch.Generator().manual_seed(0))[1])


def test_mixed_problems_are_all_functions_side_by_side() -> None:
    task, x = MixedProblems(batch=3)(torch.Generator().manual_seed(0))
    assert x.shape == (3 * 14, task.dimension) and x.dtype == torch.float64 and task.minimum == 0
    losses = task.loss(x)
    for i in range(len(x)):
        assert torch.allclose(task.row(i).excess(x[i : i + 1]), losses[i])
    assert [type(task.row(3 * i)).__name__ for i in range(14)] == [FUNCTIONS[name].__name__ for name in TRAINED]
    with pytest.raises(SettingsError, match="3 rows each"):
        task.init(5)


def test_a_share_of_the_problems_is_turned_each_by_a_matrix_of_its_own() -> None:
    plain, generator = MixedProblems(largest=8), torch.Generator().manual_seed(0)
    draws = [MixedProblems(largest=8, turned=0.5)(generator)[0].functions for _ in range(20)]
    turned = [f for functions in draws for f in functions if isinstance(f, Turned)]
    assert 0.4 < len(turned) / (20 * 14) < 0.6
    first, second = [f for f in turned if f.dimension == turned[0].dimension][:2]
    assert not torch.allclose(first.matrix, second.matrix)
    task, x = MixedProblems(largest=8, turned=1.0, batch=2)(torch.Generator().manual_seed(0))
    assert all(isinstance(f, Turned) for f in task.functions) and x.dtype == torch.float64 and task.minimum == 0
    of_rows = torch.cat([f.task.excess(f.turned_back(part)) for f, part in zip(task.functions, x.split(2))])
    assert torch.allclose(task.loss(x), of_rows)
    for i in (0, 27):
        assert torch.allclose(task.row(i).loss(x[i : i + 1]), task.loss(x)[i])
    # A run without turned problems sees those that it saw before there were any.
    same = [p(torch.Generator().manual_seed(3))[1] for p in (plain, MixedProblems(largest=8, turned=0.0))]
    assert torch.equal(*same)
    one, _ = FunctionProblems(("Levy",), 4, 4, turned=1.0)(torch.Generator().manual_seed(0))
    assert isinstance(one, Turned) and one.task.minimum == 0


def test_meta_loss_counts_the_decades_that_the_excess_has_fallen_by() -> None:
    task = make_function("Styblinski-Tang", 3)
    start = torch.full((4,), 100.0, dtype=torch.float64) + task.minimum
    loss = torch.tensor([10.0, 100.0, 1000.0, torch.nan], dtype=torch.float64) + task.minimum
    assert meta_loss(task, loss, start).tolist() == pytest.approx([-math.log(2), 0, 1, 12], abs=1e-4)
    task.minimum = 0.0
    assert meta_loss(task, torch.zeros(1), torch.ones(1)).item() == pytest.approx(-math.log(21))  # twenty decades
    unknown = FunctionTask(lambda x: x.sum(-1), 3)
    values = meta_loss(unknown, torch.tensor([-3.0, 1.0, torch.inf]), torch.tensor([-2.0, 2.0, 1.0]))
    assert values.tolist() == pytest.approx([-0.5, -0.5, 4])


def test_the_reference_falls_behind_the_losses_and_never_rises() -> None:
    task = make_function("Sphere", 3)
    reference = torch.ones(2, dtype=torch.float64)
    for loss in ([1e-10, 5.0], [1e-10, torch.nan], [1e-10, torch.inf]):
        reference = followed(task, reference, torch.tensor(loss, dtype=torch.float64), torch.ones(2).double())
    assert reference.log10().tolist() == pytest.approx([-10 * (1 - 0.9**3), 0.0])
    unknown = FunctionTask(lambda x: x.sum(-1), 3)
    assert followed(unknown, reference, torch.zeros(2), torch.ones(2)) is reference


def test_late_decades_are_worth_as_much_as_early_ones_until_rounding_begins() -> None:
    task = make_function("Sphere", 3)
    start = torch.ones(3, dtype=torch.float64)
    reference = torch.tensor([1.0, 1e-12, 1e-25], dtype=torch.float64)
    loss = (reference / 10).requires_grad_(True)
    values = meta_loss(task, loss, start, reference)
    assert values[:2].tolist() == pytest.approx([-math.log(2)] * 2)
    (gradient,) = torch.autograd.grad(values.sum(), loss)
    assert (gradient * loss)[:2].tolist() == pytest.approx([1 / math.log(10) / 2] * 2)
    assert values[2] == gradient[2] == 0


@pytest.mark.parametrize("name", ["Sphere", "Styblinski-Tang"])
def test_who_has_arrived_gains_nothing_by_staying_and_loses_by_leaving(name: str) -> None:
    task = make_function(name, 3)
    reference = start = torch.full((2,), 100.0, dtype=torch.float64) + task.minimum
    arrived = torch.full((2,), task.minimum, dtype=torch.float64)
    for _ in range(400):
        reference = followed(task, reference, arrived, start)
    assert meta_loss(task, arrived, start, reference).tolist() == pytest.approx([0.0, 0.0], abs=0.2)
    away = (arrived + torch.tensor([1e-11, 1e-8], dtype=torch.float64)).requires_grad_(True)
    values = meta_loss(task, away, start, reference)
    (gradient,) = torch.autograd.grad(values.sum(), away)
    assert (values > 0.5).all() and (gradient > 0).all()


def test_pieces_are_one_run() -> None:
    """Three pieces of two steps are six steps, and theta is that of the row."""
    optimizer, task = network(), make_function("Rosenbrock", 4)
    x = task.init(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, end = advance(optimizer, Episode.begin(optimizer, task, x, 6), 6)
    episodes, losses = [Episode.begin(network(1), task, x, 6)] * 2, []
    for _ in range(3):
        loss, episodes = PieceByPiece(network(2), 2)(torch.stack([optimizer.theta, 0.9 * optimizer.theta]), episodes)
        losses.append(loss)
    first, second = (e.state.x for e in episodes)
    assert torch.allclose(first, end.state.x, rtol=1e-5) and not torch.allclose(second, end.state.x, rtol=1e-5)
    assert torch.allclose(torch.stack(losses).mean(0)[0], whole, rtol=1e-5) and episodes[0].left == end.left == 0


# Features of the paper: the unit of remembered steps is a constant of backpropagation.
@pytest.mark.parametrize(
    "make", [network, lambda: Optimus(replace(SMALL, quasi_newton=False, features=FeatureSettings()))]
)
def test_backpropagation_is_the_derivative_of_a_piece(make) -> None:
    """By finite differences along theta's gradient: with the second order through all steps of a piece.

    Without a known minimum losses are compared with the start's; a reference that follows them counts as a constant.
    """
    torch.manual_seed(0)
    optimizer, task = make().double(), FunctionTask(lambda x: (x - 0.2).pow(4).sum(-1), 3)
    x = task.init(2, torch.Generator().manual_seed(0)).double()
    begin = Episode.begin(optimizer, task, x, 4)
    loss, (after,) = backpropagated(optimizer, [begin], 4, second_order=True, limit=math.inf)
    gradient = flat_gradient(optimizer)
    theta, direction, values = optimizer.theta, gradient / gradient.norm(), []
    for sign in (1, -1):
        values.append(float(advance(optimizer.at(theta + 1e-6 * sign * direction), begin, 4)[0]))
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(float(gradient.norm()), rel=1e-4)
    assert float(loss) == pytest.approx(sum(values) / 2, rel=1e-4) and after.left == 0
    for tensor in (after.state.x, after.loss, after.gradient, after.state.features.momentum):
        assert not tensor.requires_grad
    optimizer.zero_grad()
    backpropagated(optimizer, [begin], 4, second_order=False, limit=math.inf)
    assert not torch.allclose(flat_gradient(optimizer), gradient, rtol=1e-3)


def test_what_flows_back_is_bounded_and_what_the_optimizer_sees_is_not() -> None:
    before = torch.zeros(3, 2, dtype=torch.float64)
    step = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 2.0]], dtype=torch.float64, requires_grad=True)
    x = bounded(before + step, before, limit=0.5)
    wall = torch.tensor([1.0, 1.0, torch.inf], dtype=torch.float64)
    loss = (wall[:, None] * x.square()).sum()
    (seen,) = torch.autograd.grad(loss, x, retain_graph=True)
    assert torch.equal(seen[:2], 2 * step[:2])
    loss.backward()
    stretched = (step.grad * step).sum(-1)  # what stretching a step would change
    assert stretched.tolist() == pytest.approx([0.5, 0.5, 0.0])  # 50, cut; 0.5, as it is; NaN
    assert torch.allclose(step.grad[0] / step.grad[0].norm(), (step[0] / 5).detach())


# --- the trainer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pes", "truncated"])
def test_training_improves_what_it_trains_on(method: str, tmp_path) -> None:
    task = FunctionTask(lambda x: (x - 1).square().sum(-1), 4, minimum=0.0)
    recipe = MetaRecipe(
        method=method, steps=60, pairs=4, truncation=5, shortest=10, longest=10, sigma=0.05, learning_rate=1e-2,
        decay_share=0.0, ema_decay=0.9,
    )  # fmt: skip
    problems = TaskProblems(task, batch=4)
    trainer = MetaTrainer(recipe, network(), problems, tmp_path)
    before = trainer.validate(problems, count=2, iterations=10)
    for _ in range(recipe.steps):
        figures = trainer.train_step()
    assert trainer.validate(problems, count=2, iterations=10) < before - 0.2
    assert all(math.isfinite(v) for v in figures.values())
    best = load_optimizer(tmp_path / "best.safetensors")
    assert torch.equal(best.theta, trainer.ema.theta)


@pytest.mark.parametrize(("method", "descent"), [("pes", "adam"), ("truncated", "adam"), ("truncated", "muon")])
def test_a_run_resumes_where_it_was_saved(method: str, descent: str, tmp_path) -> None:
    recipe = replace(RECIPE, method=method, descent=descent)
    trainer = MetaTrainer(recipe, Optimus(SMALL), PROBLEMS, tmp_path)
    for _ in range(3):
        trainer.train_step()
    trainer.save()
    other = MetaTrainer(recipe, Optimus(SMALL), PROBLEMS, tmp_path)
    assert other.resume() and other.step == 3
    assert torch.equal(other.optimizer.theta, trainer.optimizer.theta)
    assert torch.equal(other.ema.theta, trainer.ema.theta)
    assert str(other.descent.state_dict()) == str(trainer.descent.state_dict())
    assert not other.accumulators.any()
    assert math.isfinite(other.train_step()["meta_loss"])
    assert torch.equal(load_optimizer(tmp_path / "last.safetensors").theta, trainer.ema.theta)
    assert json.loads((tmp_path / "recipe.json").read_text())["method"] == method
    with pytest.raises(SettingsError, match="belongs to another network"):
        MetaTrainer(recipe, Optimus(replace(SMALL, width=16)), PROBLEMS, tmp_path).resume()
    assert not MetaTrainer(recipe, Optimus(SMALL), PROBLEMS, tmp_path / "elsewhere").resume()


def test_runs_end_at_their_horizon_and_begin_with_zero_accumulators(tmp_path) -> None:
    trainer = MetaTrainer(RECIPE, network(), PROBLEMS, tmp_path)
    lengths = []
    for _ in range(12):
        left = [e.left for e in trainer.episodes]
        trainer.train_step()
        for before, episode, xi in zip(left, trainer.episodes, trainer.accumulators):
            if before == RECIPE.truncation:  # that was its last piece
                lengths.append(episode.left)
                assert not xi.any() and episode.state.step == 0
            else:
                assert episode.left == before - RECIPE.truncation and xi.any()
    assert lengths and set(lengths) <= {4, 6}


def test_gradients_are_clipped_and_rates_decay(tmp_path) -> None:
    recipe = replace(RECIPE, learning_rate=1e-3, steps=10, decay_share=0.5)
    trainer = MetaTrainer(recipe, network(), PROBLEMS, tmp_path)
    trainer.train_step()
    assert float(flat_gradient(trainer.optimizer).norm()) <= 3.0 + 1e-4
    usual = math.exp(trainer.log_norm)
    for p in trainer.optimizer.parameters():
        p.grad = torch.full_like(p, 1e6)
    trainer._clip()
    assert float(flat_gradient(trainer.optimizer).norm()) == pytest.approx(min(3.0, 4 * usual), rel=1e-4)
    rates = []
    for step in range(11):
        trainer.progress = step / 10
        rates.append(trainer.learning_rate())
    assert rates[:6] == [1e-3] * 6 and rates[10] == 0 and rates[5:] == sorted(rates[5:], reverse=True)


def test_two_processes_take_the_gradient_of_one(tmp_path) -> None:
    whole = MetaTrainer(two_processes.RECIPE, two_processes.network(), two_processes.PROBLEMS, tmp_path)
    two_processes.share(whole, whole, slice(0, two_processes.RECIPE.pairs))
    whole.train_step()
    expected = flat_gradient(whole.optimizer)
    run_ranks(two_processes.as_rank, tmp_path)
    a, b = (torch.load(tmp_path / f"process{i}.pt", weights_only=True) for i in range(2))
    for result in (a, b):
        assert torch.allclose(result["gradient"], expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(a["theta"], b["theta"]) and not torch.equal(a["drawn"], b["drawn"])
    # Threads of the group that outlive it may abort the process while the interpreter ends.
    assert a["threads_left"] == b["threads_left"] == []


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_trains_and_resumes(tmp_path, capsys) -> None:
    options = ["--out", str(tmp_path), "--kind", "optimus", "--pairs", "1", "--truncation", "2", "--shortest", "2"]
    options += ["--longest", "4", "--functions", "Sphere", "--largest", "4", "--batch", "2"]
    options += ["--validation-dimensions", "5", "6", "--validation-count", "1"]
    settings = ["width=8", "heads=2", "feedforward=8", "mlp_width=8", "norm=rms", "quasi_newton=false"]
    for setting in [*settings, "features.memory=false"]:
        options += ["--set", setting]
    main([*options, "--steps", "2"])
    main([*options, "--steps", "3"])
    printed = capsys.readouterr().out
    assert "resumed at step 2" in printed and json.loads(printed.strip().splitlines()[-1])["step"] == 3
    trained = load_optimizer(tmp_path / "last.safetensors")
    assert trained.settings.norm == "rms" and not trained.settings.features.memory
    starts = [json.loads(line) for line in (tmp_path / "starts.jsonl").read_text().splitlines()]
    assert [s["step"] for s in starts] == [0, 2] and all("--set norm=rms" in s["command"] for s in starts)
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.parametrize("kind", [["--apart"], []])
def test_the_command_turns_what_it_trains_and_validates_on(tmp_path, kind) -> None:
    trained, validated = problems_of(parse(["--out", str(tmp_path), "--turned", "0.25", *kind]))
    assert trained.turned == validated.turned == 0.25 and (trained.largest, validated.largest) == (100, 250)
    assert problems_of(parse(["--out", str(tmp_path), *kind]))[0].turned == 0
    with pytest.raises(SystemExit, match="0 to 1; got 2"):
        problems_of(parse(["--out", str(tmp_path), "--turned", "2", *kind]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MetaRecipe(method="magic"), "unknown method 'magic'"),
        (lambda: MetaRecipe(sigma=0.0), "must be positive"),
        (lambda: MetaRecipe(truncation=30), "at least one truncation long"),
        (lambda: FunctionProblems(("Spere",)), r"unknown test functions \['Spere'\]"),
        (lambda: FunctionProblems(smallest=1), "2 <= smallest"),
        (lambda: FunctionProblems(turned=1.5), "turned is the share of problems.*0 to 1; got 1.5"),
    ],
)
def test_settings_are_checked(make, message) -> None:
    with pytest.raises(SettingsError, match=message):
        make()
