"""The correction's analytic derivatives against automatic ones, and its keypoints against the body's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.exponential import exponential
from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction import keypoint_jacobian, observation
from diffmocap.lifting.correction.keypoint_jacobian import keypoint_body
from diffmocap.lifting.correction.keypoint_noise import CANDIDATES
from diffmocap.lifting.correction.records import Workspace, workspace


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


def posed(body: BodyModel, rotations: torch.Tensor) -> Workspace:
    """Of rotations [24, 3, 3]."""
    constants = keypoint_body(body)
    work = workspace(len(constants.joint), CANDIDATES, 1)
    keypoint_jacobian.pose(constants, rotations.numpy(), work.posed)
    return work


def in_double(body: BodyModel) -> BodyModel:
    """The same body, whose kinematics are float64."""
    double = BodyModel(body.data)
    for name, value in vars(double).items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            setattr(double, name, value.double())
    return double


def turned(R: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    return R @ roma.rotvec_to_rotmat(delta.view(24, 3))


@pytest.mark.parametrize("which", ["body", "skinned_body"])
def test_keypoints_are_the_bodys(which, request):
    body = request.getfixturevalue(which)
    for R in poses(3):
        found = posed(body, R).posed
        double = in_double(body)
        wanted = double.keypoints(R[None], torch.zeros(1, 3).double())[0]
        np.testing.assert_allclose(found.points, wanted, atol=1e-12)
        rotations, joints = double.forward_kinematics(R[None], torch.zeros(1, 3).double())
        np.testing.assert_allclose(found.joints, joints[0], atol=1e-12)
        np.testing.assert_allclose(found.rotations, rotations[0], atol=1e-12)


@pytest.mark.parametrize("depth", [False, True])
def test_derivatives_are_those_of_autograd(body, depth):
    """Of all 25 keypoints by all rotations and the pelvis, about a pose that has left the start."""
    (R,), rows = poses(1), 75 if depth else 50
    g = torch.Generator().manual_seed(1)
    step = 0.4 * torch.randn(75, generator=g, dtype=torch.float64)
    place, double = torch.tensor([0.3, -0.2, 4.0], dtype=torch.float64), in_double(body)

    def predicted(delta: torch.Tensor) -> torch.Tensor:
        points = double.keypoints(turned(R, delta[:72])[None], (place + delta[72:])[None])[0]
        x, y, z = points.unbind(-1)
        return torch.cat([x / z / 0.3, y / z / 0.3, z - z[observation.MID_HIP]])[:rows]

    wanted = torch.autograd.functional.jacobian(predicted, step)
    work = posed(body, turned(R, step[:72]))
    seen, here, turns = np.ones(rows, bool), (place + step[72:]).numpy(), np.empty((24, 3, 3))
    for j in range(24):
        exponential(step[3 * j : 3 * j + 3].numpy(), np.empty((3, 3)), turns[j])
    turns = work.posed.rotations @ turns
    observation.pack(seen, work.posed, here[2], work.packed)
    observation.differentiate(keypoint_body(body), work.posed, here, 0.3, turns, work.packed, work.derivatives)
    found = work.derivatives
    np.testing.assert_allclose(found.by_joints[:rows], wanted[:, :72], atol=1e-9)
    np.testing.assert_allclose(found.by_place[:rows], wanted[:, 72:], atol=1e-12)
    values = np.zeros(rows)
    left = np.empty(rows)
    observation.residual(values, 0.3, work.posed, here, left)
    np.testing.assert_allclose(left, -predicted(step), atol=1e-12)
    # What is made of them where they are packed: products with a step and with a gain.
    other, gain = np.random.default_rng(0).standard_normal(75), np.random.default_rng(1).standard_normal(rows)
    constants, out = keypoint_body(body), np.empty(75)
    moves = [observation.step_moves(constants, work.packed, found, row, other) for row in range(rows)]
    np.testing.assert_allclose(moves, wanted @ torch.from_numpy(other), atol=1e-9)
    observation.gather(constants, work.packed, found, gain, out)
    np.testing.assert_allclose(out, wanted.T @ torch.from_numpy(gain), atol=1e-9)


def test_skinned_keypoints_move_with_all_their_joints(skinned_body):
    """Pose-dependent skin is left out, so the body here has none."""
    body, (R,) = BodyModel(replace(skinned_body.data, posedirs=None)), poses(1)
    double = in_double(body)

    def points(delta: torch.Tensor) -> torch.Tensor:
        return double.keypoints(turned(R, delta)[None], torch.zeros(1, 3).double())[0]

    wanted = torch.autograd.functional.jacobian(points, torch.full((72,), 1e-9, dtype=torch.float64))
    work = posed(body, R)
    keypoint_jacobian.by_joints(keypoint_body(body), work.posed, work.posed.rotations, work.derivatives)
    np.testing.assert_allclose(work.derivatives.points_by_joints, wanted, atol=1e-7)


@pytest.mark.parametrize("which", ["body", "skinned_body"])
def test_derivatives_by_shape_are_differences_of_shapes(which, request):
    """Keypoints are linear in the shape, so that a difference of one unit is the derivative."""
    body, (R,) = request.getfixturevalue(which), poses(1)
    work = posed(body, R)
    keypoint_jacobian.by_shape(keypoint_body(body), work.posed, work.derivatives)
    origin, each = torch.zeros(10, 3).double(), R.expand(10, -1, -1, -1)
    double = in_double(body)
    other = double.keypoints(each, origin, torch.eye(10).double()) - double.keypoints(each, origin)
    np.testing.assert_allclose(work.derivatives.points_by_shape, other.permute(1, 2, 0), atol=2e-7)


@pytest.mark.parametrize("scale", [0.0, 1e-7, 1e-3, 0.5, 3.0])
def test_the_exponential_is_romas_and_its_jacobian_its_derivative(scale):
    g = torch.Generator().manual_seed(2)
    for delta in scale * torch.randn(4, 3, generator=g, dtype=torch.float64):
        found, jacobian = np.empty((3, 3)), np.empty((3, 3))
        exponential(delta.numpy(), found, jacobian)
        np.testing.assert_allclose(found, roma.rotvec_to_rotmat(delta), atol=1e-9)
        small = 1e-6 * torch.randn(3, generator=g, dtype=torch.float64)
        along = roma.rotmat_to_rotvec(torch.from_numpy(found).T @ roma.rotvec_to_rotmat(delta + small))
        np.testing.assert_allclose(along, jacobian @ small.numpy(), atol=1e-10, rtol=1e-4)
