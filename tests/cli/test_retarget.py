"""``diffmocap retarget`` on the bundled clip."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import PARENTS
from diffmocap.cli.main import main
from diffmocap.motion.motion_npz import read_motion, write_motion
from diffmocap.resources import share_path

ROBOT = Path(__file__).parent.parent / "robots" / "small.yaml"


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the bundled clip's true motion."""
    from dataclasses import replace

    body = BodyModel.load(None)
    motion = read_motion(share_path("media", "demo.npz"), body)
    short = replace(motion, rotations=motion.rotations[:60], pelvis=motion.pelvis[:60], keypoints=None)
    path = tmp_path_factory.mktemp("walk") / "walk.npz"
    write_motion(path, short, body)
    return path


def test_a_table_and_arrays_of_the_same_motion(walk: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("mink")
    table, arrays = tmp_path / "walk.csv", tmp_path / "made" / "walk.npz"
    assert main(["retarget", str(walk), "--robot", str(ROBOT), "--out", str(table)]) == 0
    assert "limits broken: 0 of 60 commands" in capsys.readouterr().out
    assert main(["retarget", str(walk), "--robot", str(ROBOT), "--out", str(arrays), "--fps", "30", "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["frames"] == 60 and said["limits_broken"] == 0 and said["robot"] == "Small"
    with np.load(arrays) as data:  # no pickle is needed
        assert data["dof_pos"].shape == (60, 21) and float(data["fps"]) == 30.0
        names, positions, root = data["joint_names"].tolist(), data["dof_pos"], data["root_pos"]
        np.testing.assert_allclose(np.linalg.norm(data["root_rot"], axis=1), 1.0, atol=1e-9)
    with open(table, newline="") as f:
        rows = list(csv.reader(f))
    assert rows[0][8:] == names and rows[0][:4] == ["time", "root_x", "root_y", "root_z"]
    values = np.array(rows[1:], dtype=float)
    np.testing.assert_allclose(values[:, 8:], positions, atol=1e-6)
    np.testing.assert_allclose(values[:, 1:4], root, atol=1e-6)
    assert values[-1, 0] == pytest.approx(59 / 30, abs=1e-6)


def test_a_file_for_gmr(walk: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("mink")
    robot = tmp_path / "small.yaml"
    text = ROBOT.read_text().replace("small.xml", str(ROBOT.with_name("small.xml")))
    robot.write_text(text + "gmr: {robot: small_robot}\n")
    motion = tmp_path / "walk.npz"
    motion.write_bytes(walk.read_bytes())
    assert main(["retarget", str(motion), "--robot", str(robot), "--format", "gmr"]) == 0
    assert "for GMR's small_robot: 21 joints in its order" in capsys.readouterr().out
    with np.load(tmp_path / "walk_small_gmr.npz") as data:
        assert data["dof_pos"].shape == (60, 21) and data["local_body_pos"].shape[::2] == (60, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--robot", "nobody"], "name one of g1"),
        (["--robot", str(ROBOT), "--out", "x.bvh"], "expected .csv or .npz"),
        (["--robot", str(ROBOT), "--fps", "0"], "must lie in"),
        (["--robot", str(ROBOT), "--format", "gmr", "--out", "x.csv"], "expected .npz"),
        (["--robot", str(ROBOT), "--format", "gmr"], "GMR has no Small"),
    ],
)
def test_what_is_wrong_is_said(walk: Path, options: list[str], said: str, capsys) -> None:
    pytest.importorskip("mink")
    assert main(["retarget", str(walk), *options]) == 1
    assert said in capsys.readouterr().err


def test_the_motion_itself_is_not_replaced(walk: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("mink")
    motion = tmp_path / "walk.npz"
    motion.write_bytes(walk.read_bytes())
    assert main(["retarget", str(motion), "--robot", str(ROBOT), "--out", str(motion)]) == 1
    assert "is the motion itself" in capsys.readouterr().err and motion.read_bytes() == walk.read_bytes()


def test_a_motion_that_is_too_fast_for_the_robot_is_warned_of(walk: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("mink")
    with np.load(share_path("media", "demo.npz")) as demo:
        arrays = {key: demo[key][120:220] for key in ("poses", "trans")} | {"betas": demo["betas"]}
    fast = tmp_path / "fast.npz"
    np.savez(fast, **arrays, frame="optical", mocap_framerate=240.0)
    for motion, warned in ((walk, False), (fast, True)):
        assert main(["retarget", str(motion), "--robot", str(ROBOT), "--out", str(tmp_path / "out.csv")]) == 0
        assert ("links of the robot meet in" in capsys.readouterr().err) is warned


def test_clips_of_a_collection_become_files_of_their_own(walk: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("mink")
    with np.load(walk) as one:
        pose, trans = one["poses"].reshape(-1, 24, 3), one["trans"]
    clips = tmp_path / "clips.npz"
    labels = {key: np.array(["a", "b/c"]) for key in ("name", "subject", "action")}
    rest = BodyModel.load(None).rest_joints(torch.zeros(1, 10))[0]
    parents = np.array(PARENTS)
    offsets = np.concatenate([rest[:1], rest[1:] - rest[parents[1:]]])
    np.savez(clips, pose=pose, trans=trans, start=[0, 20], length=[20, 20], fps=30, offsets=offsets, **labels)
    for clip in ("a", "b/c"):
        assert main(["retarget", str(clips), "--clip", clip, "--robot", str(ROBOT)]) == 0
    assert {p.name for p in tmp_path.glob("*.csv")} == {"clips_a_small.csv", "clips_b_c_small.csv"}
