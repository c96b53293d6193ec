"""The likeliest way through poses is the cheapest of all ways, and poses of both directions are averaged along it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.reconstruct.lifted import SCORE_SCALE, SPEED_M_S, LiftedFrames, combined, lift_frames, likeliest_path


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def drawn(kinds: int, frames: int, seed: int) -> LiftedFrames:
    g = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(kinds, frames, 24, 3, generator=g))
    score = -0.05 * torch.rand(kinds, frames, generator=g)
    return LiftedFrames(rotations, torch.randn(kinds, frames, 3, generator=g), score)


def cost(lifted: LiftedFrames, body: BodyModel, path: tuple[int, ...], frames: list[int], dt: float) -> float:
    zero = torch.zeros_like(lifted.pelvis).flatten(0, 1)
    joints = body.forward_kinematics(lifted.rotations.flatten(0, 1), zero)[1].unflatten(0, lifted.pelvis.shape[:2])
    total = sum(-float(lifted.score[k, t]) / SCORE_SCALE for k, t in zip(path, frames))
    for (k0, t0), (k1, t1) in itertools.pairwise(zip(path, frames)):
        moved = (joints[k0, t0] - joints[k1, t1]).norm(dim=-1).mean()
        total += float((moved / (0.02 + SPEED_M_S * (t1 - t0) * dt)) ** 2)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_the_cheapest_of_all(body, seed):
    lifted = drawn(3, 6, seed)
    lifted.score[:, 2] = -torch.inf
    frames = [0, 1, 3, 4, 5]
    path = likeliest_path(lifted, body, 1 / 30)
    found = tuple(path[frames].tolist())
    best = min(cost(lifted, body, way, frames, 1 / 30) for way in itertools.product(range(3), repeat=5))
    assert cost(lifted, body, found, frames, 1 / 30) == pytest.approx(best, rel=1e-5)


def test_a_pose_that_is_not_there_is_never_on_the_path(body):
    lifted = drawn(2, 8, 5)
    lifted.score[0, 3] = -torch.inf
    lifted.score[1, 5] = -torch.inf
    path = likeliest_path(lifted, body, 1 / 30)
    assert path[3] == 1 and path[5] == 0


def test_only_poses_like_the_one_on_the_path_are_averaged(body):
    one = drawn(1, 4, 9)
    near = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.02, 0.0])).expand(1, 4, 24, 3, 3)
    far = roma.rotvec_to_rotmat(torch.tensor([0.0, 1.5, 0.0])).expand(1, 4, 24, 3, 3)
    poses = LiftedFrames(
        torch.cat([one.rotations, one.rotations @ near, one.rotations @ far]), one.pelvis.repeat(3, 1, 1),
        one.score.repeat(3, 1),
    )  # fmt: skip
    turned, _ = combined(poses, torch.zeros(4, dtype=torch.long), body)
    half = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.01, 0.0]))
    assert torch.allclose(turned, one.rotations[0] @ half, atol=1e-4)


def test_both_directions_are_lifted_each_with_its_own_past(body, demo_keypoints, demo_camera):
    keypoints = [replace(k) for k in demo_keypoints[:24]]
    keypoints[7] = replace(keypoints[7], confidence=keypoints[7].confidence * 0)
    lifter = Lifter.load(None, body)
    told = []
    lifted = lift_frames(lifter, keypoints, demo_camera, LiftingSettings(), samples=2, told=told.append)
    assert lifted.rotations.shape == (4, 24, 24, 3, 3) and told[-1] == 48
    assert not lifted.lifted[7] and int(lifted.lifted.sum()) == 23
    # The first image has nothing before it, the last one nothing after it.
    alone = lifter.lift(keypoints[0], demo_camera, LiftingSettings())
    assert torch.allclose(lifted.rotations[0, 0], alone.rotations[0], atol=1e-5)
    alone = lifter.lift(keypoints[-1], demo_camera, LiftingSettings())
    assert torch.allclose(lifted.rotations[1, -1], alone.rotations[0], atol=1e-5)
    assert not torch.allclose(lifted.rotations[0, 12], lifted.rotations[1, 12], atol=1e-4)
