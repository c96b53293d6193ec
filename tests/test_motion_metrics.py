"""Metrics of motion on motions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.errors import SettingsError
from diffmocap.evaluation import motion_metrics as metrics


@pytest.fixture
def joints() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, 24, 3))


def test_a_shift_counts_globally_and_not_after_alignment(joints):
    moved = joints + [0.03, 0.0, -0.04]
    assert metrics.mpjpe_global_mm(moved, joints) == pytest.approx(50.0)
    assert metrics.mpjpe_root_mm(moved, joints) == pytest.approx(0.0, abs=1e-9)
    assert metrics.pa_mpjpe_mm(2 * moved, joints) == pytest.approx(0.0, abs=1e-6)


def test_alignment_is_frame_by_frame(joints):
    drift = np.linspace(0, 1, 20)[:, None, None]
    assert metrics.mpjpe_root_mm(joints + drift, joints) == pytest.approx(0.0, abs=1e-9)
    bent = joints.copy()
    bent[:, 5, 1] += 0.24  # one joint of 24
    assert metrics.mpjpe_root_mm(bent, joints) == pytest.approx(10.0)


def test_keypoints_in_pixels():
    truth = np.zeros((2, 25, 2))
    assert metrics.keypoint_error_px(truth + [3.0, 4.0], truth) == pytest.approx(5.0)


def test_steady_acceleration_does_not_vary():
    t = np.arange(10)[:, None, None] / 25
    falling = np.broadcast_to(-0.5 * 9.81 * t**2, (10, 4, 3))
    assert metrics.acceleration_variation(falling, 25.0) == pytest.approx(0.0, abs=1e-9)


def test_variation_of_a_known_jerk():
    """x = j t^3 / 6 has accelerations that grow by j / fps from frame to frame; the sum is over the joints."""
    fps, jerk = 30.0, 6.0
    x = np.zeros((12, 5, 3))
    x[..., 0] = (jerk / 6 * (np.arange(12) / fps) ** 3)[:, None]
    assert metrics.acceleration_variation(x, fps) == pytest.approx(5 * jerk / fps)
    per_frame = metrics.acceleration_variation(x, 1.0)
    assert metrics.acceleration_variation(x, fps) == pytest.approx(per_frame * fps**2)


def feet(steps: np.ndarray, height: float = 0.0) -> np.ndarray:
    """Left foot of two points that moves along x by ``steps`` m between frames; the right one stands."""
    soles = np.zeros((len(steps) + 1, 2, 2, 3))
    soles[1:, 0, :, 0] = np.cumsum(steps)[:, None]
    soles[:, 0, :, 1] = height
    soles[:, 0, 1, 2] = 0.2
    return soles


def test_skate_is_two_centimetres_between_frames_on_the_ground():
    steps = np.array([0.0, 0.019, 0.021, 0.05, 0.0])
    assert metrics.skating_frames(feet(steps))[:, 0].tolist() == [False, False, True, True, False]
    assert not metrics.skating_frames(feet(steps))[:, 1].any()
    assert metrics.foot_skate_percent(feet(steps)) == pytest.approx(40.0)
    assert metrics.foot_skate_percent(feet(steps, height=0.06)) == 0.0
    assert metrics.foot_skate_percent(feet(steps, height=0.06), height=0.04) == pytest.approx(40.0)


def test_both_feet_at_once_are_one_frame():
    both = feet(np.array([0.1, 0.0]))
    both[:, 1] = both[:, 0]
    assert metrics.foot_skate_percent(both) == pytest.approx(50.0)


def test_landing_and_lifting_are_not_skating():
    """On the ground in both frames is what counts."""
    soles = feet(np.array([0.1, 0.1]))
    soles[1, 0, :, 1] = 0.2
    assert metrics.foot_skate_percent(soles) == 0.0


def test_rolling_over_the_toe_is_not_skating():
    """The heel travels, the lowest point stays."""
    soles = np.zeros((5, 1, 2, 3))
    soles[:, 0, 0, 1] = np.linspace(0, 0.2, 5)
    soles[:, 0, 0, 0] = np.linspace(0, 0.15, 5)
    soles[1:, 0, 0, 1] += 0.001
    assert metrics.foot_skate_percent(soles) == 0.0


def test_up_may_be_any_axis():
    soles = feet(np.array([0.03, 0.0]))
    optical = soles[..., [2, 1, 0]] * [1, -1, 1]
    assert metrics.foot_skate_percent(optical, up=(0.0, -1.0, 0.0)) == metrics.foot_skate_percent(soles) == 50.0


def test_excess_is_over_the_source():
    source, estimate = feet(np.array([0.03, 0.0, 0.0, 0.0])), feet(np.array([0.03, 0.03, 0.0, 0.0]))
    assert metrics.excess_foot_skate_percent(estimate, source) == pytest.approx(25.0)
    assert metrics.excess_foot_skate_percent(source, source) == 0.0


def test_what_cannot_be_measured_is_refused(joints):
    with pytest.raises(SettingsError, match="at least 4 frames, got 3"):
        metrics.acceleration_variation(joints[:3], 30.0)
    with pytest.raises(SettingsError, match="rate"):
        metrics.acceleration_variation(joints, 0.0)
    with pytest.raises(SettingsError, match="feet, points"):
        metrics.skating_frames(joints)
    with pytest.raises(SettingsError, match="finite"):
        metrics.acceleration_variation(joints * np.nan, 30.0)
