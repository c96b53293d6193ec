"""How many threads OpenCV may use."""

from __future__ import annotations

import cv2


def limit_threads(count: int) -> None:
    """For the whole process."""
    cv2.setNumThreads(count)
