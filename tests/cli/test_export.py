"""`diffmocap export` as it is typed."""

from __future__ import annotations

import resource

import pytest

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.cli.main import main
from diffmocap.cli.motions import export
from diffmocap.motion.export.formats import FORMATS
from diffmocap.motion.export.joint_names import SKELETONS
from diffmocap.motion.export.options import PRESETS, ROOT_MOTIONS, UNITS, UP_AXES
from diffmocap.motion.motion_npz import write_motion
from tests.motion.motions import lively_motion


@pytest.fixture
def walk(tmp_path):
    path = tmp_path / "walk.npz"
    write_motion(path, lively_motion(5), BodyModel.load())
    return path


def test_several_formats_lie_beside_the_motion_and_are_named(walk, capsys) -> None:
    assert main(["export", str(walk), "--format", "bvh,csv", "trc", "BVH"]) == 0
    assert sorted(p.name for p in walk.parent.iterdir()) == ["walk.bvh", "walk.csv", "walk.npz", "walk.trc"]
    told = capsys.readouterr()
    assert f"{walk.with_suffix('.bvh')}  0.0" in told.out and "y up, mm" in told.out
    assert "5 frames at 30 a second" in told.err


def test_out_names_a_file_or_a_folder(walk, tmp_path) -> None:
    assert main(["export", str(walk), "--format", "bvh", "--out", str(tmp_path / "a/b.bvh")]) == 0
    assert main(["export", str(walk), "--format", "bvh", "csv", "--out", str(tmp_path / "c"), "--for", "maya"]) == 0
    assert (tmp_path / "a/b.bvh").is_file() and (tmp_path / "c/walk.csv").is_file()
    header = (tmp_path / "c/walk.csv").read_text().split("\n", 1)[0]
    assert "pelvis_x_cm" in header


def test_names_of_any_script_and_motions_of_one_frame_are_exported(tmp_path) -> None:
    path = tmp_path / "wälk 日本.npz"
    write_motion(path, lively_motion(1), BodyModel.load())
    names = ("bvh", "glb", "csv", "trc", "mot")
    assert main(["export", str(path), "--format", *names]) == 0
    assert all(path.with_suffix(f".{name}").stat().st_size > 100 for name in names)


def test_clips_of_a_collection_become_files_of_their_own(mocap_dir, tmp_path) -> None:
    source, out = mocap_dir / "cmu_smpl30_val.npz", tmp_path / "out"
    clips = [clip.name for clip in load_split(source)][:2]
    for clip in clips:
        assert main(["export", str(source), "--clip", clip, "--format", "csv", "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {f"{source.stem}_{clip}.csv" for clip in clips}


def test_a_format_that_cannot_be_made_leaves_the_others(walk, monkeypatch, capsys) -> None:
    assert main(["export", str(walk), "--format", "bvh", "grf", "csv"]) == 1
    told = capsys.readouterr()
    assert "walk.bvh" in told.out and "walk.csv" in told.out and "walk.grf" not in told.out
    assert "was not made" in told.err and walk.with_suffix(".csv").is_file()


@pytest.mark.parametrize("arguments, words", [
    (["--format", "obj"], "--format obj is unknown; expected one or more of bvh, glb"),
    (["--format", ","], "--format is empty; expected one or more of bvh, glb"),
    (["--format", "film", "--in-place"], "--in-place is of the other formats"),
    (["--format", "npz"], "the motion file itself is the .npz"),
    (["--format", "bvh", "--clip", "x"], "is one motion, no collection of clips: there is no 'x'"),
    (["--format", "glb", "--up", "z"], "glb always has up y, and not z"),
    (["--format", "bvh", "csv", "--out", "a.bvh"], "names one file, and 2 formats are asked for"),
    (["--format", "bvh", "--out", "a.fbx"], "ends in .fbx, and the format's files end in .bvh"),
    (["--format", "bvh", "--fps", "0"], "fps is 0; expected 1 to 1000"),
    (["--format", "fbx", "--blender", "/no/blender"], "there is no program '/no/blender'"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is_written(arguments, words, walk, capsys) -> None:
    assert main(["export", str(walk), *arguments]) == 1
    assert words in capsys.readouterr().err
    assert [p.name for p in walk.parent.iterdir()] == ["walk.npz"]


def test_a_motion_that_is_not_there_is_named(tmp_path, capsys) -> None:
    assert main(["export", str(tmp_path / "none.npz"), "--format", "bvh"]) == 1
    assert "there is no file" in capsys.readouterr().err


def test_the_command_line_offers_what_the_exporters_know(capsys) -> None:
    """It names them itself so that `--help` needs no torch."""
    assert set(export.FORMATS) == set(FORMATS) and set(export.TOOLS) == set(PRESETS)
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    text = capsys.readouterr().out
    for words in (UP_AXES, UNITS, SKELETONS, ROOT_MOTIONS):
        assert f"{{{','.join(words)}}}" in text


def test_a_disk_that_gets_full_under_usd_is_a_sentence(walk, capsys) -> None:
    """Pixar's library has errors of its own; here files may not be larger than 10 KB."""
    pytest.importorskip("pxr")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        assert main(["export", str(walk), "--format", "usd"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "check that its folder has free space" in capsys.readouterr().err
    assert [p.name for p in walk.parent.iterdir()] == ["walk.npz"]
