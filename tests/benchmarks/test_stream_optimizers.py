"""The benchmark of what takes the steps of the live refinement: its curves, and what is compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.refinement.live_judge import Judge
from benchmarks.refinement.stream_optimizers import (
    B0,
    PLAIN,
    Curve,
    compared,
    converged,
    curve,
    groups_of,
    json_figures,
    page,
    without_steps,
)
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.refinement.stream.optimus.network import StreamOptimus
from diffmocap.refinement.stream.settings import METRIC, OPTIMUS, LiveSettings
from training.motions.live_streams import live_stream

STEPS = (1, LiveSettings().iterations)


@pytest.fixture(scope="module")
def measured(mocap_dir):
    torch.manual_seed(0)
    body = BodyModel.load()
    clip = next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_05")
    stream, judge = live_stream(clip, body, "synthetic", 28, 0.5), Judge(body)
    nothing = StreamOptimus().requires_grad_(False)
    makers = {PLAIN: METRIC, METRIC: METRIC, B0: nothing, OPTIMUS: nothing}
    curves = {name: curve(judge, [stream], name, optimizer, STEPS) for name, optimizer in makers.items()}
    return curves, without_steps(judge, [stream]), converged(judge, [stream])


def test_more_steps_and_a_metric_lower_the_loss_and_take_time(measured):
    curves, *_ = measured
    for row in curves.values():
        assert (np.diff(row.logs.mean(1)) < 0.0).all() and (np.diff(row.ms) > 0.0).all() and row.ms[0] == 0.0
    assert curves[METRIC].logs[1].mean() < curves[PLAIN].logs[1].mean()
    assert np.allclose(curves[B0].logs, curves[METRIC].logs, atol=0.02), "without its network it is the metric"


def test_ratios_are_those_of_losses_at_the_metrics_time():
    logs, ms = np.log([[8.0], [4.0]]), np.array([1.0, 3.0])
    curves = {METRIC: Curve(STEPS, logs, ms, {}), OPTIMUS: Curve(STEPS, logs - np.log(2.0), 2.0 * ms, {})}
    took, found = compared(curves)
    assert took == 3.0
    # Optimus at 3 ms: a quarter of the way from 4 to 2, in logarithms.
    assert found[OPTIMUS]["loss_at_equal_ms"] == pytest.approx(4.0 * 0.5**0.25)
    assert found[METRIC]["ratio_ms"] == pytest.approx(0.5**0.25) and found[METRIC]["ratio_steps"] == pytest.approx(0.5)
    assert found[OPTIMUS]["step_ms"] == pytest.approx(6.0 / LiveSettings().iterations)


def test_the_page_and_the_figures_have_every_row(measured):
    curves, still, end = measured
    ms, found = compared(curves)
    text = "\n".join(page({"Walks": (ms, found, curves, still, end)}, {}, STEPS, ["- date: today"]))
    for name in (*curves, *still, "converged"):
        assert f"| {name} |" in text
    room = 100 * (1 - end[0] / found[METRIC]["loss_at_equal_ms"])
    assert room > 0.0 and f"there are {room:.1f} % to go" in text
    figures = json_figures(found, curves, still, end)
    assert figures["loss_converged"] == end[0]
    assert set(figures["tv"]) == {*curves, *still, "converged"} and set(figures["step_ms"]) == set(curves)
    assert figures["loss_at_equal_ms"][METRIC] == pytest.approx(float(np.exp(curves[METRIC].logs[-1].mean())))


def test_groups_are_of_many_subjects_and_walks_are_walks(mocap_dir):
    clips = load_split(mocap_dir / "cmu_smpl30_val.npz")
    walks, others = groups_of(clips, 3, 30).values()
    assert all("walk" in clip.action.lower() for clip, _ in walks)
    assert not any("walk" in clip.action.lower() for clip, _ in others)
    assert len(walks) <= 3 and len(others) <= 3
