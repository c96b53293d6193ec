"""Where a motion begins and ends, and how gaps in it are bridged."""

from __future__ import annotations

import numpy as np
import roma
import torch

from diffmocap.reconstruct import stretches
from diffmocap.reconstruct.stretches import bridged, smoothed, stretches_of


def test_stretches_end_with_a_pose_and_split_at_long_gaps():
    lifted = np.zeros(100, bool)
    lifted[5:30] = lifted[35:50] = lifted[70:95] = True
    assert stretches_of(lifted, most=5) == [(5, 50), (70, 95)]
    assert stretches_of(lifted, most=4) == [(5, 30), (35, 50), (70, 95)]
    assert stretches_of(lifted, most=20) == [(5, 95)]


def test_a_few_poses_are_no_motion():
    lifted = np.zeros(50, bool)
    assert stretches_of(lifted, 10) == []
    lifted[3:10] = True
    assert stretches_of(lifted, 10) == []
    lifted[10] = True
    assert stretches_of(lifted, 10) == [(3, 11)]


def turning(frames: int, dt: float) -> tuple[torch.Tensor, torch.Tensor]:
    t = torch.arange(frames) * dt
    rotvec = torch.zeros(frames, 24, 3)
    rotvec[..., 1] = torch.sin(2.0 * t)[:, None]
    return roma.rotvec_to_rotmat(rotvec), torch.stack([t, torch.cos(t), 4 + 0 * t], 1)


def test_long_motions_are_smoothed_as_short_ones_are(monkeypatch):
    rotations, pelvis = turning(200, 1 / 30)
    whole = smoothed(rotations, pelvis, 1 / 30)
    monkeypatch.setattr(stretches, "_AT_ONCE", 32)
    parts = smoothed(rotations, pelvis, 1 / 30)
    assert torch.allclose(parts[0], whole[0], atol=1e-5) and torch.allclose(parts[1], whole[1], atol=1e-5)


def test_gaps_are_bridged_evenly_and_what_stood_in_for_the_missing_poses_does_not_count():
    rotations, pelvis = turning(90, 1 / 30)
    known = torch.ones(90, dtype=torch.bool)
    known[40:50] = False
    wrong, turned = pelvis.clone(), rotations.clone()
    wrong[40:50], turned[40:50] = 1e3, torch.eye(3)
    a, b = bridged(rotations, pelvis, known), bridged(turned, wrong, known)
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert torch.equal(b[1][known], pelvis[known]) and torch.equal(b[0][known], rotations[known])
    steps = b[1][40:51] - b[1][39:50]
    assert torch.allclose(steps, steps[:1].expand_as(steps), atol=1e-5)
    angle = roma.rotmat_geodesic_distance(b[0][39:50], b[0][40:51])
    assert float(angle.max() - angle.min()) < 2e-3


def test_a_motion_without_gaps_is_left_as_it_is():
    rotations, pelvis = turning(20, 1 / 30)
    same = bridged(rotations, pelvis, torch.ones(20, dtype=torch.bool))
    assert same[0] is rotations and same[1] is pelvis
