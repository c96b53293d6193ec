"""Keypoints of the last half second: interpolated where images are near enough, absent where they are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffmocap.keypoints.keypoint_history import KeypointHistory
from diffmocap.lifting.network.condition import PAST_LAGS_S, condition_from_rays, past_keypoints
from diffmocap.types import CameraIntrinsics, Keypoints2D

CAMERA = CameraIntrinsics(640, 480, 500.0, 400.0, 320.0, 240.0)


def moving(t_s: float, missing: tuple[int, ...] = (), depth: bool = True) -> Keypoints2D:
    """Keypoints that move at constant speed: their rays are (0.1 t + k / 100, -0.2 t)."""
    k = np.arange(25)
    points = np.stack([320.0 + 500.0 * (0.1 * t_s + k / 100), np.full(25, 240.0 - 400.0 * 0.2 * t_s)], -1)
    confidence = np.full(25, 0.8, np.float32)
    confidence[list(missing)] = 0.0
    depth_m = (0.3 * t_s + k / 50).astype(np.float32) if depth else None
    return Keypoints2D(points.astype(np.float32), confidence, 640, 480, round(t_s * 1e9), depth_m)


def filled(rate_hz: float, until_s: float = 2.0) -> KeypointHistory:
    history = KeypointHistory(PAST_LAGS_S)
    for i in range(round(until_s * rate_hz)):
        history.add(moving(i / rate_hz), CAMERA)
    return history


@pytest.mark.parametrize("rate_hz", [30.0, 60.0, 25.0, 17.0, 100.0, 240.0])
def test_constant_motion_is_found_exactly_at_any_rate(rate_hz):
    now = 2.0
    past = filled(rate_hz).before(round(now * 1e9))
    known = past.confidence[:, 0] > 0
    # The newest image may be more than a thirtieth of a second old; it counts for it while it is near.
    assert (known[0] or rate_hz < 25) and known[1:].all()
    for i, lag in enumerate(PAST_LAGS_S):
        if i or rate_hz >= 30:
            assert past.rays[i, :, 1] == pytest.approx(-0.2 * (now - lag), abs=2e-4)
            assert past.rays[i, 3, 0] == pytest.approx(0.1 * (now - lag) + 0.03, abs=2e-4)
            assert past.depth_m[i, 5] == pytest.approx(0.3 * (now - lag) + 0.1, abs=1e-3)


def test_nothing_is_known_at_first_after_a_reset_and_after_a_gap():
    history = KeypointHistory(PAST_LAGS_S)
    assert history.before(0) is None
    history = filled(30.0)
    assert history.before(round(3.5e9)) is None
    history.reset()
    assert history.before(round(2e9)) is None


def test_a_gap_is_not_interpolated():
    history = KeypointHistory(PAST_LAGS_S)
    for t in (0.0, 0.5, 1.0):
        history.add(moving(t), CAMERA)
    past = history.before(round(1.5e9))
    assert list(past.confidence[:, 0] > 0) == [False, False, False, True]
    past = history.before(round(1.27e9))
    assert past is None or not (past.confidence[:2] > 0).any()


def test_a_keypoint_that_one_of_two_images_lacks_is_missing():
    history = KeypointHistory(PAST_LAGS_S)
    for i in range(20):
        history.add(moving(i / 20, missing=(7,) if i % 2 else ()), CAMERA)
    past = history.before(round(1e9))
    assert (past.confidence[1, 7] == 0) and (past.confidence[1, 8] > 0)


def test_without_depths_none_are_told():
    history = KeypointHistory(PAST_LAGS_S)
    for i in range(30):
        history.add(moving(i / 30, depth=False), CAMERA)
    assert np.isnan(history.before(round(1e9)).depth_m).all()


def test_the_persons_way_through_the_image_is_left_out():
    """Translated keypoints look the same in the past; a limb that moved shows by how much."""
    rays = 0.2 * torch.randn(2, 25, 2)
    now = condition_from_rays(rays, torch.ones(2, 25), 0.0, torch.zeros(2, 25))
    earlier = rays[:, None] + 0.0
    confidence = torch.ones(2, 1, 25)
    still = past_keypoints(now, earlier, confidence, torch.zeros(2, 1, 25))
    assert torch.allclose(still[..., :3], torch.zeros(2, 1, 25, 3), atol=1e-5)
    assert torch.equal(still[..., 3], confidence)
    # Translation of the crop's plane, and a wrist that was elsewhere.
    plane = now.rays[:, None] + torch.tensor([0.03, -0.02])
    plane[:, :, 4] += torch.tensor([0.1, 0.0]) * now.half_size[:, None, None]
    back = torch.cat([plane, torch.ones_like(plane[..., :1])], -1) @ now.R_camera_crop.transpose(-1, -2)[:, None]
    moved = past_keypoints(now, back[..., :2] / back[..., 2:], confidence)
    assert torch.allclose(moved[:, 0, 4, 0] - moved[:, 0, 3, 0], torch.full((2,), 0.1), atol=1e-4)
    assert moved[:, 0, 3].abs()[:, :2].max() < 0.01


def test_what_is_missing_in_the_past_says_nothing():
    rays = 0.2 * torch.randn(2, 25, 2)
    now = condition_from_rays(rays, torch.ones(2, 25))
    confidence = torch.ones(2, 1, 25)
    confidence[:, :, 3] = 0.0
    earlier = rays[:, None].clone()
    a = past_keypoints(now, earlier, confidence)
    earlier[:, :, 3] = 9.0
    assert torch.equal(past_keypoints(now, earlier, confidence), a) and (a[:, :, 3] == 0).all()


def test_a_change_of_depth_is_known_where_both_depths_are():
    rays = 0.2 * torch.randn(1, 25, 2)
    depth = torch.full((1, 25), 0.1)
    depth[:, 9] = float("nan")
    now = condition_from_rays(rays, torch.ones(1, 25), 0.0, depth)
    then = torch.full((1, 1, 25), 0.3)
    then[:, :, 4] = float("nan")
    past = past_keypoints(now, rays[:, None], torch.ones(1, 1, 25), then)[0, 0, :, 2]
    assert past[9] == 0 and past[4] == 0
    rest = [k for k in range(25) if k not in (4, 9)]
    assert torch.allclose(past[rest], torch.full((23,), 0.2))
