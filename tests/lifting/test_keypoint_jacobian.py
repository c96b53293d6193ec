"""The correction's analytic derivatives against automatic ones, and its keypoints against the body's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction.keypoint_jacobian import KeypointKinematics
from diffmocap.lifting.correction.observation import Observation
from diffmocap.lifting.correction.tangent import exponential


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def skinned_body(body) -> BodyModel:
    """Keypoints on the skin follow several joints and the pose, as SMPL's do."""
    rng = np.random.default_rng(0)
    weights = 0.8 * body.data.weights
    weights[:, 0] += 0.1
    weights[:, 9] += 0.1
    pose_dirs = 0.002 * rng.standard_normal((len(weights), 3, 207)).astype(np.float32)
    return BodyModel(replace(body.data, weights=weights.astype(np.float32), posedirs=pose_dirs))


def poses(n: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return roma.rotvec_to_rotmat(0.8 * torch.randn(n, 24, 3, generator=g, dtype=torch.float64))


def observed(n: int, depth: bool) -> Observation:
    told = torch.zeros(n, 25) if depth else None
    return Observation.of(
        torch.zeros(n, 25, 2), torch.full((n,), 0.3), torch.ones(n, 25), told, None if told is None else told + 1
    )


@pytest.mark.parametrize("which", ["body", "skinned_body"])
def test_keypoints_are_the_bodys(which, request):
    body = request.getfixturevalue(which)
    R = poses(3)
    found = KeypointKinematics(body)(R)
    assert torch.allclose(found.points.float(), body.keypoints(R.float(), torch.zeros(3, 3)), atol=2e-6)
    turned, joints = body.forward_kinematics(R.float(), torch.zeros(3, 3))
    assert torch.allclose(found.joints.float(), joints, atol=2e-6)
    assert torch.allclose(found.global_rotations.float(), turned, atol=2e-6)


@pytest.mark.parametrize("depth", [False, True])
def test_derivatives_are_those_of_autograd(body, depth):
    """Of all 25 keypoints by all rotations and the pelvis, about a pose that has left the start."""
    kinematics, R, seen = KeypointKinematics(body), poses(1), observed(1, depth)
    g = torch.Generator().manual_seed(1)
    step = 0.4 * torch.randn(1, 75, generator=g, dtype=torch.float64)
    place = torch.tensor([[0.3, -0.2, 4.0]], dtype=torch.float64)

    def rows(delta: torch.Tensor) -> torch.Tensor:
        turned = R @ roma.rotvec_to_rotmat(delta[:, :72].unflatten(1, (24, 3)))
        return seen.predicted(kinematics(turned), place + delta[:, 72:])

    wanted = torch.autograd.functional.jacobian(rows, step)[0, :, 0]
    turn, jacobian = exponential(step[:, :72].unflatten(1, (24, 3)))
    posed = kinematics(R @ turn)
    found = seen.derivatives(kinematics, posed, place + step[:, 72:], posed.global_rotations @ jacobian)[0]
    assert wanted.shape == (75 if depth else 50, 75) and float(wanted.abs().amax(1).min()) >= 0
    torch.testing.assert_close(found[:, :75], wanted, atol=1e-9, rtol=0)


def test_skinned_keypoints_move_with_all_their_joints(skinned_body):
    """Pose-dependent skin is left out, so the body here has none."""
    body = BodyModel(replace(skinned_body.data, posedirs=None))
    kinematics, R = KeypointKinematics(body), poses(1)

    def points(delta: torch.Tensor) -> torch.Tensor:
        return kinematics(R @ roma.rotvec_to_rotmat(delta)).points

    wanted = torch.autograd.functional.jacobian(points, torch.full((1, 24, 3), 1e-9, dtype=torch.float64))
    posed = kinematics(R)
    axes = torch.eye(3, dtype=torch.float64)[None, :, None].expand(1, 3, 25, 3)
    found = kinematics.derivative_by_joints(posed, axes, posed.global_rotations).view(3, 25, 24, 3).transpose(0, 1)
    torch.testing.assert_close(found, wanted[0, :, :, 0], atol=1e-7, rtol=0)


def test_derivatives_by_shape_are_differences_of_shapes(body):
    """Keypoints are linear in the shape, so that a difference of one unit is the derivative."""
    kinematics, R = KeypointKinematics(body), poses(1)
    found = kinematics.derivative_by_shape(kinematics(R))[0]
    shapes = torch.eye(10)
    other = body.keypoints(R.float().expand(10, -1, -1, -1), torch.zeros(10, 3), shapes)
    wanted = (other - body.keypoints(R.float(), torch.zeros(1, 3))).permute(1, 2, 0)
    torch.testing.assert_close(found.float(), wanted, atol=3e-6, rtol=0)


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 0.5, 3.0])
def test_the_exponential_is_romas_and_its_jacobian_its_derivative(scale):
    g = torch.Generator().manual_seed(2)
    delta = scale * torch.randn(4, 3, generator=g, dtype=torch.float64)
    found, jacobian = exponential(delta)
    torch.testing.assert_close(found, roma.rotvec_to_rotmat(delta), atol=1e-9, rtol=0)
    small = 1e-6 * torch.randn(4, 3, generator=g, dtype=torch.float64)
    moved = roma.rotvec_to_rotmat(delta + small)
    along = roma.rotmat_to_rotvec(found.mT @ moved)
    torch.testing.assert_close(along, (jacobian @ small[..., None])[..., 0], atol=1e-10, rtol=1e-4)
