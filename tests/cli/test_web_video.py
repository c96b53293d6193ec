"""Videos for browsers: VP8 in WebM with every frame in it, or an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from diffmocap.cli.drawing.web_video import WebVideo
from diffmocap.errors import SettingsError


def noise(frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (frames, height, width, 3)).astype(np.uint8)


def test_a_video_holds_its_frames_as_vp8_in_webm(tmp_path):
    path = tmp_path / "deeper" / "grey.webm"
    with WebVideo(path, 25.0, 64, 48) as video:
        for i in range(30):
            video.write(np.full((48, 64, 3), 8 * i, np.uint8))
    assert path.read_bytes()[:4] == b"\x1a\x45\xdf\xa3" and b"webm" in path.read_bytes()[:64]
    assert b"V_VP8" in path.read_bytes()
    read = cv2.VideoCapture(str(path))
    assert read.get(cv2.CAP_PROP_FPS) == pytest.approx(25.0)
    shades = []
    while (frame := read.read())[0]:
        shades.append(round(float(frame[1].mean()) / 8))
    assert shades == list(range(30))
    assert [file.name for file in path.parent.iterdir()] == ["grey.webm"], "nothing else is left"


def test_a_frame_of_another_size_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="does not fit"), WebVideo(tmp_path / "a.webm", 25.0, 64, 48) as video:
        video.write(np.zeros((64, 48, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SettingsError, match="cannot write the video.*free space"):
        WebVideo(tmp_path / "file" / "a.webm", 25.0, 64, 48)


FULL = """
import resource, sys
import numpy as np
from diffmocap.cli.drawing.web_video import WebVideo
from diffmocap.errors import SettingsError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
images = np.random.default_rng(0).integers(0, 255, (40, 240, 320, 3)).astype(np.uint8)
try:
    with WebVideo(sys.argv[1], 25.0, 320, 240) as video:
        for image in images:
            video.write(image)
except SettingsError as error:
    print(error)
"""


def test_a_disk_that_gets_full_is_told_at_the_end(tmp_path):
    """OpenCV writes on without a word; here files may not be larger than 100 KB."""
    path: Path = tmp_path / "full.webm"
    script = FULL.replace("sys.argv[1]", f"__import__('pathlib').Path({str(path)!r})")
    path.write_bytes(b"the film before")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "is not complete" in done.stdout and "free space" in done.stdout
    assert done.stderr == ""
    assert [file.name for file in tmp_path.iterdir()] == ["full.webm"] and path.read_bytes() == b"the film before"
