"""A live session is kept as it goes: what was written stays, whatever happens to the process."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.cli.main import main
from diffmocap.cli.recording import RecordedPose, Recording
from diffmocap.errors import MotionFileError, SettingsError
from diffmocap.motion.motion_npz import read_motion, write_motion
from diffmocap.reconstruct import work
from diffmocap.reconstruct.recipe import identity_of
from diffmocap.reconstruct.session import (
    CAMERA,
    MOTION,
    SessionWriter,
    is_session,
    session_footage,
    session_keypoints,
    write_live_motion,
)
from tests.motion.motions import lively_motion

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def pose_at(i: int) -> tuple[np.ndarray, np.ndarray]:
    rotvec = torch.zeros(24, 3)
    rotvec[:, 1] = 0.01 * i
    return roma.rotvec_to_unitquat(rotvec).numpy(), np.array([0.01 * i, 0.0, 4.0])


def record(folder: Path, keypoints, camera, skip: tuple[int, ...] = ()) -> SessionWriter:
    writer = SessionWriter(folder)
    recording = Recording(keep_poses=False, sink=writer)
    for i, k in enumerate(keypoints):
        recording.image(k.stamp_ns, k.stamp_ns, camera)
        recording.keypoints(k, k.stamp_ns)
        if i not in skip:
            quaternions, pelvis = pose_at(i)
            pose = RecordedPose(root_position_m=pelvis, rotations_xyzw=quaternions)
            recording.body_pose(k.stamp_ns, k.stamp_ns, pose)
    return writer


def test_what_was_recorded_comes_back(tmp_path, body, demo_keypoints, demo_camera):
    depth = np.linspace(-0.4, 0.4, 25).astype(np.float32)
    keypoints = [replace(k, depth_m=depth if i % 2 else None) for i, k in enumerate(demo_keypoints[:75])]
    camera = replace(demo_camera, distortion=(0.1, 0.0, 0.0, 0.0, 0.0))
    motion_file = record(tmp_path / "s", keypoints, camera, skip=(30, 31)).close(body)
    back, intrinsics = session_keypoints(tmp_path / "s")
    assert intrinsics == camera and len(back) == 75
    for a, b in zip(keypoints, back):
        assert np.array_equal(a.points_px, b.points_px) and a.stamp_ns == b.stamp_ns
        assert (a.depth_m is None) == (b.depth_m is None)
    motion = read_motion(motion_file, body)
    assert motion.fps == 30.0 and len(motion) == 75 and motion.frame == "optical"
    assert (~motion.tracked).nonzero()[:, 0].tolist() == [30, 31]
    for i in (0, 31, 74):  # what was not published lies between its neighbours
        quaternions, pelvis = pose_at(i)
        expected = roma.unitquat_to_rotmat(torch.from_numpy(quaternions))
        assert torch.allclose(motion.rotations[i], expected.float(), atol=1e-4)
        assert np.allclose(motion.pelvis[i], pelvis, atol=1e-5)
    assert len(session_footage(tmp_path / "s", fps=15.0)) == 38


def test_a_second_session_does_not_overwrite_the_first(tmp_path, demo_keypoints, demo_camera):
    record(tmp_path, demo_keypoints[:40], demo_camera)
    assert is_session(tmp_path)
    with pytest.raises(SettingsError, match="holds a session already"):
        SessionWriter(tmp_path)


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "s").write_text("")
    with pytest.raises(SettingsError, match="a file is in the way"):
        SessionWriter(tmp_path / "s")


def test_a_motion_that_is_there_is_not_replaced(tmp_path):
    (tmp_path / MOTION).write_bytes(b"of motion.mp4")
    with pytest.raises(SettingsError, match="is there already"):
        SessionWriter(tmp_path)
    assert (tmp_path / MOTION).read_bytes() == b"of motion.mp4"


def test_a_full_disk_is_told_once_and_nothing_is_lost_when_it_has_space_again(
    tmp_path, body, demo_keypoints, demo_camera, monkeypatch
):
    told: list[str] = []
    writer = SessionWriter(tmp_path, told.append)
    writer.camera(demo_camera)
    savez, full = np.savez, True

    def write(file, **arrays):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", write)
    keypoints = [replace(k, stamp_ns=10**9 + i * 40_000_000) for i, k in enumerate(demo_keypoints[:8] * 150)]
    for k in keypoints[:600]:
        writer.keypoints(k)
        writer.pose(k.stamp_ns, *pose_at(1))
    assert len(told) == 1 and "No space left on device; it is kept in memory" in told[0]
    full = False
    for k in keypoints[600:]:
        writer.keypoints(k)
    assert len(told) == 2 and told[1].endswith("nothing is lost")
    assert len(read_motion(writer.close(body), body)) == 600
    assert [k.stamp_ns for k in session_keypoints(tmp_path)[0]] == [k.stamp_ns for k in keypoints]


@pytest.mark.parametrize("set_by_s", [-86_400, 1_700_000_000])
def test_a_clock_that_was_set_neither_mixes_images_nor_makes_a_motion_of_years(
    tmp_path, body, demo_keypoints, demo_camera, set_by_s
):
    keypoints = [
        replace(k, stamp_ns=k.stamp_ns + 10**14 + (set_by_s * 10**9 if i >= 40 else 0))
        for i, k in enumerate(demo_keypoints[:80])
    ]
    assert len(read_motion(record(tmp_path, keypoints, demo_camera).close(body), body)) < 500
    back = session_keypoints(tmp_path)[0]
    assert all(np.array_equal(a.points_px, b.points_px) for a, b in zip(keypoints, back, strict=True))
    assert len(session_footage(tmp_path)) < 500


def test_a_session_without_poses_has_no_motion_and_damage_is_told(tmp_path, body, demo_keypoints, demo_camera):
    writer = record(tmp_path, demo_keypoints[:40], demo_camera, skip=tuple(range(40)))
    assert writer.close(body) is None
    (tmp_path / "part-000000.npz").write_bytes(b"half")
    with pytest.raises(MotionFileError, match="the other parts can be used"):
        session_keypoints(tmp_path)
    (tmp_path / CAMERA).unlink()
    (tmp_path / "part-000000.npz").unlink()
    with pytest.raises(MotionFileError, match="which camera"):
        session_keypoints(tmp_path)


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from diffmocap.reconstruct.session import SessionWriter
from diffmocap.types import CameraIntrinsics, Keypoints2D
writer = SessionWriter(Path(sys.argv[1]))
writer.camera(CameraIntrinsics.from_fov(640, 480))
one = np.tile([0.0, 0.0, 0.0, 1.0], (24, 1))
for i in range(10_000):
    stamp = round(i * 1e9 / 30)
    writer.keypoints(Keypoints2D(np.full((25, 2), 9.0, np.float32), np.ones(25, np.float32), 640, 480, stamp))
    writer.pose(stamp, one, np.array([0.0, 0.0, 3.0]))
    print(i, flush=True)
    time.sleep(0.001)
"""


def test_a_process_that_is_killed_loses_less_than_two_seconds(tmp_path, body):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "s")], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    told = -1
    for line in process.stdout:
        told = int(line)
        if told >= 200:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept, _ = session_keypoints(tmp_path / "s")
    assert told - len(kept) < 60  # images of two seconds
    assert len(read_motion(write_live_motion(tmp_path / "s", body), body)) >= len(kept) - 1


def test_a_session_is_reconstructed_and_a_killed_ones_motion_is_written(
    tmp_path, body, truth, demo_keypoints, demo_camera, capsys, monkeypatch
):
    record(tmp_path / "walk", demo_keypoints[:70], demo_camera)  # and never closed
    assert not (tmp_path / "walk" / MOTION).exists()
    command = ["reconstruct", str(tmp_path / "walk"), "--out", str(tmp_path / "out"), "--no-physics", "--json"]
    with monkeypatch.context() as patched:  # a disk without space for it: the reconstruction is written elsewhere
        patched.setattr(work, "write_live_motion", Mock(side_effect=OSError(errno.ENOSPC, "full")))
        assert main([*command, "--frame", "camera"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["files"] == [str(tmp_path / "out" / "walk.npz")]
    assert not (tmp_path / "walk" / MOTION).exists()
    assert main([*command, "--frame", "camera", "--overwrite"]) == 0
    assert (tmp_path / "walk" / MOTION).is_file()
    motion = read_motion(tmp_path / "out" / "walk.npz", body)
    error = np.linalg.norm(motion.joints(body).numpy()[:30] - truth["joints"][:30], axis=-1).mean()
    assert error < 0.2


def test_the_motion_of_an_earlier_session_of_the_same_name_is_not_taken_for_this_ones(
    tmp_path, body, demo_keypoints, demo_camera, capsys
):
    out = tmp_path / "out"
    command = ["reconstruct", str(tmp_path / "walk"), "--out", str(out)]
    record(tmp_path / "walk", demo_keypoints[:70], demo_camera)
    motion = replace(lively_motion(9), video=identity_of(str(tmp_path / "walk")))
    write_motion(out / "walk.npz", motion, body)
    (tmp_path / "walk" / "walk.npz").write_bytes(b"a motion made of it")
    assert main(command) == 0 and "skipped" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "walk")
    record(tmp_path / "walk", demo_keypoints[:40], demo_camera)
    assert main(command) == 1 and "is the motion of another video" in capsys.readouterr().err
    write_motion(out / "walk.npz", replace(motion, video="walk"), body)  # of an earlier release
    assert main(command) == 0 and "skipped" in capsys.readouterr().err
