"""Exported files, opened by the programs they are for. Each of these is optional; its tests are skipped without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.export import judges
from diffmocap.body.model import BodyModel
from diffmocap.errors import MotionFileError, SetupError
from diffmocap.motion.export import fbx, formats
from diffmocap.motion.export.animated_skeleton import file_axes
from diffmocap.motion.export.joint_names import SKELETONS
from diffmocap.motion.export.options import PRESETS, UNITS
from tests.motion.motions import lively_motion

BODY = BodyModel.load()
MOTION = lively_motion(6, frame="y_up")
JOINTS = MOTION.joints(BODY).double().numpy()
#: Asked for is 0.1 mm.
MOST_M = 2e-5


def judged(judge, *arguments):
    try:
        return judge(*arguments)
    except judges.NotInstalled as reason:
        pytest.skip(str(reason))


def exported(tmp_path: Path, name: str, tool: str | None = None):
    options = formats.options_for(name, PRESETS[tool] if tool else None, {})
    path = tmp_path / f"turn{formats.FORMATS[name].suffix}"
    formats.export_motion(MOTION, BODY, path, name, options)
    return path, [joint.replace(":", "_") if name == "usd" else joint for joint in SKELETONS[options.skeleton]], options


@pytest.mark.parametrize("tool", [None, "unreal", "unity"])
def test_bvhio_finds_the_joints(tool, tmp_path) -> None:
    path, names, options = exported(tmp_path, "bvh", tool)
    joints = judged(judges.joints_in_bvhio, path, names) * UNITS[options.unit] @ file_axes(options.up)
    np.testing.assert_allclose(joints, JOINTS, atol=MOST_M)


@pytest.mark.parametrize("tool", [None, "unreal", "unity"])
def test_usd_skel_finds_the_joints_and_pixars_validators_nothing_wrong(tool, tmp_path) -> None:
    pytest.importorskip("pxr", reason="usd-core is not installed: pip install -r requirements/export.txt")
    path, names, options = exported(tmp_path, "usd", tool)
    joints = judges.joints_in_usd(path, names) * UNITS[options.unit] @ file_axes(options.up)
    np.testing.assert_allclose(joints, JOINTS, atol=MOST_M)
    assert judges.problems_in_usd(path) == []


@pytest.mark.parametrize("tool", [None, "unreal"])
def test_khronos_validator_finds_no_error_and_no_warning(tool, tmp_path) -> None:
    issues = judged(judges.gltf_issues, exported(tmp_path, "glb", tool)[0])
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


@pytest.mark.parametrize("name, tool", [("bvh", "blender"), ("glb", None), ("fbx", "unreal")])
def test_blender_imports_the_joints(name, tool, tmp_path) -> None:
    judged(judges.blender)
    path, names, _ = exported(tmp_path, name, tool)
    joints = judges.joints_in_blender(path, names, MOTION.fps)
    np.testing.assert_allclose(joints, JOINTS, atol=MOST_M)


def test_without_blender_the_error_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(fbx.VARIABLE, raising=False)
    monkeypatch.setattr(fbx.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="FBX is written by Blender, which was not found; install Blender"):
        fbx.blender_command()
    with pytest.raises(SetupError, match="there is no program '/no/blender' to write FBX with"):
        fbx.blender_command("/no/blender")


def test_a_blender_that_fails_leaves_no_file_and_its_words(tmp_path, monkeypatch) -> None:
    program = tmp_path / "blender"
    program.write_text("#!/bin/sh\necho 'Error: no such operator' >&2\nexit 1\n")
    program.chmod(0o755)
    options = formats.options_for("fbx", None, {})
    with pytest.raises(MotionFileError, match="could not write .*no such operator"):
        formats.export_motion(MOTION, BODY, tmp_path / "turn.fbx", "fbx", options, str(program))
    assert [p.name for p in tmp_path.iterdir()] == ["blender"]


def test_without_usd_core_the_error_says_what_to_install(tmp_path, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(SetupError, match="pip install usd-core"):
        exported(tmp_path, "usd")
    assert not list(tmp_path.iterdir())
