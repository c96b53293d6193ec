"""Films of motions: the body stands where the motion has it, and nearer skin hides what is behind it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.cli.drawing.motion_film import BODY_BGR, HEIGHT, SAMPLING, WIDTH, Scene, draw_body, write_motion_film
from diffmocap.cli.drawing.rasteriser import fill
from diffmocap.cli.main import main
from diffmocap.motion.motion_npz import write_motion
from tests.motion.motions import lively_motion, with_everything


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def test_the_nearer_triangle_covers_the_other_and_what_is_behind_the_eye_is_not_drawn():
    square = np.array([[2.0, 2.0], [17.0, 2.0], [17.0, 17.0], [2.0, 17.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    image, nearest = np.zeros((20, 20, 3), np.uint8), np.full((20, 20), np.inf)
    for depth, grey in ((2.0, 100.0), (3.0, 200.0), (-1.0, 250.0)):
        fill(square, np.full(4, depth), np.ones(4), faces, np.full(3, grey), image, nearest)
    assert (image[3:17, 3:17] == 100).all() and not image[:2].any() and not image[18:].any()
    assert nearest[10, 10] == pytest.approx(2.0)
    fill(square, np.full(4, 1.0), np.full(4, 0.5), faces, np.full(3, 100.0), image, nearest)
    assert (image[3:17, 3:17] == 50).all()


def test_light_and_depth_are_even_on_the_body_and_not_in_the_image():
    """A strip from 1 m to 3 m away: its middle, 2 m away, is where perspective puts it."""
    near, far = 1.0, 3.0
    points = np.array([[0.0, 0.0], [0.0, 30.0], [60.0, 10.0], [60.0, 20.0]])
    depth, shade = np.array([near, near, far, far]), np.array([0.0, 0.0, 1.0, 1.0])
    image, nearest = np.zeros((30, 61, 3), np.uint8), np.full((30, 61), np.inf)
    fill(points, depth, shade, np.array([[0, 1, 2], [1, 3, 2]]), np.full(3, 200.0), image, nearest)
    middle = 60 * (1 / near - 1 / 2.0) / (1 / near - 1 / far)
    column = round(middle)
    assert nearest[15, column] == pytest.approx(2.0, rel=0.02) and image[15, column, 0] == pytest.approx(100, abs=3)


def test_the_body_is_drawn_where_it_stands(body):
    motion = lively_motion(3)
    scene = Scene(motion.pelvis.numpy())
    vertices = body.vertices(motion.rotations[:1], motion.pelvis[:1], motion.betas[None])[0].double().numpy()
    image = draw_body(scene, vertices, body.faces.numpy(), BODY_BGR)
    assert image.shape == (SAMPLING * HEIGHT, SAMPLING * WIDTH, 3)
    changed = (image.astype(int) - scene.background).max(-1) > 20  # lighter than the floor: no shadow
    px, depth = scene.project(vertices)
    assert (depth > 0).all()
    rows, columns = np.nonzero(changed)
    assert abs(columns.min() - px[:, 0].min()) < 8 and abs(columns.max() - px[:, 0].max()) < 8
    assert abs(rows.min() - px[:, 1].min()) < 8


def test_the_command_writes_a_film_beside_its_video(body, tmp_path, capsys):
    motion = replace(with_everything(lively_motion(6, 60.0)), keypoints=None)
    write_motion(tmp_path / "walk.npz", motion, body)
    video = cv2.VideoWriter(str(tmp_path / "walk.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 60.0, (320, 240))
    for shade in range(6):
        video.write(np.full((240, 320, 3), 40 * shade, np.uint8))
    video.release()
    command = ["export", str(tmp_path / "walk.npz"), "--format", "film"]
    assert main([*command, "csv", "--video", str(tmp_path / "walk.mp4")]) == 0
    assert (tmp_path / "walk.csv").is_file() and "walk.webm" in capsys.readouterr().out
    read = cv2.VideoCapture(str(tmp_path / "walk.webm"))
    assert read.get(cv2.CAP_PROP_FPS) == pytest.approx(30.0)
    frames = []
    while (frame := read.read())[0]:
        frames.append(frame[1])
    assert len(frames) == 3 and frames[0].shape == (HEIGHT, WIDTH + 640, 3)
    assert [round(float(frame[100:400, 100:500].mean())) for frame in frames] == pytest.approx([0, 80, 160], abs=14)
    assert frames[2][:, 640:].std() > 5

    assert main(["export", str(tmp_path / "walk.npz"), "--format", "csv", "--video", "walk.mp4"]) == 1
    assert "--video is shown beside a film" in capsys.readouterr().err


def test_a_film_that_cannot_be_written_is_told(body, tmp_path):
    with pytest.raises(Exception, match="cannot write the video"):
        (tmp_path / "file").write_text("")
        write_motion_film(tmp_path / "file" / "a.webm", replace(lively_motion(2), betas=torch.zeros(10)), body)
