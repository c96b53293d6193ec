"""What the side bar says and plots, and how often something is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.output.tracking_state import TrackingState
from diffmocap.viewer.controls import Control
from diffmocap.viewer.pace import Pace
from diffmocap.viewer.plots import LIMBS, STAGES, History, Plot, limb_deviations, stage_values, top_of
from diffmocap.viewer.pose import ViewedPose
from diffmocap.viewer.status import Health, Status, status_html

POSE = ViewedPose(1, "optical", np.tile([0.0, 0.0, 0.0, 1.0], (24, 1)), np.zeros((24, 3)))


def test_a_pace_lets_a_stream_of_its_rate_through_although_it_jitters():
    jitter = np.random.default_rng(3).uniform(-0.01, 0.01, 300)
    pace = Pace(30.0)
    assert sum(pace.due(i / 30.0 + jitter[i]) for i in range(300)) >= 295


@pytest.mark.parametrize("stream_hz, rate_hz", [(60.0, 30.0), (30.0, 10.0), (100.0, 30.0)])
def test_a_pace_halves_a_stream_that_is_twice_as_fast(stream_hz, rate_hz):
    pace = Pace(rate_hz)
    passed = sum(pace.due(i / stream_hz) for i in range(round(10 * stream_hz)))
    assert 9.0 * rate_hz < passed <= 10.0 * rate_hz + 1


def test_a_pace_of_zero_lets_nothing_through_and_a_pause_brings_no_burst():
    assert not any(Pace(0.0).due(t) for t in range(10))
    pace = Pace(10.0)
    assert pace.due(0.0)
    assert [pace.due(100.0 + 0.001 * i) for i in range(50)].count(True) == 1


def test_silence_is_said_with_its_length_and_a_reason():
    asleep = Status(POSE, 2.34, {"pose_node": Health(0, "nobody in view for 2 s", {})})
    assert asleep.stale and asleep.word == "no pose for 2.3 s"
    text = status_html(asleep)
    assert "no pose for 2.3 s" in text and "nobody in view" in text
    assert "no node of the graph can be heard" in status_html(Status(None, 1.0, {}))
    assert "pose_node cannot be heard; there are camera_node" in status_html(
        Status(None, 1.0, {"camera_node": Health(0, "running", {})})
    )
    assert not Status(POSE, 0.1, {}).stale


@pytest.mark.parametrize("tracking", TrackingState)
def test_the_state_of_tracking_is_said(tracking):
    pose = ViewedPose(1, "optical", POSE.rotations_xyzw, POSE.joints_m, tracking=tracking, track_id=7, confidence=0.91)
    text = status_html(Status(pose, 0.1, {"pose_node": Health(0, "running", {"pose_hz": "29.9"})}))
    assert tracking.name.lower() in text and "track 7" in text and "confidence 0.91" in text and "30 poses/s" in text


def test_what_nodes_complain_of_is_shown_and_nothing_of_it_is_html():
    text = status_html(Status(POSE, 0.1, {"camera_node": Health(2, "<script>no camera</script>", {})}))
    assert "&lt;script&gt;no camera" in text and "<script>" not in text


def test_a_history_keeps_the_newest_and_counts_time_back_from_now():
    history = History(2, 4)
    times, values, _ = history.series(0.0)
    assert len(times) == 1 and np.isnan(values).all()
    for i in range(6):
        history.add(float(i), (i, 10 * i))
    times, first, second = history.series(6.0)
    assert times.tolist() == [-4.0, -3.0, -2.0, -1.0] and first.tolist() == [2, 3, 4, 5]
    assert second.tolist() == [20, 30, 40, 50]
    history.clear()
    assert np.isnan(history.series(0.0)[1]).all()


def test_latencies_are_those_of_the_diagnostics():
    found = stage_values({"pose_node": {"lift_p50_ms": "4.50", "refine_p50_ms": "much"}, "camera_node": {}})
    by_label = dict(zip((stage.label for stage in STAGES), found))
    assert by_label["lift"] == 4.5 and np.isnan([value for key, value in by_label.items() if key != "lift"]).all()


def test_deviations_are_those_of_each_limb():
    deviations = np.zeros(24)
    deviations[[JOINT_NAMES.index(f"left_{joint}") for joint in ("shoulder", "elbow", "wrist")]] = 3.0
    found = dict(zip(LIMBS, limb_deviations(deviations)))
    assert found["left arm"] == pytest.approx(3.0) and sum(found.values()) == pytest.approx(3.0)


@pytest.mark.parametrize(
    "control, by_slider, step",
    [
        (Control("steps", 1, low=1, high=50), True, 1),
        (Control("guidance", 0.0, low=0.0, high=10.0), True, 0.1),
        (Control("share", 0.5, low=0.0, high=1.0), True, 0.01),
        (Control("budget_ms", 50.0, low=0.0, high=10_000.0), False, 100.0),
        (Control("frames", 24, low=3, high=512), False, 1),
        (Control("open", 1.0), False, 0.01),
    ],
)
def test_a_slider_is_for_ranges_that_one_can_be_set_in(control, by_slider, step):
    assert control.by_slider == by_slider and control.step == pytest.approx(step) and control.settable


@pytest.mark.parametrize("largest", [0.003, 0.9, 1.0, 7.9, 12.0, 19.9, 99.0, 230.0])
def test_an_axis_ends_a_little_above_the_largest_value_that_is_known(largest):
    top = top_of([np.array([np.nan, largest]), np.array([np.nan, 0.1 * largest])])
    assert 1.01 * largest < top < 1.3 * largest
    assert top_of([np.array([np.nan])]) == pytest.approx(1.2)


class Charts:
    """A page that keeps what a chart was given."""

    def add_uplot(self, data, series, **given):
        self.data = data
        for key, value in given.items():
            setattr(self, key, value)
        return self


def test_a_curve_that_is_not_known_yet_leaves_the_others_in_their_range():
    history, page = History(2, 10), Charts()
    plot = Plot(page, "Latency", "ms", ["lift", "refine"], history)
    for i in range(5):
        history.add(float(i), [10.0 + i, np.nan])
    plot.update(5.0)
    low, high = page.scales["y"]["range"]
    assert low == 0.0 and 14.0 < high < 18.0 and page.data[1][-1] == 14.0
