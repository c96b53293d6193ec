"""Rotations stored in another way are refused with the reason; a folder skips what it cannot use and says so."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest

from diffmocap.body.mocap import load_clips
from diffmocap.body.rotation_columns import MAX_TURN_RAD, check_axis_angle, columns_of_joints
from diffmocap.errors import MotionFileError
from diffmocap.evaluation.pose_frames import PoseFrames

FRAMES = 20


def poses(columns: int = 72) -> np.ndarray:
    """Arms that hang and swing: axis-angle [T, columns] in radians."""
    t = np.linspace(0, 3, FRAMES)
    values = np.zeros((FRAMES, columns))
    values[:, 3 * 16 + 2], values[:, 3 * 17 + 2] = -1.2 + 0.1 * np.sin(t), 1.2 + 0.1 * np.sin(t)
    return values


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, poses=values, trans=np.zeros((len(values), 3)), mocap_framerate=30.0)
    return path


@pytest.mark.parametrize("columns", [66, 72, 156, 165])
def test_axis_angle_of_every_model_is_read(tmp_path, columns):
    (clip,) = load_clips(write(tmp_path / "own.npz", poses(columns)))
    assert len(clip) == FRAMES


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((24 * 6,), "6D"), ((22 * 6,), "6D"), ((24, 6), "6D"), ((24 * 9,), "matrices"), ((24, 3, 3), "matrices"),
        ((22 * 9,), "matrices"), ((24 * 4,), "quaternions"), ((22, 4), "quaternions"),
        ((24, 3), r"reshape it to \[T, 72\]"),
        ((75,), "72 .SMPL"), ((24, 5), "expected axis-angle"),
    ],
)  # fmt: skip
def test_other_representations_are_named(tmp_path, shape, says):
    path = write(tmp_path / "other.npz", np.zeros((FRAMES, *shape)))
    with pytest.raises(MotionFileError, match=says) as caught:
        load_clips(path)
    assert str(path) in str(caught.value)


def test_no_two_representations_share_their_columns():
    for columns in range(1, 600):
        try:
            columns_of_joints((5, columns), Path("x.npz"))
        except MotionFileError as error:
            assert " or " not in str(error).split(";")[0].replace("72, 156 or 165", "")


def test_degrees_are_refused_with_the_reason(tmp_path):
    with pytest.raises(MotionFileError, match="look like degrees.*as_rotvec"):
        load_clips(write(tmp_path / "degrees.npz", np.degrees(poses())))


def test_a_glitch_and_a_pirouette_are_no_degrees():
    vectors = poses().reshape(FRAMES, 24, 3)
    vectors[3, 20] = 4 * math.pi  # one frame of a wrist
    vectors[:, 0, 1] = np.linspace(0, 30, FRAMES)  # turning on the spot, the angle counted on
    check_axis_angle(vectors, Path("x.npz"))
    vectors[3:5, 20] = 0.9 * MAX_TURN_RAD, 0, 0
    check_axis_angle(vectors, Path("x.npz"))
    vectors[3:6, 20] = 1.1 * MAX_TURN_RAD, 0, 0
    with pytest.raises(MotionFileError):
        check_axis_angle(vectors, Path("x.npz"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two good files, three that cannot be used each for its own reason, one without poses."""
    write(tmp_path / "a" / "good.npz", poses())
    write(tmp_path / "b" / "good.npz", poses(156))
    write(tmp_path / "b" / "degrees.npz", np.degrees(poses()))
    cut = write(tmp_path / "a" / "cut.npz", poses())
    cut.write_bytes(cut.read_bytes()[:500])
    (tmp_path / "a" / "text.npz").write_text("no archive")
    np.savez(tmp_path / "a" / "shape.npz", betas=np.zeros(10))
    return tmp_path


def test_a_folder_skips_what_it_cannot_use_and_says_so_at_the_end(folder, caplog):
    skipped: dict[str, str] = {}
    with caplog.at_level(logging.WARNING):
        clips = load_clips(folder, skipped=skipped)
    assert [clip.subject for clip in clips] == ["a", "b"]
    assert set(skipped) == {"a/cut.npz", "a/text.npz", "b/degrees.npz"} and "degrees" in skipped["b/degrees.npz"]
    left_out, unusable = (record.getMessage() for record in caplog.records)
    assert "1 of 6 files" in left_out and "shape.npz" in left_out
    assert "skipped 3 of 6 files" in unusable and "text.npz" in unusable and "look like degrees" in unusable
    again: dict[str, str] = {}
    assert len(PoseFrames.load(folder, skipped=again)) == 2 * FRAMES and again == skipped


def test_a_folder_of_unusable_files_alone_is_an_error_with_a_reason(folder):
    for name in ("a", "b"):
        (folder / name / "good.npz").unlink()
    with pytest.raises(MotionFileError, match="none of the 3 motion files.*cut.npz"):
        load_clips(folder)
