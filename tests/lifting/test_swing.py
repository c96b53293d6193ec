"""Analytic inverse kinematics: what the vectors determine comes out exactly, what they do not stays."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.lifting.network.ray_head import HEAD_SIZE, RayHead
from diffmocap.lifting.network.swing import swing, two_vector_turns


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, 3, dtype=torch.float64), dim=-1)


def test_the_swing_is_the_smallest_rotation_onto_a_direction():
    a, b = unit(64), unit(64)
    R = swing(a, b)
    assert torch.allclose((R @ a[..., None])[..., 0], b, atol=1e-9)
    assert torch.allclose(R @ R.transpose(-1, -2), torch.eye(3, dtype=R.dtype).expand_as(R), atol=1e-9)
    angle = roma.rotmat_to_rotvec(R).norm(dim=-1)
    assert torch.allclose(angle, torch.arccos((a * b).sum(-1)), atol=1e-7)


def test_swings_of_opposite_vectors_are_finite():
    a = unit(8)
    assert swing(a, -a).isfinite().all() and swing(a, -a).abs().max() < 3.0


def test_two_vectors_give_scipys_rotation():
    first, second, true = unit(16), unit(16), roma.random_rotmat(16, dtype=torch.float64)
    wanted = [(true @ v[..., None])[..., 0] for v in (first, second)]
    R = two_vector_turns(first, 2.0 * wanted[0], second, 0.5 * wanted[1], torch.ones(16, dtype=torch.float64))
    for i in range(16):
        # An infinite weight has SciPy align the first vector exactly.
        found, _ = Rotation.align_vectors(
            np.stack([wanted[0][i], wanted[1][i]]), np.stack([first[i], second[i]]), weights=[np.inf, 1.0]
        )
        assert np.allclose(R[i].numpy(), found.as_matrix(), atol=1e-4)


def test_without_a_second_vector_the_turn_is_the_swing():
    a, b, c, d = unit(8), unit(8), unit(8), unit(8)
    assert torch.allclose(two_vector_turns(a, b, c, d, torch.zeros(8, dtype=torch.float64)), swing(a, b), atol=1e-12)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def head(body) -> RayHead:
    head = RayHead()
    head.set_body(body)
    return head


def placed_keypoints(body: BodyModel, head: RayHead, rotations: torch.Tensor) -> torch.Tensor:
    """Keypoints [B, 25, 3] m of poses in the network's frame, as the crop frame has them."""
    return body.keypoints(rotations, torch.zeros(len(rotations), 3)) * head.facing


def poses(spread: float, n: int = 16) -> torch.Tensor:
    """Random poses; toes are straight, as in all data, so that the feet's keypoints are rigid."""
    vectors = spread * torch.randn(n, 24, 3)
    vectors[:, 10:12] = 0.0
    return roma.rotvec_to_rotmat(vectors)


def test_a_pose_whose_keypoints_are_right_stays(body, head):
    rotations = poses(0.5)
    assert torch.allclose(head.turn(rotations, placed_keypoints(body, head, rotations)), rotations, atol=2e-3)


def test_limbs_point_at_placed_keypoints_whatever_the_pose_was(body, head):
    true = poses(0.3)
    start = true @ poses(0.4)
    turned = head.turn(start, placed_keypoints(body, head, true))
    joints = [body.forward_kinematics(R, torch.zeros(16, 3))[1] for R in (true, start, turned)]
    for parent, child in (("left_hip", "left_knee"), ("right_knee", "right_ankle"), ("left_elbow", "left_wrist")):
        a, b = JOINT_NAMES.index(parent), JOINT_NAMES.index(child)
        bones = [torch.nn.functional.normalize(j[:, b] - j[:, a], dim=-1) for j in joints]
        assert (bones[2] * bones[0]).sum(-1).min() > 0.99999
        assert (bones[1] * bones[0]).sum(-1).min() < 0.99
    error = [(j - joints[0]).norm(dim=-1).mean() for j in joints[1:]]
    assert error[1] < 0.4 * error[0]


def test_depths_that_are_told_place_keypoints_where_they_are(body, head):
    """A trunk that says nothing but the distance, trusting depths: keypoints lie on their rays at told depths."""
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(4, 24, 3))
    points = placed_keypoints(body, head, rotations)
    points = points - points[:, 8:9] + torch.tensor([0.1, 0.0, 3.0])
    half_size = torch.full((4,), 0.3)
    raw = torch.zeros(4, HEAD_SIZE)
    raw[:, 0] = torch.log(torch.tensor(3.0) * 0.3 / 0.9)
    raw[:, 26:51] = 20.0
    seen = torch.ones(4, 25, dtype=torch.bool)
    depth = points[..., 2] - points[:, 8:9, 2]
    rays = points[..., :2] / points[..., 2:] / half_size[:, None, None]
    assert torch.allclose(head.place(raw, rays, half_size, depth, torch.ones(4, 25), seen), points, atol=1e-4)
