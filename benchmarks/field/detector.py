"""People who are small in the image: the bundled clip, scaled into a plain background of 640 x 480 pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np

from .case import Case

KIND = "small people"
WIDTH, HEIGHT = 640, 480
#: Images of the clip that are shown, its first three seconds, and the person's heights as shares of the image's.
IMAGES = 90
HEIGHTS = {"1/2": 1 / 2, "1/3": 1 / 3, "1/4": 1 / 4, "1/6": 1 / 6}
#: Where the person stands: in the middle, and on the way from one side to the other.
PLACES: dict[str, Callable[[float], tuple[float, float]]] = {
    "in the middle": lambda share: (320.0, 240.0),
    "walking across": lambda share: (120.0 + 400.0 * share, 300.0),
}


def images(share: float, place: Callable[[float], tuple[float, float]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each image [480, 640, 3] BGR and the true keypoints [25, 2] px in it."""
    from diffmocap.resources import share_path

    with np.load(share_path("media", "demo.npz"), allow_pickle=False) as data:
        truth = data["keypoints2d"].astype(float)
    scale = share * HEIGHT / np.median(np.ptp(truth[..., 1], axis=1))
    video = cv2.VideoCapture(str(share_path("media", "demo.mp4")))
    for i in range(IMAGES):
        ok, image = video.read()
        if not ok:
            raise RuntimeError(f"the bundled clip ends after {i} images")
        centre = 0.5 * (truth[i].min(axis=0) + truth[i].max(axis=0))
        move = np.array(place(i / IMAGES)) - scale * centre
        matrix = np.array([[scale, 0.0, move[0]], [0.0, scale, move[1]]])
        shown = cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderValue=(110, 110, 110))
        yield shown, truth[i] * scale + move
    video.release()


@cache
def detected(height: str, place: str) -> tuple[float, float]:
    """Share of the images in which somebody was found [%], and the keypoints' mean error in these [px]."""
    from diffmocap.keypoints.mediapipe_detector import Detector
    from diffmocap.types import Frame

    errors = []
    with Detector() as detector:
        for i, (image, truth) in enumerate(images(HEIGHTS[height], PLACES[place])):
            keypoints = detector.detect(Frame(image, i * 33_333_333))
            seen = keypoints.confidence > 0
            if seen.any():
                errors.append(float(np.linalg.norm(keypoints.points_px - truth, axis=1)[seen].mean()))
    return 100.0 * len(errors) / IMAGES, float(np.mean(errors)) if errors else float("nan")


def found(height: str, place: str, folder: Path) -> float:
    """Share of the images with somebody in them [%]."""
    return detected(height, place)[0]


def error(height: str, place: str, folder: Path) -> float | str:
    """Mean error of the keypoints that were found [px]."""
    result = detected(height, place)[1]
    return result if np.isfinite(result) else "nobody found"


CASES = tuple(
    case
    for place in PLACES
    for height, share in HEIGHTS.items()
    for case in (
        Case(KIND, f"{height} of the height, {place}: found", f"% of {IMAGES} images", "all but the first few",
             partial(found, height, place)),
        Case(KIND, f"{height} of the height, {place}: keypoint error", "px",
             f"2 % of the person: {0.02 * share * HEIGHT:.1f}", partial(error, height, place)),
    )
)  # fmt: skip
