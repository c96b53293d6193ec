"""The figures of the output's safety on motions whose answer is known, and the streams that are made to be bad."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.output_safety import disturbances
from benchmarks.output_safety.figures import errors_mm, lag_ms, motion_figures, truth_figures
from benchmarks.output_safety.labels import NONE, PARTIAL, PERSON, read_labels
from benchmarks.output_safety.limits import UrdfLimits
from benchmarks.output_safety.published import LOST, PREDICTED, TRACKED, UNTOLD, Published, frozen
from benchmarks.output_safety.silence import Heard
from benchmarks.output_safety.silence import figures as silence_figures
from benchmarks.output_safety.stream import Stream
from benchmarks.output_safety.summary import paired
from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, angle_limits
from diffmocap.body.skeleton import KEYPOINT_MIRROR
from diffmocap.body.urdf import EFFORT
from diffmocap.types import CameraIntrinsics, Keypoints2D

T = 150
CAMERA = CameraIntrinsics.from_fov(640, 480)
KNEE = JOINT_ANGLE_NAMES.index("left_knee_y")
LIMITS = UrdfLimits.load()


def samples(times_s: np.ndarray | None = None, acceleration: float = 0.2) -> Published:
    """A knee that bends evenly faster from 0 on, a body that goes aside; all in limits."""
    t = np.arange(T) / 30 if times_s is None else times_s
    n = len(t)
    angles, velocities = np.zeros((n, 69)), np.zeros((n, 69))
    angles[:, KNEE], velocities[:, KNEE] = 0.5 * acceleration * t**2, acceleration * t
    pelvis = np.stack([t, 0 * t, 3 + 0 * t], -1)
    swing = np.sin(3 * t)[:, None, None] * np.linspace(0, 0.3, 24)[None, :, None] * np.array([1.0, 0, 0])
    joints = pelvis[:, None] + swing + np.linspace(0, 1, 24)[None, :, None] * np.array([0, 1.0, 0])
    return Published(
        np.arange(n), np.arange(n), t, angles, velocities, np.full((n, 69), np.nan), pelvis,
        np.broadcast_to(np.eye(3), (n, 3, 3)).copy(), joints, np.full(n, UNTOLD), np.zeros(n, bool), {},
    )  # fmt: skip


def stream(**changed) -> Stream:
    """Keypoints that walk aside, with the truth of :func:`samples`."""
    g = np.random.default_rng(0)
    body = g.uniform(100, 300, (25, 2)).astype(np.float32)
    confidence = np.full(25, 0.9, np.float32)
    confidence[3] = 0.0
    keypoints = [
        Keypoints2D(
            body + np.float32([t, 0]), confidence, 640, 480, round(1e9 * t / 30), np.arange(25, dtype=np.float32)
        )
        for t in range(T)
    ]
    return replace(Stream("walk", "aside", keypoints, CAMERA, samples().joints), **changed)


def with_states(states: np.ndarray) -> Published:
    """Samples TRACKED but for those that ``states`` names."""
    return replace(samples(), state=states)


def test_limits_are_those_of_the_robot_description_in_the_order_of_the_joint_states():
    assert LIMITS.lower == pytest.approx(angle_limits()[:, 0].numpy(), abs=1e-4)
    assert LIMITS.upper == pytest.approx(angle_limits()[:, 1].numpy(), abs=1e-4)
    assert LIMITS.effort[KNEE] == EFFORT["knee"] and (LIMITS.velocity > 0).all()


def test_an_even_motion_has_no_mismatch_and_its_own_figures():
    f = motion_figures(samples(), LIMITS)
    assert f["max_velocity"] == pytest.approx(0.2 * (T - 1) / 30)
    assert f["velocity_mismatch"] == pytest.approx(0, abs=1e-9) and f["acceleration"] == pytest.approx(0.2)
    assert f["max_jump"] == pytest.approx(0.2 * (T - 1.5) / 30 / 30)
    assert f["pelvis_speed"] == pytest.approx(1.0) and f["root_turn_deg"] == pytest.approx(0, abs=1e-4)
    assert f["outside_limits"] == 0 and f["effort_over"] == 0


def test_velocities_that_are_not_the_derivative_are_told_in_rad_s_and_as_a_share():
    even = samples()
    f = motion_figures(replace(even, velocities=even.velocities * 0.9), LIMITS)
    assert f["velocity_mismatch"] == pytest.approx(0.1, rel=1e-6)
    assert f["velocity_mismatch_rad_s"] == pytest.approx(0.1 * 0.2 * (T - 1.5) / 30, rel=1e-6)
    assert f["velocity_mismatch_rms"] == pytest.approx(0.1, rel=1e-6)


def test_jumps_and_turns_are_scaled_to_30_hz_and_count_whole_after_an_untold_silence():
    slow = samples(np.arange(T) / 10, acceleration=0.0)
    angles, root = slow.angles.copy(), slow.root.copy()
    angles[60:, KNEE] = 0.9
    root[60:] = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    f = motion_figures(replace(slow, angles=angles, root=root), LIMITS)
    assert f["max_jump"] == pytest.approx(0.3) and f["velocity_of_positions"] == pytest.approx(9.0)
    assert f["root_turn_deg"] == pytest.approx(30.0) and f["root_turn_unscaled_deg"] == pytest.approx(90.0)
    gap = replace(slow, angles=angles, root=root, stamp_s=slow.stamp_s + (np.arange(T) >= 60) * 2.0)
    f = motion_figures(gap, LIMITS)
    assert f["max_jump"] == pytest.approx(0.9) and f["root_turn_deg"] == pytest.approx(90.0)
    told = replace(gap, told=np.arange(T) == 60)
    f = motion_figures(told, LIMITS)
    assert f["max_jump"] == 0 and f["jump_told"] == pytest.approx(0.9) and f["breaks_told"] == 1
    assert f["root_turn_deg"] == 0


def test_samples_outside_the_limits_and_efforts_above_them_are_shares_of_samples():
    bent = samples()
    angles, efforts = bent.angles.copy(), np.zeros((T, 69))
    angles[:15, KNEE] = LIMITS.upper[KNEE] + 0.1
    efforts[:6, KNEE] = -1.5 * LIMITS.effort[KNEE]
    efforts[60:] = np.nan
    f = motion_figures(replace(bent, angles=angles, efforts=efforts), LIMITS)
    assert f["outside_limits"] == pytest.approx(0.1) and f["most_outside_rad"] == pytest.approx(0.1)
    assert f["effort_over"] == pytest.approx(0.1) and f["effort_share"] == pytest.approx(1.5)


def test_right_poses_that_are_not_published_of_their_image_are_withheld():
    alone = samples()
    wrong = alone.joints.copy()
    wrong[:10, 5:] += 1.0
    alone = replace(alone, joints=wrong)
    states = np.full(T, TRACKED)
    states[5:20] = PREDICTED
    clean = np.ones(T, bool)
    clean[15:20] = False
    f = truth_figures(stream(clean=clean), with_states(states), alone)
    assert f["right"] == T - 15 and f["withheld_right"] == 5  # 10 to 14: right, clean, and only predicted
    missing = with_states(np.full(T, TRACKED))[np.arange(T) >= 30]
    assert truth_figures(stream(), missing, samples())["withheld_right"] == 30


def test_persons_and_false_persons_are_counted_by_the_labels():
    labels = np.repeat([NONE, PARTIAL, PERSON], (40, 40, T - 80))
    states = np.full(T, TRACKED)
    states[:10], states[100:] = PREDICTED, LOST
    f = truth_figures(stream(labels=labels), with_states(states), samples()[:110])
    assert f["false_persons"] == 30 and f["false_poses"] == 40
    assert f["persons"] == 30 and f["withheld_persons"] == 10


def test_lag_is_the_way_back_to_the_truth_that_fits():
    late = samples()
    late = replace(late, joints=np.concatenate([late.joints[:3], late.joints[:-3]]))
    assert lag_ms(stream(), late) == pytest.approx(100.0, abs=6.0)
    assert lag_ms(stream(), samples()) == pytest.approx(0.0, abs=6.0)


def test_freezing_is_safe_and_wrong():
    still = frozen(stream(), samples())
    f = motion_figures(still, LIMITS)
    assert f["max_velocity"] == 0 and f["max_jump"] == 0 and len(still) == T
    assert errors_mm(stream(), still)[1:].min() > 0 and errors_mm(stream(), samples()).max() == 0


def test_errors_are_paired_in_images_that_both_have():
    before = {"bundled clip": np.array([1.0, 2.0, np.nan]), "real clip, view 1": np.array([4.0])}
    now = {"bundled clip": np.array([2.0, np.nan, 9.0]), "real clip, view 1": np.array([7.0])}
    assert paired(now, before) == {
        "mpjpe_paired_mm": 2.0, "mpjpe_paired_bundled_mm": 1.0, "mpjpe_paired_real_mm": 3.0
    }  # fmt: skip


def test_labels_cover_the_video_and_a_gap_in_them_is_refused(tmp_path):
    labels = read_labels()
    assert len(labels) == 1394
    assert [(labels[:240] == x).sum() for x in (NONE, PERSON, PARTIAL)] == [86, 128, 26]
    file = tmp_path / "labels.csv"
    file.write_text("first,last,label\n0,3,none\n5,6,person\n")
    with pytest.raises(ValueError, match="from frame 4 on"):
        read_labels(file)
    file.write_text("first,last,label\n0,3,somebody\n")
    with pytest.raises(ValueError, match="somebody"):
        read_labels(file)


def changed(before: Stream, after: Stream) -> np.ndarray:
    """[T] bool: which sets of keypoints differ."""
    return np.array([
        not (np.array_equal(a.points_px, b.points_px) and np.array_equal(a.confidence, b.confidence)
             and a.stamp_ns == b.stamp_ns)
        for a, b in zip(before.keypoints, after.keypoints, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("disturb", [
    lambda s: disturbances.exchanged_sides(s, 1), lambda s: disturbances.outliers(s, 1, 0),
    lambda s: disturbances.outliers(s, 4, 0), lambda s: disturbances.missing_images(s, 0),
    lambda s: disturbances.teleports(s), lambda s: disturbances.garbage(s, 0),
])  # fmt: skip
def test_what_is_not_clean_is_what_was_changed_and_the_same_seed_changes_the_same(disturb):
    bad, again = disturb(stream()), disturb(stream())
    assert np.array_equal(changed(stream(), bad), ~bad.clean) and 0 < (~bad.clean).mean() < 0.5
    assert not changed(bad, again).any() and bad.disturbed


def test_disturbances_do_what_their_names_say():
    s = stream()
    swapped = disturbances.exchanged_sides(s, 1)
    t = int(np.flatnonzero(~swapped.clean)[0])
    legs = disturbances.exchanged_sides(s, 1, legs_alone=True).keypoints[t].points_px
    arms, knees = [2, 3, 4, 5, 6, 7, 15, 16, 17, 18], [10, 13]
    assert np.array_equal(legs[arms], s.keypoints[t].points_px[arms])
    assert np.array_equal(legs[knees], s.keypoints[t].points_px[knees[::-1]])
    assert np.array_equal(swapped.keypoints[t].points_px, s.keypoints[t].points_px[list(KEYPOINT_MIRROR)])
    thrown = disturbances.outliers(s, 1, 0)
    way = np.linalg.norm(thrown.keypoints[15].points_px - s.keypoints[15].points_px, axis=1)
    half = disturbances.half_size_px(s.keypoints[15])
    assert (way > 0).sum() == 1 and 0.5 * half <= way.max() <= 1.5 * half and way[3] == 0
    silent = disturbances.missing_seconds(s, ((1.0, 0.5, True), (2.0, 1.0, False)))
    assert len(silent) == T - 30 and not any(k.confidence.any() for k in silent.keypoints[30:45])
    stamps = np.array([k.stamp_ns for k in silent.keypoints])
    assert np.diff(stamps).max() == pytest.approx(1e9 * 31 / 30, rel=1e-6) and len(silent.truth) == T - 30
    off = np.array([k.stamp_ns for k in disturbances.jittered_stamps(s, 0, repeated=0.0).keypoints])
    off = off - np.array([k.stamp_ns for k in s.keypoints])
    assert 3e6 < off.std() < 8e6 and np.abs(off).max() <= 12e6 + 1


def test_two_people_take_turns_and_cuts_have_no_gap():
    other = replace(stream(), truth=stream().truth + 1.0)
    both = disturbances.switches(stream(), other, stays=(10, 3))
    assert np.array_equal(both.truth[10:13], other.truth[10:13]) and np.array_equal(both.truth[13], stream().truth[13])
    together = disturbances.cuts([stream(), stream()], 20)
    assert len(together) == 40 and np.ptp(np.diff([k.stamp_ns for k in together.keypoints])) <= 40


def test_a_stream_refuses_truth_of_another_length():
    with pytest.raises(ValueError, match="150 sets of keypoints, but 3 truth"):
        stream(truth=np.zeros((3, 24, 3)))


def test_silence_is_timed_from_the_kill_and_old_poses_after_it_are_counted():
    heard = Heard(
        states=[(9.0, LOST), (10.1, TRACKED), (10.55, LOST), (11.0, LOST)], levels=[(9.5, 2), (10.2, 1), (10.6, 2)],
        joint_states=[9.9, 10.1, 10.3, 12.0],
    )  # fmt: skip
    found = silence_figures(heard, 10.0, LOST)
    assert found["lost_s"] == pytest.approx(0.55) and found["error_s"] == pytest.approx(0.6)
    assert found["poses_after"] == 2 and found["has_tracking_state"]
    untold = silence_figures(Heard(states=[(10.1, None)]), 10.0, None)
    assert untold["lost_s"] is None and untold["error_s"] is None and not untold["has_tracking_state"]
