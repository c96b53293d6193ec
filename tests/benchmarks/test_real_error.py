"""What the error on the real clip is made of: exact inputs are exact, lengths are those asked for, rows are ordered."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.protocols.real_clip import Clip, View
from benchmarks.protocols.real_error import (
    IK_ROW,
    MID_HIP,
    ROWS,
    SMALL_TOES,
    exact,
    lengths,
    measure,
    mixed,
    table,
    with_lengths,
)
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.camera.projection import project
from diffmocap.evaluation.joint_errors import mpjpe_mm, pa_mpjpe_mm
from diffmocap.types import CameraIntrinsics, Keypoints2D

CAMERA = CameraIntrinsics(1080, 1920, 1600.0, 1600.0, 540.0, 960.0)
LIMBS = [JOINT_NAMES.index(f"{side}_{part}") for parts in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
         for side in (("right", "left") if "hip" in parts else ("left", "right")) for part in parts]  # fmt: skip


@pytest.fixture(scope="module")
def walk(mocap_dir) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints [12, 25, 3] and joints [12, 24, 3] m of a walk, 4 m before the camera."""
    body = BodyModel.load()
    clip = next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_05")
    turned = torch.as_tensor(clip.rotations)[20:32].float().clone()
    turned[:, 0] = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]) @ turned[:, 0]
    place = torch.tensor([0.1, 0.2, 4.0]).expand(12, 3)
    return body.keypoints(turned, place).numpy().astype(float), body.forward_kinematics(turned, place)[1].numpy()


def seen(noise: np.ndarray, places: np.ndarray, stamp_ns: int) -> Keypoints2D:
    """What a detector that errs says: 25 keypoints with noise [25, 2] px, and depths that are all wrong."""
    points = (places[:, :2] / places[:, 2:] * 1600.0 + [540.0, 960.0] + noise).astype(np.float32)
    return Keypoints2D(points, np.ones(25, np.float32), 1080, 1920, stamp_ns, np.full(25, 0.3, np.float32))


def test_exact_keypoints_are_where_the_camera_sees_them(walk):
    places = walk[0][0]
    blank = seen(np.zeros((25, 2)), places, 7)
    true = exact(blank, places, CAMERA)
    there = np.setdiff1d(np.arange(25), SMALL_TOES)
    wanted = project(torch.from_numpy(places), torch.tensor(CAMERA.matrix, dtype=torch.float64)).numpy()
    assert true.stamp_ns == 7 and np.allclose(true.points_px[there], wanted[there], atol=1e-3)
    assert not true.confidence[SMALL_TOES].any() and np.isnan(true.depth_m[SMALL_TOES]).all()
    ahead = places[MID_HIP] / np.linalg.norm(places[MID_HIP])
    farther = exact(blank, np.where(np.arange(25)[:, None] == 4, places + 0.2 * ahead, places), CAMERA)
    assert true.depth_m[MID_HIP] == 0 and farther.depth_m[4] - true.depth_m[4] == pytest.approx(0.2, abs=1e-5)
    bent = exact(blank, places, replace(CAMERA, distortion=(0.2, 0.0, 0.0, 0.0, 0.0)))
    assert np.abs(bent.points_px[there] - true.points_px[there]).max() > 1.0


@pytest.mark.parametrize("parts", ROWS.values())
def test_what_is_exact_of_a_row_is_the_truth_and_the_rest_the_detectors(walk, parts):
    found, true = (
        seen(np.ones((25, 2)), walk[0][0], 0),
        exact(seen(np.zeros((25, 2)), walk[0][0], 0), walk[0][0], CAMERA),
    )
    keypoints, depths = parts
    both = mixed(found, true, keypoints, depths)
    assert both.points_px is (true if keypoints else found).points_px
    assert both.depth_m is (None if depths is None else (true if depths else found).depth_m)


def test_limbs_get_the_lengths_and_keep_their_directions(walk):
    joints = walk[1][:, LIMBS].astype(float)
    own = lengths(joints)
    wanted = {name: 1.1 * length if "leg" in name else 0.9 * length for name, length in own.items()}
    changed = with_lengths(joints, wanted)
    assert lengths(changed) == pytest.approx(wanted, rel=1e-6)
    for a, b in ((0, 1), (4, 5), (6, 7), (10, 11), (0, 3), (9, 6)):
        before, after = joints[:, b] - joints[:, a], changed[:, b] - changed[:, a]
        assert np.allclose(np.cross(before, after), 0.0, atol=1e-9) and (np.vecdot(before, after) > 0).all()
    assert np.allclose(changed[:, [0, 3]].mean(1), 0.0)


def test_the_more_is_exact_the_nearer_are_the_poses(walk, capsys):
    """A small clip whose man is the mean body, so that inverse kinematics finds him."""
    places, joints = walk
    rng = np.random.default_rng(0)
    keypoints = [seen(rng.normal(0, 15, (25, 2)), p, round(t * 1e9 / 30)) for t, p in enumerate(places)]
    truth = joints[:, LIMBS].astype(float)
    view = View(keypoints, np.arange(12), truth, truth, CAMERA)

    def score(x, y, fps):
        there = np.isfinite(x).all((1, 2))  # the pipeline waits until it is sure of a person
        if not there.any():
            return {"pa_mpjpe_mm": 500.0, "mpjpe_mm": 500.0}  # as the clip's script does
        return {"pa_mpjpe_mm": pa_mpjpe_mm(x[there], y[there]), "mpjpe_mm": mpjpe_mm(x[there], y[there], root=(0, 3))}

    clip = Clip({"1": view}, SimpleNamespace(SMPL=LIMBS, score=score), 30.0)
    figures = measure(clip, {"1": places}, None, 6, print)
    assert list(figures) == [*ROWS, IK_ROW] and capsys.readouterr().out.count("view 1") == len(figures)
    error = [row["pa_mpjpe_mm"] for row in figures.values()]
    assert error[6] < 5.0 and error[6] < error[5] < 0.5 * error[4] and error[4] < error[0]
    assert figures[IK_ROW]["true_lengths"]["pa_mpjpe_mm"] < 5.0
    lines = table(figures)
    assert len(lines) == 2 + len(figures) and all(line.count("|") == lines[0].count("|") for line in lines)
