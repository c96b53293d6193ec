"""A robot's motion for GMR: the file that GMR's own loader took, and what is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from diffmocap.errors import RobotError
from diffmocap.robots.description import read_description, shipped_robots
from diffmocap.robots.frames import RobotCommand
from tests.robots.conftest import FOLDER

pytest.importorskip("mujoco", reason="mujoco is not installed; pip install 'diffmocap[robots]'")

from diffmocap.robots.gmr import GmrOrder, gmr_arrays, write_gmr  # noqa: E402
from diffmocap.robots.model import load_model  # noqa: E402

ROOT = Path(__file__).parents[2]
#: What GMR's loader, kinematics and model took; tests/data/README.md says of which commit, and with what result.
TAKEN = ROOT / "tests/data/gmr_g1.npz"


def shipped(name: str):
    """A shipped robot's model, where its package is installed."""
    try:
        return load_model(read_description(name))
    except RobotError as error:
        pytest.skip(str(error))


def swinging(robot, count: int = 5) -> list[RobotCommand]:
    """Commands through the joints' ranges, each at its own pace, while the robot walks and turns."""
    made, joints = [], len(robot.joint_names)
    for t in range(count):
        share = 0.5 + 0.4 * np.sin(0.3 * t * (1 + np.arange(joints) % 7) + np.arange(joints))
        turn = np.array([0.0, 0.0, np.sin(0.1 * t), np.cos(0.1 * t)])
        positions = robot.low + share * (robot.high - robot.low)
        place = np.array([0.1 * t, -0.05 * t, 0.75 + 0.01 * t])
        made.append(RobotCommand(robot.joint_names, positions, np.zeros(joints), np.zeros(joints), place, turn))
    return made


def test_the_file_that_gmr_took_is_still_made(tmp_path: Path) -> None:
    robot = shipped("g1")
    write_gmr(tmp_path / "g1.npz", swinging(robot), 30.0, robot)
    with np.load(TAKEN) as taken, np.load(tmp_path / "g1.npz") as made:  # neither needs a pickle
        assert made.files == taken.files
        for key in taken.files:
            assert made[key].dtype == taken[key].dtype and made[key].shape == taken[key].shape
            if made[key].dtype.kind == "U":
                assert made[key].tolist() == taken[key].tolist()
            else:  # MuJoCo's releases round differently
                np.testing.assert_allclose(made[key], taken[key], atol=1e-6)


def test_the_documented_lines_make_gmrs_dictionary(tmp_path: Path) -> None:
    page = (ROOT / "docs/robots.md").read_text()
    (lines,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "pickle" in code]
    (tmp_path / "walk_g1_gmr.npz").write_bytes(TAKEN.read_bytes())
    read = (
        "import pickle\n"
        "motion = pickle.load(open('walk_g1.pkl', 'rb'))\n"
        "assert type(motion['fps']) is float and type(motion['link_body_list']) is list, motion\n"
        "print(*motion, motion['dof_pos'].shape)\n"
    )
    for code in (lines, read):
        made = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert made.returncode == 0, made.stderr
    assert made.stdout.split("(")[0].split() == [
        "fps", "root_pos", "root_rot", "dof_pos", "local_body_pos", "link_body_list",
    ]  # fmt: skip


def test_joints_stand_in_gmrs_order_and_places_in_the_roots_axes(small, tmp_path: Path) -> None:
    names = [*reversed(small.joint_names[1:]), "gripper"]
    toes = {"toe": {"link": small.description.legs["ankle"][0].link, "at": [0.1, 0.0, -0.02]}}
    description = tmp_path / "robot.yaml"
    document = yaml.safe_load((FOLDER / "small.yaml").read_text())
    document["model"]["file"] = str(FOLDER / "small.xml")
    description.write_text(yaml.safe_dump(document | {"gmr": {"robot": "small", "joints": names, "links": toes}}))
    robot = load_model(read_description(description))
    commands = swinging(robot)
    order = GmrOrder(robot.description, robot.joint_names)
    assert order.added == ["gripper"] and order.left_out == [small.joint_names[0]]
    made = gmr_arrays(commands, 50.0, robot)
    assert (made["dof_pos"][:, -1] == 0.0).all()
    np.testing.assert_array_equal(made["dof_pos"][:, :-1], [c.positions[:0:-1] for c in commands])
    np.testing.assert_array_equal(made["root_rot"], [c.base_rotation for c in commands])

    data, last = mujoco.MjData(robot.model), commands[-1]
    data.qpos[:3], data.qpos[3:7], data.qpos[7:] = last.base_position, np.roll(last.base_rotation, 1), last.positions
    mujoco.mj_kinematics(robot.model, data)
    turned = data.xmat[1].reshape(3, 3)
    foot = data.body(toes["toe"]["link"])
    expected = [*data.xpos[1:], foot.xpos + foot.xmat.reshape(3, 3) @ toes["toe"]["at"]]
    np.testing.assert_allclose(made["local_body_pos"][-1] @ turned.T + last.base_position, expected, atol=1e-5)
    assert made["link_body_list"].tolist()[-1] == "toe"
    assert made["link_body_list"].tolist()[0] == mujoco.mj_id2name(robot.model, mujoco.mjtObj.mjOBJ_BODY, 1)


@pytest.mark.parametrize(
    ("gmr", "said"),
    [
        ({}, "'robot' is missing"),
        ({"robot": "small", "joints": "all"}, "list of joint names"),
        ({"robot": "small", "links": {"toe": {"at": [0, 0, 0]}}}, "'link' is missing"),
        ({"robot": "small", "links": {"toe": "nowhere"}}, "no link 'nowhere'"),
        ({"robot": "small", "joints": ["nothing"]}, "none of the commanded joints"),
    ],
)
def test_what_is_wrong_with_the_key_is_said(gmr, said: str, tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    document = yaml.safe_load((FOLDER / "small.yaml").read_text())
    document["model"]["file"] = str(FOLDER / "small.xml")
    path.write_text(yaml.safe_dump(document | {"gmr": gmr}))
    with pytest.raises(RobotError, match=said):
        robot = load_model(read_description(path))
        gmr_arrays(swinging(robot), 30.0, robot)


def test_robots_that_gmr_has_not_are_refused(small, tmp_path: Path) -> None:
    with pytest.raises(RobotError, match="GMR has no Small"):
        gmr_arrays(swinging(small), 30.0, small)
    with pytest.raises(RobotError, match="to .npz"):
        write_gmr(tmp_path / "x.pkl", swinging(small), 30.0, small)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(shipped_robots()))
def test_what_is_left_out_of_a_shipped_robot_is_known(name: str) -> None:
    robot = shipped(name)
    if robot.description.gmr is None:
        return
    order = GmrOrder(robot.description, robot.joint_names)
    missing = {"h1": ["torso_joint"]}.get(name, [])
    assert order.left_out == missing and len(order.added) == (name == "talos")
