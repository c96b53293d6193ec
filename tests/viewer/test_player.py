"""A motion on the page: it plays at its own rate, stops where the timeline is moved to, and the video keeps up."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from diffmocap.output.tracking_state import TrackingState
from diffmocap.viewer.player import PlayedMotion, Player

viser = pytest.importorskip("viser", reason="draws the page: pip install viser")


class FakeScene:
    def __init__(self) -> None:
        self.shown: list = []

    def show(self, pose) -> None:
        self.shown.append(pose)


@pytest.fixture
def server(monkeypatch) -> Iterator:
    from diffmocap.viewer.server import open_server

    server = open_server("127.0.0.1", 0)
    monkeypatch.setattr(server, "get_clients", lambda: {0: object()})
    yield server
    server.stop()


def motion(frames: int = 90, fps: float = 30.0) -> PlayedMotion:
    joints = np.zeros((frames, 24, 3))
    joints[:, :, 0] = 0.01 * np.arange(frames)[:, None]
    tracked = np.ones(frames, bool)
    tracked[10:20] = False
    return PlayedMotion(fps, np.tile([0.0, 0.0, 0.0, 1.0], (frames, 24, 1)), joints, tracked)


def test_it_plays_at_its_own_rate_and_begins_again_at_its_end(server):
    player = Player(server, FakeScene(), motion())
    player.advance(100.0)
    player.advance(101.0)
    assert player.frame == 30
    player.advance(102.5)
    assert player.frame == 75
    player.advance(103.5)
    assert player.frame == 15


def test_half_speed_takes_twice_as_long(server):
    player = Player(server, FakeScene(), motion())
    player._speed.value = "0.5"
    player.advance(0.0)
    wait_s = player.advance(1.0)
    assert player.frame == 15 and wait_s == pytest.approx(1 / 15)


def test_nothing_moves_while_nobody_looks(server, monkeypatch):
    monkeypatch.setattr(server, "get_clients", dict)
    player = Player(server, FakeScene(), motion())
    player.advance(0.0)
    player.advance(1.0)
    assert player.frame == 0


def test_moving_the_timeline_stops_there_and_playing_goes_on_from_there(server):
    player = Player(server, FakeScene(), motion())
    player._slider.value = 60
    player._scrub(SimpleNamespace(client=object()))
    assert player.frame == 60 and not player.playing and player._button.label == "Play"
    player.advance(5.0)
    player.advance(9.0)
    assert player.frame == 60
    player.play(True)
    player.advance(9.1)
    player.advance(9.6)
    assert 74 <= player.frame <= 78  # the pause does not count


def test_the_timeline_of_one_frame_may_be_moved(server):
    scene = FakeScene()
    player = Player(server, scene, motion(frames=1))
    player._slider.value = 1
    player._scrub(SimpleNamespace(client=object()))
    assert player.frame == 0 and player._slider.value == 0 and len(scene.shown) == 2


def test_bridged_frames_are_told(server):
    scene = FakeScene()
    player = Player(server, scene, motion())
    player.show(12)
    assert scene.shown[-1].tracking is TrackingState.PREDICTED and "bridged" in player._words.content
    player.show(30)
    assert scene.shown[-1].tracking is TrackingState.TRACKED and "bridged" not in player._words.content


def test_the_command_serves_the_motion_with_its_video_until_it_is_interrupted(tmp_path, monkeypatch, capsys):
    """A motion that begins half a second into its video shows that video's pictures of the same time."""
    import torch

    from diffmocap.body.model import BodyModel
    from diffmocap.cli.main import main
    from diffmocap.cli.motions import view
    from diffmocap.motion.motion import Motion
    from diffmocap.motion.motion_npz import read_motion, write_motion

    body = BodyModel.load()
    upright = torch.eye(3).repeat(20, 24, 1, 1)
    made = Motion(10.0, upright, torch.zeros(20, 3), torch.zeros(10), "y_up", start_s=0.5)
    write_motion(tmp_path / "m.npz", made, body)
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for i in range(25):
        writer.write(np.full((48, 64, 3), 10 * i, np.uint8))
    writer.release()
    motion = read_motion(tmp_path / "m.npz", body)
    assert motion.start_s == 0.5
    picture_at = view.pictures_of(str(tmp_path / "v.avi"), motion)
    assert [round(float(picture_at(frame).mean()) / 10) for frame in (0, 7, 19)] == [5, 12, 24]

    served = []

    def interrupted(seconds):
        served.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("diffmocap.cli.motions.view.time.sleep", interrupted)
    command = ["view", str(tmp_path / "m.npz"), "--video", str(tmp_path / "v.avi"), "--port", "0"]
    assert main(command) == 0 and served
    assert "http://127.0.0.1:" in capsys.readouterr().err
    assert main(["view", str(tmp_path / "none.npz")]) == 1


def test_a_motion_of_the_camera_stands_on_the_floor(mocap_dir):
    import torch

    from diffmocap.body.mocap import load_split
    from diffmocap.body.model import BodyModel
    from diffmocap.cli.motions.view import played
    from diffmocap.motion.motion import Motion

    body = BodyModel.load()
    clip = load_split(mocap_dir / "cmu_smpl30_val.npz")[0].frames(0, 60)
    optical = Motion(30.0, clip.rotations, clip.pelvis, torch.zeros(10), "y_up").in_frame("optical")
    raised = Motion(30.0, optical.rotations, optical.pelvis + torch.tensor([0.0, 1.0, 4.0]), torch.zeros(10), "optical")
    joints = played(raised, body).joints_m
    assert joints[:, 15, 2].min() > 1.0  # the head is up
    assert abs(float(joints[:, [10, 11], 2].min())) < 0.12
