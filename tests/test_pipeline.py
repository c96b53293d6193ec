"""The pipeline around a lifter that returns known poses, and once around the real one."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, rotations_from_angles
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.motion_files import load_clips
from diffmocap.body.skeleton import KEYPOINT_MIRROR
from diffmocap.camera.lens import undistort_keypoints
from diffmocap.camera.projection import project
from diffmocap.errors import DiffmocapError
from diffmocap.keypoints.settings import SideSettings
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.settings import POSTERIOR_MEAN, LiftingSettings
from diffmocap.output.gate_settings import GateSettings
from diffmocap.output.profiles import ANIMATION, ROBOT, MotionSettings
from diffmocap.output.tracking_state import TrackingState
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.result import Outcome
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.refinement.physics_refiner import PhysicsRefiner
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.timing.track_clock import ClockSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D, PoseHypotheses

MS = 1_000_000
INTRINSICS = CameraIntrinsics.from_fov(640, 480)
UNSMOOTHED = PipelineSettings(lifting=POSTERIOR_MEAN, refinement=FilterSettings(enabled=False))
#: What the tracker does by itself.
UNGATED = GateSettings(enabled=False)
KNEE_Y = JOINT_ANGLE_NAMES.index("left_knee_y")


class KnownLifter:
    """Returns ``pose(stamp in s)``, or None where fewer keypoints are visible than the settings ask for."""

    hears_past = False

    def __init__(self, pose):
        self.pose, self.calls, self.told = pose, [], []

    def lift(self, keypoints, intrinsics, settings, previous=None, past=None, up=None):
        self.told.append((past, up))
        self.calls.append((keypoints, settings, previous))
        if keypoints.visible < settings.min_keypoints:
            return None
        rotations = self.pose(keypoints.stamp_ns * 1e-9)
        return PoseHypotheses(rotations[None], torch.tensor([[0.0, 0.0, 3.0]]), torch.zeros(1), keypoints.stamp_ns)


def bent_knee(angle_of_time):
    def pose(t):
        angles = torch.zeros(69)
        angles[KNEE_Y] = angle_of_time(t)
        return torch.cat([torch.eye(3)[None], rotations_from_angles(angles)])

    return pose


def keypoints(stamp_ms: float, visible: int = 25) -> Keypoints2D:
    confidence = np.zeros(25, np.float32)
    confidence[:visible] = 1.0
    points = np.where(confidence[:, None] > 0, 100.0 + np.arange(50).reshape(25, 2), 0.0).astype(np.float32)
    return Keypoints2D(points, confidence, 640, 480, int(stamp_ms * MS))


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture
def make(body):
    def made(pose=None, settings=UNSMOOTHED):
        pose = pose or bent_knee(lambda t: 0.3)
        return PosePipeline(KnownLifter(pose), PoseFilter(body), body, settings)

    return made


def test_a_step_gives_pose_angles_and_timings(make):
    result = make().step(keypoints(1000), INTRINSICS)
    assert result.outcome is Outcome.STARTED
    assert result.joint_angles[KNEE_Y] == pytest.approx(0.3, abs=1e-5)
    assert result.joint_angles.shape == result.joint_velocities.shape == (69,)
    assert not result.joint_velocities.any()
    assert result.stamp_ns == result.state.stamp_ns == 1000 * MS
    stages = [result.timings_ms[name] for name in ("lift", "refine", "angles")]
    assert all(ms >= 0 for ms in stages) and result.timings_ms["total"] >= sum(stages)


def require_slopes(results):
    """The mean of two consecutive velocities is the slope of the angles between them."""
    stamps, angles, velocities = (
        np.array([getattr(r, name) for r in results]) for name in ("stamp_ns", "joint_angles", "joint_velocities")
    )
    slopes = np.diff(angles, axis=0) / (np.diff(stamps)[:, None] * 1e-9)
    np.testing.assert_allclose(slopes, 0.5 * (velocities[1:] + velocities[:-1]), atol=1e-6)


def test_velocity_is_the_slope_over_the_stamps(make):
    """Uneven stamps, even motion: the velocity is soon that of the motion, and stays."""
    pipeline = make(bent_knee(lambda t: 0.5 * t))
    stamps_ms = np.cumsum([0, 20, 50, 30, 20, 40, 60, 30, 20, 50, 30, 90, 30])
    results = [pipeline.step(keypoints(stamp_ms), INTRINSICS) for stamp_ms in stamps_ms]
    assert [r.outcome for r in results] == [Outcome.STARTED] + 12 * [Outcome.TRACKED]
    require_slopes(results)
    assert all(r.joint_velocities[KNEE_Y] == pytest.approx(0.5, abs=0.02) for r in results[8:])


def test_angles_stay_inside_their_limits_and_all_that_is_published_agrees(make):
    """A knee that turns round and round: no jump, no turns, and pose, angles and velocities belong together."""
    pipeline = make(bent_knee(lambda t: 12.0 * t), PipelineSettings())
    results = [pipeline.step(keypoints(33 * i), INTRINSICS) for i in range(30)]
    angles = np.array([r.joint_angles for r in results])
    assert np.abs(np.diff(angles, axis=0)).max() < 0.8
    assert np.degrees(angles[:, KNEE_Y]).min() > -15.0 and np.degrees(angles[:, KNEE_Y]).max() < 155.0
    for result in results:
        back = rotations_from_angles(torch.from_numpy(result.joint_angles))
        assert roma.rotmat_geodesic_distance(back, result.state.rotations[1:].double()).max() < 1e-3
        _, joints = pipeline.body.forward_kinematics(result.state.rotations[None], result.state.pelvis[None])
        torch.testing.assert_close(joints[0], result.state.joint_positions)
    require_slopes(results)


def test_the_profile_is_a_setting_of_the_running_pipeline(make):
    """The same knee, thrown: 8 rad/s at most once the robot's limits hold."""
    pipeline = make(bent_knee(lambda t: 1.2 - 1.2 * float(int(t * 5) % 2)))
    results = []
    for i in range(60):
        profile = ROBOT if i >= 30 else ANIMATION
        pipeline.settings = replace(UNSMOOTHED, motion=MotionSettings(profile), gate=UNGATED)
        results.append(pipeline.step(keypoints(33 * i), INTRINSICS))
    speeds = np.abs([r.joint_velocities for r in results]).max(1)
    assert speeds[:30].max() > 12.0 and 7.0 < speeds[33:].max() <= 8.0
    assert results[-1].motion.accelerations.shape == (69,)
    require_slopes(results)


def test_too_few_keypoints_give_a_predicted_pose_for_a_while_and_the_track_goes_on(make):
    pipeline = make(bent_knee(lambda t: 0.3 + 0.5 * t))
    results = [pipeline.step(keypoints(33 * i), INTRINSICS) for i in range(8)]
    unseen = [pipeline.step(keypoints(33 * i, visible=2), INTRINSICS) for i in range(8, 20)]
    assert all(r.outcome is Outcome.UNSEEN for r in unseen)
    shown = [r for r in unseen if r.state is not None]
    assert shown == unseen[:9] and all(r.tracking_state is TrackingState.PREDICTED for r in shown)
    assert all(r.motion.predicted and r.efforts is None and not r.tracked.observed.any() for r in shown)
    assert shown[0].joint_velocities[KNEE_Y] > 0.3 and shown[-1].joint_velocities[KNEE_Y] < 0.1
    assert unseen[9].joint_angles is None and unseen[9].tracking_state is not TrackingState.PREDICTED
    again = pipeline.step(keypoints(33 * 20), INTRINSICS)
    assert again.outcome is Outcome.TRACKED and not again.motion.started
    require_slopes([*results, *shown, again])


def test_images_that_come_in_the_wrong_order_do_not_turn_back_what_was_predicted(make):
    """An older image after one without a person: the pose of that stamp would be from before the last sample."""
    pipeline = make()
    for stamp_ms in (0, 33):
        pipeline.step(keypoints(stamp_ms), INTRINSICS)
    assert pipeline.step(keypoints(66, visible=2), INTRINSICS).motion.predicted
    assert pipeline.step(keypoints(50), INTRINSICS).outcome is Outcome.STALE
    assert pipeline.step(keypoints(99), INTRINSICS).outcome is Outcome.TRACKED


def test_a_lost_person_starts_a_new_track(make):
    pipeline = make(bent_knee(lambda t: 0.0 if t < 1 else 1.0), PipelineSettings())
    pipeline.step(keypoints(0), INTRINSICS)
    for stamp_ms in range(33, 1000, 33):
        pipeline.step(keypoints(stamp_ms, visible=0), INTRINSICS)
    result = pipeline.step(keypoints(1000), INTRINSICS)
    assert result.outcome is Outcome.STARTED
    assert result.joint_angles[KNEE_Y] == pytest.approx(1.0, abs=1e-5), "the old track leaked into the new one"
    assert pipeline._lifter.calls[-1][2] is None


def test_the_lifter_gets_what_it_lifted_before(make):
    pipeline = make()
    first = pipeline.step(keypoints(0), INTRINSICS)
    pipeline.step(keypoints(33), INTRINSICS)
    assert pipeline._lifter.calls[0][2] is None
    assert torch.equal(pipeline._lifter.calls[1][2].rotations, first.tracked.poses.rotations)


def test_a_lost_track_starts_again_in_the_same_step(make):
    """What continues the past explains nothing any more; lifted from nothing, the image is explained."""
    settings = PipelineSettings(lifting=replace(POSTERIOR_MEAN, use_previous=True), gate=UNGATED)
    pipeline = make(bent_knee(lambda t: 0.0 if t < 0.5 else 1.0), settings)
    lift, errors = pipeline._lifter.lift, []

    def lost(seen, intrinsics, settings, previous=None, **told):
        poses = lift(seen, intrinsics, settings, previous, **told)
        poses.score[:] = -0.02 if previous is None or seen.stamp_ns < 500 * MS else -0.3
        errors.append(-float(poses.score))
        return poses

    pipeline._lifter.lift = lost
    results = [pipeline.step(keypoints(stamp_ms), INTRINSICS) for stamp_ms in range(0, 501, 50)]
    assert [r.outcome for r in results[:2]] == [Outcome.STARTED, Outcome.TRACKED]
    assert results[-1].outcome is Outcome.RESTARTED and errors[-2:] == pytest.approx([0.3, 0.02])
    require_slopes(results)
    assert 10.0 < np.abs(results[-1].joint_velocities).max() <= 25.0, "it is bridged to, not jumped to"
    results = [pipeline.step(keypoints(stamp_ms), INTRINSICS) for stamp_ms in range(550, 901, 50)]
    assert results[-1].joint_angles[KNEE_Y] == pytest.approx(1.0, abs=1e-3), "the filter kept the lost pose"


def test_sides_that_the_detector_exchanges_are_lifted_as_they_are_where_asked_for(make):
    pipeline, mirror = make(), np.array(KEYPOINT_MIRROR)
    pipeline.settings = replace(UNSMOOTHED, sides=SideSettings(enabled=True))
    given = np.random.default_rng(0).uniform(100, 300, (25, 2)).astype(np.float32)
    for i in range(6):
        points = given[mirror] if i == 4 else given
        pipeline.step(Keypoints2D(points, np.ones(25, np.float32), 640, 480, 33 * i * MS), INTRINSICS)
    assert all(np.array_equal(call[0].points_px, given) for call in pipeline._lifter.calls)
    pipeline.settings = replace(UNSMOOTHED, sides=SideSettings(enabled=False))  # they pass where that is off
    pipeline.step(Keypoints2D(given[mirror], np.ones(25, np.float32), 640, 480, 200 * MS), INTRINSICS)
    assert np.array_equal(pipeline._lifter.calls[-1][0].points_px, given[mirror])


def test_keypoints_below_the_least_confidence_count_for_nothing(make):
    pipeline, seen = make(), keypoints(0)
    seen.confidence[3] = 0.2
    state = pipeline.step(seen, INTRINSICS).state
    assert pipeline._lifter.calls[-1][0].confidence[3] == 0.0
    sure = make().step(keypoints(0), INTRINSICS).state
    assert state.rotation_covariance[19].trace() != sure.rotation_covariance[19].trace()


@pytest.mark.parametrize("stamp_ms, outcome", [(1000, Outcome.STALE), (900, Outcome.STALE), (0, Outcome.STARTED)])
def test_stamps_that_do_not_advance(make, stamp_ms, outcome):
    """Repeated or late images are skipped; a recording that starts over is a new track."""
    pipeline = make()
    pipeline.step(keypoints(1000), INTRINSICS)
    assert pipeline.step(keypoints(stamp_ms), INTRINSICS).outcome is outcome


def test_a_driver_that_does_not_stamp_is_timed_by_arrival(make):
    """All stamps are zero: every image counts, and times are those between the calls."""
    pipeline = make(bent_knee(lambda t: 0.5 * t))
    results = []
    for _ in range(6):
        results.append(pipeline.step(keypoints(0), INTRINSICS))
        time.sleep(0.01)
    assert [r.outcome for r in results] == [Outcome.STARTED] + 5 * [Outcome.TRACKED]
    require_slopes(results)
    assert results[-1].joint_angles[KNEE_Y] == pytest.approx(0.5e-9 * results[-1].stamp_ns, abs=0.01)
    stamps = [r.stamp_ns for r in results]
    assert stamps[0] == 0 and np.diff(stamps).min() >= 10 * MS


@pytest.mark.parametrize("rate_hz, physics", [(1.0, False), (2.0, False), (5.0, False), (1.0, True), (5.0, True)])
def test_a_slow_camera_is_one_track_with_true_velocities(body, rate_hz, physics):
    refiner = PhysicsRefiner(body) if physics else PoseFilter(body)
    settings = PhysicsSettings().without_time_limit() if physics else FilterSettings()
    speed = 0.1 * rate_hz  # rad/s: the same angle between images at every rate
    pose = bent_knee(lambda t: 0.2 + speed * t)
    pipeline = PosePipeline(KnownLifter(pose), refiner, body, PipelineSettings(refinement=settings))
    times_s = 1.0 + np.arange(14) / rate_hz
    rotations = torch.stack([pose(float(t)) for t in times_s])
    points = body.keypoints(rotations, torch.tensor([[0.0, 0.0, 3.0]]).expand(14, 3))
    points_px = project(points, torch.tensor(INTRINSICS.matrix).float()).numpy()
    results = [
        pipeline.step(Keypoints2D(px, np.ones(25, np.float32), 640, 480, round(t * 1e9)), INTRINSICS)
        for px, t in zip(points_px, times_s)
    ]
    assert [r.outcome for r in results] == [Outcome.STARTED] + 13 * [Outcome.TRACKED]
    assert all(r.joint_velocities[KNEE_Y] > 0 for r in results[1:])
    assert results[-1].joint_velocities[KNEE_Y] == pytest.approx(speed, rel=0.15)


def test_silence_ends_a_track_of_a_slow_camera_too(make):
    pipeline = make()
    for stamp_ms in (0, 1000, 2000, 4000):  # one image lost
        result = pipeline.step(keypoints(stamp_ms), INTRINSICS)
        assert result.outcome is (Outcome.TRACKED if stamp_ms else Outcome.STARTED)
    assert pipeline.step(keypoints(7000), INTRINSICS).outcome is Outcome.STARTED
    assert pipeline.step(keypoints(6000), INTRINSICS).outcome is Outcome.STARTED, "a jump back is a start over"


class Told:
    """A refiner that notes what it is told of time, and publishes the followed hypothesis."""

    def __init__(self, body):
        self.settings, self.filter, self.steps = None, PoseFilter(body, FilterSettings(enabled=False)), []

    def refine(self, tracked, keypoints, intrinsics, dt_s, restarted, budget_ms=None):
        self.steps.append("begins" if restarted else round(1e3 * dt_s))
        return self.filter.refine(tracked, keypoints, intrinsics, dt_s, restarted)

    def reset(self, camera_moved=False):
        self.steps.append("reset")


def test_refinement_is_told_time_steps_and_beginnings(body):
    """Of the images that brought a pose; a track that ended in the dark begins with the next pose."""
    pipeline = PosePipeline(KnownLifter(bent_knee(lambda t: 0.3)), Told(body), body, PipelineSettings())
    seen, unseen = 25, 2
    images = [(1000, seen), (1033, seen), (1066, unseen), (1050, seen), (1100, seen), (1100, seen), (1090, unseen),
              (1700, unseen), (1733, unseen), (1766, seen), (1800, seen), (900, seen), (940, seen)]  # fmt: skip
    outcomes = [pipeline.step(keypoints(ms, visible), INTRINSICS).outcome for ms, visible in images]
    assert pipeline._refiner.steps == ["begins", 33, 17, 50, "begins", 34, "begins", 40]
    # Of 1050 ms nothing is published: 1066 ms was predicted.
    S, T, U, L = Outcome.STARTED, Outcome.TRACKED, Outcome.UNSEEN, Outcome.STALE
    assert outcomes == [S, T, U, L, T, L, L, U, U, S, T, S, T]
    pipeline.reset()
    pipeline.step(keypoints(970), INTRINSICS)
    assert pipeline._refiner.steps[-2:] == ["reset", "begins"]


def test_a_lost_track_is_a_beginning_for_refinement_too(body):
    """Found by what the image shows, not by the clock: a person who is suddenly elsewhere."""
    pipeline = PosePipeline(KnownLifter(bent_knee(lambda t: 0.3)), Told(body), body, PipelineSettings(gate=UNGATED))
    for ms in (0, 33):
        pipeline.step(keypoints(ms), INTRINSICS)
    elsewhere = keypoints(66)
    elsewhere.points_px[:] += 400.0
    assert pipeline.step(elsewhere, INTRINSICS).outcome is Outcome.RESTARTED
    assert pipeline._refiner.steps == ["begins", 33, "begins"]


def test_the_lifter_is_told_where_up_is_as_far_as_somebody_said_so(body):
    """From the next image on, with physics off too; what is only found from the motion is not told."""
    pipeline = PosePipeline(KnownLifter(bent_knee(lambda t: 0.3)), Told(body), body, PipelineSettings())
    placed, turned = KnownGround.from_camera(1.4, 0.3, -0.2), KnownGround.from_camera(None, 0.0, 0.5)
    known = [PhysicsSettings(ground=placed), PhysicsSettings(False, ground=turned)]
    for i, refinement in enumerate([*known, PhysicsSettings(), FilterSettings(), None]):
        pipeline.settings = replace(pipeline.settings, refinement=refinement)
        pipeline.step(keypoints(33 * i), INTRINSICS)
    assert [up for _, up in pipeline._lifter.told] == [placed.up, turned.up, None, None, None]
    assert placed.up == pytest.approx((0.1898, -0.9363, -0.2955), abs=1e-4)


def moved(i: int, by_px: float = 0.0) -> Keypoints2D:
    """Of image i at 30 Hz, in which all keypoints have moved on by a pixel."""
    seen = keypoints(1e3 * i / 30)
    seen.points_px[:] += i + by_px
    return seen


def past_places(past) -> list[np.ndarray | None]:
    """Where the first keypoint was at each earlier time [px], which it must be known for; None: nothing is known."""
    places = past.rays[:, 0] * (INTRINSICS.fx, INTRINSICS.fy) + (INTRINSICS.cx, INTRINSICS.cy)
    assert all(c.all() or not c.any() for c in past.confidence)
    return [place if c.any() else None for place, c in zip(places, past.confidence, strict=True)]


@pytest.mark.parametrize("how", ["reset", "silence", "elsewhere", "unexplained"])
def test_a_lifter_that_hears_the_past_is_told_the_keypoints_before(body, how):
    """From a track's second image on; those of a track before are never told again."""
    lifter = KnownLifter(bent_knee(lambda t: 0.3))
    lifter.hears_past, lift, restart, settled = True, lifter.lift, 20, False

    def explained(seen, *rest, **told):
        poses = lift(seen, *rest, **told)
        misled = told["past"] is not None and seen.stamp_ns >= moved(restart).stamp_ns and not settled
        poses.score[:] = -0.3 if how == "unexplained" and misled else -0.02
        return poses

    lifter.lift = explained
    pipeline = PosePipeline(lifter, Told(body), body, PipelineSettings(clock=ClockSettings(0.2), gate=UNGATED))
    for i in range(restart):
        pipeline.step(moved(i), INTRINSICS)
    pasts = [past for past, _ in lifter.told]
    assert pasts[0] is None and len(pasts) == restart
    for i in (1, 2, 8, 19):
        told = past_places(pasts[i])
        for place, lag in zip(told, (1, 3, 7, 15), strict=True):  # images ago
            assert (place is not None) == (lag <= i)
            if lag <= i:
                assert place == pytest.approx(moved(i - lag).points_px[0], abs=1e-2)

    first = restart + (8 if how == "silence" else 0)
    if how == "reset":
        pipeline.reset()
    for _ in range(5):  # a track that explains nothing is given some images before it is found to be lost
        result = pipeline.step(moved(first, 400.0 * (how == "elsewhere")), INTRINSICS)
        if result.outcome is not Outcome.TRACKED:
            break
        first += 1
    assert result.outcome is (Outcome.STARTED if how in ("reset", "silence") else Outcome.RESTARTED)
    assert lifter.told[-1][0] is None
    settled = True
    pipeline.step(moved(first + 1, 400.0 * (how == "elsewhere")), INTRINSICS)
    newest, *older = past_places(lifter.told[-1][0])
    expected = moved(first, 400.0 * (how == "elsewhere")).points_px[0]
    assert newest == pytest.approx(expected, abs=1e-2) and older == [None, None, None]


@pytest.mark.parametrize(
    "hears_past, use_past, informed", [(True, True, True), (True, False, False), (False, True, False)]
)
def test_the_track_knows_which_samples_have_heard_the_past(body, hears_past, use_past, informed):
    """Without a warm start too: other hypotheses than the first are fresh ones only where the image alone is told."""
    lifter, followed = KnownLifter(bent_knee(lambda t: 0.3)), []
    lifter.hears_past = hears_past
    settings = PipelineSettings(lifting=LiftingSettings(use_past=use_past))
    pipeline = PosePipeline(lifter, Told(body), body, settings)
    follow = pipeline._track.step

    def noted(*given, **named):
        followed.append((named["continues"], named["informed"]))
        return follow(*given, **named)

    pipeline._track.step = noted
    pipeline.step(keypoints(0), INTRINSICS)
    assert followed == [(False, informed)]


@pytest.mark.parametrize("refinement", [None, FilterSettings(enabled=False)])
def test_the_longest_gap_is_the_pipeline_s_setting(make, refinement):
    for max_gap_s, outcome in ((0.2, Outcome.STARTED), (0.4, Outcome.TRACKED)):
        pipeline = make(settings=PipelineSettings(refinement=refinement, clock=ClockSettings(max_gap_s)))
        for ms in (0, 33, 66):
            pipeline.step(keypoints(ms), INTRINSICS)
        assert pipeline.step(keypoints(366), INTRINSICS).outcome is outcome


def test_settings_apply_to_the_next_step(make):
    pipeline = make()
    pipeline.step(keypoints(0), INTRINSICS)
    pipeline.settings = replace(UNSMOOTHED, lifting=LiftingSettings(steps=2, min_keypoints=20))
    assert pipeline.step(keypoints(33, visible=19), INTRINSICS).outcome is Outcome.UNSEEN
    assert pipeline._lifter.calls[-1][1].steps == 2


def test_a_pose_that_is_not_finite_is_an_error_and_leaves_no_trace(make):
    pipeline = make(bent_knee(lambda t: float("nan") if 0.02 < t < 0.05 else 0.3), PipelineSettings())
    pipeline.step(keypoints(0), INTRINSICS)
    with pytest.raises(DiffmocapError, match="not finite"):
        pipeline.step(keypoints(33), INTRINSICS)
    result = pipeline.step(keypoints(66), INTRINSICS)
    assert result.outcome is Outcome.STARTED and np.isfinite(result.joint_angles).all()


def test_lens_distortion_is_taken_out_before_lifting(make):
    pipeline = make()
    bent = CameraIntrinsics(640, 480, 500.0, 500.0, 320.0, 240.0, distortion=(-0.3, 0.1, 0.0, 0.0, 0.0))
    pipeline.step(keypoints(0), bent)
    got = pipeline._lifter.calls[0][0].points_px
    assert np.allclose(got, undistort_keypoints(keypoints(0), bent).points_px)
    assert np.abs(got - keypoints(0).points_px).max() > 5.0


def test_smoothing_cuts_jitter_on_noisy_mocap_more_than_it_adds_error(body, mocap_dir):
    """Validation motion with 3 degrees of noise a joint and frame, as a lifter might give it."""
    clips = load_clips(mocap_dir / "cmu_smpl30_val.npz")
    clip: MotionClip = next(c for c in clips if len(c) >= 100 and "walk" in c.action.lower())
    generator = torch.Generator().manual_seed(0)
    noise = roma.rotvec_to_rotmat(0.03 * torch.randn(len(clip), 24, 3, generator=generator))

    def run(settings):
        pipeline = PosePipeline(
            KnownLifter(lambda t: (clip.rotations @ noise)[round(t * 30)]), PoseFilter(body), body, settings
        )
        return torch.stack([pipeline.step(keypoints(1e3 * i / 30), INTRINSICS).state.rotations for i in range(100)])[
            10:
        ]

    def error(rotations):
        return roma.rotmat_geodesic_distance(rotations, clip.rotations[10:100]).mean()

    def jitter(rotations):
        speed = roma.rotmat_to_rotvec(rotations[:-1].mT @ rotations[1:])
        return speed.diff(dim=0).norm(dim=-1).mean()

    raw, smooth = run(UNSMOOTHED), run(PipelineSettings())
    assert jitter(smooth) < 0.5 * jitter(raw)
    assert error(smooth) < error(raw)


def test_physics_gives_velocities_efforts_and_where_asked_a_lag(body):
    """A person who stands and bends one knee, before a camera whose height is known."""
    facing = torch.diag(torch.tensor([1.0, -1.0, -1.0]))

    def pose(t):
        rotations = bent_knee(lambda t: 0.3 + 0.5 * t)(t)
        return torch.cat([facing[None], rotations[1:]])

    live = LiveSettings(window_frames=10, budget_ms=0.0, iterations=1)
    physics = PhysicsSettings(True, live, ground=KnownGround.from_camera(0.9, 0.0))
    unseen = replace(keypoints(0), confidence=np.zeros(25, np.float32))
    for lag in (0, 3):
        settings = PipelineSettings(refinement=replace(physics, live=replace(live, lag_frames=lag)), gate=UNGATED)
        pipeline = PosePipeline(KnownLifter(pose), PhysicsRefiner(body), body, settings)
        pipeline._lifter.lift = lambda seen, *rest, lift=pipeline._lifter.lift, **told: lift(
            replace(seen, confidence=np.ones(25, np.float32)), *rest, **told
        )
        results = [pipeline.step(replace(unseen, stamp_ns=33 * i * MS), INTRINSICS) for i in range(18)]
        assert [r.outcome for r in results[: lag + 1]] == [Outcome.DELAYED] * lag + [Outcome.STARTED]
        assert [r.stamp_ns for r in results[lag:]] == [33 * i * MS for i in range(18 - lag)]
        assert all(r.tracked.poses.stamp_ns == r.stamp_ns for r in results[lag:])
        last = results[-1]
        assert last.efforts.shape == (69,) and np.isfinite(last.efforts).all() and np.abs(last.efforts).max() > 5.0
        assert last.state.physics is not None and results[lag].efforts is None
        # Of the window's motion: over some frames they come to the way that the angle went.
        knee = np.array([(r.joint_angles[KNEE_Y], r.joint_velocities[KNEE_Y]) for r in results[lag + 8 :]])
        slope = (knee[-1, 0] - knee[0, 0]) / (0.033 * (len(knee) - 1))
        assert 0.2 < slope < 1.0 and knee[:, 1].mean() == pytest.approx(slope, abs=0.3)


def test_warming_up_leaves_no_trace(body):
    """Physics warms up, too, where it is off; settings, track and ground are those from before."""
    settings = PipelineSettings(refinement=PhysicsSettings(False, LiveSettings(window_frames=4)))
    pipeline = PosePipeline(KnownLifter(bent_knee(lambda t: 0.3)), PhysicsRefiner(body), body, settings)
    seen = []
    refine = pipeline._refiner.refine
    pipeline._refiner.refine = lambda *given: seen.append(refine(*given)) or seen[-1]
    pipeline.warm_up(5)
    assert np.isfinite(seen[-1].state.loss_before), "no window was refined"
    assert pipeline.settings is settings
    result = pipeline.step(keypoints(0), INTRINSICS)
    assert result.outcome is Outcome.STARTED and result.state.physics is None


def test_the_real_lifter_fits_in(body):
    """An untrained network poses nobody sensibly, but everything is wired: shapes, warm start, hypotheses."""
    torch.manual_seed(0)
    model = TransformerDenoiser(DenoiserConfig()).eval().requires_grad_(False)
    settings = PipelineSettings(lifting=LiftingSettings(steps=2, hypotheses=3, guidance=0.5), gate=UNGATED)
    pipeline = PosePipeline(Lifter(model, body), PoseFilter(body), body, settings)
    pipeline.warm_up(2)
    outcomes = [pipeline.step(keypoints(33 * i), INTRINSICS) for i in range(3)]
    assert [r.outcome for r in outcomes] == [Outcome.STARTED, Outcome.TRACKED, Outcome.TRACKED]
    assert outcomes[-1].tracked.poses.rotations.shape == (1 + 3, 24, 3, 3)  # their consensus first
    assert outcomes[-1].state.joint_positions.shape == (24, 3)
