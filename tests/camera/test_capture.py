from __future__ import annotations

import logging
import threading
import time

import cv2
import numpy as np
import pytest

from diffmocap.camera.capture import Capture
from diffmocap.camera.settings import CaptureSettings
from diffmocap.errors import CameraError


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """20 frames at 50 a second; the grey level tells the number of the frame."""
    path = tmp_path_factory.mktemp("clip") / "numbered.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (64, 48))
    for index in range(20):
        writer.write(np.full((48, 64, 3), 10 * index, np.uint8))
    writer.release()
    return path


def write_mp4(path, size, fps, frames):
    """Noise, so that no frame is like another."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, size)
    rng = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    writer.release()


def numbers(frames) -> list[int]:
    return [round(float(frame.image.mean()) / 10) for frame in frames]


def test_as_fast_as_possible_gives_every_frame_on_the_time_of_the_video(clip):
    with Capture(clip, realtime=False, clock=lambda: 7_000_000_000) as capture:
        frames = list(capture)
        assert capture.ended and capture.mode.frames == 20 and not capture.live
    assert numbers(frames) == [frame.index for frame in frames] == list(range(20))
    assert [frame.stamp_ns for frame in frames] == [7_000_000_000 + 20_000_000 * i for i in range(20)]


def test_real_time_stamps_keep_the_rate_of_the_file(clip):
    with Capture(clip) as capture:
        frames = list(capture)
    # A frame is never early: the last one is due 19 / 50 s after the first.
    assert frames[-1].stamp_ns - frames[0].stamp_ns >= (frames[-1].index - frames[0].index) * 0.02e9 - 5e6
    assert numbers(frames) == [frame.index for frame in frames]
    assert len(frames) + capture.skipped == 20


def test_a_slow_reader_leaves_frames_out_instead_of_falling_behind(clip):
    with Capture(clip) as capture:
        frames = []
        for frame in capture:
            frames.append(frame)
            time.sleep(0.07)
    assert capture.skipped > 0 and len(frames) + capture.skipped == 20
    assert numbers(frames) == [frame.index for frame in frames]


def test_a_read_waits_no_longer_than_it_may_and_loses_nothing(clip):
    with Capture(clip) as capture:
        assert capture.read().index == 0
        assert capture.read(timeout_s=0.0) is None and not capture.ended
        assert capture.read(timeout_s=5.0).index == 1


def test_a_loop_counts_on(clip):
    with Capture(clip, realtime=False, loop=True) as capture:
        frames = [capture.read() for _ in range(45)]
    assert [frame.index for frame in frames] == list(range(45))
    assert numbers(frames) == [*range(20), *range(20), *range(5)]
    assert np.all(np.diff([frame.stamp_ns for frame in frames]) == 20_000_000)


@pytest.mark.parametrize("size, fps, frames", [((576, 576), 30, 12), ((72, 128), 5, 65), ((768, 432), 10, 20)])
def test_videos_tell_their_mode(tmp_path, size, fps, frames):
    path = tmp_path / "video.mp4"
    write_mp4(path, size, fps, frames)
    with Capture(path, realtime=False) as capture:
        mode = capture.mode
        assert (mode.width, mode.height, round(mode.fps), mode.frames) == (*size, fps, frames)
        assert capture.read().image.shape == (mode.height, mode.width, 3)


def test_the_bundled_clip_tells_its_mode(demo_clip):
    """H.264, whose frames come in another order than they are shown in."""
    with Capture(demo_clip, realtime=False) as capture:
        mode = capture.mode
        assert (mode.width, mode.height, round(mode.fps), mode.frames) == (640, 480, 30, 726)
        assert capture.read().image.shape == (480, 640, 3)


@pytest.mark.parametrize("content, why", [(b"", "empty file"), (b"no video" * 50, "400 bytes.*no video")])
def test_a_video_that_is_no_video(tmp_path, content, why):
    path = tmp_path / "clip_1.mp4"
    path.write_bytes(content)
    with pytest.raises(CameraError, match=why):
        Capture(path)


def test_a_video_that_was_cut_off(tmp_path):
    """Its index stands at its end, as recorders write it."""
    path = tmp_path / "cut.mp4"
    write_mp4(path, (320, 240), 30, 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CameraError, match="damaged"):
        Capture(path)


def test_a_file_that_ends_early_is_told_once(clip, tmp_path):
    damaged = tmp_path / "damaged.avi"
    content = clip.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    events = []
    try:
        with Capture(damaged, realtime=False, event=lambda level, text: events.append(text)) as capture:
            played = len(list(capture))
            assert played < 20 and (capture.mode.frames == 0 or len(events) == 1)
    except CameraError as error:  # how much a container forgives depends on the FFmpeg inside OpenCV
        assert "damaged" in str(error)


class FakeCamera:
    """A camera that gives ``frames`` images, one every ``period_s``, and then nothing more."""

    def __init__(self, frames: int, size=(64, 48), period_s: float = 0.0, fps: float = 30.0):
        self.frames, self.size, self.period_s, self.fps = frames, size, period_s, fps
        self.number = 0
        self.released = False
        self.set_values = {}

    def isOpened(self):
        return self.frames > 0

    def grab(self):
        time.sleep(self.period_s)
        self.number += 1
        return self.number <= self.frames

    def retrieve(self):
        return True, np.full((self.size[1], self.size[0], 3), min(self.number, 255), np.uint8)

    def read(self):
        return self.retrieve() if self.grab() else (False, None)

    def get(self, name):
        return {cv2.CAP_PROP_FPS: self.fps, cv2.CAP_PROP_FRAME_COUNT: -1.0}.get(name, 0.0)

    def set(self, name, value):
        self.set_values[name] = value
        return True

    def release(self):
        self.released = True


def test_a_camera_always_gives_its_newest_image():
    camera = FakeCamera(frames=10_000, period_s=0.002)
    with Capture(0, open_video=lambda *_: camera) as capture:
        assert capture.live
        first, deadline = capture.read(), time.monotonic() + 20
        while camera.number < first.index + 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        before = camera.number
        frame = capture.read()
        assert int(frame.image[0, 0, 0]) >= min(before - 1, 255) and capture.skipped > 5
        assert frame.index > 10
    assert camera.released


def test_a_lost_camera_is_opened_again_and_told_once():
    cameras = [FakeCamera(3), FakeCamera(0), FakeCamera(10_000, size=(32, 24), period_s=0.002)]
    opened = iter(cameras)
    events = []
    with Capture(0, open_video=lambda *_: next(opened), event=lambda *event: events.append(event)) as capture:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            frame = capture.read(timeout_s=0.1)
            if frame is not None and frame.image.shape == (24, 32, 3):
                break
        assert frame is not None and frame.image.shape == (24, 32, 3)
        assert capture.mode.width == 32 and not capture.lost
    assert [level for level, _ in events] == [logging.WARNING, logging.INFO]
    assert "lost" in events[0][1] and "back" in events[1][1]
    assert all(camera.released for camera in cameras)


def test_a_lost_camera_that_must_not_reconnect_is_an_error():
    with Capture(0, CaptureSettings(reconnect=False), open_video=lambda *_: FakeCamera(3)) as capture:
        with pytest.raises(CameraError, match="was lost"):
            while True:
                assert capture.read(timeout_s=5.0) is not None


def test_a_driver_that_fails_in_its_own_way_is_an_error_and_no_endless_wait():
    camera = FakeCamera(10_000, period_s=0.002)
    with Capture(0, open_video=lambda *_: camera) as capture:
        camera.retrieve = lambda: (True, np.zeros((48, 64), np.uint16))  # an infrared picture, all of a sudden
        with pytest.raises(CameraError, match="camera 0 cannot be read any more: expected an image uint8"):
            while True:
                assert capture.read(timeout_s=5.0) is not None
    assert camera.released


def test_a_camera_is_asked_for_a_mode_and_the_difference_is_told():
    camera = FakeCamera(10_000, size=(640, 480), period_s=0.002, fps=15.0)
    events = []
    wanted = CaptureSettings(width=1280, height=720, fps=30)
    with Capture(0, wanted, open_video=lambda *_: camera, event=lambda *event: events.append(event)) as capture:
        assert (capture.mode.width, capture.mode.height, capture.mode.fps) == (640, 480, 15.0)
    assert camera.set_values[cv2.CAP_PROP_FRAME_WIDTH] == 1280 and camera.set_values[cv2.CAP_PROP_FPS] == 30
    assert camera.set_values[cv2.CAP_PROP_BUFFERSIZE] == 1
    assert camera.set_values[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter_fourcc(*"MJPG")
    assert len(events) == 1 and "1280 x 720 at 30 and gives 640 x 480 at 15" in events[0][1]


def test_no_camera():
    with pytest.raises(CameraError, match="no /dev/video97"):
        Capture(97)


def test_a_camera_that_opens_but_has_no_image():
    with pytest.raises(CameraError, match="camera 0 does not open"):
        Capture(0, open_video=lambda *_: FakeCamera(5, size=(0, 0)))


def test_a_camera_that_is_slow_to_start():
    camera = FakeCamera(10_000, period_s=0.002)
    first_grabs = iter([False, False])
    grab = camera.grab
    camera.grab = lambda: next(first_grabs, True) and grab()
    with Capture(0, open_video=lambda *_: camera) as capture:
        assert capture.read(timeout_s=5.0) is not None


def test_close_wakes_a_waiting_read():
    with Capture(0, open_video=lambda *_: FakeCamera(1)) as capture:
        capture.read()
        result = []
        reader = threading.Thread(target=lambda: result.append(capture.read()))
        reader.start()
        time.sleep(0.05)
        capture.close()
        reader.join(5.0)
        assert not reader.is_alive() and result == [None]


def test_a_network_stream_is_live(mjpeg_stream):
    with Capture(mjpeg_stream) as capture:
        frames = [capture.read(timeout_s=10.0) for _ in range(5)]
        assert capture.live
    assert all(frame is not None and frame.image.shape == (48, 64, 3) for frame in frames)


def test_a_stream_that_does_not_answer():
    with pytest.raises(CameraError, match=r"http://127\.0\.0\.1:9/x delivers no image"):
        Capture("http://127.0.0.1:9/x")
