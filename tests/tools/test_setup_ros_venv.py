"""The script for machines with ROS 2, run without changing anything against a make-believe ROS 2 install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools/setup_ros_venv.sh"
PACKAGES = ("robot_state_publisher", "tf2_ros", "rviz2", "launch_ros")


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([shutil.which("bash"), SCRIPT, *arguments], env=environment, capture_output=True, text=True,
                          check=False)  # fmt: skip


@pytest.fixture
def ros(tmp_path: Path) -> dict[str, str]:
    """Environment as after sourcing a ROS 2 install that has rclpy, colcon and the packages the launch files start."""
    python_path, index = tmp_path / "python", tmp_path / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    for name in PACKAGES:
        (index / name).touch()
    for name in ("rclpy", "colcon_core"):
        (python_path / name).mkdir(parents=True)
        (python_path / name / "__init__.py").touch()
    binaries = tmp_path / "bin"
    binaries.mkdir()
    base_python = getattr(sys, "_base_executable", sys.executable)
    (binaries / "python3").write_text(f'#!/bin/sh\nexec "{base_python}" "$@"\n')
    (binaries / "python3").chmod(0o755)
    return {
        "PATH": f"{binaries}:{os.defpath}", "ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": str(tmp_path),
        "PYTHONPATH": str(python_path), "HOME": str(tmp_path),
    }  # fmt: skip


def test_bash_can_parse_it() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    assert os.access(SCRIPT, os.X_OK)


def test_help_needs_no_ros() -> None:
    result = run({"PATH": os.defpath}, "--help")
    assert result.returncode == 0 and "--dry-run" in result.stdout and "setup.bash" in result.stdout


def test_dry_run_prints_the_commands_and_changes_nothing(ros: dict[str, str], tmp_path: Path) -> None:
    venv = tmp_path / "environment"
    result = run(ros, "--dry-run", "--venv", str(venv))
    assert result.returncode == 0, result.stderr
    commands = [line for line in result.stdout.splitlines() if line.startswith("+ ")]
    steps = ("venv --system-site-packages", "COLCON_IGNORE", "torch.txt", "base.txt", "-m colcon build")
    places = [next(i for i, command in enumerate(commands) if step in command) for step in steps]
    assert places == sorted(places), "torch comes first and alone, colcon last"
    assert f"{venv}/bin/python -m colcon build" in commands[places[-1]]
    assert f"source {venv}/bin/activate" in result.stdout
    assert not venv.exists() and not result.stderr


def test_a_missing_ros_package_is_named_with_its_debian_name(ros: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "share/ament_index/resource_index/packages/robot_state_publisher").unlink()
    result = run(ros, "--dry-run")
    assert result.returncode == 0 and "ros-jazzy-robot-state-publisher" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ROS_DISTRO": None}, "not sourced"),
        ({"AMENT_PREFIX_PATH": None}, "not sourced"),
        ({"ROS_DISTRO": "humble"}, "too old"),
        ({"PYTHONPATH": None}, "cannot import rclpy"),
        ({"VIRTUAL_ENV": "/somewhere/venv"}, "deactivate"),
        ({"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}, "new shell"),
    ],
)
def test_what_is_wrong_is_said(ros: dict[str, str], change: dict[str, str | None], message: str) -> None:
    environment = {key: value for key, value in (ros | change).items() if value is not None}
    result = run(environment, "--dry-run")
    assert result.returncode == 1 and message in result.stderr, result.stderr
    assert not result.stdout


def test_missing_colcon_matters_only_for_the_build(ros: dict[str, str]) -> None:
    shutil.rmtree(Path(ros["PYTHONPATH"]) / "colcon_core")
    assert "python3-colcon-common-extensions" in run(ros, "--dry-run").stderr
    result = run(ros, "--dry-run", "--no-build")
    assert result.returncode == 0 and "colcon build" not in result.stdout


@pytest.mark.parametrize(("version", "taken"), [("3.10", False), ("3.11", True), ("3.12", True), ("3.14", True), ("3.15", False)])
def test_pythons_without_wheels_are_refused_by_name(ros: dict[str, str], tmp_path: Path, version: str, taken: bool) -> None:
    """A python3 that says that it is another one."""
    python = tmp_path / "bin/python3"
    real = python.read_text().splitlines()[-1]
    python.write_text(f'#!/bin/sh\ncase "$2" in *version_info*) echo {version}; exit;; esac\n{real}\n')
    result = run(ros, "--dry-run")
    assert (result.returncode == 0) == taken, result.stderr
    if not taken:
        assert f"Python {version}" in result.stderr.replace("\n", " ") and "3.11, 3.12, 3.13 or 3.14" in result.stderr
    else:
        assert ("render.txt" in result.stdout) == (version == "3.11"), "PyBullet has wheels for 3.11 alone"


def test_a_package_that_has_no_wheel_does_not_end_the_setup(ros: dict[str, str], tmp_path: Path) -> None:
    """Everything but the optional part installs; pip is stood in for by a script that knows no PyBullet."""
    venv = tmp_path / "environment"
    (tmp_path / "bin/python3").write_text(
        "#!/bin/sh\n"
        'case "$*" in *version_info*) echo 3.11; exit;; *"-m venv"*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; exit;; '
        '*"import torch"*) exit 1;; *setup_plan.py*) printf "%s\\n" --made-up torch; exit;; *render.txt*) exit 1;; '
        '*"pip list"*) exit;; esac\n'
    )
    result = run(ros, "--no-build", "--venv", str(venv))
    assert result.returncode == 0, result.stderr
    assert "render.txt could not be installed; the graph runs without it" in result.stderr
    assert f"+ {venv}/bin/python -m pip install --made-up torch" in result.stdout, "the plan says which torch"


def test_a_disk_that_is_too_small_ends_the_setup_before_pip(ros: dict[str, str], tmp_path: Path) -> None:
    venv = tmp_path / "environment"
    (tmp_path / "bin/python3").write_text(
        "#!/bin/sh\n"
        'case "$*" in *version_info*) echo 3.12; exit;; *"-m venv"*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; exit;; '
        '*"import torch"*) exit 1;; *setup_plan.py*) echo "error: the setup needs 2 GB" >&2; exit 1;; esac\n'
    )
    result = run(ros, "--no-build", "--venv", str(venv))
    assert result.returncode == 1 and "needs 2 GB" in result.stderr and "pip install" not in result.stdout


def test_an_unknown_option_is_refused() -> None:
    result = run({"PATH": os.defpath}, "--frobnicate")
    assert result.returncode == 1 and "--frobnicate" in result.stderr
