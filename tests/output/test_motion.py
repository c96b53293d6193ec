"""The published motion as a whole: poses in, samples of one trajectory inside the limits out."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, angle_limits, rotations_from_angles
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import effort_limits
from diffmocap.errors import DiffmocapError, SettingsError
from diffmocap.output.motion import MotionSample, OutputMotion
from diffmocap.output.profiles import ANIMATION, PELVIS_SPEED, PROFILES, ROBOT, ROOT_TURN, MotionSettings
from diffmocap.types import BodyPhysics, BodyState

LOW, HIGH = angle_limits().double().numpy().T
KNEE = JOINT_ANGLE_NAMES.index("left_knee_y")
#: What is promised: fastest joint, and jump of a frame at 30 Hz.
PROMISED = {ANIMATION: (25.0, 0.8), ROBOT: (8.0, 0.27)}


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def state(angles=None, pelvis=(0.0, 0.0, 3.0), root=None, stamp_s=0.0, physics=None, rotations=None) -> BodyState:
    if rotations is None:
        local = rotations_from_angles(torch.from_numpy(np.zeros(69) if angles is None else angles))
        rotations = torch.cat([(torch.eye(3) if root is None else root).double()[None], local])
    return BodyState(
        rotations.float(), torch.tensor(pelvis, dtype=torch.float32), torch.zeros(24, 3, 3), torch.zeros(3, 3),
        torch.zeros(24, 3), round(stamp_s * 1e9), contacts=("left_heel",), physics=physics,
    )  # fmt: skip


def require_one_trajectory(samples: list[MotionSample], profile: str) -> None:
    """Of consecutive samples, from what stands on the topics alone: stamps, positions, velocities."""
    speed, jump = PROMISED[profile]
    for last, now in zip(samples, samples[1:]):
        dt = (now.stamp_ns - last.stamp_ns) * 1e-9
        assert (now.angles > LOW).all() and (now.angles < HIGH).all()
        assert np.abs(now.velocities).max() <= speed
        step = now.angles - last.angles
        assert np.abs(step).max() <= jump * dt * 30 + 1e-9
        np.testing.assert_allclose(step / dt, 0.5 * (last.velocities + now.velocities), atol=1e-6)
        np.testing.assert_allclose(now.accelerations, (now.velocities - last.velocities) / dt, rtol=1e-6, atol=1e-6)
        way = (now.state.pelvis - last.state.pelvis).double().numpy()
        assert np.linalg.norm(way) <= PELVIS_SPEED * dt + 1e-6
        np.testing.assert_allclose(way / dt, 0.5 * (last.pelvis_velocity + now.pelvis_velocity), atol=2e-6 / dt)
        turned = roma.rotmat_to_rotvec((now.state.rotations[0] @ last.state.rotations[0].mT).double()).numpy()
        assert np.linalg.norm(turned) <= ROOT_TURN * dt + 1e-5
        mean = 0.5 * (last.root_angular_velocity + now.root_angular_velocity)
        np.testing.assert_allclose(turned / dt, mean, atol=5e-6 / dt)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("stamps", ["even", "irregular"])
def test_any_poses_come_out_as_one_trajectory_inside_the_limits(body, profile, stamps):
    """Poses that nobody could take one after the other: each of another rotation of every joint, root and place."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    motion = OutputMotion(body, MotionSettings(profile))
    samples, t = [], 0.0
    for k in range(120):
        if k % 3 == 0:
            rotations, pelvis = roma.random_rotmat((24,), dtype=torch.float64), rng.normal(0.0, 1.0, 3)
        t += 1 / 30 if stamps == "even" else rng.uniform(0.001, 0.1)
        samples.append(motion.follow(state(rotations=rotations, pelvis=pelvis, stamp_s=t)))
    require_one_trajectory(samples, profile)
    assert samples[0].started and not any(s.started for s in samples[1:])
    assert all(s.bridging for s in samples[20:]) and samples[-1].outside > 0
    if profile == ROBOT:
        settings = MotionSettings()
        a = np.array([s.accelerations for s in samples])
        dt = np.diff([s.stamp_ns for s in samples])[:, None] * 1e-9
        assert np.abs(a).max() <= settings.robot_acceleration
        assert (np.abs(np.diff(a, axis=0)) <= settings.robot_jerk * dt).all()


def test_the_published_pose_is_made_of_the_published_angles_and_root(body):
    rng = np.random.default_rng(1)
    motion = OutputMotion(body, MotionSettings(ROBOT))
    for k in range(6):
        angles = LOW + (HIGH - LOW) * rng.random(69)
        sample = motion.follow(state(angles, rng.normal(size=3), stamp_s=k / 30))
        made = rotations_from_angles(torch.from_numpy(sample.angles)).float()
        torch.testing.assert_close(sample.state.rotations[1:], made)
        _, joints = body.forward_kinematics(sample.state.rotations[None], sample.state.pelvis[None])
        torch.testing.assert_close(sample.state.joint_positions, joints[0])
        assert sample.state.contacts == ("left_heel",) and sample.state.stamp_ns == sample.stamp_ns


@pytest.mark.parametrize(("profile", "most_mm"), [(ANIMATION, 6.0), (ROBOT, 12.0)])
def test_captured_motion_passes_nearly_unchanged(body, mocap_dir, profile, most_mm):
    """A dozen seconds of people: joints about the pelvis come out where they were."""
    errors = []
    for clip in load_split(mocap_dir / "cmu_smpl30_test.npz")[:3]:
        motion = OutputMotion(body, MotionSettings(profile))
        rotations = clip.rotations[:120]
        _, joints = body.forward_kinematics(rotations, torch.zeros(len(rotations), 3))
        for k in range(len(rotations)):
            sample = motion.follow(state(rotations=rotations[k], pelvis=(0.0, 0.0, 0.0), stamp_s=k / 30))
            errors.append(float((sample.state.joint_positions - joints[k]).norm(dim=-1).mean()))
            assert not sample.started or k == 0
    assert 1e3 * np.mean(errors) < most_mm


def walk(t: float, wrong: bool = False) -> np.ndarray:
    """A knee and a shoulder that swing; ``wrong``: an elbow is somewhere else."""
    angles = np.zeros(69)
    angles[KNEE] = 0.6 + 0.5 * np.sin(6.0 * t)
    angles[JOINT_ANGLE_NAMES.index("left_shoulder_z")] = 0.5 * np.cos(6.0 * t)
    angles[JOINT_ANGLE_NAMES.index("left_elbow_z")] = -0.4 - (1.5 if wrong else 0.3 * np.sin(6.0 * t))
    return angles


def test_one_wrong_image_throws_no_limb(body):
    """Published is as if the joint had gone on; its velocity stays that of the motion."""
    elbow = JOINT_ANGLE_NAMES.index("left_elbow_z")
    tracks = []
    for wrong_at in (None, 30):
        motion = OutputMotion(body)
        tracks.append([motion.follow(state(walk(k / 30, k == wrong_at), stamp_s=k / 30)) for k in range(45)])
    right, disturbed = (np.array([s.angles[elbow] for s in track]) for track in tracks)
    assert np.abs(right - disturbed).max() < 0.08
    assert max(np.abs(s.velocities[elbow]) for s in tracks[1]) < 3.5
    assert [s.waited for s in tracks[1]] == [int(k == 30) for k in range(45)]
    assert not any(s.waited for s in tracks[0])
    off = OutputMotion(body, MotionSettings(outlier_rad=0.0))
    thrown = [off.follow(state(walk(k / 30, k == 30), stamp_s=k / 30)) for k in range(45)]
    assert max(np.abs(s.velocities[elbow]) for s in thrown) > 10.0


def test_what_stays_wrong_is_followed_one_image_late(body):
    elbow = JOINT_ANGLE_NAMES.index("left_elbow_z")
    motion = OutputMotion(body)
    samples = [motion.follow(state(walk(k / 30, k >= 30), stamp_s=k / 30)) for k in range(45)]
    assert [s.waited for s in samples[30:33]] == [1, 0, 0]
    assert abs(samples[-1].angles[elbow] + 1.9) < 0.01 and abs(samples[34].angles[elbow] + 1.9) < 0.15
    require_one_trajectory(samples, ANIMATION)


def test_without_poses_it_comes_to_rest_and_is_lost(body):
    motion = OutputMotion(body, MotionSettings(ROBOT, predict_s=0.31))
    samples = [motion.follow(state(walk(k / 30), (0.05 * k, 0.0, 3.0), stamp_s=k / 30)) for k in range(12)]
    predicted = [motion.predict(round((12 + k) / 30 * 1e9)) for k in range(12)]
    shown = [s for s in predicted if s is not None]
    assert len(shown) == 9 and predicted[:9] == shown, "nine images in 0.31 s, and nothing afterwards"
    assert all(s.predicted and s.efforts is None and s.state.physics is None and not s.state.contacts for s in shown)
    require_one_trajectory(samples + shown, ROBOT)
    speeds = [np.linalg.norm(s.pelvis_velocity) for s in [samples[-1], *shown]]
    assert speeds[0] > 1.0 and (np.diff(speeds) < 0).all() and speeds[-1] < 0.15
    assert np.abs(shown[-1].velocities).max() < 0.3


@pytest.mark.parametrize(
    ("gap_s", "aside_m", "bridged"), [(0.1, 0.1, True), (0.1, 2.0, False), (0.6, 0.1, False), (-5.0, 0.0, False)]
)
def test_a_track_that_begins_anew_is_bridged_to_where_it_is_the_same_persons(body, gap_s, aside_m, bridged):
    """Soon and near: the motion goes on, at bounded speed. Else it starts, at rest, and says so."""
    motion = OutputMotion(body, MotionSettings(ROBOT))
    samples = [motion.follow(state(walk(9 + k / 30), stamp_s=9 + k / 30)) for k in range(10)]
    start = 9 + 9 / 30 + gap_s
    angles = np.zeros(69)
    angles[KNEE] = 2.4
    motion.restart()
    after = [motion.follow(state(angles, (aside_m, 0.0, 3.0), stamp_s=start + k / 30)) for k in range(25)]
    assert [s.started for s in after] == [not bridged] + [False] * 24
    if bridged:
        require_one_trajectory(samples + after, ROBOT)
        assert after[0].bridging and not after[-1].bridging
    else:
        assert not after[0].velocities.any() and not after[0].pelvis_velocity.any()
        np.testing.assert_allclose(after[0].angles, angles, atol=1e-3)
        require_one_trajectory(after, ROBOT)
    np.testing.assert_allclose(after[-1].angles, angles, atol=2e-3)


def test_poses_of_the_same_track_are_always_bridged_to(body):
    """However long none came: a jump without a word there is not."""
    motion = OutputMotion(body)
    motion.follow(state(stamp_s=0.0))
    assert motion.predict(round(0.2e9)) is not None and motion.predict(round(0.4e9)) is None
    sample = motion.follow(state(walk(0.0), (1.0, 0.0, 3.0), stamp_s=0.45))
    assert not sample.started and sample.velocities.any()
    motion.reset()
    assert motion.predict(round(0.5e9)) is None and motion.follow(state(stamp_s=0.5)).started


def test_the_profile_changes_live(body):
    """Thirty images of each: soon after the change the limits of the new one hold, and it stays one trajectory."""
    rng = np.random.default_rng(3)
    motion = OutputMotion(body)
    samples = []
    for k in range(120):
        motion.settings = MotionSettings(PROFILES[(k // 30) % 2])
        angles = LOW + (HIGH - LOW) * rng.random(69) if k % 4 == 0 else angles  # noqa: F821
        samples.append(motion.follow(state(angles, stamp_s=k / 30)))
    require_one_trajectory(samples, ANIMATION)
    for start in (37, 97):
        require_one_trajectory(samples[start : start + 23], ROBOT)
    assert max(np.abs(s.velocities).max() for s in samples[10:30]) > 12.0


def test_what_is_no_pose_is_refused_and_nothing_is_lost(body):
    motion, other = OutputMotion(body), OutputMotion(body)
    for m in (motion, other):
        m.follow(state(walk(0.0), stamp_s=1.0))
        m.follow(state(walk(1 / 30), stamp_s=1 + 1 / 30))
    bad = state(stamp_s=1.05)
    bad.rotations[3, 0, 0] = float("nan")
    for wrong in (bad, state(pelvis=(0.0, float("inf"), 3.0), stamp_s=1.05)):
        with pytest.raises(DiffmocapError, match="not finite"):
            motion.follow(wrong)
    with pytest.raises(DiffmocapError, match="stamps have to grow"):
        motion.follow(state(stamp_s=1.0))
    assert motion.predict(round(1e9)) is None
    a, b = (m.follow(state(walk(2 / 30), stamp_s=1 + 2 / 30)) for m in (motion, other))
    np.testing.assert_array_equal(a.angles, b.angles)


def test_efforts_are_the_urdfs_at_most_and_counted(body, repo_root):
    urdf = ET.parse(repo_root / "models/human.urdf")
    limits = {
        j.get("name"): float(j.find("limit").get("effort")) for j in urdf.iter("joint") if j.find("limit") is not None
    }
    np.testing.assert_array_equal(effort_limits(), [limits[name] for name in JOINT_ANGLE_NAMES])
    torques = torch.full((69,), 5.0)
    torques[KNEE], torques[0] = 900.0, -900.0
    physics = BodyPhysics(angles=torch.zeros(69), torques=torques)
    sample = OutputMotion(body).follow(state(physics=physics))
    assert sample.clipped_efforts == 2
    assert (sample.efforts[KNEE], sample.efforts[0], sample.efforts[1]) == (300.0, -300.0, 5.0)
    assert OutputMotion(body).follow(state()).efforts is None


def test_settings_are_checked():
    for wrong in ({"profile": "fast"}, {"robot_velocity": 0.0}, {"robot_jerk": -1.0}, {"predict_s": 60.0}):
        with pytest.raises(SettingsError):
            MotionSettings(**wrong)
    assert replace(MotionSettings(ROBOT), robot_velocity=2.0).limits.velocity == pytest.approx(2.0, rel=2e-3)
    assert MotionSettings(robot_velocity=2.0).limits.velocity > 20.0, "the other profile has its own"
