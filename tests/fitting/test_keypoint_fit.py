"""The objective of a fit and its unknowns: laws of projection and of least squares, and the prior of poses."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.camera.projection import rays_to
from diffmocap.errors import ModelFileError, SettingsError
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.fitting.keypoint_fit import HEADINGS, KEYPOINT_UNIT, KeypointFit
from diffmocap.fitting.pose_prior import POSE_NUMBERS, PosePrior
from diffmocap.lifting.network.condition import FACING, condition_from_rays, depth_beyond_mid_hip
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget

COUNT = 6


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    return PosePrior.load()


@pytest.fixture(scope="module")
def poses(prior) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations [6, 24, 3, 3] drawn from the prior, with any heading, and pelvises [6, 3] m off the optical axis."""
    g = torch.Generator().manual_seed(1)
    rotations = torch.cat(
        [torch.eye(3).expand(COUNT, 1, 3, 3), prior.rotations(torch.randn(COUNT, 69, generator=g))], 1
    )
    yaw = torch.rand(COUNT, generator=g) * 2 * math.pi
    heading = roma.rotvec_to_rotmat(torch.stack([torch.zeros(COUNT), yaw, torch.zeros(COUNT)], -1))
    rotations[:, 0] = torch.tensor(FACING).diag() @ heading
    return rotations, torch.tensor([0.8, -0.3, 4.0]) + 0.5 * torch.randn(COUNT, 3, generator=g)


def fit_of(body, prior, poses, noise=0.0, confidence=None, depth=False, turn=None, offset=None) -> KeypointFit:
    """Fits of what a camera sees of the poses; ``offset`` [25, 2] over the box's half-size is added."""
    points = body.keypoints(*poses)
    if turn is not None:
        points = points @ turn.T
    rays, seen = rays_to(points), torch.ones(COUNT, 25) if confidence is None else confidence
    exact = condition_from_rays(rays, seen, noise)
    told = depth_beyond_mid_hip(points, exact.R_camera_crop) if depth else None
    condition = condition_from_rays(rays, seen, noise, told)
    if offset is not None:
        condition.points = condition.points + offset
    return KeypointFit(body, prior, condition)


def test_unknowns_are_the_inverse_of_the_pose(body, prior, poses) -> None:
    fit = fit_of(body, prior, poses)
    rotations, pelvis = fit.pose(fit.unknowns(*poses))
    torch.testing.assert_close(rotations, poses[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(pelvis, poses[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("depth", [False, True])
def test_at_the_truth_the_prior_alone_is_left(body, prior, poses, depth) -> None:
    """Exact keypoints and depths: half the sum of squares is that of the numbers drawn from the prior."""
    fit = fit_of(body, prior, poses, depth=depth)
    x = fit.unknowns(*poses)
    torch.testing.assert_close(fit.loss(x), 0.5 * prior.numbers(poses[0][:, 1:]).square().sum(1), rtol=1e-3, atol=0)
    assert fit.residuals(x).shape == (COUNT, 50 + POSE_NUMBERS + (25 if depth else 0))
    moved = x.clone()
    moved[:, -1] += math.log(1.01)  # farther away along the ray by a hundredth
    torch.testing.assert_close(fit.pose(moved)[1], 1.01 * poses[1])
    assert float(fit.residuals(moved)[:, :50].abs().amax(1).min()) * KEYPOINT_UNIT > 0.008  # in a box of half-size 1


def test_noise_and_missing_keypoints_count_as_they_should(body, prior, poses) -> None:
    """Twice the told noise is a quarter of the keypoints' part; what is not seen has no part at all."""
    g = torch.Generator().manual_seed(2)
    offset = 0.05 * torch.randn(25, 2, generator=g)
    parts = []
    for noise in (0.02, 0.04):
        fit = fit_of(body, prior, poses, noise=noise, offset=offset)
        parts.append(fit.loss(fit.unknowns(*poses)) - 0.5 * prior.numbers(poses[0][:, 1:]).square().sum(1))
    expected = 0.5 * offset.square().sum() / 0.02**2
    torch.testing.assert_close(parts[0], expected.expand(COUNT), rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(parts[0], 4 * parts[1], rtol=1e-3, atol=1e-2)
    seen = torch.ones(COUNT, 25)
    seen[:, :5] = 0.0
    fit = fit_of(body, prior, poses, noise=0.02, confidence=seen, offset=offset)
    part = fit.loss(fit.unknowns(*poses)) - 0.5 * prior.numbers(poses[0][:, 1:]).square().sum(1)
    torch.testing.assert_close(part, (0.5 * offset[5:].square().sum() / 0.02**2).expand(COUNT), rtol=1e-3, atol=1e-2)


def test_a_turned_camera_changes_the_place_in_the_image_and_nothing_else(body, prior, poses) -> None:
    turn = roma.rotvec_to_rotmat(torch.tensor([0.1, 0.25, 0.0]))
    straight, turned = fit_of(body, prior, poses), fit_of(body, prior, poses, turn=turn)
    seen = _turned(poses, turn)
    x = turned.unknowns(*seen)
    rotations, pelvis = turned.pose(x)
    torch.testing.assert_close(pelvis, poses[1] @ turn.T, rtol=0, atol=1e-5)
    torch.testing.assert_close(rotations[:, 0], turn @ poses[0][:, 0], rtol=0, atol=1e-5)
    assert float(turned.residuals(x)[:, :50].abs().max()) < 0.01
    torch.testing.assert_close(turned.loss(x), straight.loss(straight.unknowns(*poses)), rtol=1e-3, atol=0)
    assert float((straight.condition.view[:, :2] - turned.condition.view[:, :2]).abs().max()) > 0.1


def _turned(poses, turn) -> tuple[torch.Tensor, torch.Tensor]:
    rotations = poses[0].clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    return rotations, poses[1] @ turn.T


def test_the_start_has_the_heading_of_a_body_in_the_mean_pose(body, prior) -> None:
    angles = torch.arange(HEADINGS) * (2 * math.pi / HEADINGS) + 0.2
    heading = roma.rotvec_to_rotmat(torch.stack([torch.zeros(HEADINGS), angles, torch.zeros(HEADINGS)], -1))
    rotations = prior.mean.expand(HEADINGS, 24, 3, 3).clone()
    rotations[:, 0] = torch.tensor(FACING).diag() @ heading
    pelvis = torch.tensor([0.0, 0.0, 4.0]).expand(HEADINGS, 3)
    rays = rays_to(body.keypoints(rotations, pelvis))
    fit = KeypointFit(body, prior, condition_from_rays(rays, torch.ones(HEADINGS, 25)))
    found = fit.pose(fit.init(HEADINGS))
    off = roma.rotmat_geodesic_distance(found[0][:, 0], rotations[:, 0])
    assert float(off.max()) < 0.3, "0.2 of the heading, and the tilt of the ray"
    torch.testing.assert_close(found[0][:, 1:], rotations[:, 1:])
    assert float((found[1][:, 2] / 4.0 - 1).abs().max()) < 0.3
    with pytest.raises(SettingsError, match="4 fits, 3 starts"):
        fit.init(3)


def test_a_row_is_the_problem_alone_and_context_tells_it_apart(body, prior, poses) -> None:
    fit = fit_of(body, prior, poses, noise=0.02)
    x = fit.init(COUNT)
    loss, gradient = fit.loss_and_gradient(x)
    alone, at = fit.row(3).loss_and_gradient(x[3:4])
    torch.testing.assert_close(alone, loss[3:4], rtol=1e-4, atol=0)
    torch.testing.assert_close(at, gradient[3:4], rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))
    context = fit.context(x)
    assert context.shape == (COUNT, 77) and torch.equal(context[:, :50], fit.condition.points.flatten(1))
    torch.testing.assert_close(fit.row(3).context(x[3:4]), context[3:4])
    assert torch.pdist(context).min() > 0.1


def test_a_search_from_the_start_comes_near_exact_keypoints(body, prior, poses) -> None:
    fit = fit_of(body, prior, (poses[0][:1].repeat(COUNT, 1, 1, 1), poses[1][:1].repeat(COUNT, 1))).row(0)
    start = fit.init(1)
    result = Lbfgs().minimize(fit, start, Budget(evaluations=150))
    assert float(result.loss) < 0.02 * float(result.losses[0, 0])


def test_numbers_of_the_prior_are_standard_normal_on_what_it_was_made_of(mocap_dir) -> None:
    frames = PoseFrames.load(mocap_dir / "cmu_smpl30_val.npz").rotations
    prior = PosePrior.of_rotations(frames)
    numbers = prior.numbers(frames[:, 1:])
    torch.testing.assert_close(prior.rotations(numbers), frames[:, 1:], rtol=0, atol=1e-4)
    covariance = numbers.double().T @ numbers.double() / len(numbers)
    # The floor keeps joints that hardly move below 1; together they never exceed it.
    assert 0.99 < float(torch.linalg.eigvalsh(covariance)[-1]) < 1.01
    turned = frames.clone()
    turned[:, 0] = roma.rotvec_to_rotmat(torch.tensor([0.0, 1.0, 0.0])) @ turned[:, 0]
    torch.testing.assert_close(PosePrior.of_rotations(turned).factor, prior.factor)


def test_the_shipped_prior_knows_poses_that_it_has_not_seen(prior, mocap_dir) -> None:
    frames = PoseFrames.load(mocap_dir / "cmu_smpl30_test.npz").rotations
    assert 0.2 < float(prior.numbers(frames[:, 1:]).square().mean()) < 5


def test_priors_are_read_as_they_were_written_and_others_refused(tmp_path, prior) -> None:
    path = tmp_path / "prior.safetensors"
    prior.save(path)
    again = PosePrior.load(path)
    assert torch.equal(again.mean, prior.mean) and torch.equal(again.factor, prior.factor)
    PosePrior(prior.mean[:3], prior.factor).save(path)
    with pytest.raises(ModelFileError, match=r"no prior of poses.*training\.motions\.pose_prior"):
        PosePrior.load(path)
    with pytest.raises(ModelFileError, match="does not exist"):
        PosePrior.load(tmp_path / "none.safetensors")
