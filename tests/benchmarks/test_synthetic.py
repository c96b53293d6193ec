"""Synthetic video: what is drawn is where the truth says, and the truth is a pose of the body."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import roma
import torch

from benchmarks.synthetic.appearance import Appearance, DressedBody
from benchmarks.synthetic.demo import PIECES
from benchmarks.synthetic.detections import detections
from benchmarks.synthetic.detector_scenes import detector_scenes
from benchmarks.synthetic.motion import Piece, assemble, centred, heading
from benchmarks.synthetic.render import Camera, Renderer
from benchmarks.synthetic.scenes import QUICK_SCENES, SCENES, make_films
from benchmarks.synthetic.video import View, film, frame_motion, write_video
from diffmocap.body.mocap import load_clips, load_split, read_names, retarget
from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.keypoints.body25 import LANDMARK_NAMES
from diffmocap.types import CameraIntrinsics
from training.held_out import HELD_OUT_CLIPS


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def clips(mocap_dir, body):
    found = load_split(mocap_dir / "cmu_smpl30_test.npz")
    return {c.name: retarget(c, body) for c in found if c.name in {"27_01", "38_01", "94_13", "127_02.0"}}


@pytest.fixture(scope="module")
def person(body):
    return DressedBody(body, Appearance.random(3))


def test_camera_sees_its_target_in_the_middle():
    intrinsics = CameraIntrinsics.from_fov(640, 480, 50)
    camera = Camera.looking_at(intrinsics, np.array([1.0, 1.5, 4.0]), np.array([0.2, 0.9, -0.3]))
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(camera.to_optical(np.array([0.2, 0.9, -0.3]))[:2], 0, atol=1e-12)
    above, beside = camera.to_optical(np.array([[0.2, 1.5, -0.3], [1.2, 0.9, -0.3]]))
    assert above[1] < 0 and beside[0] > 0, "y is down, x is right"


@pytest.mark.parametrize("position", [(0.0, 1.2, 3.0), (-2.0, 0.9, 1.5)])
def test_drawn_outline_is_where_the_vertices_project(person, position):
    """Head and arms of the T-pose, above the horizon and so free of shadows, to a pixel."""
    camera = Camera.looking_at(CameraIntrinsics.from_fov(320, 240, 45), np.array(position), np.array([0.1, 1.0, 0.0]))
    pelvis = torch.tensor([[0.1, 1.0, 0.0]])
    vertices = person.vertices(torch.eye(3).expand(1, 24, 3, 3), pelvis)[0]
    with Renderer(person) as renderer:
        empty = renderer.draw(vertices + [0.0, 50.0, 0.0], camera)
        image = renderer.draw(vertices, camera)
    k = camera.intrinsics
    optical = camera.to_optical(vertices)
    px = optical[:, :2] / optical[:, 2:] * [k.fx, k.fy] + [k.cx, k.cy]
    changed = np.abs(image.astype(int) - empty).max(axis=2) > 40
    floor_ends = camera.to_optical(np.array([0.1, position[1] + 0.05, 0.0]))
    changed[int(floor_ends[1] / floor_ends[2] * k.fy + k.cy) :] = False
    rows, columns = (np.flatnonzero(changed.any(axis=a)) for a in (1, 0))
    assert rows[0] == pytest.approx(px[:, 1].min(), abs=1.6)
    assert columns[0] == pytest.approx(px[:, 0].min(), abs=1.6)
    assert columns[-1] + 1 == pytest.approx(px[:, 0].max(), abs=1.6)


def test_clothes_stay_near_the_skin(body, person):
    pose = roma.rotvec_to_rotmat(0.2 * torch.randn(1, 24, 3, generator=torch.Generator().manual_seed(0)))
    dressed = person.vertices(pose, torch.zeros(1, 3))[0]
    skin = body.vertices(pose, torch.zeros(1, 3))[0].numpy()
    assert np.linalg.norm(dressed - skin[person._source], axis=1).max() < 0.03
    assert person.faces.shape == tuple(body.faces.shape)
    assert person.uv.min() >= 0 and person.uv.max() <= 1
    np.testing.assert_allclose(np.linalg.norm(person.normals(dressed[None])[0], axis=1), 1.0, atol=1e-6)


def test_pieces_join_without_a_jump(clips):
    motion = assemble((Piece("27_01", 0, 100), Piece("94_13", 50, 120), Piece("38_01", 10, 40, overlap=4)), clips)
    assert len(motion) == 100 + 70 - 12 + 30 - 4
    travel = torch.diff(motion.pelvis[:, [0, 2]], dim=0).norm(dim=-1) * motion.fps
    assert travel.max() < 3.0, "nobody teleports"
    turn = torch.diff(heading(motion)).abs()
    assert torch.minimum(turn, 2 * torch.pi - turn).max() < 0.35
    torch.testing.assert_close(motion.rotations[:88], clips["27_01"].rotations[:88])


def test_centred_keeps_heights_and_shape(clips):
    motion = centred(clips["27_01"], 90.0)
    torch.testing.assert_close(motion.pelvis[:, 1], clips["27_01"].pelvis[:, 1])
    middle = (motion.pelvis.amin(0) + motion.pelvis.amax(0)) / 2
    torch.testing.assert_close(middle[[0, 2]], torch.zeros(2), atol=1e-5, rtol=0)
    turn = (heading(motion) - heading(clips["27_01"]))[0]
    assert float(torch.cos(turn - torch.pi / 2)) == pytest.approx(1.0, abs=1e-5)


def test_motion_fits_the_view_or_says_so(clips, body):
    points = body.keypoints(clips["94_13"].rotations, clips["94_13"].pelvis).numpy()
    points = points - [points[..., 0].mean(), 0, points[..., 2].mean()]
    view = View(margin=0.1)
    camera = frame_motion(points, view)
    optical = camera.to_optical(points)
    px = optical[..., :2] / optical[..., 2:] * camera.intrinsics.fx + [camera.intrinsics.cx, camera.intrinsics.cy]
    assert px.min() >= 0.1 * view.height and px[..., 1].max() <= 0.9 * view.height
    with pytest.raises(SettingsError, match="does not fit"):
        frame_motion(points * 4, view)


def test_film_and_truth_agree(tmp_path, clips, body):
    """A few frames, written and read back: the truth is a motion file whose body projects onto the keypoints."""
    betas = torch.zeros(1, 10)
    betas[0, :2] = torch.tensor([0.8, -0.5])
    motion = clips["38_01"].frames(0, 3)
    view = View(yaw_deg=30, width=320, height=240)
    truth, images = film(motion, body, view, Appearance(), betas=betas)
    assert write_video(tmp_path / "a.mp4", images, motion.fps) == 3
    truth.save(tmp_path / "a.npz")
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    ok, image = video.read()
    assert ok and image.shape == (240, 320, 3) and video.get(cv2.CAP_PROP_FPS) == 30
    data = np.load(tmp_path / "a.npz", allow_pickle=False)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(data["poses"]).unflatten(1, (24, 3)))
    pelvis = torch.from_numpy(data["trans"]) + body.rest_joints(betas)[:, 0]
    joints, keypoints = body.joints_and_keypoints(rotations, pelvis, torch.from_numpy(data["betas"])[None])
    np.testing.assert_allclose(joints, data["joints"], atol=1e-5)
    projected = keypoints.numpy() @ data["K"].T
    np.testing.assert_allclose(projected[..., :2] / projected[..., 2:], data["keypoints2d"], atol=0.01)
    inside = (data["keypoints2d"] > 0) & (data["keypoints2d"] < [data["width"], data["height"]])
    assert inside.all()
    (clip,) = load_clips(tmp_path / "a.npz")
    assert len(clip) == 3 and str(data["frame"]) == "optical"


def test_what_the_detector_says_of_a_film_is_kept_beside_it(tmp_path, clips, body, monkeypatch):
    """Its landmarks lie near the true keypoints; asked again, it is not run again."""
    motion = clips["38_01"].frames(0, 2)
    truth, images = film(motion, body, View(yaw_deg=30), Appearance())
    path = tmp_path / "38_01_30deg_0.mp4"
    write_video(path, images, motion.fps)
    truth.save(path.with_suffix(".npz"))
    d = detections([path])
    assert d.clip.tolist() == ["38_01"] and d.subject.tolist() == ["38", "38"] and d.frame.tolist() == [0, 1]
    assert d.found.all() and d.stamp_ns.tolist() == [0, 33_333_333]
    np.testing.assert_allclose(d.joints, truth.joints, atol=1e-5)
    np.testing.assert_allclose(d.root, truth.rotations[:, 0], atol=1e-5)
    px = d.keypoints @ d.K.transpose(0, 2, 1)
    np.testing.assert_allclose(px[..., :2] / px[..., 2:], truth.keypoints_px, atol=0.01)
    knees = [LANDMARK_NAMES.index(name) for name in ("left_knee", "right_knee")]
    assert np.linalg.norm(d.landmarks_px[:, knees] - truth.keypoints_px[:, [13, 10]], axis=-1).max() < 25
    monkeypatch.setattr("benchmarks.detector.video_landmarks.Detector", None)
    again = detections([path, path])
    assert again.film.tolist() == [0, 0, 1, 1] and (again.world[2:] == d.world).all()


def test_detector_scenes_show_every_subject_that_may_be_trained_on(shared_dir):
    mocap = shared_dir / "data" / "cmu_smpl30_train.npz"
    scenes = detector_scenes(mocap, 64)
    held_out = read_names(HELD_OUT_CLIPS)
    assert not {scene.piece.clip for scene in scenes} & held_out and len({scene.name for scene in scenes}) == 64
    assert len({scene.piece.clip.split("_")[0] for scene in scenes}) >= 19
    assert detector_scenes(mocap, 8) == scenes[:8]
    yaw = np.array([scene.view.yaw_deg for scene in scenes])
    assert np.histogram(yaw, 4, (-180, 180))[0].min() > 5


def test_scenes_that_do_not_fit_are_left_out_where_that_is_wanted(tmp_path, mocap_dir):
    scene = replace(QUICK_SCENES[0], view=View(margin=0.45))
    mocap = mocap_dir / "cmu_smpl30_test.npz"
    assert make_films([scene], mocap, tmp_path, skip_unfit=True) == []
    with pytest.raises(SettingsError, match="does not fit"):
        make_films([scene], mocap, tmp_path)


def test_scenes_are_of_the_test_split_and_not_the_demos_which_are_held_out(shared_dir):
    lengths = {c.name: len(c) for c in load_clips(shared_dir / "data" / "cmu_smpl30_test.npz")}
    names, demo = set(lengths), {piece.clip for piece in PIECES}
    assert demo <= names | read_names(HELD_OUT_CLIPS)
    for scene in (*SCENES, *QUICK_SCENES):
        assert scene.piece.clip in names - demo
        assert scene.piece.stop <= lengths[scene.piece.clip]
    assert len({scene.name for scene in (*SCENES, *QUICK_SCENES)}) == len(SCENES) + len(QUICK_SCENES)


def test_films_are_made_once(tmp_path, mocap_dir, monkeypatch):
    scene = QUICK_SCENES[0]
    (tmp_path / f"{scene.name}.npz").touch()
    assert make_films([scene], mocap_dir / "none.npz", tmp_path) == [tmp_path / f"{scene.name}.mp4"]
