"""Parts of the live refinement: the buffer, the reference without lag, knots that stay, and the metric."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.rotations import rotation_matrix
from diffmocap.errors import SettingsError
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.kernels.units import KNOT_SIZE, PELVIS_UNIT, ROTATION_UNIT
from diffmocap.refinement.stream.reference import smoothing_matrix
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.sliding_unknowns import SlidingKnots
from diffmocap.refinement.stream.task import live_window
from diffmocap.refinement.stream.window_buffer import LiveFrame, WindowBuffer
from diffmocap.refinement.window.metric import jacobian


def frame(number: int, weights=(0.0, -1.0)) -> LiveFrame:
    count = len(weights)
    return LiveFrame(
        torch.eye(3).expand(count, 24, 3, 3), torch.full((count, 3), float(number)), torch.tensor(weights),
        torch.full((25, 2), float(number)), torch.full((25,), 0.5), torch.eye(3),
    )  # fmt: skip


def test_the_buffer_holds_the_last_frames_in_order():
    buffer = WindowBuffer(5, 2)
    for i in range(13):
        assert buffer.push(frame(i), 0.02) == 1
        held = buffer.views()
        expected = torch.arange(max(0, i - 4), i + 1).float()
        assert torch.equal(held["pelvis"][0, 0, :, 0], expected)
        assert torch.equal(held["points_px"][0, :, 3, 1], expected)
        assert [buffer.age(place) for place in range(buffer.count)] == [*range(buffer.count)]
    assert buffer.dt_s() == pytest.approx(0.02)


def test_a_window_knows_places_across_the_view_better_than_along_it():
    buffer, settings = WindowBuffer(3, 1), LiveSettings(across_m=0.1, along_m=0.5, rotation_spread_rad=0.2)
    for i in range(2):
        buffer.push(frame(i, (0.0,)), 0.02)
        window = live_window(buffer, None, settings)
    torch.testing.assert_close(window.pelvis_precision[0, 1], torch.diag(torch.tensor([100.0, 100.0, 4.0])))
    assert window.rotation_spread.unique().tolist() == pytest.approx([0.2]) and window.frames == 2
    assert torch.equal(window.T_camera_motion[0], torch.eye(3, 4)) and window.ground.source == "unknown"


def test_lost_frames_leave_their_places_empty():
    buffer = WindowBuffer(8, 2)
    for i, dt_s in enumerate((0.02, 0.02, 0.02, 0.02, 0.06)):
        places = buffer.push(frame(i), dt_s)
    assert places == 3 and buffer.dt_s() == pytest.approx(0.02)
    assert [buffer.age(place) for place in (0, 3, 4)] == [0, 1, 2], "lost frames are none"
    held = buffer.views()
    assert held["lifted"][0].tolist() == [True] * 4 + [False] * 2 + [True]
    assert torch.equal(held["confidence"][0, 4:6], torch.zeros(2, 25))
    for dt_s in (0.0, -0.02, float("nan")):
        with pytest.raises(SettingsError, match="must be positive"):
            buffer.push(frame(9), dt_s)


def test_the_heaviest_hypotheses_that_are_poses_are_kept_first():
    buffer = WindowBuffer(3, 2)
    some = frame(1, (-3.0, 0.0, -1.0, 5.0))
    rotations = some.rotations.clone()
    rotations[3] = torch.diag(torch.tensor([1.0, 1.0, -1.0]))  # a mirror is no rotation
    pelvis = torch.arange(4.0)[:, None].repeat(1, 3)
    buffer.push(LiveFrame(rotations, pelvis, some.log_weights, some.points_px, some.confidence, some.K), 0.0)
    held = buffer.views()
    assert held["pelvis"][0, :, 0, 0].tolist() == [1.0, 2.0] and held["log_weights"][0, :, 0].tolist() == [0.0, -1.0]


def test_the_reference_keeps_what_stands_and_lags_little_behind_what_moves():
    lifted = torch.ones(20, dtype=torch.bool)
    weights = smoothing_matrix(lifted, 1 / 30)
    torch.testing.assert_close(weights.sum(1), torch.ones(20))
    ramp = torch.arange(20.0)
    smooth = weights @ ramp
    torch.testing.assert_close(smooth[8:12], ramp[8:12], atol=1e-3, rtol=0)
    assert 0.0 <= float(ramp[-1] - smooth[-1]) < 0.7  # frames; the plain mean lags by 1.4
    torch.testing.assert_close(smoothing_matrix(lifted, 1 / 30, stillness=0.0) @ ramp, ramp, atol=1e-3, rtol=0)
    lifted[3:] = False
    assert float((smoothing_matrix(lifted, 1 / 30) @ ramp)[-1]) == pytest.approx(2.0, abs=0.05)


def test_what_knots_say_of_a_frame_stays_when_the_window_goes_on():
    torch.manual_seed(0)
    knots = SlidingKnots(9, 4)
    x = torch.randn(knots.count * KNOT_SIZE)
    before = knots.spline(9) @ x.view(-1, KNOT_SIZE)
    for _ in range(11):
        x = knots.advance(x)
        after = knots.spline(9) @ x.view(-1, KNOT_SIZE)
        torch.testing.assert_close(after[:8], before[1:])
        torch.testing.assert_close(knots.spline(9).sum(1), torch.ones(9))
        torch.testing.assert_close(knots.spline(4), knots.spline(9)[-4:])
        before = after


def test_the_metric_s_jacobian_is_that_of_finite_differences(points):
    torch.manual_seed(1)
    rotations = rotation_matrix(0.5 * torch.randn(24, 3, dtype=torch.float64))[None]
    moved, places = jacobian(points, rotations)

    def at(x: torch.Tensor) -> torch.Tensor:
        turned = rotations @ rotation_matrix(ROTATION_UNIT * x[:-3].view(24, 3))
        relative = points.positions(global_poses(turned, x.new_zeros(1, 3), points.bones)[0])[0]
        return relative.T + PELVIS_UNIT * x[-3:]

    torch.testing.assert_close(places[0], at(torch.zeros(75, dtype=torch.float64)))
    for k in (0, 5, 16, 49, 71, 74):
        step = torch.zeros(75, dtype=torch.float64)
        step[k] = 1e-4
        torch.testing.assert_close(moved[0, ..., k], (at(step) - at(-step)) / 2e-4, atol=1e-7, rtol=1e-5)
