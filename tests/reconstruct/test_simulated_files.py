"""`diffmocap refine` and `reconstruct --diffphy`: what is in their files, and what they say without a floor."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.cli.main import main
from diffmocap.cli.motions.reconstruct import UNSIMULATED, how_made, provenances
from diffmocap.motion.dynamics import MotionDynamics
from diffmocap.motion.export.prepare import prepared
from diffmocap.motion.motion import Motion
from diffmocap.motion.motion_npz import read_motion, stored_provenance, write_motion
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.wrench import STANDARD_GRAVITY
from diffmocap.reconstruct.ground_forces import ground_forces
from diffmocap.reconstruct.recipe import Recipe
from diffmocap.reconstruct.settings import QUALITIES
from diffmocap.refinement.diffphy.settings import SimulationSettings
from tests.demo_frames import beginning

FRAMES = 40


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture
def quick(monkeypatch):
    """Few evaluations, as what is found does not matter."""
    few = SimulationSettings(solver="lbfgs", evaluations=8)
    monkeypatch.setitem(QUALITIES, "fast", replace(QUALITIES["fast"], evaluations=6, rounds=1, simulation=few))


@pytest.fixture(scope="module")
def walk(mocap_dir, body) -> Motion:
    clip = retarget(next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_01"), body)
    motion = Motion(clip.fps, clip.rotations[:FRAMES], clip.pelvis[:FRAMES], torch.zeros(10), "y_up", name="walk")
    return motion.in_frame("world")


@pytest.fixture
def bare(walk, body, tmp_path):
    """A file with AMASS's keys and the frame alone."""
    write_motion(tmp_path / "whole.npz", walk, body)
    with np.load(tmp_path / "whole.npz") as data:
        kept = {key: data[key] for key in ("poses", "trans", "betas", "mocap_framerate", "frame")}
    np.savez(tmp_path / "walk.npz", **kept)
    return tmp_path / "walk.npz"


def test_a_file_without_extras_is_refined_and_simulated(bare, walk, body, quick, capsys):
    assert main(["refine", str(bare), "--diffphy", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    out = bare.with_name("walk_refined.npz")
    assert told["file"] == str(out) and told["frames"] == FRAMES and told["floor_trusted"]
    assert told["refining_loss"][1] < told["refining_loss"][0]
    assert told["simulation_loss"][1] < told["simulation_loss"][0] and told["simulated"] > 0.5
    assert not bare.with_name(".walk_refined.simulation.npz").exists()
    found = read_motion(out, body)
    assert (found.frame, found.fps, found.name) == ("world", walk.fps, "walk_refined")
    assert float((found.joints(body) - walk.joints(body)).norm(dim=-1).mean()) < 0.1
    own = found.dynamics.simulated
    assert float(own.float().mean()) == pytest.approx(told["simulated"])
    assert float(found.dynamics.contact_points[own][..., 2].min()) > -0.05  # the floor of the world frame is at 0
    weight = STANDARD_GRAVITY * float(BodySegments.of(body).total_mass)
    pushed = found.dynamics.contact_forces[own].sum(1)
    assert float(pushed[:, 2].mean()) == pytest.approx(weight, rel=0.3) and float(pushed[:, 2].min()) >= 0.0
    touching = found.dynamics.contact_forces[..., 2] > 5.0
    assert torch.equal(found.contacts[own], touching[own])

    assert main(["refine", str(bare)]) == 1
    assert "is there already; --overwrite replaces it" in capsys.readouterr().err


def test_forces_and_points_follow_the_motion_to_other_frames_and_files(bare, body, quick, capsys):
    assert main(["refine", str(bare), "--diffphy"]) == 0
    assert "frames simulated (loss " in capsys.readouterr().out
    found = read_motion(bare.with_name("walk_refined.npz"), body)
    upright = found.in_frame("y_up")
    own = found.dynamics.simulated
    torch.testing.assert_close(upright.dynamics.contact_forces[..., 1], found.dynamics.contact_forces[..., 2])
    back = upright.in_frame("world").dynamics
    torch.testing.assert_close(back.torques, found.dynamics.torques, rtol=0, atol=1e-4)
    forces = ground_forces(upright, body)
    soles = [i for i, name in enumerate(_names(body)) if not name.endswith(("hand", "knee"))]
    wanted = upright.dynamics.contact_forces[:, soles].sum(1)[own]
    assert np.allclose(forces.force.sum(1)[own.numpy()], wanted.numpy(), atol=1e-2)
    there = prepared(found, body, in_place=True)
    moved = there.dynamics.contact_points - upright.dynamics.contact_points
    assert np.allclose(moved[own][:, 0], (there.pelvis - upright.pelvis)[own], atol=1e-5)
    half = prepared(found, body, fps=15.0)
    assert len(half.dynamics.simulated) == len(half)
    assert main(["export", str(bare.with_name("walk_refined.npz")), "--format", "grf", "csv", "glb"]) == 0


def _names(body: BodyModel) -> tuple[str, ...]:
    from diffmocap.physics.contact_points import ContactPoints

    return ContactPoints.from_body(body).names


def test_without_a_floor_a_motion_is_refined_and_not_simulated(walk, body, tmp_path, quick, capsys):
    above = replace(walk, pelvis=walk.pelvis + torch.tensor([0.0, 0.0, 1.0]), name="above")
    write_motion(tmp_path / "above.npz", above, body)
    assert main(["refine", str(tmp_path / "above.npz"), "--diffphy", "--out", str(tmp_path / "out.npz")]) == 0
    told = capsys.readouterr().out
    assert "not known: feet do not rest at the height 0" in told and "not simulated" in told
    found = read_motion(tmp_path / "out.npz", body)
    assert not found.dynamics.simulated.any() and not found.contacts.any()
    assert float((found.joints(body) - above.joints(body)).norm(dim=-1).mean()) < 0.1


def test_keypoints_of_a_known_camera_pull_a_motion_back_to_the_person(walk, body, tmp_path, quick, capsys):
    """The motion of a file is off to the side of what its camera saw."""
    seen = walk.in_frame("optical")
    seen = replace(seen, pelvis=seen.pelvis - seen.pelvis.mean(0) + torch.tensor([0.0, 0.0, 4.0]))
    K = torch.tensor([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
    image = body.keypoints(seen.rotations, seen.pelvis) @ K.T
    keypoints = torch.cat([image[..., :2] / image[..., 2:], torch.full((FRAMES, 25, 1), 0.9)], -1)
    off = replace(seen, pelvis=seen.pelvis + torch.tensor([0.06, 0.0, 0.0]), keypoints=keypoints)
    away = []
    for name, motion in (("with", replace(off, K=K)), ("without", off)):
        write_motion(tmp_path / f"{name}.npz", motion, body)
        out = tmp_path / f"{name}_refined.npz"
        assert main(["refine", str(tmp_path / f"{name}.npz"), "--no-lock-feet", "--out", str(out)]) == 0
        found = read_motion(out, body)
        assert found.frame == "optical" and (found.K is None) == (name == "without")
        away.append(float((found.joints(body) - seen.joints(body))[..., 0].mean().abs()))
    assert away[0] < 0.03 < 0.05 < away[1]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--out", "x.bvh"], "a motion file ends in .npz"),
        (["--evaluations", "0"], "--evaluations must lie in"),
    ],
)
def test_what_is_wrong_is_told(bare, changed, words, capsys):
    assert main(["refine", str(bare), *changed]) == 1
    assert words in capsys.readouterr().err


def test_too_short_a_motion_is_refused(walk, body, tmp_path, capsys):
    short = replace(walk, rotations=walk.rotations[:5], pelvis=walk.pelvis[:5])
    write_motion(tmp_path / "short.npz", short, body)
    assert main(["refine", str(tmp_path / "short.npz")]) == 1
    assert "5 frames in which the person was seen; refining takes 8" in capsys.readouterr().err
    assert main(["refine", str(tmp_path / "none.npz")]) == 1
    assert "there is no file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def video(demo_clip, tmp_path_factory):
    """The first two seconds of the bundled clip."""
    return beginning(demo_clip, 60, tmp_path_factory.mktemp("video") / "walk.mp4")


def test_the_command_simulates_a_video_goes_on_where_it_was_and_tells_both_apart(
    video, tmp_path, body, quick, capsys, monkeypatch
):
    plain = ["reconstruct", str(video), "--out", str(tmp_path), "--fov", "50", "--json"]
    floor = ["--camera-height", "1.45", "--camera-pitch", "0.175"]
    assert main([*plain, *floor]) == 0
    assert "simulated" not in json.loads(capsys.readouterr().out)["results"][0]["motions"][0]
    first = stored_provenance(tmp_path / "walk.npz")
    assert first.recipe and not first.simulated and first.video == f"walk.mp4, {video.stat().st_size} bytes"

    from diffmocap.refinement.diffphy.horizon import HorizonSimulator

    tried, windows = HorizonSimulator._tried, []

    def second_stops(self, *args):
        windows.append(args)
        if len(windows) == 2:
            raise KeyboardInterrupt
        return tried(self, *args)

    with monkeypatch.context() as stop:
        stop.setattr(HorizonSimulator, "_tried", second_stops)
        assert main([*plain, *floor, "--diffphy"]) == 130
    assert sorted(p.name for p in tmp_path.iterdir()) == [".walk.keypoints.npz", ".walk.simulation1.npz", "walk.npz"]
    assert stored_provenance(tmp_path / "walk.npz") == first  # what was there is there still
    again = []
    monkeypatch.setattr(
        HorizonSimulator, "_tried", lambda self, *args: again.append(len(args[0])) or tried(self, *args)
    )
    capsys.readouterr()
    assert main([*plain, *floor, "--diffphy"]) == 0
    assert 1 <= len(again) <= 3  # of the three or four windows all but the first
    told = json.loads(capsys.readouterr().out)["results"][0]["motions"][0]
    assert told["simulated"] > 0.5 and told["simulation_loss"][1] < told["simulation_loss"][0]
    assert [p.name for p in tmp_path.iterdir()] == ["walk.npz"]
    found = read_motion(tmp_path / "walk.npz", body)
    assert found.frame == "world" and found.dynamics.simulated.any()
    assert float(found.dynamics.contact_forces.sum(1)[..., 2].max()) > 300.0
    last = stored_provenance(tmp_path / "walk.npz")
    assert last.simulated and last.recipe != first.recipe and last.video == first.video

    assert main([*plain, *floor]) == 0
    streams = capsys.readouterr()
    assert "skipped" in streams.err and "is there already, simulated" in streams.err
    assert main([*plain, *floor, "--diffphy"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["skipped"] is True


def test_motions_tell_by_which_settings_they_were_made(walk, body, tmp_path):
    recipe = Recipe()
    other = Recipe(replace(recipe.settings, evaluations=7))
    simulated = Recipe(replace(recipe.settings, diffphy=True))
    assert len({recipe.key, other.key, simulated.key}) == 3 and recipe.key == Recipe(out=tmp_path).key
    files = {}
    for name, motion in {
        "unknown": walk, "same": replace(walk, recipe=recipe.key), "other": replace(walk, recipe=other.key),
        "simulated": replace(walk, recipe=simulated.key, dynamics=MotionDynamics.none(FRAMES, 12)),
    }.items():  # fmt: skip
        files[name] = [tmp_path / f"{name}.npz"]
        write_motion(files[name][0], motion, body)
    assert {name: how_made(provenances(paths), recipe) for name, paths in files.items()} == {
        "unknown": "", "same": "", "other": ", made with other settings", "simulated": ", simulated",
    }  # fmt: skip
    assert {name: how_made(provenances(paths), simulated) for name, paths in files.items()} == {
        "unknown": UNSIMULATED, "same": UNSIMULATED, "other": UNSIMULATED, "simulated": "",
    }  # fmt: skip
    (tmp_path / "damaged.npz").write_bytes(b"nothing")
    assert how_made(provenances([tmp_path / "damaged.npz"]), recipe) == ""
