"""Folders of images, numbered images and patterns as a source."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from diffmocap.camera.capture import Capture
from diffmocap.camera.image_files import image_paths
from diffmocap.camera.settings import CaptureSettings
from diffmocap.errors import CameraError


def grey(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture()
def folder(tmp_path):
    """img_8 to img_11: names that do not sort as their numbers do; the grey level is ten times the number."""
    for number in (8, 9, 10, 11):
        cv2.imwrite(str(tmp_path / f"img_{number}.png"), grey(10 * number))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def played(source, fps=0.0):
    events = []
    settings = CaptureSettings(fps=fps)
    with Capture(source, settings, realtime=False, event=lambda _, text: events.append(text)) as capture:
        frames = list(capture)
    return frames, capture, events


@pytest.mark.parametrize("pattern", ["", "img_%d.png", "img_*.png", "*"])
def test_images_play_in_the_order_of_their_numbers(folder, pattern):
    frames, capture, _ = played(str(folder / pattern) if pattern else folder, fps=20.0)
    assert [round(float(frame.image.mean()) / 10) for frame in frames] == [8, 9, 10, 11]
    assert np.diff([frame.stamp_ns for frame in frames]).tolist() == [50_000_000] * 3
    assert (capture.mode.frames, capture.mode.fps, capture.live) == (4, 20.0, False)
    assert "4 images" in capture.source.label


def test_a_number_with_zeros_in_front(tmp_path):
    for name in ("img_0009.jpg", "img_0010.jpg", "img_12345.jpg", "img_7.jpg", "other_0001.jpg"):
        cv2.imwrite(str(tmp_path / name), grey(50))
    assert [path.name for path in image_paths(str(tmp_path / "img_%04d.jpg"))] == [
        "img_0009.jpg", "img_0010.jpg", "img_12345.jpg",
    ]  # fmt: skip


def test_one_photo_is_a_source_and_does_not_pull_in_its_neighbours(folder):
    frames, capture, _ = played(folder / "img_9.png")
    assert len(frames) == 1 and capture.mode.frames == 1 and round(float(frames[0].image.mean())) == 90


def test_images_are_found_in_a_loop_and_in_real_time(folder):
    with Capture(folder, CaptureSettings(fps=50.0), loop=True) as capture:
        frames = [capture.read() for _ in range(6)]
    assert frames[-1].index >= 5 and frames[-1].stamp_ns - frames[0].stamp_ns >= 0.02e9 * frames[-1].index - 5e6


def test_what_does_not_fit_is_left_out_with_a_word(folder):
    cv2.imwrite(str(folder / "img_12.png"), grey(120, 128, 96))  # the same shape, twice as large
    cv2.imwrite(str(folder / "img_13.png"), grey(130, 48, 64))
    (folder / "img_14.png").write_bytes(b"\x89PNG damaged")
    cv2.imwrite(str(folder / "img_15.png"), grey(150))
    frames, _, events = played(folder, fps=10.0)
    assert [round(float(frame.image.mean()) / 10) for frame in frames] == [8, 9, 10, 11, 12, 15]
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert frames[-1].stamp_ns - frames[0].stamp_ns == 700_000_000  # what is left out keeps its place in time
    assert len(events) == 3
    for text, words in zip(events, ("img_12.png' has 128 x 96", "48 x 64 pixels, another shape", "is no image")):
        assert words in text


def test_photos_stand_upright_as_their_exif_data_say(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    exif = image_module.Exif()
    exif[0x0112] = 6  # turn clockwise
    stored = grey(0)
    stored[:, :32] = 255
    image_module.fromarray(stored).save(tmp_path / "photo.jpg", exif=exif)
    frames, _, _ = played(tmp_path / "photo.jpg")
    image = frames[0].image
    assert image.shape[:2] == (64, 48) and image[:28].mean() > 240 > 20 > image[36:].mean()


@pytest.mark.parametrize("name, why", [
    ("img_%04d.jpg", r"img_%04d.jpg' has no images"),
    ("*.gif", r"\*.gif' has no images; expected .jpg"),
])  # fmt: skip
def test_a_pattern_without_images(folder, name, why):
    with pytest.raises(CameraError, match=why):
        Capture(str(folder / name))


def test_a_photo_that_cannot_be_decoded_is_named(tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    for source in (tmp_path / "IMG_1.HEIC", tmp_path):
        with pytest.raises(CameraError, match="HEIC photo, which this OpenCV cannot decode.*heif-convert"):
            Capture(source)


def test_a_folder_of_damaged_images(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(CameraError, match="none of the images"):
        Capture(tmp_path)
