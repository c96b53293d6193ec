"""Poses that are put together or disturbed are ones that a body could take."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from training.lifting.plausibility import self_intersects, within_limits
from training.motions.poses import (
    HEAD,
    LEFT_ARM,
    LEFT_LEG,
    RIGHT_ARM,
    RIGHT_LEG,
    TRUNK,
    PoseAugmentation,
    PoseSampler,
    disturb,
    joint_spread,
    keep_plausible,
    load_rotations,
    mirror,
    mix_parts,
)  # fmt: skip

ARMS, LEGS = LEFT_ARM + RIGHT_ARM, LEFT_LEG + RIGHT_LEG


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def frames(body, mocap_dir) -> torch.Tensor:
    """Captured frames that pass both checks themselves."""
    poses = load_rotations([mocap_dir / "cmu_smpl30_val.npz"])[::20]
    return poses[within_limits(poses).all(1) & ~self_intersects(body, poses)]


def turned(joints: tuple[int, ...], axis: tuple[float, float, float], degrees: float) -> torch.Tensor:
    """The T-pose [1, 24, 3, 3] with some joints turned about an axis of the SMPL frame."""
    pose = torch.eye(3).expand(1, 24, 3, 3).clone()
    pose[:, list(joints)] = roma.rotvec_to_rotmat(math.radians(degrees) * torch.tensor(axis))
    return pose


@pytest.mark.parametrize(
    "pose, expected",
    [
        (turned((), (0, 0, 1), 0), False),
        (turned((16, 18), (0, 1, 0), 180), True),  # half of the forearm lies at the spine
        (turned((2,), (0, 0, 1), -60), False),  # the right leg spread
        (turned((1,), (0, 0, 1), -20), True),  # the left shin through the right one
        (turned((1,), (1, 0, 0), -20), False),  # a step
    ],
)
def test_limbs_inside_the_body_are_found_on_either_side(body, pose, expected):
    assert self_intersects(body, pose).item() is expected
    assert self_intersects(body, mirror(pose)).item() is expected


def test_limits_know_a_knee_bent_forwards():
    assert within_limits(turned((4,), (1, 0, 0), 60)).all()
    assert (~within_limits(turned((4,), (1, 0, 0), -60))).nonzero().tolist() == [[0, 4]]


@pytest.mark.parametrize("parts", [(LEFT_ARM,), (ARMS, LEGS), (LEFT_LEG, RIGHT_LEG), (TRUNK, HEAD)])
def test_a_part_comes_whole_from_another_frame(frames, parts):
    mixed = mix_parts(frames, parts, 0.6, torch.Generator().manual_seed(0))
    changed = (mixed != frames).flatten(2).any(-1)
    moved = changed.any(1)
    assert 0.45 < moved.float().mean() < 0.75
    for row, now in zip(changed[moved], mixed[moved]):
        part = next(list(p) for p in parts if set(row.nonzero()[:, 0].tolist()) <= set(p))
        donors = (frames[:, part] == now[part]).flatten(1).all(1)
        assert donors.any()


def test_changes_that_no_body_could_make_are_not_made(body, frames):
    g = torch.Generator().manual_seed(0)
    for after in (mix_parts(frames, (ARMS,), 1.0, g), disturb(frames, joint_spread(frames), 0.5, 1.0, g)):
        kept = keep_plausible(body, frames, after)
        refused = (kept == frames).flatten(1).all(1)
        assert 0 < refused.float().mean() < 0.5
        assert torch.equal(kept[~refused], after[~refused])
        assert within_limits(kept).all() and not self_intersects(body, kept).any()


def test_noise_follows_each_joints_own_variation(frames):
    spread = joint_spread(frames)
    assert not spread[0].any() and not spread[[22, 23]].any()  # root left alone; hands are never moved in CMU
    poses = frames[:1].expand(20_000, -1, -1, -1)
    moved = disturb(poses, spread, 0.1, 0.25, torch.Generator().manual_seed(0))
    change = roma.rotmat_to_rotvec(poses.transpose(-1, -2) @ moved)
    chosen = change.abs().amax((1, 2)) > 1e-3
    assert 0.22 < chosen.float().mean() < 0.28
    covariance = torch.einsum("nja,njb->jab", change[chosen], change[chosen]) / chosen.sum()
    assert torch.allclose(covariance, 0.01 * spread @ spread.transpose(-1, -2), atol=2e-4)
    knee = covariance[4].diagonal().sqrt()
    assert knee[0] > 5 * knee[1] and knee[0] > 5 * knee[2]  # flexion


def test_each_augmentation_can_be_turned_off(body, frames):
    shares = ("mirror_share", "mix_share", "leg_mix_share", "trunk_mix_share", "joint_noise_share")
    off = {**dict.fromkeys(shares, 0.0), "captured_heading_share": 1.0}

    def captured_share(**changes) -> float:
        g = torch.Generator().manual_seed(0)
        poses = PoseSampler(body, frames, g, PoseAugmentation(**{**off, **changes}))(200)
        return float((poses[:, None] == frames).flatten(2).all(-1).any(1).float().mean())

    assert captured_share() == 1.0
    for name in shares:
        assert captured_share(**{name: 1.0}) < 0.5, name
