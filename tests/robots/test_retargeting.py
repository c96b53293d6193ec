"""A robot that follows: whole runs on a real motion, and laws that its maker did not think of while measuring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diffmocap.errors import RobotError
from diffmocap.robots.description import read_description, shipped_robots
from tests.robots.conftest import FPS, robot_of, t_pose

DT = 1.0 / FPS


def follow(robot, frames, dt_s: float = DT):
    """The commands for frames, and what an observer says of them."""
    from diffmocap.robots.following import Judge
    from diffmocap.robots.retargeting import Retargeter

    retargeter, judge = Retargeter(robot), Judge(robot)
    commands = []
    for frame in frames:
        commands.append(retargeter.follow(frame, dt_s))
        judge.see(frame, commands[-1], dt_s)
    return commands, judge.figures()


def places(robot, command) -> dict[str, np.ndarray]:
    """Where a command puts the robot's points [m], by MuJoCo."""
    import mujoco

    data = mujoco.MjData(robot.model)
    data.qpos[:3], data.qpos[3:7] = command.base_position, np.roll(command.base_rotation, 1)
    data.qpos[robot.first :] = command.positions
    mujoco.mj_kinematics(robot.model, data)
    return {name: data.site_xpos[i].copy() for name, i in robot.sites.items()}


def test_a_t_pose_is_a_t_pose(small, body) -> None:
    commands, _ = follow(small, [t_pose(body)] * 10)
    at = places(small, commands[-1])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        arm = at[f"{side}_wrist"] - at[f"{side}_shoulder"]
        # The body's own arms hang a little in its T-pose.
        assert sign * arm[1] > 0.97 * (0.25 + 0.24), arm
        assert at[f"{side}_sole"][2] == pytest.approx(0.0, abs=0.01)
    legs = 0.35 + 0.35
    hips = 0.5 * (at["left_hip"] + at["right_hip"])
    assert hips[2] == pytest.approx(legs + 0.06, abs=0.02 * legs), "straight legs stay straight"


def test_a_real_motion_is_followed(small, frames) -> None:
    _, figures = follow(small, frames[:450])
    assert figures["limits_broken"] == 0 and figures["links_touching"] == 0
    assert figures["wrist_error_pct"] < 3.0
    assert figures["sole_slip_cm_s"] < 2.0 and figures["sole_tilt_deg"] < 5.0
    assert figures["pelvis_error_pct"] < 2.0


def test_the_person_s_own_body_does_what_the_person_does(frames) -> None:
    """Through a URDF whose joints and lengths are the person's: nothing is lost in scaling, axes or names."""
    robot = robot_of("human")
    assert all("hand" not in name and "foot" not in name for name in robot.joint_names)
    commands, figures = follow(robot, frames[:60])
    assert figures["wrist_error_p95_pct"] < 1.5
    at = places(robot, commands[-1])
    for tip, root, joints in (
        ("wrist", "shoulder", (20, 16)),
        ("elbow", "shoulder", (18, 16)),
        ("knee", "hip", (4, 1)),
    ):
        theirs = frames[59].positions[joints[0]] - frames[59].positions[joints[1]]
        np.testing.assert_allclose(at[f"left_{tip}"] - at[f"left_{root}"], theirs, atol=0.02, err_msg=tip)


def test_what_the_camera_errs_does_not_move_a_standing_robot(small, body) -> None:
    """A person seen 1 m farther away, and back, while both feet rest: no creeping."""
    standing = t_pose(body)
    drift = np.concatenate([np.linspace(0, 1, 60), np.linspace(1, 0, 60)])
    moved = [replace(standing, positions=standing.positions + [way, 0.3 * way, 0.0]) for way in drift]
    commands, figures = follow(small, [standing] * 20 + moved)
    start, end = places(small, commands[19]), [places(small, command) for command in commands[19:]]
    for sole in ("left_sole", "right_sole"):
        assert max(np.linalg.norm(at[sole] - start[sole]) for at in end) < 0.005
    assert max(np.linalg.norm(at["pelvis"] - start["pelvis"]) for at in end) < 0.01, "nor does it lean"
    assert figures["sole_slip_cm_s"] < 0.5


def test_a_robot_starts_above_the_origin_and_looks_where_the_person_does(small, frames) -> None:
    turned = frames[200]
    (command,), _ = follow(small, [turned])
    at = places(small, command)
    forward = turned.rotations[0] @ [0.0, 0.0, 1.0]
    across = at["left_hip"] - at["right_hip"]
    assert np.linalg.norm(0.5 * (at["left_hip"] + at["right_hip"])[:2]) < 0.1
    assert abs(across[:2] @ forward[:2]) < 0.05 * np.linalg.norm(across), "the hips lie across the person's view"
    assert not command.velocities.any()


def test_streams_that_no_person_makes_break_no_limit(small, frames) -> None:
    from benchmarks.retargeting.adversarial import streams
    from diffmocap.robots.following import Judge
    from diffmocap.robots.retargeting import Retargeter

    retargeter, judge = Retargeter(small), Judge(small)
    for name, stream in streams(frames, seed=3):
        for frame, dt_s in stream[:60]:
            command = retargeter.follow(frame, dt_s)
            judge.see(frame, command, dt_s)
            assert np.isfinite(command.positions).all() and np.isfinite(command.base_position).all(), name
        assert judge.limits_broken == 0, name
    # And what follows is followed: nothing of the streams is left.
    after = Judge(small)
    for i in range(60):
        command = retargeter.follow(frames[10], DT)
        if i > 45:
            after.see(frames[10], command, DT)
    assert after.figures()["wrist_error_pct"] < 3.0


def test_an_arm_that_was_left_behind_comes_back(small, frames) -> None:
    """Inverse kinematics alone would end at a joint's limit, twisted, after a leap like this."""
    standing, raised = frames[5], frames[300]
    commands, _ = follow(small, [standing] * 5 + [raised, standing] * 10 + [raised] * 45)
    from diffmocap.robots.scaling import Scaling

    targets, at = Scaling(small).targets(raised), places(small, commands[-1])
    for i, side in enumerate(("left", "right")):
        assert np.linalg.norm(at[f"{side}_wrist"] - at[f"{side}_shoulder"] - targets.wrist[i]) < 0.05


def test_the_hand_of_a_slow_arm_goes_straight(small, frames) -> None:
    """Jumping jacks, with joints that turn at 2 rad/s: joint by joint the wrists would be off by 28 % of the arm."""
    slow = replace(small, velocity=np.minimum(small.velocity, 2.0))
    _, figures = follow(slow, frames[250:550])
    assert figures["limits_broken"] == 0
    assert figures["wrist_error_pct"] < 23.0


def test_an_arm_that_does_not_get_on_straight_goes_joint_by_joint(small, frames) -> None:
    """Leaps between poses: straight alone, wrists would come to a halt up to a whole arm away."""
    from diffmocap.robots.following import Judge
    from diffmocap.robots.retargeting import Retargeter

    retargeter = Retargeter(small)
    for pose in (198, 600, 724, 204, 699, 649, 89, 220):
        judge = Judge(small)
        for _ in range(60):
            judge.see(frames[pose], retargeter.follow(frames[pose], DT), DT)
        assert max(judge.wrist[-2:]) < 0.08, pose


def test_time_has_to_pass(small, frames) -> None:
    from diffmocap.robots.retargeting import Retargeter

    retargeter = Retargeter(small)
    for dt_s in (0.0, -1.0, float("nan")):
        with pytest.raises(RobotError, match="between two frames"):
            retargeter.follow(frames[0], dt_s)


@pytest.mark.parametrize("name", ["g1", "h1", "t1", "talos", "tiago_pro"])
def test_shipped_robots_follow_where_their_models_are_installed(name: str, frames) -> None:
    assert name in shipped_robots()
    pytest.importorskip("mink")
    from diffmocap.robots.model import load_model

    try:
        robot = load_model(read_description(name))
    except RobotError as error:
        pytest.skip(str(error))
    _, figures = follow(robot, frames[:45])
    assert figures["limits_broken"] == 0 and figures["links_touching"] == 0
    assert figures["wrist_error_pct"] < 5.0
