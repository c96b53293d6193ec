"""What a shell is told to do, for every way in which diffmocap may be installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffmocap.cli import remedies
from diffmocap.cli.remedies import Remedy, one_command


@pytest.fixture(autouse=True)
def no_ros(monkeypatch):
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)


def test_nothing_found_needs_no_command(tmp_path):
    assert one_command([Remedy(), Remedy()], tmp_path) == ""


def test_packages_are_asked_for_once_and_pinned(tmp_path, repo_root):
    command = one_command([Remedy(pip=("roma",)), Remedy(pip=("roma", "tqdm")), Remedy(pip=("unheard-of",))], tmp_path)
    assert command.startswith(f"{sys.executable} -m pip install roma==") and command.count("roma") == 1
    assert command.endswith(" unheard-of")
    pin = next(line.split()[0] for line in (repo_root / "requirements/base.txt").read_text().splitlines()
               if line.startswith("roma=="))  # fmt: skip
    assert f" {pin} " in command


def test_what_belongs_before_comes_before(tmp_path):
    command = one_command(
        [Remedy(before=("remove it",), pip=("roma",), after=("look at it",)), Remedy(apt=("b", "a"))], tmp_path
    )
    steps = command.split(" && ")
    assert steps[0] == "sudo apt-get install -y b a" and steps[1] == "remove it" and steps[3] == "look at it"
    assert "pip install" in steps[2] and len(steps) == 4


def test_an_environment_of_make_setup_is_mended_by_it(tmp_path, repo_root):
    (tmp_path / ".stamps").mkdir()
    assert one_command([Remedy(pip=("roma",))], tmp_path) == f"make -C {repo_root} setup"
    assert one_command([Remedy(setup=True)], tmp_path) == f"make -C {repo_root} setup"
    assert one_command([Remedy(pip=("tensorboard",), training=True)], tmp_path) == f"make -C {repo_root} setup-test"
    assert one_command([Remedy(apt=("libgl1",))], tmp_path) == "sudo apt-get install -y libgl1"


def test_an_environment_beside_a_ros_2_install_is_mended_by_its_script(tmp_path, repo_root, monkeypatch):
    (tmp_path / "COLCON_IGNORE").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/jazzy")
    command = one_command([Remedy(pip=("numba",))], tmp_path)
    assert command == f"(deactivate; {repo_root}/tools/setup_ros_venv.sh --venv {tmp_path})"


def test_an_installed_copy_has_no_setup_of_its_own(tmp_path, monkeypatch):
    (tmp_path / ".stamps").mkdir()
    monkeypatch.setattr(remedies, "share_directory", lambda: Path("/nowhere"))
    assert one_command([Remedy(pip=("roma",))], tmp_path) == f"{sys.executable} -m pip install roma"
    assert one_command([Remedy(setup=True)], tmp_path) == "", "no pip package is ROS 2"
