"""The body against smplx's own forward pass, and the laws its kinematics keep."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.kinematics import forward_kinematics
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES, KEYPOINT_MIRROR, KEYPOINT_NAMES, LEVELS, PARENTS
from diffmocap.physics.contact_points import ContactPoints
from tests.body.smplx_layer import smplx_layer


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture()
def pose() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    return {
        "aa": 0.5 * torch.randn(6, 24, 3, generator=g),
        "betas": torch.randn(6, 10, generator=g),
        "transl": torch.randn(6, 3, generator=g),
    }


def test_agrees_with_smplx(body, pose):
    out = smplx_layer(body, 6)(
        betas=pose["betas"],
        global_orient=pose["aa"][:, 0],
        body_pose=pose["aa"][:, 1:].flatten(1),
        transl=pose["transl"],
    )
    rotations = roma.rotvec_to_rotmat(pose["aa"])
    pelvis = pose["transl"] + body.rest_joints(pose["betas"])[:, 0]
    _, joints = body.forward_kinematics(rotations, pelvis, pose["betas"])
    assert torch.allclose(joints, out.joints[:, :24], atol=2e-6)
    assert torch.allclose(body.vertices(rotations, pelvis, pose["betas"]), out.vertices, atol=3e-6)
    keypoints = body.keypoints(rotations, pelvis, pose["betas"])
    # smplx appends nose, right eye, left eye, right ear, left ear, then the feet.
    for k, name in (
        (0, "nose"),
        (15, "reye"),
        (16, "leye"),
        (17, "rear"),
        (18, "lear"),
        (19, "LBigToe"),
        (24, "RHeel"),
    ):
        assert torch.allclose(keypoints[:, k], out.vertices[:, body.vertex_ids[name]], atol=3e-6), KEYPOINT_NAMES[k]


def test_pose_dependent_shape_agrees_with_smplx(body, pose):
    from dataclasses import replace

    rng = np.random.default_rng(0)
    posedirs = 1e-3 * rng.standard_normal((len(body.data.v_template), 3, 207)).astype(np.float32)
    body = BodyModel(replace(body.data, posedirs=posedirs))
    rotations = roma.rotvec_to_rotmat(pose["aa"])
    pelvis = body.rest_joints()[:, 0].expand(6, 3)
    out = smplx_layer(body, 6)(global_orient=pose["aa"][:, 0], body_pose=pose["aa"][:, 1:].flatten(1))
    assert torch.allclose(body.vertices(rotations, pelvis), out.vertices, atol=5e-6)
    nose = body.keypoints(rotations, pelvis)[:, 0]
    assert torch.allclose(nose, out.vertices[:, body.vertex_ids["nose"]], atol=5e-6)


def test_rigid_motion_moves_everything_alike(body, pose):
    rotations, R = roma.rotvec_to_rotmat(pose["aa"]), roma.random_rotmat(6)
    moved = torch.cat([(R @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    zero = torch.zeros(6, 3)
    expected = body.keypoints(rotations, zero) @ R.transpose(-1, -2) + pose["transl"][:, None]
    assert torch.allclose(body.keypoints(moved, pose["transl"]), expected, atol=1e-5)


def test_bone_lengths_do_not_depend_on_pose(body, pose):
    rest = body.rest_joints()[0]
    _, joints = body.forward_kinematics(roma.rotvec_to_rotmat(pose["aa"]), pose["transl"])
    parents = list(PARENTS[1:])
    length = (joints[:, 1:] - joints[:, parents]).norm(dim=-1)
    assert torch.allclose(length, (rest[1:] - rest[parents]).norm(dim=-1).expand_as(length), atol=1e-5)


def test_keypoint_gradient_agrees_with_finite_differences(body):
    aa = 0.3 * torch.randn(1, 24, 3, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(25, 3, generator=torch.Generator().manual_seed(2))

    def f(v: torch.Tensor) -> torch.Tensor:
        return (body.keypoints(roma.rotvec_to_rotmat(v), torch.zeros(1, 3))[0] * weight).sum()

    variable = aa.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(variable), variable)
    direction = torch.randn(aa.shape, generator=torch.Generator().manual_seed(5))
    h = 1e-2
    numeric = (f(aa + h * direction) - f(aa - h * direction)) / (2 * h)
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=2e-2)


def test_rest_pose_is_a_symmetric_t_pose_on_smpl_axes(body):
    joints = body.rest_joints()[0]
    assert torch.allclose(joints[list(JOINT_MIRROR)] * torch.tensor([-1.0, 1, 1]), joints, atol=2e-3)
    names = {n: joints[i] for i, n in enumerate(JOINT_NAMES)}
    assert names["left_wrist"][0] > names["left_elbow"][0] > names["left_shoulder"][0] > 0
    assert abs(float(names["left_wrist"][1] - names["left_shoulder"][1])) < 0.05
    assert names["head"][1] > names["neck"][1] > names["pelvis"][1] > names["left_knee"][1] > names["left_ankle"][1]
    keypoints = body.keypoints(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 3))[0]
    nose, ear = keypoints[0], keypoints[18]
    assert nose[2] > ear[2] and ear[0] > 0  # the nose points forward, the left ear lies on +x
    assert torch.allclose(keypoints[list(KEYPOINT_MIRROR)] * torch.tensor([-1.0, 1, 1]), keypoints, atol=5e-3)
    height = float(body.template[:, 1].max() - body.template[:, 1].min())
    assert 1.6 < height < 1.8


def test_joints_and_contacts_are_the_same_numbers_on_every_processor(body):
    """Sums over vertices are exact sums, rounded once: no order of adding leaves a trace in them."""
    regressor, template = body.data.regressor.astype(float), body.data.v_template.astype(float)
    exact = [[math.fsum(row * template[:, axis]) for axis in range(3)] for row in regressor]
    assert np.array_equal(body.rest_joints()[0].numpy(), np.array(exact, np.float32))
    contacts = ContactPoints.from_body(body)
    toe, carrier = contacts.names.index("left_toe"), 10
    foot = template[np.isin(body.data.weights.argmax(1), (7, 10))]
    along = (foot[:, 2] - foot[:, 2].min()) / np.ptp(foot[:, 2])
    skin = foot[(along > 0.9) & (along <= 1.0)]
    lowest = skin[skin[:, 1] < skin[:, 1].min() + 0.005]
    mean = np.array([math.fsum(column) / len(lowest) for column in lowest.T])
    offset = (mean - body.rest_joints()[0, carrier].double().numpy()).astype(np.float32)
    assert np.array_equal(contacts.offset[toe].numpy(), offset)


def test_levels_cover_the_tree_with_parents_first():
    seen: set[int] = set()
    for level in LEVELS:
        assert all(PARENTS[j] in seen or PARENTS[j] == -1 for j in level)
        seen |= set(level)
    assert sorted(seen) == list(range(24))


def test_sixd_round_trip_and_scale_invariance():
    R = roma.random_rotmat(50)
    assert torch.allclose(matrix_from_6d(sixd_from_matrix(R)), R, atol=1e-6)
    scale = torch.rand(50, 1) + 0.5
    assert torch.allclose(matrix_from_6d(sixd_from_matrix(R) * scale), R, atol=1e-5)
    noisy = matrix_from_6d(torch.randn(50, 6))
    assert torch.allclose(noisy @ noisy.transpose(-1, -2), torch.eye(3).expand(50, 3, 3), atol=1e-4)
    assert torch.allclose(torch.linalg.det(noisy), torch.ones(50), atol=1e-4)


@pytest.mark.parametrize("shapes", (1, 6))
@pytest.mark.parametrize(
    "dtypes", ((torch.float32, torch.float32), (torch.float32, torch.float64), (torch.float64,) * 2)
)
def test_machine_code_poses_the_body_as_torch_does(body, pose, shapes, dtypes):
    rotations = roma.rotvec_to_rotmat(pose["aa"]).to(dtypes[0]).mT  # not contiguous
    pelvis, rest = pose["transl"].to(dtypes[1]), body.rest_joints(pose["betas"][:shapes]).to(dtypes[0])
    if dtypes[0] == dtypes[1]:
        by_torch = forward_kinematics(rotations.clone().requires_grad_(), pelvis, rest)
        assert all(x.requires_grad for x in by_torch)
    else:  # torch multiplies no two types: machine code takes the wider one
        by_torch = forward_kinematics(rotations.double(), pelvis, rest.double())
    with torch.no_grad():
        compiled = forward_kinematics(rotations.requires_grad_(dtypes[0] == dtypes[1]), pelvis, rest)
    for a, b in zip(compiled, by_torch, strict=True):
        assert a.dtype == b.dtype and not a.requires_grad
        torch.testing.assert_close(a, b.detach(), atol=1e-6 if dtypes[0] == torch.float32 else 1e-12, rtol=0.0)


@pytest.mark.parametrize("swells", [False, True], ids=["rigid skin", "skin that follows the pose"])
def test_machine_code_places_keypoints_as_torch_does(body, pose, swells):
    data = body.data
    if swells:
        pose_dirs = 0.01 * np.random.default_rng(0).standard_normal((len(data.v_template), 3, 207))
        data = replace(data, posedirs=pose_dirs.astype(np.float32))
    model, rotations = BodyModel(data), roma.rotvec_to_rotmat(pose["aa"])
    by_torch = model.joints_and_keypoints(rotations, pose["transl"])
    with torch.no_grad():
        compiled = model.joints_and_keypoints(rotations, pose["transl"])
        assert model.keypoints(rotations[:0], pose["transl"][:0]).shape == (0, 25, 3)
    for a, b in zip(compiled, by_torch, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=0.0)


def test_machine_code_poses_nobody_and_keeps_nan_in_its_limb(body, pose):
    rotations = roma.rotvec_to_rotmat(pose["aa"])
    with torch.no_grad():
        turned, joints = forward_kinematics(rotations[:0], pose["transl"][:0], body.rest_joints())
        assert turned.shape == (0, 24, 3, 3) and joints.shape == (0, 24, 3)
        rotations[2, 4] = torch.nan  # the left knee
        _, joints = forward_kinematics(rotations, pose["transl"], body.rest_joints())
    broken = joints.isnan().any(-1)
    below = [JOINT_NAMES.index(name) for name in ("left_ankle", "left_foot")]
    assert broken[2].nonzero().flatten().tolist() == below and not broken[[0, 1, 3, 4, 5]].any()
