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
    ],
)
def test_what_does_not_fit_the_model_is_said(tmp_path, change, said: str) -> None:
    pytest.importorskip("mujoco")
    from diffmocap.robots.model import load_model

    with pytest.raises(RobotError, match=said):
        load_model(read_description(changed(tmp_path, change)))


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
    for positions, height, said in ((bad, 1.7, "not finite"), (bad[:23], 1.7, "expected"), (frame.positions, 9.0, "9")):
        with pytest.raises(RobotError, match=said):
            HumanFrame(positions, frame.rotations, frame.contacts, height)


def test_a_sole_rests_on_its_heel() -> None:
    assert resting_soles(["left_heel", "left_toe", "right_toe", "right_hand"]).tolist() == [True, False]
