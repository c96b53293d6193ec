"""The track over a sampler that is ambiguous on purpose: flips, corrections, breaks, changing numbers of hypotheses."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.lifting.tracking.leap_guard import LeapGuard, LeapSettings
from diffmocap.lifting.tracking.track import HypothesisTrack, TrackSettings
from diffmocap.lifting.tracking.track_break import BreakDetector, BreakSettings
from diffmocap.types import Keypoints2D, PoseHypotheses

FRAME_S = 1 / 30
FRONT, BACK = 0, 1


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def keypoints(x_px: float = 100.0, confidence: float = 1.0) -> Keypoints2D:
    points = np.random.default_rng(0).uniform(0, 100, (25, 2)) + [x_px, 100.0]
    seen = np.full(25, confidence, np.float32)
    return Keypoints2D(points.astype(np.float32), seen, 640, 480)


class TwoModes:
    """Samples of two poses, both elbows bent to the front or to the back, with a little noise.

    Args:
        error: mean reprojection error of each pose, a function of the frame.
        share: probability that a sample from the image alone shows the back.
        stay: probability that a sample stays with the pose that it continues.
    """

    def __init__(self, error=lambda frame: (0.03, 0.03), share: float = 0.5, stay: float = 0.9, seed: int = 0):
        self.error, self.share, self.stay = error, share, stay
        self.g = torch.Generator().manual_seed(seed)
        self.frame = 0
        self.calls: list[PoseHypotheses | None] = []
        self.best: list[int] = []

    def lift(self, previous: PoseHypotheses | None, count: int) -> PoseHypotheses:
        self.calls.append(previous)
        mode = (torch.rand(count, generator=self.g) < self.share).long()
        if previous is not None:
            assert len(previous.score) == count
            known = torch.ones(count, dtype=torch.bool) if previous.known is None else previous.known
            stays = (torch.rand(count, generator=self.g) < self.stay) & known
            mode = torch.where(stays, mode_of(previous.rotations), mode)
        rotations = torch.eye(3).repeat(count, 24, 1, 1)
        angle = torch.where(mode == BACK, 1.3, -1.3)
        bend = torch.stack([torch.zeros(count), angle, torch.zeros(count)], -1)
        rotations[:, 18], rotations[:, 19] = roma.rotvec_to_rotmat(bend), roma.rotvec_to_rotmat(bend)
        wobble = roma.rotvec_to_rotmat(0.03 * torch.randn(count, 24, 3, generator=self.g))
        errors = torch.tensor(self.error(self.frame))[mode] + 0.004 * torch.randn(count, generator=self.g)
        poses = PoseHypotheses(rotations @ wobble, torch.zeros(count, 3), -errors)
        self.best.append(int(mode[poses.best]))
        return poses


def mode_of(rotations: torch.Tensor) -> torch.Tensor:
    return (roma.rotmat_to_rotvec(rotations[..., 18, :, :])[..., 1] > 0).long()


def run(track: HypothesisTrack, sampler: TwoModes, frames: int, count: int = 8) -> list:
    """The tracked poses of the next frames."""
    out = []
    for _ in range(frames):
        out.append(step(track, lambda previous: sampler.lift(previous, count), count=count))
        sampler.frame += 1
    return out


def step(
    track: HypothesisTrack, lift, seen: Keypoints2D | None = None, count: int = 8, dt_s: float = FRAME_S, **kwargs
):
    """One image, by default of a person who stands where they stood."""
    return track.step(lift, seen or keypoints(), count, dt_s, **{"restarted": False, **kwargs})


def modes(tracked: list) -> np.ndarray:
    return np.array([int(mode_of(t.poses.rotations[t.followed])) for t in tracked])


@pytest.mark.parametrize("seed", range(3))
def test_equally_good_poses_do_not_flicker(body, seed):
    sampler = TwoModes(seed=seed)
    followed = modes(run(HypothesisTrack(body), sampler, 150))
    assert np.abs(np.diff(sampler.best)).sum() > 20, "the best of each image was meant to flip"
    assert np.abs(np.diff(followed)).sum() == 0


def test_without_tracking_the_best_score_is_followed(body):
    sampler = TwoModes()
    tracked = run(HypothesisTrack(body, TrackSettings(enabled=False)), sampler, 50)
    assert [t.followed for t in tracked] == [t.poses.best for t in tracked]
    assert np.abs(np.diff(modes(tracked))).sum() > 5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("advantage", [0.03, 0.05])
def test_better_evidence_is_followed_within_the_time_that_the_settings_say(body, seed, advantage):
    """From frame 60 on the back explains the images better; nobody samples it but the fresh hypotheses."""
    settings = TrackSettings()
    sampler = TwoModes(lambda frame: (0.03, 0.3) if frame < 60 else (0.03 + advantage, 0.03), stay=1.0, seed=seed)
    followed = modes(run(HypothesisTrack(body, settings), sampler, 120))
    assert not followed[:60].any()
    m = advantage / settings.score_scale
    expected_s = settings.memory_s * math.log((m - settings.birth) / (m - settings.switch_margin))
    switched = int(np.flatnonzero(followed)[0]) - 60
    # Two fresh samples per image miss the back in every fourth.
    assert switched * FRAME_S <= expected_s + 5 * FRAME_S
    assert followed[60 + switched :].all()


def test_a_single_bad_image_does_not_turn_the_body(body):
    """The other pose is far better in one image of twenty."""
    sampler = TwoModes(lambda frame: (0.05, 0.02) if frame % 20 == 10 else (0.03, 0.03))
    followed = modes(run(HypothesisTrack(body), sampler, 150))
    assert np.abs(np.diff(followed)).sum() == 0


def test_a_pose_that_only_the_model_prefers_is_found(body):
    """Both poses cover the keypoints, but all samples from the image alone agree: the track was wrong."""
    sampler = TwoModes(share=0.0)
    track = HypothesisTrack(body, TrackSettings(switch_margin=1.0))
    run(track, sampler, 30)
    sampler.share, sampler.stay = 1.0, 1.0
    assert modes(run(track, sampler, 60))[-1] == BACK


def test_order_of_the_hypotheses_does_not_matter(body):
    """The same samples in another order get the same weights."""
    weights = []
    for order in (torch.arange(8), torch.tensor([0, 3, 5, 1, 7, 2, 4, 6])):
        sampler, track = TwoModes(stay=0.0), HypothesisTrack(body, TrackSettings(fresh_share=0.0))
        for frame in range(5):
            sampler.frame = frame
            poses = sampler.lift(None, 8)
            poses = PoseHypotheses(poses.rotations[order], poses.pelvis[order], poses.score[order])
            tracked = step(track, lambda previous, poses=poses: poses)
        weights.append(tracked.weights[1:][order.argsort()])  # the consensus comes before them
    assert torch.allclose(*weights, atol=1e-5)
    assert weights[0].sum() == pytest.approx(1.0, abs=1e-5)


def test_the_followed_pose_comes_first_and_the_last_ones_are_fresh(body):
    sampler, track = TwoModes(), HypothesisTrack(body)
    tracked = run(track, sampler, 20)
    for before, seeds in zip(tracked, sampler.calls[1:]):
        assert any(torch.equal(seeds.rotations[0], sample) for sample in before.poses.rotations[1:])
        assert mode_of(seeds.rotations[0]) == mode_of(before.poses.rotations[before.followed])
        assert seeds.known.tolist() == [True] * 6 + [False] * 2
    assert sampler.calls[0] is None


def test_every_pose_is_continued(body):
    """One sample of eight is different: it is light, but what comes next has to be able to stay with it."""
    sampler, track = TwoModes(share=0.0, stay=1.0), HypothesisTrack(body)
    run(track, sampler, 10)
    odd = sampler.lift(None, 8)
    odd.rotations[5, 18:20] = odd.rotations[5, 18:20].mT.clone()
    step(track, lambda previous: odd)
    sampler.frame += 1
    run(track, sampler, 1)
    assert (mode_of(sampler.calls[-1].rotations[:6]) == BACK).any()


def test_hypotheses_may_change_their_number(body):
    sampler, track = TwoModes(), HypothesisTrack(body)
    start = modes(run(track, sampler, 10, count=4))[0]
    for count in (8, 1, 2, 64, 3):
        tracked = run(track, sampler, 10, count)
        assert {len(t.weights) for t in tracked} == {count + (count > 1)}  # of several there is a consensus
        assert all(t.weights.sum() == pytest.approx(1.0, abs=1e-4) for t in tracked)
        if count > 1:  # a single sample of this sampler goes where it wants
            assert len(set(modes(tracked))) == 1
    assert start in (FRONT, BACK)


@pytest.mark.parametrize("count", [1, 4])
def test_a_jump_of_the_person_starts_again_at_once(body, count):
    sampler, track = TwoModes(), HypothesisTrack(body)
    run(track, sampler, 10, count)
    tracked = step(track, lambda previous: sampler.lift(previous, count), keypoints(x_px=400.0), count)
    assert tracked.restarted and sampler.calls[-1] is None
    sampler.frame += 1
    tracked = step(track, lambda previous: sampler.lift(previous, count), keypoints(x_px=402.0), count)
    assert not tracked.restarted


def leaps_of(body, sampler: TwoModes, settings: TrackSettings, frames: int = 60, **kwargs) -> tuple[np.ndarray, int]:
    """Modes of a single hypothesis from images alone, and how often the pose that continues the last was asked for."""
    track, asked, tracked = HypothesisTrack(body, settings), 0, []

    def lift(previous: PoseHypotheses | None, continued: bool = False) -> PoseHypotheses:
        nonlocal asked
        asked += continued
        return sampler.lift(previous if continued else None, 1)

    for sampler.frame in range(frames):
        tracked.append(step(track, lift, count=1, continues=False, **kwargs))
    return modes(tracked), asked


def test_a_single_hypothesis_does_not_leap_there_and_back(body):
    """One image in ten shows the other pose."""
    believed = TrackSettings(leaps=LeapSettings(enabled=False))
    kept, asked = leaps_of(body, TwoModes(share=0.1, stay=1.0, seed=2), TrackSettings())
    wild, never = leaps_of(body, TwoModes(share=0.1, stay=1.0, seed=2), believed)
    assert len(set(kept)) == 1 and asked >= 2
    assert len(set(wild)) == 2 and never == 0


def test_a_leap_that_lasts_is_believed_after_its_time(body):
    """From image 20 on every image shows the other pose, and what continues the last explains it as well."""
    sampler = TwoModes(stay=1.0)
    sampler.share = 0.0
    track, found = HypothesisTrack(body), []

    def lift(previous: PoseHypotheses | None, continued: bool = False) -> PoseHypotheses:
        sampler.share = float(sampler.frame >= 20)
        return sampler.lift(previous if continued else None, 1)

    for sampler.frame in range(60):
        found.append(step(track, lift, count=1, continues=False))
    left = int(np.argmax(modes(found) != modes(found)[0]))
    assert left - 20 == pytest.approx(LeapSettings().patience_s / FRAME_S, abs=1)
    assert (modes(found)[left:] == BACK).all()


def test_a_continuing_pose_that_explains_the_image_worse_is_not_taken(body):
    errors = TwoModes(lambda frame: (0.03, 0.03) if frame < 20 else (0.06, 0.03), stay=1.0)
    track, found = HypothesisTrack(body), []

    def lift(previous: PoseHypotheses | None, continued: bool = False) -> PoseHypotheses:
        errors.share = float(errors.frame >= 20)
        return errors.lift(previous if continued else None, 1)

    for errors.frame in range(30):
        found.append(step(track, lift, count=1, continues=False))
    assert list(modes(found)) == [FRONT] * 20 + [BACK] * 10


def test_one_wrong_image_is_left_in_the_next(body):
    """Its leap is believed, as what continues the last pose explains it far worse; the way back is no leap."""
    sampler = TwoModes(lambda frame: (0.06, 0.03) if frame == 20 else (0.03, 0.03), stay=1.0)
    track, found = HypothesisTrack(body), []

    def lift(previous: PoseHypotheses | None, continued: bool = False) -> PoseHypotheses:
        sampler.share = float(sampler.frame == 20)
        return sampler.lift(previous if continued else None, 1)

    for sampler.frame in range(40):
        found.append(step(track, lift, count=1, continues=False))
    assert list(modes(found)) == [FRONT] * 20 + [BACK] + [FRONT] * 19


def test_a_pose_that_was_held_is_not_taken_for_a_lost_track(body):
    """It explains the image 1.5 times worse than the leap, with which another start would begin."""
    sampler = TwoModes(lambda frame: (0.075, 0.05) if frame == 20 else (0.03, 0.03), stay=1.0)
    track, found, anew = HypothesisTrack(body), [], 0

    def lift(previous: PoseHypotheses | None, continued: bool = False) -> PoseHypotheses:
        nonlocal anew
        anew += previous is None and bool(found)
        sampler.share = float(sampler.frame == 20)
        return sampler.lift(previous if continued else None, 1)

    for sampler.frame in range(40):
        found.append(step(track, lift, count=1, continues=False, informed=True))
    assert not any(t.restarted for t in found) and anew == 0
    assert list(modes(found)) == [FRONT] * 40


def test_what_was_held_off_before_an_image_that_is_undone_counts_again(body):
    guard = LeapGuard(body)
    a, b = (TwoModes(share=share).lift(None, 1) for share in (0.0, 1.0))
    settings = LeapSettings(patience_s=0.1)
    assert guard.asks(a, b, 0.06, settings)
    assert not guard.asks(a, b, 0.06, settings)  # believed
    assert guard.asks(a, b, 0.06, settings)  # another one
    assert not guard.asks(a, a, 0.06, settings) and guard.asks(a, b, 0.06, settings)
    assert not guard.asks(a, b, 0.6, LeapSettings(speed_m_s=20.0))  # there was time to go there
    assert guard.asks(a, b, 0.06, settings)
    guard.reset()
    assert guard.asks(a, b, 0.06, settings), "another track counts anew"
    worse = PoseHypotheses(a.rotations, a.pelvis, 2.0 * b.score)
    assert guard.prefers(PoseHypotheses(a.rotations, a.pelvis, b.score), a, b, 0.06, settings)
    assert not guard.prefers(worse, a, b, 0.06, settings)
    assert not guard.prefers(b, a, b, 0.06, settings), "it leaps itself"


def test_an_image_that_is_undone_was_not_held_off(body):
    """Memory and its restoring, around images of a leap that lasts."""
    sampler, track = TwoModes(stay=1.0), HypothesisTrack(body)

    def lift(previous: PoseHypotheses | None, continued: bool = False) -> PoseHypotheses:
        sampler.share = float(sampler.frame >= 5)
        return sampler.lift(previous if continued else None, 1)

    for sampler.frame in range(5):
        step(track, lift, count=1, continues=False)
    for sampler.frame in range(5, 40):  # a second of images that come to nothing
        memory = track.memory()
        assert modes([step(track, lift, count=1, continues=False)]) == [FRONT]
        track.restore(memory)


class Cut(TwoModes):
    """From frame 20 on what continues the past explains nothing, and what starts from the image alone does."""

    fresh_error = 0.03

    def lift(self, previous, count):
        poses = super().lift(previous, count)
        if self.frame >= 20 and previous is not None and not self.left:
            known = torch.ones(count, dtype=torch.bool) if previous.known is None else previous.known
            poses.score[known] = -0.2
            poses.score[~known] = -self.fresh_error
        if previous is None and self.frame >= 20:
            self.left = True
            poses.score[:] = -self.fresh_error
        return poses

    left = False


def test_a_single_hypothesis_that_is_lost_is_lifted_again_in_the_same_image(body):
    sampler, track = Cut(), HypothesisTrack(body)
    tracked = run(track, sampler, 30, count=1)
    assert [t.restarted for t in tracked] == [frame == 20 for frame in range(30)]
    assert len(sampler.calls) == 31


@pytest.mark.parametrize("count", [4, 8])
def test_several_hypotheses_start_again_from_their_fresh_ones(body, count):
    sampler, track = Cut(), HypothesisTrack(body)
    tracked = run(track, sampler, 21, count)
    assert tracked[20].restarted and tracked[20].poses.score[tracked[20].followed] > -0.1
    assert len(sampler.calls) == 21, "nothing had to be lifted twice"


def test_a_new_start_that_is_no_better_is_not_taken_and_not_tried_all_the_time(body):
    sampler, track = Cut(), HypothesisTrack(body)
    sampler.fresh_error = 0.19
    tracked = run(track, sampler, 20 + 18, count=1)
    assert not any(t.restarted for t in tracked)
    tries = len(sampler.calls) - 38
    assert 1 <= tries <= math.ceil(18 * FRAME_S / BreakSettings().retry_s)


def test_a_new_start_that_failed_is_tried_again_after_the_time_of_the_settings():
    detector, settings, tries = BreakDetector(), BreakSettings(retry_s=0.3), []
    for image in range(25):
        detector.advance(0.04)
        if detector.suspects(0.2, settings):
            tries.append(image)
            detector.new_start_failed()
    assert tries == [0, 8, 16, 24]


@pytest.mark.parametrize("count", [1, 8])
def test_a_sampler_without_memory_is_not_asked_twice(body, count):
    """Samples of the image alone: all of them vote, and a new start could give nothing else."""
    sampler = TwoModes(lambda frame: (0.03, 0.03) if frame < 20 else (0.2, 0.2), stay=0.0)
    track, tracked = HypothesisTrack(body, TrackSettings(leaps=LeapSettings(enabled=False))), []
    for sampler.frame in range(40):
        tracked.append(step(track, lambda previous: sampler.lift(None, count), count=count, continues=False))
    assert len(sampler.calls) == 40
    assert not any(t.restarted for t in tracked)
    if count > 1:
        assert np.abs(np.diff(modes(tracked))).sum() == 0


@pytest.mark.parametrize("count", [1, 8])
def test_samples_that_have_heard_the_past_are_lifted_anew_where_they_are_lost(body, count):
    """They continue no hypothesis, but earlier keypoints may be what spoils them."""
    sampler, track = Cut(), HypothesisTrack(body, TrackSettings(leaps=LeapSettings(enabled=False)))

    def follow(frames: int) -> list:
        out = []
        for _ in range(frames):
            lift = lambda previous: sampler.lift(previous, count)  # noqa: E731
            out.append(step(track, lift, count=count, continues=False, informed=True))
            sampler.frame += 1
        return out

    restarted = [t.restarted for t in follow(25)]
    assert restarted.index(True) == 20 and sampler.calls[21] is None


def test_nobody_seen_waits(body):
    sampler, track = TwoModes(), HypothesisTrack(body)
    before = run(track, sampler, 10)[-1]
    for missed in range(1, 5):
        assert step(track, lambda previous: None, keypoints(confidence=0.0), dt_s=missed * FRAME_S) is None
    sampler.frame = 14
    after = run(track, sampler, 1)[0]
    assert not after.restarted
    assert int(mode_of(after.poses.rotations[after.followed])) == int(mode_of(before.poses.rotations[before.followed]))


@pytest.mark.parametrize("by", ["argument", "reset"])
@pytest.mark.parametrize("enabled", [True, False])
def test_in_a_new_track_nothing_is_remembered(body, by, enabled):
    sampler, track = TwoModes(), HypothesisTrack(body, TrackSettings(enabled=enabled))
    run(track, sampler, 5)
    if by == "reset":
        track.reset()
    # Far away, too: what is not remembered is no jump.
    lift, far = lambda previous: sampler.lift(previous, 8), keypoints(x_px=400.0)
    tracked = step(track, lift, far, restarted=by == "argument")
    assert sampler.calls[-1] is None and not tracked.restarted


@pytest.mark.parametrize("since_pose_s, sign", [(0.0, 1.0), (0.2, 1.0), (0.2, -1.0)])
def test_the_longer_nobody_was_seen_the_farther_they_may_have_gone(body, since_pose_s, sign):
    """Time counts from the last keypoints, also where they brought no pose, and were the newer ones."""
    for apart_s, restarts in ((0.5, True), (0.9, False)):
        track, sampler = HypothesisTrack(body), TwoModes()
        run(track, sampler, 5)
        if since_pose_s:
            assert step(track, lambda previous: None, dt_s=since_pose_s) is None
        moved, dt_s = keypoints(x_px=300.0), since_pose_s + sign * apart_s
        assert step(track, partial(sampler.lift, count=8), moved, dt_s=dt_s).restarted is restarts


@pytest.mark.parametrize("share, count, fresh", [(0.25, 8, 2), (0.25, 2, 1), (0.25, 1, 0), (0.0, 8, 0), (0.75, 2, 1)])
def test_how_many_are_fresh(share, count, fresh):
    assert TrackSettings(fresh_share=share).fresh(count) == fresh


@pytest.mark.parametrize(
    "kind, bad",
    [
        (TrackSettings, {"memory_s": 0.0}), (TrackSettings, {"switch_margin": -1.0}),
        (TrackSettings, {"fresh_share": 0.9}), (TrackSettings, {"score_scale": math.nan}),
        (BreakSettings, {"gain": 1.1}), (BreakSettings, {"error": 0.0}), (BreakSettings, {"jump": math.inf}),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(kind, bad):
    with pytest.raises(SettingsError, match=next(iter(bad))):
        kind(**bad)


def test_a_new_start_that_was_no_better_is_tried_again_after_its_time():
    watch, settings = BreakDetector(), BreakSettings(retry_s=0.3)
    watch.follow(0.01, 0.0)
    assert watch.suspects(0.5, settings)
    watch.new_start_failed()
    assert not watch.suspects(0.5, settings)
    watch.advance(0.2)
    assert not watch.suspects(0.5, settings)
    watch.advance(0.2)
    assert watch.suspects(0.5, settings)
