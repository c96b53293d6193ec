"""The drawn body lies where projection puts it, and pictures show what they should."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, URDF_FROM_SMPL, angles_from_rotations
from diffmocap.body.model import BodyModel
from diffmocap.camera.projection import project
from diffmocap.cli.drawing import pictures
from diffmocap.cli.drawing.pictures import Floor, PictureFrame, write_pictures
from diffmocap.cli.drawing.render import BodyRenderer, PosedBody, View
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics, Keypoints2D

pytest.importorskip("pybullet", reason="draws the pictures: pip install -r requirements/render.txt")

INTRINSICS = CameraIntrinsics(320, 240, 300.0, 300.0, 150.0, 130.0)
PELVIS_M = (0.15, -0.1, 3.2)


def posed(pelvis_m=PELVIS_M, seed: int = 0) -> tuple[torch.Tensor, PosedBody]:
    """Local rotations [1, 24, 3, 3] of somebody who faces the camera, and the same as joint states."""
    generator = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(0.25 * torch.randn(1, 24, 3, generator=generator))
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotations[:, 0]
    angles = angles_from_rotations(rotations[0]).tolist()
    root = roma.rotmat_to_unitquat(rotations[0, 0] @ URDF_FROM_SMPL.T).tolist()
    return rotations, PosedBody(dict(zip(JOINT_ANGLE_NAMES, angles, strict=True)), pelvis_m, root)


@pytest.fixture(scope="module")
def renderer():
    with BodyRenderer() as made:
        yield made


def drawn(renderer: BodyRenderer, view: View, width: int = 320, height: int = 240) -> np.ndarray:
    """[H, W] bool: pixels that the body covers."""
    background = np.zeros((height, width, 3), np.uint8)
    return renderer.draw(view, background).any(-1)


def test_links_are_where_kinematics_puts_the_joints(renderer):
    rotations, body = posed()
    renderer.pose(body)
    _, joints = BodyModel.load().forward_kinematics(rotations, torch.tensor([PELVIS_M]))
    np.testing.assert_allclose(renderer.joint_positions_m(), joints[0].numpy(), atol=1e-5)


def test_the_camera_view_lies_over_the_image(renderer):
    rotations, body = posed()
    renderer.pose(body)
    covered = drawn(renderer, View.of_camera(INTRINSICS))
    skin = BodyModel.load().vertices(rotations, torch.tensor([PELVIS_M]))
    px = project(skin, torch.tensor(INTRINSICS.matrix).float())[0].numpy()
    rows, columns = np.nonzero(covered)
    assert [columns.min(), rows.min()] == pytest.approx(px.min(0), abs=4)  # rigid pieces stand for the skin
    assert [columns.max(), rows.max()] == pytest.approx(px.max(0), abs=4)
    _, joints = BodyModel.load().forward_kinematics(rotations, torch.tensor([PELVIS_M]))
    joints_px = project(joints, torch.tensor(INTRINSICS.matrix).float())[0].round().int().numpy()
    # Joints lie inside the body; where rigid pieces bend away from each other a gap may open.
    assert covered[joints_px[:, 1], joints_px[:, 0]].sum() >= 22


def test_left_and_right_have_their_colours(renderer):
    _, body = posed()
    renderer.pose(body)
    image = renderer.draw(View.of_camera(INTRINSICS), np.zeros((240, 320, 3), np.uint8)).astype(int)
    # Somebody who faces the camera has the left hand on the image's right.
    orange, blue = image[..., 2] - image[..., 0] > 40, image[..., 0] - image[..., 2] > 40
    assert np.nonzero(orange)[1].mean() > np.nonzero(blue)[1].mean() + 10


def test_the_side_view_is_upright_and_not_mirrored(renderer):
    rotations, body = posed()
    renderer.pose(body)
    view = View.from_the_side(PELVIS_M, 3.0, CameraIntrinsics.from_fov(200, 200, 40.0))
    _, joints = BodyModel.load().forward_kinematics(rotations, torch.tensor([PELVIS_M]))
    px, depth = view.project_px(joints[0].numpy())
    assert px[0] == pytest.approx([100, 100]) and depth[0] == pytest.approx(3.0)
    nearer = np.array([[PELVIS_M[0], PELVIS_M[1], PELVIS_M[2] - 0.5]])
    assert view.project_px(nearer)[0][0, 0] > 100, "the camera whose view this is stands on the right"
    covered = drawn(renderer, view, 200, 200)
    torso_and_legs = np.round(px[[0, 3, 6, 4, 5]]).astype(int)
    assert covered[torso_and_legs[:, 1], torso_and_legs[:, 0]].all()
    # Seen from the image's left, somebody who faces the camera shows the right side.
    assert depth[2] < depth[1]


@pytest.mark.parametrize("pitch_rad", [0.0, 0.3, -0.2])
def test_views_turn_and_do_not_mirror(pitch_rad):
    view = View.from_the_side(PELVIS_M, 3.0, INTRINSICS, pitch_rad)
    np.testing.assert_allclose(view.R_view_optical @ view.R_view_optical.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view.R_view_optical) == pytest.approx(1.0)
    down = view.R_view_optical @ [0.0, np.cos(pitch_rad), np.sin(pitch_rad)]
    np.testing.assert_allclose(down, [0.0, 1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("pitch_rad", [0.0, 0.2, -0.15])
def test_the_floor_is_found_under_somebody_who_walks(pitch_rad):
    generator = np.random.default_rng(0)
    depth = np.linspace(2.0, 5.0, 50)
    level = np.tile(generator.uniform(-0.3, 0.3, (24, 3)), (50, 1, 1))
    level[:, :, 1] -= 0.6  # y points down: everything else lies above the foot
    level[:, 0] = [0.0, -0.9, 0.0]
    level[:, 10] = 0.0
    level += np.stack([0 * depth, 0 * depth + 1.4, depth], -1)[:, None]
    c, s = np.cos(pitch_rad), np.sin(pitch_rad)
    joints = level @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    floor = Floor.under(joints)
    assert floor.pitch_rad == pytest.approx(pitch_rad, abs=1e-6)
    assert floor.floor_m == pytest.approx(1.4 + pictures.SOLE_M) and floor.pelvis_m == pytest.approx(0.5)
    np.testing.assert_allclose(floor.optical(floor.level(joints)), joints, atol=1e-12)


def test_somebody_who_stands_tells_nothing_about_the_slope():
    standing = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 24, 3)) + [0.0, 0.0, 3.0]
    assert Floor.under(standing).pitch_rad == 0.0
    assert Floor.under(np.zeros((0, 24, 3))).pitch_rad == 0.0


@pytest.mark.parametrize("pelvis_m", [(0.0, 0.0, -3.0), (9.0, 0.0, 3.0)])
def test_a_body_out_of_view_leaves_the_background(renderer, pelvis_m):
    renderer.pose(posed(pelvis_m)[1])
    assert not drawn(renderer, View.of_camera(INTRINSICS)).any()


@pytest.mark.parametrize("pelvis_m", [(1.7, 0.0, 3.0), (0.0, 1.2, 3.0), (0.0, 0.1, 0.4)])
def test_a_body_cut_off_by_the_image_is_drawn_in_part(renderer, pelvis_m):
    renderer.pose(posed(pelvis_m)[1])
    covered = drawn(renderer, View.of_camera(INTRINSICS))
    assert 0.0 < covered.mean() < 1.0


def test_a_pose_without_a_joint_is_refused(renderer):
    _, body = posed()
    angles = {name: angle for name, angle in body.angles_rad.items() if name != "left_knee_y"}
    with pytest.raises(SettingsError, match="left_knee_y"):
        renderer.pose(PosedBody(angles, body.root_position_m, body.root_xyzw))


def frames_of(tiny_video: Path, posed_frames: range) -> list[PictureFrame]:
    seen = Keypoints2D(np.full((25, 2), 60, np.float32), np.ones(25, np.float32), 160, 120)
    return [PictureFrame(i, seen, posed((0.0, 0.0, 3.0), i)[1] if i in posed_frames else None) for i in range(12)]


def read(path: Path) -> list[np.ndarray]:
    video, images = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        images.append(read[1])
    return images


def test_the_video_shows_every_frame_beside_its_body(tiny_video, tmp_path):
    frames = frames_of(tiny_video, range(3, 12))
    steps = []

    def progress(pairs, total):
        steps.append(total)
        return pairs

    made = write_pictures(frames, str(tiny_video), CameraIntrinsics.from_fov(160, 120), 25.0, tmp_path / "o", progress)
    images = read(made.video)
    assert (len(images), made.stride, made.frames, steps) == (12, 1, 12, [12])
    assert images[0].shape == (120, 160 + 160 + 120, 3)
    # The input's brightness names the frame: the lower left corner shows neither label nor keypoints.
    assert [round(float(image[100:, 10:40].mean()) / 20) for image in images] == list(range(12))
    saturated = [int((np.ptp(image[:, 160:320].astype(int), axis=-1) > 45).sum()) for image in images]
    assert max(saturated[:3]) == 0 and min(saturated[3:]) > 50, "orange and blue limbs from frame 3 on"
    sheet = cv2.imread(str(made.sheet))
    assert sheet is not None and sheet.shape[1] <= pictures.SHEET_WIDTH + 50


def test_a_long_clip_is_thinned_out(tiny_video, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_FRAMES", 5)
    frames = frames_of(tiny_video, range(12))
    made = write_pictures(frames, str(tiny_video), CameraIntrinsics.from_fov(160, 120), 25.0, tmp_path / "out")
    assert (made.stride, made.frames) == (3, 4)
    assert [round(float(image[100:, 10:40].mean()) / 20) for image in read(made.video)] == [0, 3, 6, 9]


def test_a_run_without_anybody_still_has_a_video(tiny_video, tmp_path):
    frames = [PictureFrame(i, None, None) for i in range(12)]
    made = write_pictures(frames, str(tiny_video), CameraIntrinsics.from_fov(160, 120), 25.0, tmp_path / "out")
    assert len(read(made.video)) == 12 and made.sheet.is_file()


def test_the_source_is_not_overwritten(tiny_video, tmp_path):
    source = tmp_path / "clip.webm"
    source.write_bytes(tiny_video.read_bytes())
    frames = [PictureFrame(i, None, None) for i in range(12)]
    with pytest.raises(SettingsError, match="overwrite its source"):
        write_pictures(frames, str(source), CameraIntrinsics.from_fov(160, 120), 25.0, tmp_path / "clip")
    assert source.read_bytes() == tiny_video.read_bytes()


def test_a_dot_in_the_name_stays(tiny_video, tmp_path):
    frames = [PictureFrame(i, None, None) for i in range(12)]
    made = write_pictures(frames, str(tiny_video), CameraIntrinsics.from_fov(160, 120), 25.0, tmp_path / "v1.2")
    assert (made.video.name, made.sheet.name) == ("v1.2.webm", "v1.2.png")


def test_nothing_recorded_is_an_error(tiny_video, tmp_path):
    with pytest.raises(SettingsError, match="nothing to draw"):
        write_pictures([], str(tiny_video), CameraIntrinsics.from_fov(160, 120), 25.0, tmp_path / "out")
