"""The causal filter as a refiner: time steps, new tracks, the followed hypothesis, uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.refinement.filter.pose_covariance import PoseErrors
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.settings import FilterSettings, OneEuroSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D, PoseHypotheses

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


def tracked(*poses: torch.Tensor, followed: int = 0) -> TrackedPoses:
    count = len(poses)
    pelvis = torch.tensor([0.0, 0.0, 3.0]).expand(count, 3)
    made = PoseHypotheses(torch.stack(poses), pelvis, -torch.arange(count).float())
    return TrackedPoses(made, torch.full((count,), 1.0 / count), followed)


def refine(pose_filter, dt_ms, *poses, restarted=False, **kwargs):
    """The state of poses that come so long after the last ones; None: with the first ones of a track."""
    step = (0.0, True) if dt_ms is None else (1e-3 * dt_ms, restarted)
    return pose_filter.refine(tracked(*poses, **kwargs), KEYPOINTS, INTRINSICS, *step).state


def angle_from(state, pose: torch.Tensor) -> float:
    return roma.rotmat_geodesic_distance(state.rotations, pose).max().item()


def test_first_pose_passes_and_joints_are_its_kinematics(body):
    pose = bent(0.5)
    state = refine(PoseFilter(body), None, pose)
    assert torch.equal(state.rotations, pose)
    _, joints = body.forward_kinematics(pose[None], torch.tensor([[0.0, 0.0, 3.0]]))
    assert torch.allclose(state.joint_positions, joints[0])


def test_output_lies_between_the_past_and_the_measurement(body):
    pose_filter = PoseFilter(body)
    refine(pose_filter, None, bent(0.0))
    state = refine(pose_filter, 33, bent(0.4))
    angle = angle_from(state, STILL)
    assert 0.0 < angle < 0.4
    assert angle + angle_from(state, bent(0.4)) == pytest.approx(0.4, abs=1e-4)


@pytest.mark.parametrize("by", ["argument", "reset"])
def test_a_new_track_knows_nothing_of_the_last_one(body, by):
    pose_filter = PoseFilter(body)
    refine(pose_filter, None, bent(0.0))
    if by == "reset":
        pose_filter.reset()
    state = refine(pose_filter, 33, bent(2.0), restarted=by == "argument")
    assert angle_from(state, bent(2.0)) < 1e-6


@pytest.mark.parametrize("dt_ms", [0.0, -33.0, float("nan")])
def test_time_that_does_not_advance_is_refused(body, dt_ms):
    """Repeated and late images are the clock's affair."""
    pose_filter = PoseFilter(body)
    refine(pose_filter, None, bent(0.0))
    with pytest.raises(SettingsError, match="must be positive"):
        refine(pose_filter, dt_ms, bent(0.1))


def test_longer_steps_follow_the_measurement_further(body):
    moved = []
    for dt_ms in (10, 50, 200):
        pose_filter = PoseFilter(body)
        refine(pose_filter, None, bent(0.0))
        moved.append(angle_from(refine(pose_filter, dt_ms, bent(0.4)), STILL))
    assert moved[0] < moved[1] < moved[2]


def test_smoothing_can_be_turned_off_and_on_live(body):
    pose_filter = PoseFilter(body, FilterSettings(enabled=False))
    refine(pose_filter, None, bent(0.0))
    assert angle_from(refine(pose_filter, 33, bent(0.4)), bent(0.4)) < 1e-6
    pose_filter.settings = FilterSettings()
    assert angle_from(refine(pose_filter, 33, bent(-0.4)), bent(-0.4)) > 0.1


def test_settings_take_effect_live(body):
    lags = []
    for cutoff in (0.5, 5.0):
        pose_filter = PoseFilter(body)
        refine(pose_filter, None, bent(0.0))
        pose_filter.settings = FilterSettings(rotation=OneEuroSettings(min_cutoff_hz=cutoff, beta=0.0))
        lags.append(angle_from(refine(pose_filter, 33, bent(0.4)), bent(0.4)))
    assert lags[0] > lags[1]


def test_the_followed_hypothesis_is_taken_with_its_score(body):
    state = refine(PoseFilter(body), None, bent(0.5), bent(-0.5), followed=1)
    assert angle_from(state, bent(-0.5)) < 1e-6
    assert state.score == -1.0


def test_uncertainty_is_told_about_the_published_pose(body):
    """A hypothesis that the filter lags behind is farther from the output than from the followed one."""
    pose_filter, errors = PoseFilter(body), PoseErrors.load()
    refine(pose_filter, None, bent(0.0), bent(0.0))
    hypotheses = tracked(bent(1.0), bent(1.0))
    state, of = pose_filter.refine(hypotheses, KEYPOINTS, INTRINSICS, 0.033, False)
    assert of is hypotheses
    assert angle_from(state, bent(1.0)) > 0.1
    expected = errors.covariances(hypotheses, state.rotations, state.pelvis, torch.ones(25))
    assert torch.equal(state.rotation_covariance, expected[0]) and torch.equal(state.pelvis_covariance, expected[1])
    assert state.rotation_covariance[18, 0, 0] > errors.rotation_prior(torch.ones(25))[18, 0, 0]


def test_hidden_limbs_are_less_certain(body):
    seen = np.ones(25, np.float32)
    hidden = seen.copy()
    hidden[[3, 4]] = 0.0  # the right elbow and wrist
    states = [
        PoseFilter(body)
        .refine(tracked(STILL), Keypoints2D(KEYPOINTS.points_px, c, 640, 480), INTRINSICS, 0.0, True)
        .state
        for c in (seen, hidden)
    ]
    size = [state.rotation_covariance.diagonal(dim1=-2, dim2=-1).sum(-1) for state in states]
    assert size[1][17] > size[0][17], "the right shoulder"
    assert torch.equal(size[1][18], size[0][18]), "the left elbow"
