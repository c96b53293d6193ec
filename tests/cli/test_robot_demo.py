"""``diffmocap demo --robot`` on a motion that was reconstructed before: figures, film, and what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from diffmocap.body.model import BodyModel
from diffmocap.cli import robot_demo
from diffmocap.cli.main import main
from diffmocap.motion.motion_npz import read_motion, write_motion
from diffmocap.resources import share_path

ROBOT = Path(__file__).parent.parent / "robots" / "small.yaml"
FRAMES = 10


@pytest.fixture
def reconstructed(tmp_path: Path, monkeypatch) -> Path:
    """A little of the bundled clip's true motion, in the place of what `reconstruct` makes in half a minute."""
    pytest.importorskip("mink", reason="mink is not installed; pip install 'diffmocap[robots]'")
    body = BodyModel.load(None)
    motion = read_motion(share_path("media", "demo.npz"), body)
    part = slice(280, 280 + FRAMES)
    path = tmp_path / "motion.npz"
    short = replace(motion, rotations=motion.rotations[part], pelvis=motion.pelvis[part], keypoints=None)
    write_motion(path, short, body)
    monkeypatch.setattr(robot_demo, "_motion_file", lambda source, out: path)
    return path


def test_figures_of_a_robot_that_follows_and_is_driven(reconstructed: Path, tmp_path: Path, capsys) -> None:
    arguments = ["demo", "--robot", str(ROBOT), "--out", str(tmp_path / "out"), "--no-video"]
    assert main([*arguments, "--json"]) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert figures["robot"] == "Small" and figures["frames"] == FRAMES
    assert figures["limits_broken"] == figures["falls"] == 0
    assert 0.0 < figures["tracking_error_p95_rad"] < 0.1 and figures["wrist_error_pct"] < 5.0
    assert "film" not in figures and not (tmp_path / "out").exists()
    assert "did not fall" in said.err and "driven by torques" in said.err
    assert main(arguments) == 0 and "did not fall" in capsys.readouterr().out


def test_a_film_of_it(reconstructed: Path, tmp_path: Path, demo_clip: Path) -> None:
    # MuJoCo decides when it is imported how it draws: a process of its own.
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from diffmocap.cli import robot_demo\n"
        "from diffmocap.cli.main import main\n"
        "robot_demo._motion_file = lambda source, out: Path(sys.argv[1])\n"
        "sys.exit(main(sys.argv[2:]))\n"
    )
    arguments = ["demo", "--robot", str(ROBOT), "--source", str(demo_clip), "--out", str(tmp_path), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, str(reconstructed), *arguments],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    if "MuJoCo cannot draw here" in done.stderr:
        pytest.skip("MuJoCo cannot draw here: no EGL, and no OSMesa")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    film = cv2.VideoCapture(figures["film"])
    assert Path(figures["film"]).name == f"{demo_clip.stem}_small.webm"
    ok, picture = film.read()
    assert ok and picture.std() > 10.0, "something is drawn"


def test_a_robot_that_falls_is_told_of(reconstructed: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    from diffmocap.robots import simulation

    monkeypatch.setattr(simulation, "FALLEN_M", 1e-6)
    assert main(["demo", "--robot", str(ROBOT), "--out", str(tmp_path), "--no-video", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["falls"] == 1 and ", fell" in said.err


def test_what_is_wrong_with_the_robot_is_said_before_the_video_is_looked_at(tmp_path: Path, capsys) -> None:
    assert main(["demo", "--robot", "nobody", "--out", str(tmp_path)]) == 1
    assert "name one of g1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
