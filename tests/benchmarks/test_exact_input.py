"""The exact protocol: its cameras obey the definition, its scores are right, and the shipped lifting meets a bound."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from benchmarks.protocols import exact_input
from benchmarks.protocols.exact_input import (
    CASES,
    baseline_figures,
    draw_frames,
    exact_figures,
    lifted_joints,
    limb_errors,
)
from benchmarks.protocols.exact_views import CAMERA, DISTANCE_M, InputCase, exact_views
from benchmarks.protocols.inverse_kinematics import InverseKinematics
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES, LIMB_JOINTS
from diffmocap.camera.projection import project
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import LiftingSettings

pytestmark = pytest.mark.usefixtures("one_thread")
MID_HIP = KEYPOINT_NAMES.index("MidHip")


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def lifter(body) -> Lifter:
    return Lifter.load(body=body)


@pytest.fixture(scope="module")
def frames(mocap_dir) -> PoseFrames:
    return draw_frames(mocap_dir / "cmu_smpl30_test.npz", 40)


def pixels(keypoints) -> np.ndarray:
    return np.array([k.points_px for k in keypoints])


def test_cameras_obey_the_definition(body, frames):
    """By OpenCV's pinhole and SciPy's rotations: pitched by 10 to 30 degrees either way, not rolled, any heading."""
    import cv2

    views = exact_views(body, frames, InputCase(with_depth=True))
    assert (CAMERA.width, CAMERA.height) == (1080, 1920) and CAMERA.fy == CAMERA.fx
    assert 2 * np.degrees(np.arctan(960 / CAMERA.fy)) == pytest.approx(59.5)
    np.testing.assert_allclose(views.pelvis, np.tile([0.0, 0.0, DISTANCE_M], (len(frames), 1)))
    np.testing.assert_allclose(views.joints[:, 0], views.pelvis, atol=1e-6)
    up = views.up.numpy()
    assert np.abs(up[:, 0]).max() < 1e-6 and (up[:, 1] < 0).all(), "no roll, the image's upper side up"
    pitch = np.degrees(np.arctan2(-up[:, 2], -up[:, 1]))  # what points down has a part of up behind it
    assert (np.abs(pitch) > 10).all() and (np.abs(pitch) < 30).all() and np.ptp(np.abs(pitch)) > 14
    np.testing.assert_array_equal(views.looks_down, pitch > 0)
    assert 0.25 < float(views.looks_down.float().mean()) < 0.75
    # Root: the captured one, turned about the vertical alone, and then seen by that camera.
    level = Rotation.from_matrix(np.diag([1.0, -1.0, -1.0]))
    tilt = Rotation.from_rotvec(np.radians(pitch)[:, None] * [1.0, 0.0, 0.0]) * level
    captured = Rotation.from_matrix(frames.rotations[:, 0].double().numpy())
    turn = tilt.inv() * Rotation.from_matrix(views.rotations[:, 0].double().numpy()) * captured.inv()
    heading = turn.as_rotvec()
    assert np.abs(heading[:, [0, 2]]).max() < 1e-3 and np.ptp(heading[:, 1]) > 4
    np.testing.assert_array_equal(views.rotations[:, 1:], frames.rotations[:, 1:])
    points_m = body.keypoints(views.rotations, views.pelvis).double().numpy()
    for i, k in enumerate(views.keypoints):
        assert (k.confidence == 1).all() and k.depth_m[MID_HIP] == pytest.approx(0, abs=1e-6)
        seen, _ = cv2.projectPoints(points_m[i], np.zeros(3), np.zeros(3), CAMERA.matrix, None)
        np.testing.assert_allclose(k.points_px, seen[:, 0], atol=0.02)


def test_depths_are_along_the_ray_through_the_persons_box(body, frames):
    views = exact_views(body, frames, InputCase(with_depth=True))
    points_m = body.keypoints(views.rotations, views.pelvis).double().numpy()
    focal, centre = CAMERA.fx, np.array([CAMERA.cx, CAMERA.cy])
    for k, points in zip(views.keypoints, points_m, strict=True):
        box = 0.5 * (k.points_px.min(0) + k.points_px.max(0))
        ray = np.append((box - centre) / focal, 1.0)
        along = (points - points[MID_HIP]) @ (ray / np.linalg.norm(ray))
        np.testing.assert_allclose(k.depth_m, along, atol=1e-5)


def test_cases_change_what_they_name_and_nothing_else(body, frames):
    plain = exact_views(body, frames, CASES["exact"])
    assert all(k.depth_m is None for k in plain.keypoints)
    again = exact_views(body, frames, CASES["exact"])
    np.testing.assert_array_equal(pixels(again.keypoints), pixels(plain.keypoints))
    other = exact_views(body, frames, CASES["exact"], seed=1)
    assert np.abs(pixels(other.keypoints) - pixels(plain.keypoints)).mean() > 20

    missing = exact_views(body, frames, CASES["missing"])
    np.testing.assert_array_equal(pixels(missing.keypoints), pixels(plain.keypoints))
    gone = np.array([k.confidence == 0 for k in missing.keypoints])
    small_toes = [KEYPOINT_NAMES.index(n) for n in ("LSmallToe", "RSmallToe")]
    assert (gone.sum(1) == 7).all() and gone[:, small_toes].all() and (gone.sum(0) > 0).all()

    noisy = exact_views(body, frames, InputCase(with_depth=True, noise=0.02, depth_noise_m=0.05))
    exact = exact_views(body, frames, InputCase(with_depth=True))
    half_px = 0.5 * np.ptp(pixels(plain.keypoints), axis=1).max(-1)
    off = (pixels(noisy.keypoints) - pixels(plain.keypoints)) / half_px[:, None, None]
    assert off.std() == pytest.approx(0.02, rel=0.1)
    deeper = np.array([a.depth_m - b.depth_m for a, b in zip(noisy.keypoints, exact.keypoints, strict=True)])
    assert deeper.std() == pytest.approx(0.05, rel=0.1)

    shaped = exact_views(body, frames, CASES["shapes_noise"])
    assert float(shaped.betas.std()) == pytest.approx(0.8, rel=0.15)
    torch.testing.assert_close(shaped.rotations, plain.rotations)
    thighs = [(v.joints[:, 4] - v.joints[:, 1]).norm(dim=-1) for v in (shaped, plain)]
    assert float(thighs[0].std()) > 0.005 > 1e-4 > float(thighs[1].std()), "bodies differ in size"

    for name, angle in (("lying", 90.0), ("inverted", 180.0)):
        turned = exact_views(body, frames, CASES[name])
        between = Rotation.from_matrix(
            (turned.rotations[:, 0] @ plain.rotations[:, 0].transpose(-1, -2)).double().numpy()
        ).as_rotvec()
        np.testing.assert_allclose(np.degrees(np.linalg.norm(between, axis=-1)), angle, atol=0.1)
        assert np.abs((between * turned.up.numpy()).sum(-1)).max() < 1e-2, "about a horizontal axis"


def test_scores_are_none_for_the_truth_and_an_independent_alignments_else(body, frames):
    """SciPy's rotation between two sets of vectors, and the scale by least squares."""
    views = exact_views(body, frames, CASES["exact"])
    proper = views.joints @ torch.tensor(Rotation.from_rotvec([0.3, -1.0, 0.2]).as_matrix()).float() * 1.3 + 0.7
    assert limb_errors(views.joints, views.joints, views.looks_down)["mpjpe_mm"] == 0
    assert limb_errors(proper, views.joints, views.looks_down)["pa_mpjpe_mm"] < 1e-3
    wrong = views.joints + 0.1 * torch.randn(views.joints.shape, generator=torch.Generator().manual_seed(0))
    found = limb_errors(wrong, views.joints, views.looks_down)
    errors = []
    for x, y in zip(wrong.double().numpy()[:, LIMB_JOINTS], views.joints.double().numpy()[:, LIMB_JOINTS]):
        x, y = x - x.mean(0), y - y.mean(0)
        turned = Rotation.align_vectors(y, x)[0].apply(x)
        scale = (turned * y).sum() / (turned**2).sum()
        errors.append(1e3 * np.linalg.norm(scale * turned - y, axis=-1).mean())
    assert found["pa_mpjpe_mm"] == pytest.approx(np.mean(errors), rel=1e-6)
    down = views.looks_down.numpy()
    assert found["looking_down_pa_mpjpe_mm"] == pytest.approx(np.mean(np.array(errors)[down]), rel=1e-6)
    assert found["looking_up_pa_mpjpe_mm"] == pytest.approx(np.mean(np.array(errors)[~down]), rel=1e-6)


def test_shipped_lifting_is_near_where_the_input_is_exact(lifter, frames):
    """A dozen frames. The bounds are generous: exchanged sides give 120 mm, depths of the wrong sign 57."""
    figures = exact_figures(lifter, frames.pick(torch.arange(12)), cases=("exact", "exact_depth"))
    assert figures["exact"]["pa_mpjpe_mm"] < 60 and figures["exact_depth"]["pa_mpjpe_mm"] < 45
    assert figures["exact"]["mpjpe_mm"] < 80 and figures["exact_depth"]["mpjpe_mm"] < 65


def test_shipped_lifting_is_near_at_the_images_border(lifter, frames):
    """The same with cameras turned by 25 degrees, so that the crop frame is another than the camera's: without it, or
    with its inverse, poses are turned by so much."""
    views = exact_views(lifter.body, frames.pick(torch.arange(12)), CASES["exact"])
    R = torch.tensor(Rotation.from_rotvec([0.0, np.radians(25), 0.0]).as_matrix()).float()
    points_m = lifter.body.keypoints(views.rotations, views.pelvis) @ R.T
    points_px = project(points_m, torch.tensor(CAMERA.matrix).float()).numpy()
    assert (points_px[:, MID_HIP, 0] > CAMERA.cx + 600).all()
    keypoints = [replace(k, points_px=px) for k, px in zip(views.keypoints, points_px, strict=True)]
    joints = lifted_joints(lifter, replace(views, keypoints=keypoints), LiftingSettings(keypoint_noise=0.0))
    found = limb_errors(joints, views.joints @ R.T, views.looks_down)
    assert found["mpjpe_mm"] < 80
    assert float((joints[:, 0] - views.joints[:, 0] @ R.T).norm(dim=-1).mean()) < 0.3


def test_inverse_kinematics_finds_the_body_where_depths_are_exact(body, frames):
    """With depths the pose is determined: the fit is millimetres off, the mean pose decimetres."""
    prior = PosePrior.load()
    views = exact_views(body, frames.pick(torch.arange(2)), CASES["exact_depth"])
    kinematics = InverseKinematics(body, prior, CAMERA)
    joints = torch.stack([kinematics.solve(k) for k in views.keypoints])
    assert limb_errors(joints, views.joints, views.looks_down)["pa_mpjpe_mm"] < 8
    figures = baseline_figures(body, frames.pick(torch.arange(2)), prior, 1, ("exact_depth",))
    first = limb_errors(joints[:1], views.joints[:1], views.looks_down[:1])
    assert figures["inverse_kinematics"]["exact_depth"] == first | {"frames": 1}
    assert figures["mean_pose"]["exact_depth"]["pa_mpjpe_mm"] > 60


def test_command_ends_with_the_figures(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["exact_input", "--frames", "3", "--cases", "exact,lying", "--json"])
    exact_input.main()
    out = capsys.readouterr().out.strip().splitlines()
    figures = json.loads(out[-1])
    assert figures["split"] == "val" and figures["frames"] == 3 and set(figures["lifted"]) == {"exact", "lying"}
    assert any(line.startswith("| lying |") for line in out)
    monkeypatch.setattr(sys, "argv", ["exact_input", "--cases", "nonsense"])
    with pytest.raises(SystemExit, match="nonsense"):
        exact_input.main()
