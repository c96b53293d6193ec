"""People too small for the detector are found and followed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from diffmocap.keypoints.body25 import no_keypoints
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.keypoints.person_finder import PersonFinder, Window, search_windows
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.types import Frame

WIDTH, HEIGHT = 640, 480
#: Neck, shoulders, elbows, hips, knees, ankles: what the clip shows clearly.
SURE = [1, 2, 3, 5, 6, 9, 10, 11, 12, 13, 14]


@pytest.fixture(scope="module")
def clip(repo_root):
    """Every second of the bundled clip's first 120 images, and their true keypoints [60, 25, 2] px."""
    video = cv2.VideoCapture(str(repo_root / "media/demo.mp4"))
    images = [video.read()[1] for _ in range(120)][::2]
    with np.load(repo_root / "media/demo.npz", allow_pickle=False) as data:
        return images, data["keypoints2d"][:120:2].astype(float)


def placed(clip, index, share, centre, size=(WIDTH, HEIGHT)):
    """The clip in a plain image, its person ``share`` of 480 pixels high and at ``centre``, and the true points."""
    images, truth = clip
    scale = share * HEIGHT / np.median(np.ptp(truth[..., 1], axis=1))
    move = np.array(centre) - scale * 0.5 * (truth[index].min(0) + truth[index].max(0))
    matrix = np.array([[scale, 0, move[0]], [0, scale, move[1]]])
    shown = cv2.warpAffine(images[index], matrix, size, flags=cv2.INTER_AREA, borderValue=(110, 110, 110))
    return shown, truth[index] * scale + move


def watch(clip, path, settings=None, size=(WIDTH, HEIGHT), count=60):
    """Mean error of each image over the person's height, NaN where nobody was found, and the windows followed in."""
    errors, windows = [], []
    with Detector(settings) as detector:
        for i in range(count):
            share, centre = path(i)
            image, truth = placed(clip, i % 60, share, centre, size)
            keypoints = detector.detect(Frame(image, i * 66_000_000))
            assert (keypoints.width, keypoints.height) == size
            off = np.linalg.norm(keypoints.points_px - truth, axis=1)[SURE].mean() / (share * HEIGHT)
            errors.append(off if keypoints.visible else np.nan)
            windows.append(detector._finder.window)
    return np.array(errors), windows


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (1080, 1920), (768, 432), (224, 224), (1, 1), (3, 500)])
def test_somebody_a_sixth_of_the_image_high_is_whole_in_a_window(size):
    width, height = size
    windows = search_windows(width, height)
    for left, top, w, h in windows:
        assert 0 <= left <= left + w <= width and 0 <= top <= top + h <= height
    tall = min(size) / 6
    wide = 0.5 * tall
    for x in np.linspace(0, width - wide, 41):
        for y in np.linspace(0, height - tall, 41):
            assert any(
                w.left - 1 <= x and x + wide <= w.left + w.width + 1
                and w.top - 1 <= y and y + tall <= w.top + w.height + 1
                for w in windows
            ), (x, y)  # fmt: skip


@pytest.mark.parametrize(
    ("size", "centre"), [((640, 480), (320, 240)), ((640, 480), (560, 420)), ((480, 640), (100, 500))]
)
def test_a_sixth_of_480_pixels_is_found_and_placed(clip, size, centre):
    errors, windows = watch(clip, lambda i: (1 / 6, centre), size=size, count=40)
    first = int(np.argmax(np.isfinite(errors)))
    assert np.isfinite(errors).any() and first <= len(search_windows(*size))
    assert np.isfinite(errors[first:]).mean() >= 0.95
    assert np.nanmedian(errors) < 0.04 and np.nanmax(errors) < 0.15
    assert windows[-1] is not None


def test_without_the_search_nobody_is_there(clip):
    errors, windows = watch(clip, lambda i: (1 / 6, (320, 240)), DetectorSettings(search_small=False), count=15)
    assert np.isnan(errors).all() and windows == [None] * 15


def test_the_window_follows_somebody_who_walks(clip):
    errors, windows = watch(clip, lambda i: (1 / 6, (120 + 7 * i, 240)))
    seen = np.isfinite(errors)
    assert seen[14:].mean() >= 0.95 and np.nanmedian(errors) < 0.04 and np.nanmax(errors) < 0.15
    followed = [w for w in windows if w is not None]
    assert 3 <= len(set(followed)) <= 20, "it stays while the person is in its middle, and moves on with them"
    assert followed[-1].left - followed[0].left > 250


def test_somebody_who_comes_nearer_ends_up_in_the_whole_image(clip):
    errors, windows = watch(clip, lambda i: (1 / 6 + 0.01 * i, (320, 240)))
    seen = np.isfinite(errors)
    assert seen[14:].mean() >= 0.95 and np.nanmax(errors) < 0.15
    assert any(windows) and windows[-1] is None


def test_somebody_who_is_suddenly_elsewhere_is_found_again(clip):
    errors, _ = watch(clip, lambda i: (1 / 6, (150, 300) if i < 30 else (520, 150)))
    assert np.isfinite(errors[45:]).all() and np.nanmax(errors[45:]) < 0.15


def test_following_somebody_costs_one_look_an_image_and_nobody_two(clip):
    with Detector() as detector:
        calls = []
        process = detector._landmarker.process

        def noted(image, time_ms):
            calls.append((image.shape, time_ms))
            return process(image, time_ms)

        detector._landmarker.process = noted
        for i in range(6):
            detector.detect(Frame(np.full((HEIGHT, WIDTH, 3), 110, np.uint8), i * 66_000_000))
        assert [shape for shape, _ in calls] == [(HEIGHT, WIDTH, 3), (240, 240, 3)] * 6
        assert (np.diff([time_ms for _, time_ms in calls]) > 0).all()
        for i in range(6, 14):
            detector.detect(Frame(placed(clip, i, 0.8, (320, 240))[0], i * 66_000_000))
        assert [shape for shape, _ in calls[-6:]] == [(HEIGHT, WIDTH, 3)] * 6


class Blind:
    """A landmarker that sees nobody and keeps the times it was given."""

    def __init__(self):
        self.times = []

    def process(self, image, time_ms):
        self.times.append(time_ms)


def test_times_rise_whatever_comes_in_and_a_new_size_gets_new_windows():
    landmarker = Blind()
    finder = PersonFinder(landmarker)
    for time_ms, size in ((100, (48, 64)), (100, (48, 64)), (90, (64, 48)), (101, (64, 48)), (400, (2, 2))):
        assert finder.find(np.zeros((*size, 3), np.uint8), time_ms) is None
    assert (np.diff(landmarker.times) > 0).all() and 400 in landmarker.times
    finder.window = Window(0, 0, 24, 24)
    finder.find(np.zeros((30, 60, 3), np.uint8), 500)
    assert finder.window is None


def test_the_search_can_be_switched_while_it_runs(clip):
    image, _ = placed(clip, 0, 1 / 6, (320, 240))
    with Detector(DetectorSettings(search_small=False)) as detector:
        nobody = detector.detect(Frame(image, 0))
        assert nobody.visible == no_keypoints(WIDTH, HEIGHT).visible == 0
        detector.settings = DetectorSettings(search_small=True)
        assert any(detector.detect(Frame(image, i * 33_000_000)).visible for i in range(1, 20))
