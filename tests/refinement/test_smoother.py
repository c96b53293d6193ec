"""The smoother as a refiner: stamps, gaps, the followed hypothesis, uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.refinement.filter.pose_covariance import PoseErrors
from diffmocap.refinement.filter.settings import OneEuroSettings, SmootherSettings
from diffmocap.refinement.filter.smoother import Smoother
from diffmocap.types import CameraIntrinsics, Keypoints2D, PoseHypotheses

MS = 1_000_000
KEYPOINTS = Keypoints2D(np.zeros((25, 2), np.float32), np.ones(25, np.float32), 640, 480)
INTRINSICS = CameraIntrinsics.from_fov(640, 480)
STILL = torch.eye(3).expand(24, 3, 3)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def bent(radians: float, joint: int = 18) -> torch.Tensor:
    """[24, 3, 3] T-pose with one joint turned about x."""
    pose = STILL.clone()
    pose[joint] = roma.rotvec_to_rotmat(torch.tensor([radians, 0.0, 0.0]))
    return pose


def tracked(stamp_ms: float, *poses: torch.Tensor, followed: int = 0) -> TrackedPoses:
    count = len(poses)
    pelvis = torch.tensor([0.0, 0.0, 3.0]).expand(count, 3)
    made = PoseHypotheses(torch.stack(poses), pelvis, -torch.arange(count).float(), int(stamp_ms * MS))
    return TrackedPoses(made, torch.full((count,), 1.0 / count), followed)


def refine(smoother, *args, **kwargs):
    return smoother.refine(tracked(*args, **kwargs), KEYPOINTS, INTRINSICS)


def angle_from(state, pose: torch.Tensor) -> float:
    return roma.rotmat_geodesic_distance(state.rotations, pose).max().item()


def test_first_pose_passes_and_joints_are_its_kinematics(body):
    pose = bent(0.5)
    state = refine(Smoother(body), 100, pose)
    assert torch.equal(state.rotations, pose)
    _, joints = body.forward_kinematics(pose[None], torch.tensor([[0.0, 0.0, 3.0]]))
    assert torch.allclose(state.joint_positions, joints[0])
    assert state.stamp_ns == 100 * MS


def test_output_lies_between_the_past_and_the_measurement(body):
    smoother = Smoother(body)
    refine(smoother, 0, bent(0.0))
    state = refine(smoother, 33, bent(0.4))
    angle = angle_from(state, STILL)
    assert 0.0 < angle < 0.4
    assert angle + angle_from(state, bent(0.4)) == pytest.approx(0.4, abs=1e-4)


@pytest.mark.parametrize("stamp_ms", [33, 20])
def test_repeated_and_older_stamps_hold_the_output(body, stamp_ms):
    smoother = Smoother(body)
    refine(smoother, 0, bent(0.0))
    state = refine(smoother, 33, bent(0.2))
    held = refine(smoother, stamp_ms, bent(2.0))
    assert held is state
    assert angle_from(refine(smoother, 66, bent(0.2)), bent(0.2)) < angle_from(state, bent(0.2))


@pytest.mark.parametrize("stamp_ms", [5_700, 100])
def test_a_gap_or_a_jump_back_starts_a_new_track(body, stamp_ms):
    smoother = Smoother(body)
    refine(smoother, 5_000, bent(0.0))
    state = refine(smoother, stamp_ms, bent(2.0))
    assert angle_from(state, bent(2.0)) < 1e-6


def test_reset_starts_a_new_track(body):
    smoother = Smoother(body)
    refine(smoother, 0, bent(0.0))
    smoother.reset()
    assert angle_from(refine(smoother, 33, bent(2.0)), bent(2.0)) < 1e-6


def test_longer_steps_follow_the_measurement_further(body):
    moved = []
    for stamp_ms in (10, 50, 200):
        smoother = Smoother(body)
        refine(smoother, 0, bent(0.0))
        moved.append(angle_from(refine(smoother, stamp_ms, bent(0.4)), STILL))
    assert moved[0] < moved[1] < moved[2]


def test_smoothing_can_be_turned_off_and_on_live(body):
    smoother = Smoother(body, SmootherSettings(enabled=False))
    refine(smoother, 0, bent(0.0))
    assert angle_from(refine(smoother, 33, bent(0.4)), bent(0.4)) < 1e-6
    smoother.settings = SmootherSettings()
    assert angle_from(refine(smoother, 66, bent(-0.4)), bent(-0.4)) > 0.1


def test_settings_take_effect_live(body):
    lags = []
    for cutoff in (0.5, 5.0):
        smoother = Smoother(body)
        refine(smoother, 0, bent(0.0))
        smoother.settings = SmootherSettings(rotation=OneEuroSettings(min_cutoff_hz=cutoff, beta=0.0))
        lags.append(angle_from(refine(smoother, 33, bent(0.4)), bent(0.4)))
    assert lags[0] > lags[1]


def test_the_followed_hypothesis_is_taken_with_its_score(body):
    state = refine(Smoother(body), 0, bent(0.5), bent(-0.5), followed=1)
    assert angle_from(state, bent(-0.5)) < 1e-6
    assert state.score == -1.0


def test_uncertainty_is_told_about_the_published_pose(body):
    """A hypothesis that the filter lags behind is farther from the output than from the followed one."""
    smoother, errors = Smoother(body), PoseErrors.load()
    refine(smoother, 0, bent(0.0), bent(0.0))
    hypotheses = tracked(33, bent(1.0), bent(1.0))
    state = smoother.refine(hypotheses, KEYPOINTS, INTRINSICS)
    assert angle_from(state, bent(1.0)) > 0.1
    expected = errors.covariances(hypotheses, state.rotations, state.pelvis, torch.ones(25))
    assert torch.equal(state.rotation_covariance, expected[0]) and torch.equal(state.pelvis_covariance, expected[1])
    assert state.rotation_covariance[18, 0, 0] > errors.rotation_prior(torch.ones(25))[18, 0, 0]


def test_hidden_limbs_are_less_certain(body):
    seen = np.ones(25, np.float32)
    hidden = seen.copy()
    hidden[[3, 4]] = 0.0  # the right elbow and wrist
    states = [
        Smoother(body).refine(tracked(0, STILL), Keypoints2D(KEYPOINTS.points_px, c, 640, 480), INTRINSICS)
        for c in (seen, hidden)
    ]
    size = [state.rotation_covariance.diagonal(dim1=-2, dim2=-1).sum(-1) for state in states]
    assert size[1][17] > size[0][17], "the right shoulder"
    assert torch.equal(size[1][18], size[0][18]), "the left elbow"


@pytest.mark.parametrize("bad", [{"max_gap_s": 0.0}, {"max_gap_s": float("nan")}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(SettingsError):
        SmootherSettings(**bad)
