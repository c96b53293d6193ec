"""Images of the bundled clip for tests that need somebody to detect."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

#: The frame in which tests look for a person, and how many frames they play as a video.
PERSON_FRAME, EXCERPT_FRAMES = 300, 40


def frames_of(video: Path, start: int, count: int) -> list[np.ndarray]:
    """``count`` images of a video from ``start`` on, uint8 [H, W, 3] BGR."""
    capture = cv2.VideoCapture(str(video))
    for _ in range(start):
        capture.grab()
    images = [capture.read()[1] for _ in range(count)]
    capture.release()
    return images


def beginning(video: Path, count: int, path: Path) -> Path:
    """The first ``count`` images of the bundled clip as a video of its own at ``path``."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (640, 480))
    for image in frames_of(video, 0, count):
        writer.write(image)
    writer.release()
    return path
