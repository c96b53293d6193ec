"""Whole videos: a clip becomes a motion file near its truth; what is done stays done."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.cli.main import main
from diffmocap.errors import CameraError
from diffmocap.evaluation.joint_errors import mpjpe_mm
from diffmocap.lifting.lifter import Lifter
from diffmocap.motion.motion_npz import read_motion, write_motion
from diffmocap.output.gate_settings import GateSettings
from diffmocap.reconstruct import watching
from diffmocap.reconstruct.body_size import betas_of_height
from diffmocap.reconstruct.footage import Footage
from diffmocap.reconstruct.recipe import identity_of
from diffmocap.reconstruct.reconstruction import NobodySeenError, reconstruct
from diffmocap.reconstruct.settings import QUALITIES, ReconstructSettings
from diffmocap.refinement.stream.known_ground import KnownGround
from tests.demo_frames import beginning
from tests.motion.motions import lively_motion


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def lifter(body) -> Lifter:
    return Lifter.load(None, body)


def joints(motion, body) -> np.ndarray:
    betas = motion.betas[None].expand(len(motion.pelvis), -1)
    return body.forward_kinematics(motion.rotations, motion.pelvis, betas)[1].numpy()


@pytest.fixture(scope="module")
def found(body, lifter, demo_keypoints, demo_camera):
    """Exact keypoints of 110 frames with a gap, by L-BFGS on a given floor."""
    keypoints = list(demo_keypoints[:110])
    for i in range(50, 60):
        keypoints[i] = watching.Keypoints2D(
            np.zeros((25, 2), np.float32), np.zeros(25, np.float32), 640, 480, keypoints[i].stamp_ns
        )
    settings = ReconstructSettings(evaluations=12, rounds=1)
    return reconstruct(Footage.even(keypoints, demo_camera), lifter, body, settings)


def test_a_clip_becomes_one_motion_near_its_truth(found, body, truth):
    (motion,) = found
    assert (motion.first, len(motion.pelvis), motion.fps) == (0, 110, 30.0)
    assert motion.tracked.sum() == 100 and not motion.tracked[50:60].any()
    error = mpjpe_mm(joints(motion, body), truth["joints"][:110], root=(0,))
    assert error < 45
    in_gap = np.linalg.norm(joints(motion, body)[50:60] - truth["joints"][50:60], axis=-1).mean()
    assert in_gap < 0.2


def test_the_motion_is_as_smooth_as_the_truth(found, body, truth):
    ours, real = joints(found[0], body), truth["joints"][:110]
    acceleration = [np.linalg.norm(np.diff(x, 2, axis=0), axis=-1).mean() for x in (ours, real)]
    assert 0.5 < acceleration[0] / acceleration[1] < 1.3


def test_a_long_absence_ends_a_motion(body, lifter, demo_keypoints, demo_camera):
    keypoints = [demo_keypoints[i] for i in (*range(30), *range(90, 120))]
    settings = ReconstructSettings(physics=False)
    motions = reconstruct(Footage.even(keypoints, demo_camera), lifter, body, settings)
    assert [(m.first, len(m.pelvis)) for m in motions] == [(0, 30), (90, 30)]


def test_a_height_moves_the_person_away_and_keeps_the_feet_on_the_floor(body, lifter, demo_keypoints, demo_camera):
    footage = Footage.even(demo_keypoints[:40], demo_camera)
    known = KnownGround.from_camera(None, 0.0)
    mean, tall = (
        reconstruct(footage, lifter, body, ReconstructSettings(physics=False, height_m=h, ground=known))[0]
        for h in (0.0, 1.9)
    )
    ratio = float((tall.pelvis[:, 2] / mean.pelvis[:, 2]).median())
    assert 1.08 < ratio < 1.16 and torch.count_nonzero(tall.betas) == 10
    feet = [
        float(((torch.from_numpy(joints(m, body))[:, [7, 8, 10, 11]] @ m.floor.ground.up).amin(1)
               - m.floor.ground.height).median()) for m in (mean, tall)
    ]  # fmt: skip
    assert feet[0] == pytest.approx(feet[1], abs=0.02)


@pytest.mark.parametrize("height_m", [1.5, 1.95])
def test_a_height_and_the_camera_s_own_agree(body, lifter, truth, demo_camera, height_m):
    """A person of another height, seen by a camera of known height and pitch, stands on the floor that is given."""
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(truth["poses"][:40]).unflatten(1, (24, 3)))
    betas = betas_of_height(body, height_m)[None].expand(40, -1)
    seen, points = body.joints_and_keypoints(rotations, torch.from_numpy(truth["joints"][:40, 0]), betas)
    image = points @ torch.tensor(demo_camera.matrix).float().T
    px = (image[..., :2] / image[..., 2:]).numpy()
    keypoints = [
        watching.Keypoints2D(p, np.full(25, 0.9, np.float32), 640, 480, round(i * 1e9 / 30)) for i, p in enumerate(px)
    ]
    up = torch.tensor(KnownGround.from_camera(None, np.radians(10.0)).up)  # as the clip's camera is pitched
    camera_m = 0.03 - float((seen[:, [10, 11]] @ up).min())  # soles lie below the toes' joints
    ground = KnownGround.from_camera(camera_m, np.radians(10.0))
    settings = ReconstructSettings(evaluations=8, rounds=1, height_m=height_m, ground=ground)
    motion = reconstruct(Footage.even(keypoints, demo_camera), lifter, body, settings)[0]
    assert float(motion.floor.ground.height) == pytest.approx(-camera_m)
    away = motion.pelvis.norm(dim=-1) / seen[:, 0].norm(dim=-1)
    assert float(away.mean()) == pytest.approx(1.0, abs=0.03)
    lowest = (torch.from_numpy(joints(motion, body))[:, [10, 11]] @ up).amin(1)
    assert float((camera_m + lowest).median()) == pytest.approx(0.03, abs=0.03)


def test_nobody_in_view_is_told_with_what_to_do(body, lifter, demo_keypoints, demo_camera):
    blank = [watching.Keypoints2D(k.points_px * 0, k.confidence * 0, 640, 480, k.stamp_ns) for k in demo_keypoints[:20]]
    with pytest.raises(NobodySeenError, match="found in 0 of 20 frames.*whole body should be in view"):
        reconstruct(Footage.even(blank, demo_camera), lifter, body)


def test_a_few_frames_are_told_to_be_too_few(body, lifter, demo_keypoints, demo_camera):
    with pytest.raises(CameraError, match="7 frames at 30 Hz are no motion; at least 8 are needed"):
        reconstruct(Footage.even(demo_keypoints[:7], demo_camera), lifter, body)


def test_what_leaps_away_and_back_is_not_the_person(body, lifter, demo_keypoints, demo_camera):
    keypoints = list(demo_keypoints[:60])
    for i in (30, 31):  # somebody small in the corner
        k = keypoints[i]
        keypoints[i] = replace(k, points_px=(0.35 * k.points_px).astype(np.float32))
    motion = reconstruct(Footage.even(keypoints, demo_camera), lifter, body, ReconstructSettings(physics=False))[0]
    assert (~motion.tracked).nonzero()[:, 0].tolist() == [30, 31] and len(motion.pelvis) == 60
    ungated = ReconstructSettings(physics=False, gate=GateSettings(enabled=False))
    assert reconstruct(Footage.even(keypoints, demo_camera), lifter, body, ungated)[0].tracked.all()


def test_each_quality_is_a_valid_setting_and_by_optimus():
    assert {quality.solver for quality in QUALITIES.values()} == {"optimus"}
    assert QUALITIES["best"].evaluations > QUALITIES["fast"].evaluations


def test_optimus_ends_below_where_it_begins(body, lifter, demo_keypoints, demo_camera):
    footage = Footage.even(demo_keypoints[:40], demo_camera)
    settings = ReconstructSettings(solver="optimus", evaluations=6, rounds=1)
    refined = reconstruct(footage, lifter, body, settings)[0]
    rough = reconstruct(footage, lifter, body, ReconstructSettings(physics=False))[0]
    assert not torch.allclose(refined.rotations, rough.rotations, atol=1e-3)
    assert torch.isfinite(refined.rotations).all()


@pytest.fixture(scope="module")
def video(demo_clip, tmp_path_factory):
    """The first 45 frames of the bundled clip."""
    return beginning(demo_clip, 45, tmp_path_factory.mktemp("video") / "walk.mp4")


def test_the_command_writes_a_motion_skips_it_next_time_and_goes_on_where_it_was(
    video, tmp_path, body, truth, capsys, monkeypatch
):
    out = tmp_path / "out"
    command = ["reconstruct", str(video), "--out", str(out), "--no-physics", "--fov", "50", "--json"]

    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as stop:
        stop.setattr("diffmocap.reconstruct.work.reconstruct", stopped)
        assert main(command) == 130
    assert [p.name for p in out.iterdir()] == [".walk.keypoints.npz"]

    with monkeypatch.context() as again:  # what was found is not looked for again
        again.setattr("diffmocap.reconstruct.work.detected", lambda *a, **k: pytest.fail("detected twice"))
        capsys.readouterr()
        assert main([*command, "--frame", "camera", "--format", "bvh", "csv"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["failed"] == 0 and told["results"][0]["files"] == [str(out / "walk.npz")]
    assert sorted(p.name for p in out.iterdir()) == ["walk.bvh", "walk.csv", "walk.npz"]
    assert (out / "walk.bvh").read_text().splitlines()[-1].count(" ") > 60
    motion = read_motion(out / "walk.npz", body)
    assert motion.frame == "optical" and len(motion) == 45
    assert mpjpe_mm(motion.joints(body).numpy(), truth["joints"][:45], root=(0,)) < 80

    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["skipped"] is True
    written_ns = (out / "walk.csv").stat().st_mtime_ns
    assert main([*command, "--format", "csv", "trc"]) == 0  # a format that is not there yet
    streams = capsys.readouterr()
    assert (out / "walk.csv").stat().st_mtime_ns == written_ns
    assert "walk.trc" in streams.err and "walk.csv" not in streams.err and "skipped" in streams.err
    assert (out / "walk.trc").is_file()


def test_the_motion_of_another_video_is_not_taken_for_ones_own(video, tmp_path, body, capsys):
    other = tmp_path / "other" / "walk.mp4"
    other.parent.mkdir()
    other.write_bytes(b"another take, that is not looked at")
    for name in ("walk", "gap_part1"):
        write_motion(tmp_path / f"{name}.npz", replace(lively_motion(9), video=identity_of(str(video))), body)
    part = tmp_path / "gap_part1.mp4"
    part.write_bytes(b"yet another")
    before = (tmp_path / "walk.npz").read_bytes()
    assert main(["reconstruct", str(other), str(part), "--out", str(tmp_path), "--json"]) == 1
    streams = capsys.readouterr()
    assert streams.err.count(f"is the motion of another video ({identity_of(str(video))})") == 2
    assert "--overwrite" in streams.err and json.loads(streams.out)["failed"] == 2
    assert (tmp_path / "walk.npz").read_bytes() == before
    assert main(["reconstruct", str(video), "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["skipped"] is True


def test_what_was_seen_before_an_interruption_is_not_looked_at_again(video, tmp_path, monkeypatch):
    class Detector:
        looked, last = [], None

        def __init__(self, settings):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def detect(self, frame):
            if len(self.looked) == self.last:
                raise KeyboardInterrupt
            self.looked.append(frame.stamp_ns)
            return watching.Keypoints2D(
                np.full((25, 2), len(self.looked), np.float32), np.ones(25, np.float32), 640, 480, frame.stamp_ns
            )

    monkeypatch.setattr("diffmocap.keypoints.mediapipe_detector.Detector", Detector)
    saved = []
    arguments = str(video), watching.CaptureSettings(), watching.DetectorSettings()
    Detector.last = 20
    with pytest.raises(KeyboardInterrupt):
        watching.detected(*arguments, save=lambda so_far: saved.append(list(so_far)))
    assert len(saved[-1]) == 20 and len(Detector.looked) == 20
    Detector.last = None
    rest = watching.detected(*arguments, begun=saved[-1])
    assert len(rest) == len(Detector.looked) == 45
    assert [k.points_px[0, 0] for k in rest] == list(range(1, 46))
    steps = np.diff([k.stamp_ns for k in rest])
    assert np.ptp(steps) < 1e6 and steps.min() > 3e7
    # Of another rate: nothing but the first is taken.
    shifted = [replace(k, stamp_ns=k.stamp_ns + 10**6 * i) for i, k in enumerate(saved[-1])]
    Detector.looked.clear()
    assert len(watching.detected(*arguments, begun=shifted)) == 45 == 1 + len(Detector.looked)


def test_detections_are_saved_as_they_go_and_gone_at_the_end(video, tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(watching, "SAVE_SHARE", 0.0)
    kept, keep = [], watching.keep
    monkeypatch.setattr(
        "diffmocap.reconstruct.work.keep", lambda path, *more: kept.append(path.name) or keep(path, *more)
    )
    assert main(["reconstruct", str(video), "--out", str(tmp_path), "--no-physics", "--fov", "50"]) == 0
    assert kept.count(".walk.keypoints.begun.npz") > 10 and kept[-1] == ".walk.keypoints.npz"
    assert [p.name for p in tmp_path.iterdir()] == ["walk.npz"]


def test_one_bad_video_does_not_keep_others_from_being_done(video, tmp_path, capsys, body):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    out = tmp_path / "out"
    assert main(["reconstruct", str(bad), str(video), "--out", str(out), "--no-physics", "--json"]) == 1
    streams = capsys.readouterr()
    told = json.loads(streams.out)
    assert told["failed"] == 1 and "is no video" in told["results"][0]["error"] and "bad.mp4" in streams.err
    world = read_motion(out / "walk.npz", body)
    assert world.frame == "world"
    lowest = float(world.joints(body)[:, [10, 11], 2].min())
    assert abs(lowest) < 0.15  # the toes are near the floor


def test_videos_of_one_name_and_missing_files_are_refused_before_anything_is_done(video, tmp_path, capsys):
    other = tmp_path / "walk.avi"
    assert main(["reconstruct", str(video), str(other), "--out", str(tmp_path)]) == 1
    assert "two videos would both become walk.npz" in capsys.readouterr().err
    sessions = [tmp_path / "take.1", tmp_path / "take.2"]
    for session in sessions:
        session.mkdir()
    assert main(["reconstruct", *map(str, sessions), "--out", str(tmp_path / "out")]) == 1  # each fails by itself
    assert "would both become" not in capsys.readouterr().err
    assert main(["reconstruct", str(tmp_path / "walk_part2.mp4"), str(video), "--out", str(tmp_path)]) == 1
    assert "walk_part2.npz may be a part of walk's motion" in capsys.readouterr().err
    assert main(["reconstruct", str(video), "--calibration", str(tmp_path / "none.yaml")]) == 1
    assert "given as --calibration" in capsys.readouterr().err
    assert main(["reconstruct", str(video), "--height", "3"]) == 1
    assert "--height" in capsys.readouterr().err
    assert main(["reconstruct", str(video), "--height", "0.5"]) == 1
    assert "must lie in [1, 2.3] m, got 0.5" in capsys.readouterr().err
    (tmp_path / "file").touch()
    for taken in ("file", "file/below"):
        assert main(["reconstruct", str(video), "--out", str(tmp_path / taken)]) == 1
        assert "must be a folder, and it cannot be made: a file is in the way" in capsys.readouterr().err
    assert main(["reconstruct", str(video), "--format", "obj"]) == 1
    assert "--format obj is unknown" in capsys.readouterr().err


def test_kept_keypoints_come_back_as_they_were(demo_keypoints, tmp_path):
    depth = np.linspace(-1, 1, 25).astype(np.float32)
    depth[3] = np.nan
    keypoints = [*demo_keypoints[:3], replace(demo_keypoints[3], depth_m=depth)]
    video = tmp_path / "walk.mp4"
    video.write_bytes(b"one")
    origin = watching.origin_of(str(video), False, "", "/left")
    watching.keep(tmp_path / "k.npz", keypoints, origin)
    for options in ((False, "", "/right"), (True, "", "/left")):
        assert watching.kept(tmp_path / "k.npz", watching.origin_of(str(video), *options)) is None
    back = watching.kept(tmp_path / "k.npz", origin)
    assert back[0].depth_m is None and np.array_equal(back[3].depth_m, depth, equal_nan=True)
    assert all(np.array_equal(a.points_px, b.points_px) and a.stamp_ns == b.stamp_ns for a, b in zip(back, keypoints))
    video.write_bytes(b"another")
    assert watching.kept(tmp_path / "k.npz", watching.origin_of(str(video), False, "", "/left")) is None
