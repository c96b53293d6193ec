from __future__ import annotations

import json
import socket
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest

from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.camera.capture import Capture
from diffmocap.errors import ImageError, ModelFileError, SettingsError
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.resources import verified_model
from diffmocap.types import Frame
from tests.demo_frames import PERSON_FRAME


def at(keypoints, name):
    return keypoints.points_px[KEYPOINT_NAMES.index(name)]


def test_a_person_where_the_clip_was_drawn(person, repo_root):
    """Against the keypoints that the bundled clip was drawn from."""
    with Detector() as detector:
        found = detector.detect(Frame(person, 42))
    with np.load(repo_root / "media" / "demo.npz") as truth:
        error = np.linalg.norm(found.points_px - truth["keypoints2d"][PERSON_FRAME], axis=1)
    assert (found.width, found.height, found.stamp_ns, found.visible) == (640, 480, 42, 23)
    assert error[found.confidence > 0].max() < 12 and np.median(error[found.confidence > 0]) < 4


def test_a_person_where_a_human_sees_one(shared_dir, monkeypatch):
    warrior = cv2.imread(str(shared_dir / "media/tfjs_pose.jpg"))

    def refuse(*_, **__):
        raise AssertionError("the detector asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with Detector() as detector:
        found = detector.detect_full(Frame(warrior, 42))
    keypoints = found.keypoints
    assert (keypoints.width, keypoints.height, keypoints.stamp_ns) == (1000, 667, 42)
    assert keypoints.visible == 23
    # Read off the picture by eye; he faces the camera, so his right hand is on the left.
    for name, place in {"RWrist": (303, 308), "LWrist": (697, 315), "RKnee": (357, 490), "LAnkle": (701, 615),
                        "Nose": (463, 288), "MidHip": (493, 468)}.items():  # fmt: skip
        assert np.linalg.norm(at(keypoints, name) - place) < 15, name
    assert found.landmarks_px.shape == (33, 2) and found.visibility.shape == (33,)
    assert found.world_landmarks.shape == (33, 3)
    # World metres, y down: between the hips is the origin, the arms span one to two metres.
    assert np.linalg.norm(found.world_landmarks[[23, 24]].mean(0)) < 0.02
    assert 1.0 < np.linalg.norm(found.world_landmarks[15] - found.world_landmarks[16]) < 2.0
    assert found.world_landmarks[0, 1] < 0 < found.world_landmarks[27, 1]


def test_nobody_in_an_empty_image_and_again_somebody(person):
    with Detector() as detector:
        empty = detector.detect_full(Frame(np.full((480, 640, 3), 127, np.uint8), 0))
        assert empty.keypoints.visible == 0 and empty.landmarks_px is None and empty.world_landmarks is None
        assert detector.detect(Frame(person, 33_000_000)).visible == 23


def test_stamps_that_stand_still_or_go_back_are_survived(person):
    with Detector() as detector:
        for stamp_ns in (5_000_000_000, 5_000_000_000, 1_000_000_000, 6_000_000_000):
            keypoints = detector.detect(Frame(person, stamp_ns))
            assert keypoints.visible == 23 and keypoints.stamp_ns == stamp_ns


def test_without_smoothing_the_present_image_alone_counts(person):
    """The person jumps aside by 40 pixels: the filter takes a while to follow, and none follows at once."""
    moved = np.roll(person, 40, axis=1)
    left = {}
    for smooth in (True, False):
        with Detector(DetectorSettings(smooth=smooth)) as detector:
            for i in range(5):
                start = detector.detect_full(Frame(person, i * 33_000_000)).landmarks_px
            end = detector.detect_full(Frame(moved, 5 * 33_000_000)).landmarks_px
        left[smooth] = float(np.abs(np.median(end - start, axis=0)[0] - 40.0))
    assert left[False] < 1.0 < left[True]


def test_a_recording_that_starts_over_keeps_its_rate():
    """MediaPipe's filters take speeds from these times."""
    with Detector() as detector:
        stamps_ns = [10**12 + i * 40_000_000 for i in range(100)]
        times_ms = [detector._time_ms(stamp) for stamp in stamps_ns * 2]
    steps = np.diff(times_ms)
    assert (np.delete(steps, 99) == 40).all() and 1 <= steps[99] <= 100


def test_squats_agree_with_the_stored_landmarks(shared_dir):
    """The JSON beside the clip holds BlazePose's 33 points, found by another implementation."""
    media = shared_dir / "media"
    stored = json.loads((media / "tfjs_pose_squats.full.json").read_text())
    errors = []
    with Detector() as detector, Capture(media / "tfjs_pose_squats.mp4", realtime=False) as capture:
        for frame in capture:
            if frame.index >= 30:
                break
            expected = np.array(stored[frame.index], float)[:, :2]
            errors.append(np.linalg.norm(detector.detect_full(frame).landmarks_px - expected, axis=1))
    assert np.median(errors) < 12.0


def test_a_failed_graph_is_replaced(person, monkeypatch):
    with Detector() as detector:
        broken = detector._landmarker

        def fail(*_):
            raise RuntimeError("Graph has errors")

        monkeypatch.setattr(broken, "process", fail)
        with pytest.raises(ImageError, match="640 x 480 and was restarted: Graph has errors"):
            detector.detect(Frame(person, 0))
        assert detector._landmarker is not broken
        assert detector.detect(Frame(person, 1)).visible == 23


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 5)])
def test_tiny_images_hold_nobody(size, person):
    with Detector() as detector:
        assert detector.detect(Frame(np.zeros((*size, 3), np.uint8), 0)).visible == 0
        assert detector.detect(Frame(person, 1)).visible == 23


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="min_visibility must lie in \\[0, 1\\], got 2"):
        DetectorSettings(min_visibility=2)


def damaged_bundles(folder):
    content = verified_model("pose_landmarker_full.task").read_bytes()
    (folder / "empty.task").write_bytes(b"")
    (folder / "text.task").write_text("<html>Not found</html>")
    (folder / "cut.task").write_bytes(content[: len(content) // 2])
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 0xFF
    (folder / "flipped.task").write_bytes(flipped)
    with zipfile.ZipFile(folder / "other.task", "w") as other:
        other.writestr("hand_detector.tflite", b"x")
    with zipfile.ZipFile(folder / "junk.task", "w") as junk:
        for name in ("pose_detector.tflite", "pose_landmarks_detector.tflite"):
            junk.writestr(name, b"junk" * 100)


def test_bundles_that_are_none(tmp_path):
    damaged_bundles(tmp_path)
    for name, why in {
        "missing.task": "there is no task file",
        "empty.task": "0 bytes.*no task bundle",
        "text.task": "no task bundle",
        "cut.task": "cut off",
        "flipped.task": "damaged",
        "other.task": "without pose_detector.tflite",
        "junk.task": "damaged",
    }.items():
        with pytest.raises(ModelFileError, match=f"{why}.*diffmocap models heavy"):
            Detector(DetectorSettings(task_file=str(tmp_path / name)))


def test_a_detector_starts_and_works_without_a_word(person, tmp_path):
    """In a process of its own, since MediaPipe says some things only once."""
    program = (
        "import cv2, sys\n"
        "from diffmocap.keypoints.mediapipe_detector import Detector\n"
        "from diffmocap.types import Frame\n"
        "with Detector() as detector:\n"
        "    image = cv2.imread(sys.argv[1])\n"
        "    print([detector.detect(Frame(image, i)).visible for i in range(3)])\n"
        "print('heard', file=sys.stderr)\n"
    )
    image = tmp_path / "person.png"
    cv2.imwrite(str(image), person)
    done = subprocess.run([sys.executable, "-c", program, str(image)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[23, 23, 23]\n" and done.stderr == "heard\n"
