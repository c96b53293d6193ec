"""The command line as a whole: help, errors, exit codes."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

import diffmocap
from diffmocap.cli import calibrate, demo, doctor, evaluate, live
from diffmocap.cli.main import COMMANDS, build_parser, main
from diffmocap.errors import CameraError

NAMES = ("demo", "live", "robot", "calibrate", "evaluate", "doctor")


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_command_and_where_to_start(capsys):
    text = help_of(capsys)
    for module in COMMANDS:
        assert module.SUMMARY in text
    assert "diffmocap doctor" in text and "exit codes" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_and_all_its_options(capsys, name):
    text = help_of(capsys, name)
    assert len(text.split("options:")[0].splitlines()) > 5, "the description is more than the usage"
    parser = build_parser()._subparsers._group_actions[0].choices[name]
    for action in parser._actions:
        assert action.help, f"{name} {action.dest} has no help"
        assert not action.option_strings or action.option_strings[-1] in text


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from diffmocap.cli.main import build_parser; build_parser().format_help();"
        "print(sorted({'torch', 'cv2', 'mediapipe', 'rclpy', 'numpy', 'pybullet'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["demo", "--domain-id", "999"], ["evaluate"]])
def test_a_wrong_command_line_ends_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: diffmocap" in capsys.readouterr().err


def fails_with(error: BaseException):
    def run(args: Namespace) -> int:
        raise error

    return run


def test_an_error_is_one_line_on_stderr_and_exit_code_1(capsys, monkeypatch):
    monkeypatch.setattr(demo, "run", fails_with(CameraError("no camera; plug one in")))
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == "diffmocap demo: error: no camera; plug one in\n"
    with pytest.raises(CameraError):
        main(["--debug", "demo"])


def test_a_folder_that_cannot_be_written_is_named(capsys, monkeypatch):
    monkeypatch.setattr(demo, "run", fails_with(PermissionError(13, "Permission denied", "/root/out")))
    assert main(["demo"]) == 1
    said = "diffmocap demo: error: /root/out: Permission denied; choose a folder that can be written\n"
    assert capsys.readouterr().err == said


def test_a_full_disk_is_a_sentence_even_where_no_file_is_named(capsys, monkeypatch):
    monkeypatch.setattr(demo, "run", fails_with(OSError(28, "No space left on device")))
    assert main(["demo"]) == 1
    assert capsys.readouterr().err.startswith("diffmocap demo: error: No space left on device; free some space")


def test_a_package_that_is_missing_is_one_line_with_its_name_on_pypi(capsys, monkeypatch):
    monkeypatch.setattr(demo, "run", fails_with(ModuleNotFoundError("No module named 'cv2'", name="cv2")))
    assert main(["demo"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "pip install opencv-contrib-python" in err and "diffmocap doctor" in err
    monkeypatch.setattr(demo, "run", fails_with(ModuleNotFoundError("No module diffmocap.x", name="diffmocap.x")))
    with pytest.raises(ModuleNotFoundError):
        main(["demo"])  # a fault of ours is not the user's to mend


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"diffmocap {diffmocap.__version__}\n"


def test_ctrl_c_ends_with_130(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "run", fails_with(KeyboardInterrupt()))
    assert main(["doctor"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error_of_ours():
    script = (
        "import sys; from diffmocap.cli import doctor; from diffmocap.cli.main import main;"
        "doctor.run = lambda args: print('ready') or 0; sys.exit(main(['doctor']))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "--source", "nowhere.mp4"], "nowhere.mp4"),
        (["demo", "--source", "0"], "diffmocap live --source 0"),
        (["demo", "--source", "{text}"], "no video"),
        (["demo", "--source", "{video}", "--device", "tpu"], "cpu"),
        (["demo", "--source", "{video}", "--guidance", "99"], "guidance"),
        (["demo", "--source", "{video}", "--camera-height", "-1"], "--camera-height"),
        (["demo", "--source", "{video}", "--camera-roll", "90"], "--camera-roll"),
        (["live", "--source", "{video}", "--lag", "999"], "--lag must lie in [0, 23]"),
        (["demo", "--source", "{video}", "--weights", "nowhere.safetensors"], "--weights"),
        (["demo", "--source", "{video}", "--weights", "{text}"], "safetensors"),
        (["demo", "--source", "{video}", "--body-model", "{text}"], "{text}"),
        (["live", "--source", "/dev/video987"], "/dev/video987"),
        (["live", "--source", "{video}", "--duration", "-1"], "--duration"),
        (["live", "--source", "{video}", "--params-file", "nowhere.yaml"], "nowhere.yaml"),
        (["live", "--source", "{video}", "--calibration", "nowhere.yaml"], "nowhere.yaml"),
        (["demo", "--source", "{video}", "--calibration", "{text}"], "is no camera calibration"),
        (["evaluate", "nowhere.npz"], "nowhere.npz"),
        (["evaluate", "{text}", "--steps", "0"], "--steps"),
        (["evaluate", "{text}", "--guidance", "-1"], "--guidance"),
        (["evaluate", "{text}"], "{text}"),
    ],
)
def test_bad_input_is_told_before_anything_starts(capsys, tmp_path, tiny_video, monkeypatch, arguments, says):
    monkeypatch.setattr("diffmocap.cli.play.play", fails_with(AssertionError("the graph was started")))
    text = tmp_path / "text.mp4"
    text.write_text("not a video, not weights, not motion")
    places = {"video": tiny_video, "text": text}
    assert main([argument.format(**places) for argument in arguments]) == 1
    err = capsys.readouterr().err
    assert err.count("error: ") == 1 and says.format(**places) in err and "Traceback" not in err


def test_without_ros_the_message_says_how_to_get_it(capsys, monkeypatch, tiny_video, tmp_path):
    monkeypatch.setattr("diffmocap.middleware.ros_environment.find_spec", lambda name: None)
    assert main(["demo", "--source", str(tiny_video), "--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "make setup" in err and "setup.bash" in err


def test_every_module_has_what_the_parser_wants():
    for module in (demo, live, calibrate, evaluate, doctor):
        assert module.__doc__ and module.SUMMARY and callable(module.run)


def test_the_console_script_is_this_one(repo_root: Path):
    assert "diffmocap = diffmocap.cli.start:main" in (repo_root / "setup.py").read_text()


def test_python_m_is_the_command_too(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["diffmocap", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("diffmocap", run_name="__main__")
    assert end.value.code == 0 and capsys.readouterr().out == f"diffmocap {diffmocap.__version__}\n"
