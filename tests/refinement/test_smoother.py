"""The smoother as a refiner: stamps, gaps, hypotheses, uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.refinement.one_euro import OneEuroSettings
from diffmocap.refinement.smoother import PRIOR_ROTATION_VARIANCE, Smoother, SmootherSettings
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


def hypotheses(stamp_ms: float, *poses: torch.Tensor, score=None, pelvis=(0.0, 0.0, 3.0)) -> PoseHypotheses:
    count = len(poses)
    return PoseHypotheses(
        torch.stack(poses),
        torch.tensor(pelvis).expand(count, 3),
        torch.zeros(count) if score is None else torch.tensor(score),
        int(stamp_ms * MS),
    )


def refine(smoother, *args, **kwargs):
    return smoother.refine(hypotheses(*args, **kwargs), KEYPOINTS, INTRINSICS)


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


def test_without_a_past_the_best_score_wins(body):
    state = refine(Smoother(body), 0, bent(0.5), bent(-0.5), score=[-0.03, -0.02])
    assert angle_from(state, bent(-0.5)) < 1e-6


@pytest.mark.parametrize("selection, follows", [("consistent", 0.5), ("best", -0.5)])
def test_selection_prefers_the_past_unless_told_otherwise(body, selection, follows):
    """Two mirror solutions of almost equal score: the elbow must not flip between them."""
    smoother = Smoother(body, SmootherSettings(enabled=False, selection=selection))
    refine(smoother, 0, bent(0.5))
    state = refine(smoother, 33, bent(-0.5), bent(0.5), score=[-0.020, -0.021])
    assert angle_from(state, bent(follows)) < 1e-6


def test_a_clearly_better_score_overrules_the_past(body):
    smoother = Smoother(body, SmootherSettings(enabled=False))
    refine(smoother, 0, bent(0.5))
    assert angle_from(refine(smoother, 33, bent(-0.5), bent(0.5), score=[-0.02, -0.4]), bent(-0.5)) < 1e-6


def test_variance_is_the_spread_of_the_hypotheses(body):
    """Hypotheses at +-s about one axis of one joint: s^2 / 3 per axis there, nothing elsewhere."""
    state = refine(Smoother(body), 0, bent(0.0), bent(0.2), bent(-0.2), score=[0.0, -1.0, -1.0])
    expected = torch.zeros(24)
    expected[18] = 2 * 0.2**2 / 3 / 3
    assert torch.allclose(state.rotation_variance, expected, atol=1e-6)


def test_a_single_hypothesis_becomes_certain_as_it_keeps_agreeing(body):
    smoother = Smoother(body)
    first = refine(smoother, 0, STILL)
    assert torch.allclose(first.rotation_variance, torch.full((24,), PRIOR_ROTATION_VARIANCE))
    for i in range(1, 90):
        last = refine(smoother, 33 * i, STILL)
    assert (last.rotation_variance < 0.02 * first.rotation_variance).all()
    assert (last.pelvis_variance < 0.02 * first.pelvis_variance).all()


def test_a_single_noisy_joint_shows_in_the_variance(body):
    smoother, generator = Smoother(body), torch.Generator().manual_seed(0)
    for i in range(90):
        state = refine(smoother, 33 * i, bent(0.2 * torch.randn((), generator=generator).item()))
    assert state.rotation_variance[18] > 10 * state.rotation_variance[17]
    assert 0.1 * 0.2**2 / 3 < state.rotation_variance[18] < 2 * 0.2**2 / 3


@pytest.mark.parametrize(
    "bad", [{"selection": "median"}, {"consistency": -1.0}, {"max_gap_s": 0.0}, {"residual_time_s": float("nan")}]
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(SettingsError):
        SmootherSettings(**bad)
