"""Where a body meets itself: depths of known shapes, nearest points against brute force, and the gradient."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS
from diffmocap.physics.self_contact import SelfContact

PAIRS = np.array([[20, 4], [21, 20], [18, 9]])


def capsules(seed: int = 0, tolerance_m: float = 0.0) -> SelfContact:
    """Random lines of 30 cm with thick capsules, at segments that do not hang together."""
    random = np.random.default_rng(seed)
    return SelfContact(random.normal(0.0, 0.15, (2, NUM_JOINTS, 3)), np.full(NUM_JOINTS, 0.2), PAIRS, tolerance_m)


def poses(seed: int, frames: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Global rotations [2, T, 24, 3, 3] and joints [2, T, 24, 3] m, near each other."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(2, frames, NUM_JOINTS, 3, generator=generator, dtype=torch.float64)
    joints = 0.15 * torch.randn(2, frames, NUM_JOINTS, 3, generator=generator, dtype=torch.float64)
    return roma.rotvec_to_rotmat(vectors), joints


def test_balls_overlap_by_what_is_missing_between_their_centres():
    balls = SelfContact(np.zeros((2, NUM_JOINTS, 3)), np.full(NUM_JOINTS, 0.1), PAIRS, 0.02)
    joints = torch.arange(NUM_JOINTS, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.0, 0.0]).double()
    joints[20] = joints[4] + torch.tensor([0.0, 0.12, 0.05])  # 13 cm between two balls of 10 cm
    turned = torch.eye(3, dtype=torch.float64).expand(1, 2, NUM_JOINTS, 3, 3)
    both = torch.stack([joints, joints.roll(1, 0)])[None]  # in the second frame nothing is near
    both[0, 1] = torch.arange(NUM_JOINTS).double()[:, None] * 2.0
    assert float(balls.squares(turned, both)) == pytest.approx((0.2 - 0.13 - 0.02) ** 2 / 2)


def test_depths_are_those_of_the_nearest_of_many_points():
    contact, (turned, joints) = capsules(), poses(1)
    shares = torch.linspace(0, 1, 401, dtype=torch.float64)[:, None]
    wanted = torch.zeros(2, dtype=torch.float64)
    for a, b in PAIRS:
        lines = []
        for j in (a, b):
            start, end = (joints[:, :, j] + turned[:, :, j] @ torch.from_numpy(contact.ends[i, j]) for i in (0, 1))
            lines.append(torch.lerp(start[:, :, None], end[:, :, None], shares))
        depth = 0.4 - torch.cdist(*lines).flatten(2).amin(-1)
        wanted += depth.clamp_min(0.0).square().mean(1)
    assert bool((wanted > 1e-3).all())
    torch.testing.assert_close(contact.squares(turned, joints), wanted, rtol=2e-3, atol=0)


def test_the_gradient_is_that_of_finite_differences():
    contact, (turned, joints) = capsules(2, 0.03), poses(3)
    generator = torch.Generator().manual_seed(4)
    turns, moves = (torch.randn(joints.shape, generator=generator, dtype=torch.float64) for _ in range(2))

    def moved(share: torch.Tensor) -> torch.Tensor:
        return contact.squares(roma.rotvec_to_rotmat(share * turns) @ turned, joints + share * moves)

    share = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for row in range(2):
        (slope,) = torch.autograd.grad(moved(share)[row], share)
        with torch.no_grad():
            wanted = (moved(torch.tensor(1e-6)) - moved(torch.tensor(-1e-6)))[row] / 2e-6
        assert float(slope) == pytest.approx(float(wanted), rel=1e-5) and abs(float(slope)) > 1e-3


def test_a_body_at_rest_is_apart_and_an_arm_in_the_trunk_is_not():
    body = BodyModel.load()
    contact = SelfContact.of_body(body)
    local = torch.eye(3).repeat(1, NUM_JOINTS, 1, 1)

    def squares() -> float:
        return float(contact.squares(*(x[None].double() for x in body.forward_kinematics(local, torch.zeros(1, 3)))))

    assert squares() == 0.0
    named = {frozenset((JOINT_NAMES[a], JOINT_NAMES[b])) for a, b in contact.pairs}
    assert frozenset(("left_hand", "spine2")) in named and frozenset(("left_hip", "left_ankle")) not in named
    # The left arm hangs down and inwards, through trunk and thigh.
    local[0, JOINT_NAMES.index("left_shoulder")] = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, -1.9]))
    assert squares() > 1e-3
