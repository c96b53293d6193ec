"""Videos as phones, browsers and screen recorders write them: upright, with square pixels, on their own times."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from benchmarks.field.video_files import (
    change_box,
    element,
    set_durations,
    set_matrix,
    set_metadata,
    set_pixel_aspect,
    write_video,
    write_webm,
)
from diffmocap.camera.capture import Capture
from diffmocap.camera.containers.container import Turn
from diffmocap.camera.containers.reading import read_container
from diffmocap.camera.settings import CaptureSettings
from diffmocap.errors import CameraError

#: Display matrices (a, b, c, d) as players read them: a row vector (x, y) of the stored picture is shown at
#: (a x + c y, b x + d y).
MATRICES = {
    "0": (1, 0, 0, 1),
    "90 clockwise": (0, 1, -1, 0),
    "180": (-1, 0, 0, -1),
    "270 clockwise": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed the other way": (0, -1, -1, 0),
}
#: Rotation and yaw that Matroska's projection has for the same [degrees].
PROJECTIONS = {"90 clockwise": (-90.0, None), "180": (180.0, None), "270 clockwise": (90.0, None),
               "mirrored": (0.0, 180.0)}  # fmt: skip


def upright_picture(width: int = 96, height: int = 64) -> np.ndarray:
    """Four colours, so that every turn shows."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 40, 40)
    image[: height // 2, width // 2 :] = (40, 200, 40)
    image[height // 2 :, : width // 2] = (40, 40, 200)
    image[height // 2 :, width // 2 :] = (200, 200, 200)
    return image


def stored_for(shown: np.ndarray, matrix: tuple[float, ...]) -> np.ndarray:
    """The picture that a player shows as ``shown``, by the definition of the matrix, pixel by pixel."""
    a, b, c, d = matrix
    height, width = shown.shape[:2]
    stored_width, stored_height = (width, height) if a else (height, width)
    y, x = np.mgrid[:stored_height, :stored_width]
    u, v = a * x + c * y, b * x + d * y
    return shown[v - v.min(), u - u.min()]


def read_all(path, **settings):
    events = []
    with Capture(path, realtime=False, event=lambda _, text: events.append(text), **settings) as capture:
        return list(capture), capture, events


def times_s(frames) -> np.ndarray:
    return np.array([frame.stamp_ns - frames[0].stamp_ns for frame in frames]) * 1e-9


def differs(image: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of grey levels; codecs blur the borders of the colours."""
    assert image.shape == other.shape
    return float(np.abs(image.astype(int) - other).mean())


@pytest.mark.parametrize("ending", ["mp4", "mov"])
@pytest.mark.parametrize("name", MATRICES)
def test_pictures_stand_upright_whatever_the_display_matrix(tmp_path, name, ending):
    shown = upright_picture()
    path = write_video(tmp_path / f"clip.{ending}", [stored_for(shown, MATRICES[name])] * 3)
    set_matrix(path, *MATRICES[name])
    frames, capture, events = read_all(path)
    assert (capture.mode.width, capture.mode.height) == (96, 64) and not events
    assert len(frames) == 3 and max(differs(frame.image, shown) for frame in frames) < 12


@pytest.mark.parametrize("name", PROJECTIONS)
def test_pictures_of_webm_stand_upright(tmp_path, name):
    shown = upright_picture()
    roll, yaw = PROJECTIONS[name]
    pose = element(0x7675, struct.pack(">d", roll)) + (element(0x7673, struct.pack(">f", yaw)) if yaw else b"")
    stored = stored_for(shown, MATRICES[name])
    path = write_webm(tmp_path / "clip.webm", [stored] * 3, [0, 33, 67], element(0x7670, pose))
    frames, _, _ = read_all(path)
    assert differs(frames[-1].image, shown) < 12


class Backend:
    """A ``cv2.VideoCapture`` that behaves as another backend."""

    def __init__(self, *arguments):
        self.video = cv2.VideoCapture(*arguments)
        self.video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)

    def __getattr__(self, name):
        return getattr(self.video, name)


class Turns(Backend):
    """Unless it is asked not to, as OpenCV 4.10 and 4.12."""

    turning = True

    def set(self, name, value):
        self.turning = bool(value) if name == cv2.CAP_PROP_ORIENTATION_AUTO else self.turning
        return True

    def get(self, name):
        return float(self.turning) if name == cv2.CAP_PROP_ORIENTATION_AUTO else self.video.get(name)

    def retrieve(self):
        ok, image = self.video.retrieve()
        if not self.turning:
            return ok, image
        code = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
        turn = code.get(int(self.video.get(cv2.CAP_PROP_ORIENTATION_META)))
        return ok, image if turn is None or not ok else cv2.rotate(image, turn)

    def read(self):
        return self.retrieve() if self.grab() else (False, None)


class TurnsByItself(Turns):
    """And cannot be asked not to."""

    def set(self, *_):
        return False


class KnowsNothing(Backend):
    """Neither angles nor times nor the number of frames, as some backends of cameras' makers."""

    def get(self, name):
        return self.video.get(name) if name == cv2.CAP_PROP_FPS else 0.0


@pytest.mark.parametrize("backend", [Turns, TurnsByItself, KnowsNothing])
@pytest.mark.parametrize("name", ["90 clockwise", "180", "270 clockwise"])
def test_pictures_are_turned_once_by_every_backend(tmp_path, name, backend):
    shown = upright_picture()
    path = write_video(tmp_path / "clip.mp4", [stored_for(shown, MATRICES[name])] * 3)
    set_matrix(path, *MATRICES[name])
    frames, _, _ = read_all(path, open_video=backend)
    assert len(frames) == 3 and max(differs(frame.image, shown) for frame in frames) < 12


def test_a_flip_which_the_backends_angle_leaves_out_is_made(tmp_path):
    shown = upright_picture()
    path = write_video(tmp_path / "clip.mp4", [stored_for(shown, MATRICES["transposed"])] * 2)
    set_matrix(path, *MATRICES["transposed"])
    assert differs(read_all(path, open_video=Turns)[0][1].image, shown) < 12


def test_a_container_that_is_not_read_here_is_turned_by_the_backends_angle(tmp_path, monkeypatch):
    shown = upright_picture()
    path = write_video(tmp_path / "clip.mp4", [stored_for(shown, MATRICES["90 clockwise"])] * 2)
    set_matrix(path, *MATRICES["90 clockwise"])
    from diffmocap.camera import opening
    from diffmocap.camera.containers.container import Container

    monkeypatch.setattr(opening, "read_container", lambda path: Container())
    assert differs(read_all(path)[0][0].image, shown) < 12


@pytest.mark.parametrize(
    "across, down, size", [(4, 3, (96, 72)), (3, 4, (72, 96)), (1, 1, (72, 72)), (1, 40, (72, 72))]
)
def test_pixels_become_square_without_losing_detail(tmp_path, across, down, size):
    path = write_video(tmp_path / "clip.mp4", [upright_picture(72, 72)] * 2)
    set_pixel_aspect(path, across, down)
    frames, capture, _ = read_all(path)
    assert frames[1].image.shape[1::-1] == size == (capture.mode.width, capture.mode.height)
    assert differs(frames[1].image, cv2.resize(upright_picture(72, 72), size)) < 12


def test_pixels_are_made_square_before_the_picture_is_turned(tmp_path):
    path = write_video(tmp_path / "clip.mp4", [upright_picture(72, 72)] * 2)
    set_pixel_aspect(path, 4, 3)
    set_matrix(path, *MATRICES["90 clockwise"])
    assert read_all(path)[0][0].image.shape[:2] == (96, 72)


def test_the_display_size_of_webm_makes_pixels_square(tmp_path):
    shown = element(0x54B0, (128).to_bytes(2, "big")) + element(0x54BA, (72).to_bytes(2, "big"))
    path = write_webm(tmp_path / "clip.webm", [upright_picture(72, 72)] * 2, [0, 33], shown)
    assert read_all(path)[0][0].image.shape[:2] == (72, 128)


def test_a_mirrored_picture_is_mirrored_back_when_it_stands_upright(tmp_path):
    shown = upright_picture()
    stored = stored_for(np.ascontiguousarray(shown[:, ::-1]), MATRICES["90 clockwise"])
    path = write_video(tmp_path / "clip.mp4", [stored] * 2)
    set_matrix(path, *MATRICES["90 clockwise"])
    assert differs(read_all(path, settings=CaptureSettings(mirror=True))[0][1].image, shown) < 12


#: Half at 30, half at 10 images a second.
DURATIONS_S = [1 / 30] * 15 + [0.1] * 15
SHOWN_S = np.concatenate([[0.0], np.cumsum(DURATIONS_S)[:-1]])
GREYS = [np.full((48, 64, 3), 8 * i, np.uint8) for i in range(30)]


@pytest.fixture(scope="module")
def variable(tmp_path_factory):
    path = write_video(tmp_path_factory.mktemp("variable") / "variable.mp4", GREYS)
    set_durations(path, DURATIONS_S)
    return path


@pytest.mark.parametrize("backend", [cv2.VideoCapture, KnowsNothing])
def test_stamps_are_the_times_of_an_mp4(variable, backend):
    frames, capture, events = read_all(variable, open_video=backend)
    assert np.abs(times_s(frames) - SHOWN_S).max() < 1e-3 and not events
    assert capture.mode.frames == 30 and np.abs(capture.times_s - SHOWN_S).max() < 1e-3
    assert capture.mode.fps == pytest.approx(29 / SHOWN_S[-1], rel=1e-3)


@pytest.mark.parametrize("start_ms", [0, 5_000])
@pytest.mark.parametrize("with_duration", [True, False])
def test_stamps_are_the_times_of_a_browsers_recording(tmp_path, start_ms, with_duration):
    times_ms = (SHOWN_S * 1e3).round().astype(int) + start_ms
    path = write_webm(tmp_path / "clip.webm", GREYS, times_ms.tolist(), duration_ms=9e3 if with_duration else None)
    frames, capture, events = read_all(path)
    assert np.abs(times_s(frames) - SHOWN_S).max() < 2e-3 and not events
    assert capture.mode.frames == 30 and capture.mode.fps == pytest.approx(29 / SHOWN_S[-1], rel=1e-2)


def test_times_that_begin_again_go_on(tmp_path):
    times_ms = [0, 40, 80, 120, 20_000, 20_040, 60_000, 0, 40, 80]
    path = write_webm(tmp_path / "clip.webm", GREYS[:10], times_ms)
    steps = np.diff(times_s(read_all(path)[0]))
    assert (steps > 0).all() and np.allclose(steps[-2:], 0.04, atol=2e-3)


def test_real_time_follows_the_times_of_the_file(variable):
    with Capture(variable) as capture:
        frames = list(capture)
    indices = [frame.index for frame in frames]
    early_s = SHOWN_S[indices] - times_s(frames) - SHOWN_S[indices[0]]
    assert early_s.max() < 5e-3  # late on a busy machine, never early
    assert len(frames) + capture.skipped == 30
    assert [round(float(frame.image.mean()) / 8) for frame in frames] == indices


def test_a_loop_begins_after_the_last_images_time(variable):
    with Capture(variable, realtime=False, loop=True) as capture:
        frames = [capture.read() for _ in range(33)]
    assert np.allclose(times_s(frames)[30:] - SHOWN_S[-1], 0.1 + SHOWN_S[:3], atol=1e-3)
    assert [frame.index for frame in frames] == list(range(33))


def test_a_stream_without_times_has_a_constant_rate_and_says_so(tmp_path):
    path = write_video(tmp_path / "clip.avi", GREYS[:8], codec="MJPG")
    frames, _, events = read_all(path, open_video=KnowsNothing)
    assert np.allclose(np.diff(times_s(frames)), 1 / 30, atol=1e-6)
    assert len(events) == 1 and "without times" in events[0] and "30 a second" in events[0]


@pytest.mark.parametrize(
    "played, played_s, counted, estimated, missing",
    [
        (200, 10.0, 300, 0, 100),  # lost in the middle: the last image has its time
        (296, 9.9, 300, 0, 0),  # a few at a cut
        (60, 3.9, 0, 120, 0),  # a length times a rate, of a recording at a variable rate
        (57, 1.87, 0, 60, 0),
        (60, 2.0, 0, 120, 60),
    ],
)
def test_images_are_missing_where_a_count_says_so_or_number_and_time_do(played, played_s, counted, estimated, missing):
    from diffmocap.camera.file_reader import _missing

    assert _missing(played, played_s, counted, estimated, 30.0) == missing


def test_only_a_file_with_missing_images_is_called_damaged(tmp_path):
    path = write_video(tmp_path / "clip.mp4", GREYS)

    def lose_images(content: bytes) -> bytes:
        sizes = np.frombuffer(content, ">u4", offset=12).copy()
        sizes[15:] = 0
        return content[:12] + sizes.tobytes()

    assert not read_all(path)[2]
    change_box(path, "moov/trak/mdia/minf/stbl/stsz", lose_images)
    frames, _, events = read_all(path)
    assert len(frames) in (14, 15) and len(events) == 1 and f"ended after {len(frames)} of 30 frames" in events[0]


def test_a_file_that_was_cut_off_says_how_much_is_missing(tmp_path):
    path = write_video(tmp_path / "clip.mp4", GREYS)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CameraError, match="bytes are missing at its end"):
        Capture(path)


def test_a_codec_that_cannot_be_decoded_is_named(tmp_path):
    path = write_video(tmp_path / "clip.mp4", GREYS[:3])
    path.write_bytes(path.read_bytes().replace(b"mp4v", b"av01").replace(b"esds", b"free"))
    with pytest.raises(CameraError, match=r"holds AV1 video \(av01\), which this OpenCV cannot decode"):
        Capture(path)


@pytest.mark.parametrize("kind, value", [(1, b"26.0"), (23, struct.pack(">f", 26.0)), (22, b"\x1a")])
def test_the_focal_length_in_an_mp4(tmp_path, kind, value):
    path = write_video(tmp_path / "clip.mp4", GREYS[:2])
    set_metadata(path, "com.apple.quicktime.camera.focal_length.35mm_equivalent", value, kind)
    assert read_container(path).focal_length_35mm == 26.0 and len(read_all(path)[0]) == 2


def test_whatever_is_damaged_in_a_container_is_no_traceback(variable, tmp_path):
    rng = np.random.default_rng(5)
    webm = write_webm(tmp_path / "clip.webm", GREYS[:4], [0, 33, 67, 100])
    path = tmp_path / "damaged"
    for source in (variable, webm):
        data = np.frombuffer(source.read_bytes(), np.uint8)
        for _ in range(150):
            damaged = data.copy()
            damaged[rng.integers(0, len(data), 20)] = rng.integers(0, 256, 20)
            path.write_bytes(damaged.tobytes()[: rng.integers(1, len(data))])
            container = read_container(path)
            assert container.turn.quarters in range(4) and (np.diff(container.times_s) >= 0).all()
    assert read_container(tmp_path / "none.mp4").frames == 0
    assert Turn.clockwise(float("nan")) == Turn()
