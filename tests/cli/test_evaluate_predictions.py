"""`diffmocap evaluate --predictions --truth`: known offsets give known scores."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.cli.main import main
from diffmocap.evaluation.bootstrap import DRAWS
from diffmocap.evaluation.motion_metrics import acceleration_variation, keypoint_error_px, pa_mpjpe_mm
from diffmocap.motion.motion_npz import write_motion
from tests.motion.motions import lively_motion

BODY = BodyModel.load()
K = np.array([[500.0, 0.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def truth(tmp_path):
    """90 frames before a camera, and the file."""
    motion = lively_motion(90, frame="optical")
    motion = replace(motion, pelvis=motion.pelvis + torch.tensor([0.0, 0.0, 4.0]))
    write_motion(tmp_path / "truth.npz", motion, BODY)
    return motion, tmp_path / "truth.npz"


def scores(capsys, *arguments) -> dict:
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def with_camera(path):
    with np.load(path, allow_pickle=False) as data:
        np.savez(path, **data, K=K)


def test_a_shifted_motion_has_the_shift_as_its_error(truth, tmp_path, capsys) -> None:
    motion, path = truth
    shift = torch.tensor([0.03, 0.0, 0.04])
    write_motion(tmp_path / "p.npz", replace(motion, pelvis=motion.pelvis + shift), BODY)
    with_camera(path)
    found = scores(capsys, "--predictions", tmp_path / "p.npz", "--truth", path)
    assert found["mpjpe_g_mm"] == pytest.approx([50.0] * 3, abs=0.01)
    assert found["mpjpe_mm"] == pytest.approx([0.0] * 3, abs=0.01) and found["pa_mpjpe_mm"][0] < 0.01
    assert found["tv"][0] == pytest.approx(found["tv_truth"][0], rel=1e-3)
    assert found["tv_truth"][0] == pytest.approx(acceleration_variation(motion.joints(BODY).numpy(), 30.0), rel=1e-3)
    assert found["foot_skate_excess_points"] == [0.0, 0.0, 0.0] and found["frames"] == 90
    pixels = []
    for pelvis in (motion.pelvis, motion.pelvis + shift):
        image = BODY.keypoints(motion.rotations, pelvis, motion.betas[None]).numpy() @ K.T
        pixels.append(image[..., :2] / image[..., 2:])
    assert found["mpjpe_2d_px"][0] == pytest.approx(keypoint_error_px(*pixels), rel=1e-3)


def test_joints_of_another_system_in_two_folders(truth, tmp_path, capsys) -> None:
    motion, path = truth
    joints = motion.joints(BODY).numpy()
    noise = np.random.default_rng(1).normal(0.0, 0.02, joints.shape)
    for folder, values in (("p", joints + noise), ("t", joints)):
        (tmp_path / folder).mkdir()
        for name in "ab":
            np.savez(tmp_path / folder / f"{name}.npz", joints=values, fps=30.0)
    found = scores(capsys, "--predictions", tmp_path / "p", "--truth", tmp_path / "t")
    mean, low, high = found["pa_mpjpe_mm"]
    assert mean == pytest.approx(pa_mpjpe_mm(joints + noise, joints), abs=1e-3)
    assert low < mean < high and high - low < 3.0 and DRAWS >= 1000
    assert found["foot_skate_pct"] is None and found["mpjpe_2d_px"] is None and found["files"] == 2


def test_what_has_no_prediction_is_named_and_hidden_files_are_none(truth, tmp_path, capsys) -> None:
    joints = truth[0].joints(BODY).numpy()
    for folder, names in (("p", ("easy",)), ("t", ("easy", "hard", "sub/harder"))):
        for name in names:
            path = tmp_path / folder / f"{name}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, joints=joints, fps=30.0)
    (tmp_path / "p" / ".nobody.keypoints.npz").write_bytes(b"of an unfinished video")
    both = ["--predictions", tmp_path / "p", "--truth", tmp_path / "t"]
    found = scores(capsys, *both)
    assert found["files"] == 1 and found["without_prediction"] == ["hard.npz", "sub/harder.npz"]
    assert main(["evaluate", *map(str, both)]) == 0
    assert "2 of 3 truths have no prediction and are not in the figures: hard.npz" in capsys.readouterr().out


def test_motions_of_a_camera_and_on_a_floor_are_told_apart(truth, tmp_path, capsys) -> None:
    motion, path = truth
    notes = {}
    for frame in ("optical", "world"):
        write_motion(tmp_path / "p.npz", motion.in_frame(frame), BODY)
        assert main(["evaluate", "--predictions", str(tmp_path / "p.npz"), "--truth", str(path)]) == 0
        notes[frame] = "are in different frames" in capsys.readouterr().out
    assert notes == {"optical": False, "world": True}


def test_frames_are_brought_together(truth, tmp_path, capsys) -> None:
    motion, path = truth
    write_motion(tmp_path / "p.npz", motion.in_frame("world"), BODY)
    found = scores(capsys, "--predictions", tmp_path / "p.npz", "--truth", path)
    assert found["mpjpe_g_mm"][0] < 0.01


def test_the_table_names_what_is_missing(truth, tmp_path, capsys) -> None:
    _, path = truth
    assert main(["evaluate", "--predictions", str(path), "--truth", str(path)]) == 0
    out = capsys.readouterr().out
    assert "MPJPE-PA, each frame fitted [mm]" in out and "MPJPE-2d needs --camera" in out


def test_a_skating_prediction_is_found(truth, tmp_path, capsys) -> None:
    motion, _ = truth
    still = torch.eye(3).expand(90, 24, 3, 3).clone()
    height = -float(BODY.vertices(still[:1], torch.zeros(1, 3), motion.betas[None])[0, :, 1].min())
    standing = replace(motion, rotations=still, pelvis=torch.tensor([[0.0, height, 0.0]]).repeat(90, 1), frame="y_up")
    sliding = replace(standing, pelvis=standing.pelvis + torch.arange(90)[:, None] * torch.tensor([0.03, 0.0, 0.0]))
    for name, value in (("t", standing), ("p", sliding)):
        write_motion(tmp_path / f"{name}.npz", value, BODY)
    found = scores(capsys, "--predictions", tmp_path / "p.npz", "--truth", tmp_path / "t.npz")
    assert found["foot_skate_pct"] == [100.0, 100.0, 100.0] == found["foot_skate_excess_points"]


@pytest.mark.parametrize("arguments, words", [
    (["--predictions", "{none}", "--truth", "{truth}"], "there is no file or folder"),
    (["--predictions", "{short}", "--truth", "{truth}"], "has 5 frames of 24 joints, .* 90 of 24"),
    (["--predictions", "{smpl}", "--truth", "{truth}"], "give --body-model SMPL.npz, or store 'joints'"),
    (["--predictions", "{rate}", "--truth", "{truth}"], "60 frames a second"),
    (["--predictions", "{millimetres}", "--truth", "{truth}"], r"lie \d{3} m from the first one; .* metres"),
])  # fmt: skip
def test_what_cannot_be_compared_says_why(arguments, words, truth, tmp_path, capsys) -> None:
    motion, path = truth
    files = {"none": tmp_path / "none.npz", "truth": path}
    for name, value in (("short", lively_motion(5)), ("rate", replace(motion, fps=60.0))):
        files[name] = tmp_path / f"{name}.npz"
        write_motion(files[name], value, BODY)
    files["smpl"] = tmp_path / "smpl.npz"
    np.savez(files["smpl"], poses=np.zeros((90, 72)), trans=np.zeros((90, 3)), mocap_framerate=30.0)
    files["millimetres"] = tmp_path / "millimetres.npz"
    np.savez(files["millimetres"], joints=1e3 * motion.joints(BODY).numpy(), fps=30.0)
    assert main(["evaluate", *(argument.format(**files) for argument in arguments)]) == 1
    assert re.search(words, capsys.readouterr().err)


@pytest.mark.parametrize("arguments, words", [
    ([], "name motions to lift"), (["--predictions", "p.npz"], "belong together"),
    (["m.npz", "--predictions", "p.npz", "--truth", "t.npz"], "belong together, without MOTIONS.npz"),
    (["--predictions", "p.npz", "--truth", "t.npz", "--frames", "5"], "--by-action and --frames are for lifting"),
])  # fmt: skip
def test_a_wrong_command_line_is_told_with_the_usage(arguments, words, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *arguments])
    assert end.value.code == 2 and words in capsys.readouterr().err
