"""Windows cover a motion and are joined without seams."""

from __future__ import annotations

import pytest
import roma
import torch

from diffmocap.reconstruct.stitching import blend_weights, stitched, window_starts


@pytest.mark.parametrize("frames", [5, 60, 61, 99, 100, 101, 726, 1800])
def test_windows_cover_every_frame_and_share_at_least_the_overlap(frames):
    length, overlap = min(60, frames), 20
    starts = window_starts(frames, length, min(overlap, length - 1))
    assert starts[0] == 0 and starts[-1] == max(frames - length, 0)
    shared = [a + length - b for a, b in zip(starts, starts[1:])]
    assert all(s >= overlap for s in shared)
    if len(shared) > 1:
        assert max(shared) - min(shared) <= 1


@pytest.mark.parametrize("frames", [60, 101, 500])
def test_weights_sum_to_one_and_a_window_does_not_count_at_its_own_ends(frames):
    starts = window_starts(frames, 60, 20)
    weights = blend_weights(starts, 60, frames)
    assert torch.allclose(weights.sum(0), torch.ones(frames, dtype=torch.float64))
    for w, start in enumerate(starts):
        assert weights[w, :start].abs().max() == 0 if start else True
        if w > 0:
            assert weights[w, start : start + 3].max() == 0
        if w + 1 < len(starts):
            assert weights[w, start + 57 : start + 60].max() == 0
            assert weights[w, start + 60 :].max() == 0


def test_windows_of_one_motion_give_that_motion_back():
    g = torch.Generator().manual_seed(0)
    frames, starts = 150, window_starts(150, 60, 20)
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(frames, 24, 3, generator=g))
    pelvis = torch.randn(frames, 3, generator=g)
    index = torch.tensor(starts)[:, None] + torch.arange(60)
    turned, moved = stitched(rotations[index], pelvis[index], starts, frames)
    assert torch.allclose(turned, rotations, atol=1e-5) and torch.allclose(moved, pelvis, atol=1e-5)


def test_windows_that_disagree_are_joined_without_a_jump_in_acceleration():
    """Two windows 2 cm apart: the seam's acceleration is that of a smooth change over the overlap, no more."""
    starts, frames, dt = [0, 40], 100, 1 / 30
    pelvis = torch.zeros(2, 60, 3, dtype=torch.float64)
    pelvis[1, :, 0] = 0.02
    rotations = torch.eye(3, dtype=torch.float64).expand(2, 60, 24, 3, 3)
    _, moved = stitched(rotations, pelvis, starts, frames)
    acceleration = torch.diff(moved[:, 0], n=2) / dt**2
    # A quintic over S seconds accelerates by at most 5.77 d / S^2.
    span_s = (2 / 3) * 19 * dt
    assert acceleration.abs().max() < 1.05 * 5.78 * 0.02 / span_s**2
    assert moved[0, 0] == 0 and moved[-1, 0] == pytest.approx(0.02)
