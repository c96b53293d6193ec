"""Every command of the tutorials runs, in their order, on the beginning of the bundled clip."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest

from diffmocap.cli.main import main
from diffmocap.errors import RobotError
from diffmocap.robots.description import read_description

FRAMES = 40
PREFIX = ".venv/bin/diffmocap "
#: What needs a camera, or a running graph.
ELSEWHERE = ("live --source 0", "ros2 ")


def sections(page: Path) -> dict[str, str]:
    """Heading -> text, of the page's parts."""
    parts = re.split(r"^## (.*)$", page.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.startswith("    ") and line.strip().startswith(PREFIX)]


def python_of(text: str) -> str:
    """The indented lines of Python."""
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ") and PREFIX not in line]
    return "\n".join(line for line in lines if not line.startswith(("ros2 ", ".venv/bin/pip ")))


@pytest.fixture(scope="module")
def page(repo_root) -> dict[str, str]:
    return sections(repo_root / "docs" / "tutorials.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repo_root) -> Path:
    """A folder in which ``media`` holds the beginning of the clip and of its truth."""
    folder = tmp_path_factory.mktemp("tutorials")
    media = folder / "media"
    media.mkdir()
    source = cv2.VideoCapture(str(repo_root / "media" / "demo.mp4"))
    writer = cv2.VideoWriter(str(media / "demo.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (640, 480))
    for _ in range(FRAMES):
        writer.write(source.read()[1])
    writer.release()
    with np.load(repo_root / "media" / "demo.npz") as truth:
        cut = {k: v[:FRAMES] if v.ndim and len(v) > 100 else v for k, v in truth.items()}
    np.savez(media / "demo.npz", **cut)
    return folder


def run(command: str, folder: Path, repo_root: Path, environment: dict[str, str] | None = None) -> str:
    """One command as a user would give it, and what it printed. Those that end by themselves run in this process."""
    arguments = shlex.split(command.removeprefix(PREFIX))
    if arguments[0] in ("live", "view"):
        return run_apart(arguments, folder, repo_root, environment)
    said = StringIO()
    with chdir(folder), redirect_stdout(said), redirect_stderr(said):
        assert main(arguments) == 0, f"{command}\n{said.getvalue()}"
    return said.getvalue()


def run_apart(
    arguments: list[str], folder: Path, repo_root: Path, environment: dict[str, str] | None = None
) -> str:  # fmt: skip
    """In a process of its own; `view` is ended once it serves its page."""
    viewed = arguments[0] == "view"
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmocap.cli.main", *arguments, *(["--port", "0"] if viewed else [])],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**(environment or os.environ), "PYTHONPATH": str(repo_root)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background has it ignored
    )  # fmt: skip
    said = ""
    if viewed:
        while "http://" not in said and process.poll() is None:
            said += process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=240)[0]
    assert process.returncode in ((130, 0) if viewed else (0,)), f"{arguments}\n{said}"
    return said


def test_the_animator_gets_a_character(page, folder, repo_root):
    given = commands(page["Animator"])
    assert [c.split()[1] for c in given] == ["reconstruct", "view", "export", "export"]
    for command in given:
        run(command, folder, repo_root)
    made = {path.name for path in (folder / "motions").iterdir()}
    assert made >= {"demo.npz", "demo.glb", "demo_mixamo.bvh"}
    assert "mixamorig:Hips" in (folder / "motions" / "demo_mixamo.bvh").read_text()


def test_the_researcher_gets_numbers(page, folder, repo_root, monkeypatch):
    given = commands(page["Researcher"])
    assert [c.split()[1] for c in given] == ["reconstruct", "evaluate"]
    said = [run(command, folder, repo_root) for command in given]
    assert "MPJPE" in said[1]
    monkeypatch.chdir(folder)
    found: dict = {}
    exec(python_of(page["Researcher"]), found)
    assert found["motion"]["poses"].shape == (FRAMES, 72)
    assert found["motion"]["tracked"].mean() == 1.0 and found["motion"]["mocap_framerate"] == 30.0


def has_model(robot: str) -> bool:
    """Whether the package with a shipped robot's model is installed; it has no module to look for."""
    try:
        read_description(robot)
    except RobotError:
        return False
    return True


def test_the_roboticist_gets_joint_angles(page, folder, repo_root, ros_env):
    pytest.importorskip("rclpy", reason="needs ROS 2")
    given = [c for c in commands(page["Roboticist"]) if not any(word in c for word in ELSEWHERE)]
    assert [c.split()[1] for c in given] == ["live", "reconstruct", "export", "retarget"]
    if find_spec("mink") is None or not has_model("g1"):
        given = given[:-1]  # the robot's model is in a package that tests do without
    for command in given:
        run(command, folder, repo_root, ros_env)
    made = {path.name for path in (folder / "motions").iterdir()}
    assert made >= {"session.npz", "session.mot", "session.csv"}


def test_every_command_is_run_by_one_of_these_or_needs_a_camera(page, repo_root):
    every = commands((repo_root / "docs" / "tutorials.md").read_text())
    ran = [c for text in page.values() for c in commands(text)]
    assert every == ran and set(page) == {"Animator", "Researcher", "Roboticist"}
