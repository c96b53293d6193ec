"""Optimus for streams: without its network it is the metric's descent, it knows no sizes, and its memory moves on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from diffmocap.errors import ModelFileError, SettingsError
from diffmocap.refinement.kernels.units import KNOT_SIZE
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.optimus.network import Encoded, StreamOptimus, StreamOptimusSettings, through_factors
from diffmocap.refinement.stream.optimus.step import StreamMemory
from diffmocap.refinement.stream.optimus.weights import load_stream_optimus, save_stream_optimus
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.task import LiveTask
from training.motions.live_streams import UP, live_stream
from training.stream.episodes import Episode
from training.stream.walk import Walk

SMALL = StreamOptimusSettings(width=8, heads=2, encoders=2, feedforward=8, mlp_width=4, factors=3)


@pytest.fixture(scope="module")
def stream(walks, body):
    return live_stream(walks[0], body, "synthetic", 30, 0.5, seed=1)


def network(settings: StreamOptimusSettings = SMALL, scale: float = 0.0) -> StreamOptimus:
    """With outputs of that size: 0 as before training."""
    torch.manual_seed(3)
    made = StreamOptimus(settings).requires_grad_(False)
    made.out.weight.normal_(std=scale) if scale else None
    return made


def losses(points, stream, optimizer, **changes) -> list[float]:
    settings = LiveSettings(budget_ms=0.0, optimizer=optimizer, **{"iterations": 2, "window_frames": 12, **changes})
    live = FixedLagRefiner(points, settings, torch.tensor(UP), stream.ground_height)
    return [result.loss_after for step in stream.steps() if (result := live.step(*step)) is not None]


def test_without_training_it_takes_the_steps_of_the_metric(points, stream):
    found, metric = losses(points, stream, network()), losses(points, stream, "metric")
    assert len(found) == 30
    assert found == pytest.approx(metric, rel=2e-3)


def test_its_outputs_change_the_steps(points, stream):
    assert losses(points, stream, network(scale=0.3)) != pytest.approx(losses(points, stream, "metric"), rel=2e-3)


@pytest.mark.parametrize("shape", [{"window_frames": 9, "spacing": 3}, {"window_frames": 24, "spacing": 4}])
def test_one_network_serves_windows_of_every_length(points, stream, shape):
    found = losses(points, stream, network(scale=0.1), **shape)
    assert len(found) == 30 and all(value < 1e4 for value in found)


def test_another_optimizer_in_the_middle_of_a_stream_takes_over(points, stream):
    def played(names: tuple) -> list[float]:
        settings = LiveSettings(budget_ms=0.0, iterations=2, window_frames=12)
        live, found = FixedLagRefiner(points, settings, torch.tensor(UP), stream.ground_height), []
        for number, step in enumerate(stream.steps()):
            live.settings = replace(settings, optimizer=names[number % 8 >= 4])
            result = live.step(*step)
            assert result.loss_after <= result.loss_before
            found.append(result.loss_of_window)
        return found

    made = network(scale=0.3)
    mixed, metric = played(("metric", made)), played(("metric", "metric"))
    assert mixed[:4] == metric[:4]
    assert abs(mixed[4] - metric[4]) > 1e-4 * metric[4]
    assert played((made, made)) != mixed


def test_a_single_step_a_frame_is_the_metrics(points, stream):
    found = losses(points, stream, network(scale=0.3), iterations=1)
    assert found == losses(points, stream, "metric", iterations=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nothing_stays_of_a_gradient_that_is_none(points, stream, monkeypatch, value):
    """One frame's gradient holds a number that is none; the frames after it are refined as well as ever."""
    settings = LiveSettings(budget_ms=0.0, iterations=3, window_frames=12, optimizer=network(scale=0.1))
    live, found = FixedLagRefiner(points, settings, torch.tensor(UP), stream.ground_height), []
    true = LiveTask.loss_and_gradient
    for number, step in enumerate(stream.steps()):

        def broken(task, x, number=number):
            loss, gradient = true(task, x)
            gradient = gradient.clone()
            if number == 14:
                gradient[0, 5] = value
            return loss, gradient

        monkeypatch.setattr(LiveTask, "loss_and_gradient", broken)
        found.append(live.step(*step).loss_of_window)
    monkeypatch.setattr(LiveTask, "loss_and_gradient", true)
    whole = losses(points, stream, network(scale=0.1), iterations=3)
    assert all(value < 100.0 for value in found)
    assert sum(found[20:]) < 1.5 * sum(whole[20:])


def test_the_live_step_is_the_one_that_training_goes_through(points, stream):
    """From the same stream, frame by frame, with several steps in each. One is in double precision and one in single,
    and an untrained network's steps are wild: after a dozen frames rounding tells them apart."""
    settings = LiveSettings(budget_ms=0.0, iterations=3, window_frames=12)
    made = network(scale=0.3)
    live = FixedLagRefiner(points, replace(settings, optimizer=made), torch.tensor(UP), stream.ground_height)
    found = [live.step(*step).loss_of_window for step in list(stream.steps())[:10]]
    walk = Walk(
        lambda: Episode(stream, points.to(dtype=torch.float32), settings, 0, 30, with_ground=True), 1, SMALL.factors
    )
    with torch.no_grad():
        walked = [float(walk.frame(made, 3).losses.min()) for _ in range(10)]
    assert found == pytest.approx(walked, rel=0.01)


def test_memory_moves_on_with_the_knots_of_those_rows_alone():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3 * KNOT_SIZE, generator=g)
    memory = replace(
        StreamMemory.empty(x, 2), last=x + 1.0, factors=torch.randn(2, 2, 3 * KNOT_SIZE, generator=g),
        weights=torch.ones(2, 2),
    )  # fmt: skip
    moved = memory.moved_on(torch.tensor([True, False]))
    for name in ("last", "factors"):
        before, after = getattr(memory, name), getattr(moved, name)
        assert torch.equal(after[0, ..., :-KNOT_SIZE], before[0, ..., KNOT_SIZE:])
        assert not bool(after[0, ..., -KNOT_SIZE:].any())
        assert torch.equal(after[1], before[1])
    assert torch.equal(moved.start[0, -KNOT_SIZE:], memory.start[0, -KNOT_SIZE:])  # the new knot repeats the last one
    assert moved.stale.tolist() == [True, True]  # the encoders have not run yet
    later = moved.next_frame(x, torch.tensor(0.25), torch.zeros(2, dtype=torch.bool))
    assert torch.equal(later.way, x - moved.start) and bool((later.weights == 0.25).all())


def test_the_encoders_are_heard_where_the_knots_have_moved_on():
    g = torch.Generator().manual_seed(0)
    x = torch.zeros(2, KNOT_SIZE)

    def said() -> Encoded:
        return Encoded(*(torch.randn(2, *shape, generator=g) for shape in ((KNOT_SIZE, 4), (1, KNOT_SIZE), (1,))))

    first, second = said(), said()
    memory = StreamMemory.empty(x, 3).told(first)
    assert not bool(memory.stale.any()) and torch.equal(memory.encoded.context, first.context)
    again = memory.moved_on(torch.tensor([False, True])).told(second)
    assert torch.equal(again.encoded.context[0], first.context[0])
    assert torch.equal(again.encoded.context[1], second.context[1])
    assert torch.equal(again.factors[0], memory.factors[0]) and torch.equal(again.factors[1, -1], second.factors[1, 0])
    assert again.weights.tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    short = memory.next_frame(x, torch.tensor(1.0), torch.tensor([True, False]))
    assert short.stale.tolist() == [True, False]


def test_the_product_with_factors_is_that_with_their_matrix():
    g = torch.Generator().manual_seed(1)
    u, w, s = torch.randn(2, 3, 10, generator=g), torch.rand(2, 3, generator=g), torch.randn(2, 10, generator=g)
    matrix = torch.einsum("bf,bfn,bfm->bnm", w, u, u) / 10
    assert torch.allclose(through_factors(s, u, w), (matrix @ s[..., None])[..., 0], atol=1e-6)


def test_weights_come_back_from_their_file_with_their_settings(tmp_path):
    made, path = network(scale=0.2), tmp_path / "optimus.safetensors"
    save_stream_optimus(made, path, {"step": 3})
    loaded = load_stream_optimus(path)
    assert loaded.settings == SMALL
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), made.parameters(), strict=True))
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ({"format": "other"}, "holds no optimizer of streams"),
        ({"format": "diffmocap-stream-optimizer-1"}, "does not fit"),
        ({"format": "diffmocap-stream-optimizer-1", "settings": '{"width": 1000000}'}, "does not fit"),
        ({"format": "diffmocap-stream-optimizer-1", "settings": '{"heads": 3}'}, "does not fit"),
    ],
)
def test_other_files_are_refused_with_a_sentence(tmp_path, header, word):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, path, header)
    with pytest.raises(ModelFileError, match=word):
        load_stream_optimus(path)
    with pytest.raises(ModelFileError, match="does not exist"):
        load_stream_optimus(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("wrong", [{"width": 0}, {"width": 9, "heads": 2}, {"factors": 0}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(SettingsError):
        StreamOptimusSettings(**wrong)
