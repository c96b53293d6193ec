"""What was measured is told before anything that can still go wrong."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from diffmocap.cli import demo
from diffmocap.cli.main import main
from diffmocap.cli.recording import Recording
from diffmocap.errors import GraphError, SettingsError
from diffmocap.types import CameraIntrinsics

NAMES = tuple(f"joint_{i}" for i in range(69))


def feed(recording: Recording, frames: int) -> None:
    """Images and their joint states, one every 40 ms."""
    for i in range(frames):
        now_ns = time.time_ns()
        recording.image(40_000_000 * (i + 1), now_ns, CameraIntrinsics.from_fov(160, 120))
        recording.joint_state(40_000_000 * (i + 1), now_ns + 20_000_000, NAMES, np.zeros(69))


def playing(frames: int, failure: Exception | None = None):
    def play(what, recording: Recording) -> None:
        feed(recording, frames)
        if failure is not None:
            raise failure

    return play


@pytest.mark.parametrize("command", [["demo", "--no-video"], ["live"]])
@pytest.mark.parametrize("frames", [5, 0])
def test_a_node_that_dies_leaves_the_figures(capsys, monkeypatch, tiny_video, tmp_path, command, frames):
    failure = GraphError("pose_node has ended with exit code -9:\nits log")
    monkeypatch.setattr("diffmocap.cli.play.play", playing(frames, failure))
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--source", str(tiny_video), "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["frames"], told["poses"], told["error"]) == (frames, frames, str(failure))
    assert "video" not in told
    assert err.count("pose_node has ended with exit code -9") == 1
    assert ("joint states a second" in err) == (frames > 0), "without an image there is nothing to tell"


def test_figures_come_before_the_pictures(capsys, monkeypatch, tiny_video, tmp_path):
    monkeypatch.setattr("diffmocap.cli.play.play", playing(5))
    monkeypatch.setattr(demo, "can_draw", lambda: True)

    def full_disk(*arguments, **options):
        assert json.loads(capsys.readouterr().out)["poses"] == 5
        raise SettingsError("cannot write the video: No space left on device")

    monkeypatch.setattr(demo, "draw", full_disk)
    assert main(["demo", "--source", str(tiny_video), "--out", str(tmp_path), "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("error: cannot write the video: No space left on device\n")


def test_the_line_says_where_the_pictures_will_be(capsys, monkeypatch, tiny_video, tmp_path):
    monkeypatch.setattr("diffmocap.cli.play.play", playing(5))
    monkeypatch.setattr(demo, "can_draw", lambda: True)
    monkeypatch.setattr(demo, "draw", lambda *a, **k: pytest.importorskip("diffmocap.cli.drawing.pictures").Pictures(
        tmp_path / "tiny.webm", tmp_path / "tiny.png", 1, 5))  # fmt: skip
    assert main(["demo", "--source", str(tiny_video), "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["video"], told["picture"]) == (str(tmp_path / "tiny.webm"), str(tmp_path / "tiny.png"))


def test_without_pybullet_a_demo_says_so_and_draws_nothing(capsys, monkeypatch, tiny_video, tmp_path):
    monkeypatch.setattr("diffmocap.cli.play.play", playing(5))
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    monkeypatch.setattr(demo, "draw", lambda *a: pytest.fail("nothing can draw"))
    assert main(["demo", "--source", str(tiny_video), "--out", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "video" not in json.loads(out) and "PyBullet is not installed" in err
