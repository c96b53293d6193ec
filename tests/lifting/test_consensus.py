"""The mean over hypotheses of one pose: which ones count, and that it is the mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from diffmocap.body.model import BodyModel
from diffmocap.lifting.tracking.consensus import consensus, consensus_shares
from diffmocap.lifting.tracking.track import HypothesisTrack, TrackSettings
from diffmocap.lifting.tracking.track_break import BreakSettings
from diffmocap.types import PoseHypotheses
from tests.lifting.test_track import BACK, FRAME_S, FRONT, TwoModes, mode_of, modes, step


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def scattered(count: int, worth: list[float] | None = None, score: float = -0.03) -> PoseHypotheses:
    rotvec = np.random.default_rng(0).normal(0.0, 0.4, (count, 24, 3))
    rotations = torch.tensor(Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(count, 24, 3, 3)).float()
    given = None if worth is None else torch.tensor(worth)
    return PoseHypotheses(rotations, torch.randn(count, 3), torch.full((count,), score), 7, worth=given)


def test_the_mean_of_rotations_is_the_chordal_one():
    poses, shares = scattered(4), torch.tensor([0.1, 0.2, 0.3, 0.4])
    mean = consensus(poses, shares)
    for joint in (0, 5, 23):
        expected = Rotation.from_matrix(poses.rotations[:, joint].double().numpy()).mean(shares.numpy()).as_matrix()
        assert mean.rotations[0, joint].numpy() == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(mean.pelvis[0], (shares[:, None] * poses.pelvis).sum(0))
    assert mean.stamp_ns == 7 and len(mean.score) == 1


def test_shares_count_samples_evidence_and_nearness():
    far = torch.ones(3, 3) - torch.eye(3)
    near = 0.01 * far
    assert consensus_shares(scattered(3), near, 0, 0.1, 0.005).tolist() == pytest.approx([1 / 3] * 3)
    assert consensus_shares(scattered(3, [3.0, 1.0, 1.0]), near, 1, 0.1, 0.005).tolist() == pytest.approx(
        [0.6, 0.2, 0.2]
    )
    assert consensus_shares(scattered(3), far, 1, 0.1, 0.005).tolist() == [0.0, 1.0, 0.0]
    poses = scattered(3)
    poses.score[2] -= 0.005 * np.log(2.0)
    assert consensus_shares(poses, near, 0, 0.1, 0.005).tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_one_hypothesis_is_its_own_consensus(body):
    track = HypothesisTrack(body)
    tracked = step(track, lambda previous: TwoModes().lift(previous, 1), count=1)
    assert len(tracked.weights) == len(tracked.poses.score) == 1


@pytest.mark.parametrize("on", [True, False])
def test_of_several_their_mean_is_followed(body, on):
    sampler = TwoModes(share=0.0)
    tracked = step(
        HypothesisTrack(body, TrackSettings(consensus=on)), lambda previous: sampler.lift(previous, 6), count=6
    )
    assert len(tracked.poses.score) == len(tracked.weights) == 6 + on
    if on:
        assert tracked.followed == 0 and float(tracked.weights[0]) == 0.0
        shares = torch.nn.functional.pad((tracked.poses.score[1:] / TrackSettings().score_scale).softmax(0), (1, 0))
        mean = consensus(tracked.poses, shares)
        assert torch.allclose(tracked.poses.rotations[0], mean.rotations[0], atol=1e-5)
    assert float(tracked.weights.sum()) == pytest.approx(1.0, abs=1e-5)


class MeanFirst(TwoModes):
    """Its first hypothesis is worth as many samples as there are."""

    def lift(self, previous, count):
        poses = super().lift(previous, count)
        worth = torch.ones(count)
        worth[0] = count
        return PoseHypotheses(poses.rotations, poses.pelvis, poses.score, worth=worth)


def test_the_mean_leads_and_samples_of_another_pose_do_not_draw_it(body):
    """Half of the samples show the other pose and explain the image better: what leads is the first hypothesis."""
    sampler, track, found = MeanFirst(), HypothesisTrack(body), []

    def lift(previous, continued=False):
        poses = sampler.lift(None, 8)
        poses.rotations[0, 18:20] = TwoModes(share=0.0).lift(None, 1).rotations[0, 18:20]
        poses.score[mode_of(poses.rotations) == BACK] += 0.02
        return poses

    for _ in range(20):
        found.append(step(track, lift, count=8, continues=False))
    assert (modes(found) == FRONT).all() and not any(t.switched for t in found)
    assert all((mode_of(t.poses.rotations[1:]) == BACK).any() for t in found)


def test_several_hypotheses_do_not_leap_there_and_back(body):
    """In one image all of them show the other pose: the ones that continue the last pose are taken."""
    sampler, track, found, asked = MeanFirst(stay=1.0), HypothesisTrack(body), [], 0

    def lift(previous, continued=False):
        nonlocal asked
        asked += continued
        sampler.share = float(sampler.frame == 10)
        return sampler.lift(previous if continued else None, 5)

    for sampler.frame in range(20):
        found.append(step(track, lift, count=5, continues=False, dt_s=FRAME_S))
    assert (modes(found) == FRONT).all() and asked == 1


def test_where_no_hypothesis_explains_the_image_the_mean_goes_on_alone(body):
    """Noise among keypoints that fit no body draws samples anywhere; they are heard, and not averaged."""
    for error, together in ((0.05, True), (0.07, False)):
        sampler = MeanFirst(lambda frame, error=error: (error, error), share=0.0)
        track = HypothesisTrack(body, TrackSettings(lost=BreakSettings(error=0.06)))
        tracked = step(track, lambda previous, s=sampler: s.lift(previous, 5), count=5)
        assert torch.allclose(tracked.poses.rotations[0], tracked.poses.rotations[1], atol=1e-5) != together
