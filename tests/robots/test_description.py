"""Descriptions of robots: what ships is whole, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from diffmocap.errors import RobotError
from diffmocap.robots import description as module
from diffmocap.robots.description import read_description, shipped_robots
from diffmocap.robots.frames import HumanFrame, resting_soles
from tests.robots.conftest import FOLDER, t_pose


@pytest.mark.parametrize("name", sorted(shipped_robots()))
def test_shipped_descriptions_are_whole_and_name_the_command_for_their_model(name: str, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(module, "_installed_file", lambda package, file: None)
    with pytest.raises(RobotError, match="pip install --no-deps (example-robot-data|holosoma-retargeting)"):
        read_description(name)
    monkeypatch.setattr(module, "_installed_file", lambda package, file: tmp_path / file)
    robot = read_description(name)
    assert robot.velocity <= (6.0 if name == "g1" else 8.0), "a G1 shuts down at 6 rad/s"
    assert robot.capsules and robot.floating == bool(robot.legs)


def changed(tmp_path: Path, change) -> Path:
    """The small robot's description with something changed."""
    document = yaml.safe_load((FOLDER / "small.yaml").read_text())
    document["model"]["file"] = str(FOLDER / "small.xml")
    change(document)
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def held_arm(document: dict) -> None:
    """No joint of the left arm is commanded."""
    document["held"] = ["left_shoulder_*", "left_elbow"]
    for part in (document["limits"]["joints"], document["rest"], document["t_pose"]):
        for joint in ("left_elbow", "left_shoulder_roll"):
            part.pop(joint, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("arms"), "'arms' is missing"),
        (lambda d: d.update(wheels=2), "unknown key 'wheels'"),
        (lambda d: d.update(base="flying"), "floating or fixed"),
        (lambda d: d.pop("legs"), "needs legs"),
        (lambda d: d["arms"].update(wrist=["left_forearm"]), "left and right"),
        (lambda d: d["limits"].update(velocity=-1), "at least"),
        (lambda d: d["limits"].update(velocity="fast"), "expected a number"),
        (lambda d: d["model"].update(file="missing.xml"), "no file"),
        (lambda d: d["collision"]["capsules"]["trunk"].pop("radius"), "'radius' is missing"),
        (lambda d: d.update(weights={"nose": 1}), "unknown key 'nose'"),
        (lambda d: d["legs"].update(hand=["left_foot", "right_foot"]), "unknown key 'hand'"),
        (lambda d: d.update(base="fixed"), "leave its legs out"),
        (lambda d: d["collision"]["capsules"].update(left_shank=d["collision"]["capsules"]["trunk"]), "'left_shank'"),
    ],
)
def test_what_is_wrong_with_a_description_is_said(tmp_path, change, said: str) -> None:
    with pytest.raises(RobotError, match=said):
        read_description(changed(tmp_path, change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["links"].update(chest="chest"), "no link 'chest'.*trunk"),
        (lambda d: d["rest"].update(nose=1.0), "joint 'nose'.*left_hip_yaw"),
        (lambda d: d["limits"]["joints"]["left_elbow"].update(low=-0.01, high=0.0), "no range left"),
        (lambda d: d["links"].update(chest="left_forearm"), "does not hang on 'left_forearm' of links.chest"),
        (lambda d: d["links"].update(pelvis="left_foot"), "does not hang on 'left_foot' of links.pelvis"),
        (lambda d: d["arms"]["elbow"].reverse(), "'right_forearm', which does not hang on 'left_shoulder_roll'"),
        (lambda d: [of.reverse() for of in d["arms"].values()], "to the left of the right one"),
        (lambda d: [of.reverse() for of in d["legs"].values()], "left before right"),
        (lambda d: d["arms"].update(wrist=d["arms"]["elbow"]), "left elbow and wrist are 0 mm apart"),
        (lambda d: d["legs"].update(knee=d["legs"]["hip"]), "left hip and knee are 0 mm apart"),
        (lambda d: d["rest"].update(left_knee=9.0), "rest.left_knee of Small is 9; expected .* to 2.40"),
        (held_arm, "no joint that is commanded moves the left wrist"),
    ],
)
def test_what_does_not_fit_the_model_is_said(tmp_path, change, said: str) -> None:
    pytest.importorskip("mujoco")
    from diffmocap.robots.model import load_model

    with pytest.raises(RobotError, match=said):
        load_model(read_description(changed(tmp_path, change)))


def test_joints_that_turn_without_end_are_followed_with(tmp_path, frames) -> None:
    pytest.importorskip("mink")
    import re

    from diffmocap.robots.model import load_model
    from diffmocap.robots.retargeting import Retargeter

    endless = tmp_path / "endless.xml"
    text = (FOLDER / "small.xml").read_text()
    endless.write_text(re.sub(r'(name="left_shoulder_yaw"[^>]*) range="[^"]*"', r"\1", text))
    robot = load_model(read_description(changed(tmp_path, lambda d: d["model"].update(file=str(endless)))))
    assert np.isinf(robot.high[robot.joint_names.index("left_shoulder_yaw")])
    with np.errstate(all="raise"):
        retargeter = Retargeter(robot)
        commands = [retargeter.follow(frame, 1 / 30) for frame in (*frames[:20], frames[300], *frames[300:320])]
    assert np.isfinite(commands[-1].positions).all() and not retargeter.failures


def test_models_that_are_none_are_refused(tmp_path) -> None:
    pytest.importorskip("mujoco")
    from diffmocap.robots.model import load_model

    for text, said in {"<html/>": "neither a URDF nor an MJCF", "<robot": "cannot be read"}.items():
        path = tmp_path / "model.xml"
        path.write_text(text)
        robot = read_description(changed(tmp_path, lambda d: d["model"].update(file=str(path))))  # noqa: B023
        with pytest.raises(RobotError, match=said):
            load_model(robot)


def test_there_is_no_such_robot() -> None:
    with pytest.raises(RobotError, match="name one of g1, h1"):
        read_description("nobody")


def test_frames_of_local_rotations_are_those_of_the_body(body, frames) -> None:
    spread = t_pose(body)
    assert spread.positions[20, 1] > 0.4 and spread.positions[21, 1] < -0.4, "left is left"
    np.testing.assert_allclose(spread.rotations[20], spread.rotations[0])
    local = np.matmul(frames[50].rotations[[0]].transpose(0, 2, 1), frames[50].rotations[[1]])[0]
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0], rotations[1] = frames[50].rotations[0], local
    again = HumanFrame.from_local(rotations, frames[50].positions, np.eye(3), np.zeros(3), np.ones(2), 1.7)
    np.testing.assert_allclose(again.rotations[4], frames[50].rotations[1], atol=1e-6)


def test_frames_without_sense_are_refused(frames) -> None:
    frame = frames[0]
    bad = frame.positions.copy()
    bad[3, 1] = np.nan
    for positions, height, said in (
        (bad, 1.7, "not finite"), (bad[:23], 1.7, "expected"), (frame.positions, 9.0, "9"),
        (frame.positions * 9.0, 1.7, "from the pelvis"), (frame.positions + 1e30, 1.7, "from the origin"),
    ):  # fmt: skip
        with pytest.raises(RobotError, match=said):
            HumanFrame(positions, frame.rotations, frame.contacts, height)


def test_a_sole_rests_on_its_heel() -> None:
    assert resting_soles(["left_heel", "left_toe", "right_toe", "right_hand"]).tolist() == [True, False]
