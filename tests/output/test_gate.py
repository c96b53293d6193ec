"""The gate on made poses: what passes, what waits, what is refused, and what ends a track."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.output.gate import Decision, PersonGate, measurements_of
from diffmocap.output.gate_settings import GateSettings
from diffmocap.output.person_evidence import Measurements, PersonBelief, log_odds
from diffmocap.output.pose_limits import LiftedPose, leap, moved, no_person
from diffmocap.types import Keypoints2D

SETTINGS = GateSettings()
GOOD, POOR, BAD = 0.028, 0.07, 0.3  # errors of fit: a person's, a table's best, a table's usual


@pytest.fixture(scope="module")
def standing() -> LiftedPose:
    """Before a camera of 500 px, 3 m away, with exact keypoints and depths."""
    import torch

    rotations = torch.eye(3).repeat(1, 24, 1, 1)
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    lifted = BodyModel.load().joints_and_keypoints(rotations, torch.tensor([[0.0, 0.0, 3.0]]))
    joints, keypoints = (x[0].numpy() for x in lifted)
    points = keypoints[:, :2] / keypoints[:, 2:] * 500.0 + (320.0, 240.0)
    depth = keypoints[:, 2] - keypoints[[9, 12], 2].mean()
    seen = Keypoints2D(points.astype(np.float32), np.full(25, 0.9, np.float32), 640, 480, 0, depth.astype(np.float32))
    return LiftedPose(joints, keypoints, rotations[0, 0].numpy(), GOOD, seen)


def at(pose: LiftedPose, shift=(0.0, 0.0, 0.0), depth_error_m: float = 0.06, **changes) -> LiftedPose:
    """Moved, and with depths off by this much in turn."""
    off = depth_error_m * (-1.0) ** np.arange(25)
    seen = replace(pose.seen, depth_m=(pose.seen.depth_m + off).astype(np.float32))
    shift = np.array(shift)
    return replace(pose, joints=pose.joints + shift, keypoints_m=pose.keypoints_m + shift, seen=seen, **changes)


def test_evidence_is_that_of_the_regression():
    """By hand: -1.569 ln 0.06 - 2.655 ln 0.1 - 1.808 ln 0.2 - 13.048 is 0.390; moving at 3 m/s and 10 m/s takes
    1.521 ln 2 + 0.580 ln 2 from it."""
    assert log_odds(Measurements(0.02, 0.04, 0.95)) == 3.0, "the most that one image says"
    assert log_odds(Measurements(0.06, 0.1, 0.8)) == pytest.approx(0.390, abs=2e-3)
    slow = Measurements(0.06, 0.1, 0.8, pelvis_m=0.1, joint_m=0.3, dt_s=0.1)
    assert log_odds(slow) == log_odds(replace(slow, pelvis_m=0.0)) == log_odds(Measurements(0.06, 0.1, 0.8))
    moving = replace(slow, pelvis_m=0.3, joint_m=1.0)
    assert log_odds(moving) == pytest.approx(0.390 - 2.101 * np.log(2), abs=2e-3)
    assert log_odds(replace(moving, dt_s=0.02)) == log_odds(moving), "speeds are over a tenth of a second at least"
    for worse in (
        replace(moving, fit_error=0.2), replace(moving, depth_error_m=0.2), replace(moving, mean_confidence=0.6),
        replace(moving, pelvis_m=0.5), replace(moving, joint_m=2.0),
    ):  # fmt: skip
        assert log_odds(worse) < log_odds(moving)


def test_measurements_are_those_of_the_pose(standing):
    measured = measurements_of(at(standing, depth_error_m=0.05))
    assert measured.depth_error_m == pytest.approx(0.05, abs=1e-5) and measured.mean_confidence == pytest.approx(0.9)
    assert measurements_of(replace(standing, seen=replace(standing.seen, depth_m=None))).depth_error_m is None


def test_belief_counts_time_and_not_images():
    """Ten images in a second say as much as thirty, and nothing is believed for ever."""
    slow, fast = PersonBelief(), PersonBelief()
    for belief, rate in ((slow, 10), (fast, 30)):
        belief.see(0.0, 0.0, tracked=True)
        for _ in range(rate // 2):
            belief.see(0.5, 1.0 / rate, tracked=True)
    assert fast.probability == pytest.approx(slow.probability, abs=0.01)
    sure = slow.probability
    for _ in range(20):
        slow.miss(0.1, tracked=True)
    assert slow.probability < 0.05 < sure


def test_a_good_pose_begins_a_track_at_once(standing):
    verdict = PersonGate().judge(at(standing), 5.0, False, SETTINGS)
    assert verdict.decision is Decision.BEGIN and verdict.confidence >= SETTINGS.confirm


def test_a_table_is_never_published_and_who_comes_after_is(standing):
    gate, rng = PersonGate(), np.random.default_rng(3)
    for i in range(100):
        shift = (*rng.normal(0.0, 0.3, 2), 5.0 + rng.normal())
        fit = [POOR, BAD][i % 3 > 0]
        verdict = gate.judge(at(standing, shift, 0.12 + 0.2 * (i % 3 > 0), fit_error=fit), 0.1 * i, False, SETTINGS)
        assert (
            verdict.decision is Decision.WAIT and verdict.reason == "evidence" and verdict.confidence < SETTINGS.confirm
        )
    verdicts = [gate.judge(at(standing), 10.0 + 0.1 * i, False, SETTINGS) for i in range(3)]
    assert verdicts[-1].decision is Decision.PUBLISH


def test_who_becomes_a_table_is_lost(standing):
    gate = PersonGate()
    for i in range(10):
        gate.judge(at(standing), 0.1 * i, False, SETTINGS)
    decisions = [gate.judge(at(standing, depth_error_m=0.5, fit_error=BAD), 1 + 0.1 * i, False, SETTINGS).decision
                 for i in range(10)]  # fmt: skip
    assert Decision.LOSE in decisions[2:] and not gate.follows
    assert Decision.PUBLISH not in decisions[decisions.index(Decision.LOSE) :]


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda pose: at(pose, fit_error=0.9), "fit"),
        (lambda pose: at(pose, (0.0, 0.0, -2.9)), "distance"),
        (lambda pose: at(pose, (0.0, 0.0, 40.0)), "distance"),
        (lambda pose: replace(pose, seen=replace(pose.seen, points_px=pose.seen.points_px * 0.01)), "size"),
        (lambda pose: at(pose, (2.0, 0.0, 0.0)), "speed"),
        (lambda pose: replace(at(pose), root=pose.root @ np.diag([-1.0, 1.0, -1.0])), "turn"),
        (lambda pose: replace(at(pose), joints=pose.joints + 2.0 * (np.arange(24) == 20)[:, None]), "limb"),
    ],
)
def test_one_wrong_image_is_refused_and_the_track_goes_on(standing, change, reason):
    gate = PersonGate()
    for i in range(6):
        gate.judge(at(standing), i / 30, False, SETTINGS)
    verdict = gate.judge(change(standing), 6 / 30, False, SETTINGS)
    assert (verdict.decision, verdict.reason) == (Decision.REFUSE, reason)
    assert gate.judge(at(standing), 7 / 30, False, SETTINGS).decision is Decision.PUBLISH


@pytest.mark.parametrize(("last_fit", "fit", "taken"), [(0.09, 0.03, True), (0.05, 0.03, False), (0.09, 0.08, False)])
def test_the_way_back_from_a_pose_that_explains_its_image_poorly_is_no_leap(standing, last_fit, fit, taken):
    gate, back = PersonGate(), replace(at(standing), root=standing.root @ np.diag([-1.0, 1.0, -1.0]))
    for i in range(6):
        gate.judge(at(standing, fit_error=last_fit), i / 30, False, SETTINGS)
    verdict = gate.judge(replace(back, fit_error=fit), 6 / 30, False, SETTINGS)
    assert verdict.decision is (Decision.PUBLISH if taken else Decision.REFUSE)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_stays_elsewhere_is_followed_after_a_while(standing, elsewhere):
    """Told by the tracker, or by the distance; somebody else, who is followed once it is no error."""
    gate = PersonGate()
    for i in range(10):
        gate.judge(at(standing), i / 30, False, SETTINGS)
    verdicts = [gate.judge(at(standing, (2.0, 0.0, 0.0)), (10 + i) / 30, elsewhere, SETTINGS) for i in range(10)]
    decisions = [v.decision for v in verdicts]
    first = decisions.index(Decision.BEGIN)
    assert first == round(30 * SETTINGS.patience_s) and set(decisions[:first]) == {Decision.REFUSE}
    assert {v.reason for v in verdicts[:first]} == {"elsewhere" if elsewhere else "speed"}
    after = gate.judge(at(standing, (2.0, 0.0, 0.0)), 20 / 30, False, SETTINGS)
    assert after.decision is Decision.PUBLISH


def test_places_that_agree_with_nothing_are_never_followed(standing):
    gate, rng = PersonGate(), np.random.default_rng(5)
    gate.judge(at(standing), 0.0, False, SETTINGS)
    for i in range(1, 30):
        shift = (3.0 * (-1) ** i + rng.normal(), rng.normal(), 3.0 + rng.normal())
        assert gate.judge(at(standing, shift), i / 30, True, SETTINGS).decision is Decision.REFUSE
    assert gate.judge(at(standing), 1.0, False, SETTINGS).decision is Decision.PUBLISH


def test_moves_are_measured_in_metres_and_radians(standing):
    turned = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    after = replace(at(standing, (0.3, 0.0, 0.4)), root=turned @ standing.root)
    pelvis, about, turn = moved(standing, after)
    assert pelvis == pytest.approx(0.5) and about == pytest.approx(0.0, abs=1e-6) and turn == pytest.approx(np.pi / 2)
    assert (
        leap((0.5, 0.0, 0.0), 3.0, 1 / 30, SETTINGS) == "" and leap((1.1, 0.0, 0.0), 3.0, 1 / 30, SETTINGS) == "speed"
    )
    assert no_person(standing, SETTINGS) == ""


def test_a_gate_that_is_off_publishes_everything(standing):
    gate, off = PersonGate(), GateSettings(enabled=False)
    worst = at(standing, (3.0, 0.0, 30.0), 0.5, fit_error=9.0)
    decisions = [gate.judge(pose, 0.1 * i, False, off).decision for i, pose in enumerate([worst, at(standing), worst])]
    assert decisions == [Decision.BEGIN, Decision.PUBLISH, Decision.PUBLISH]


def test_thresholds_that_contradict_each_other_are_refused():
    with pytest.raises(SettingsError, match="gate_lose must be below gate_confirm"):
        GateSettings(confirm=0.6, lose=0.7)
    with pytest.raises(SettingsError, match="gate_nearest"):
        GateSettings(nearest_m=5.0, farthest_m=4.0)
