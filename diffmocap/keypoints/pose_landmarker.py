"""MediaPipe's pose landmarker, on the CPU: one image after the other, each with the time it was taken."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffmocap.errors import ModelFileError, SetupError
from diffmocap.keypoints.body25 import NUM_LANDMARKS
from diffmocap.keypoints.mediapipe_import import import_mediapipe
from diffmocap.keypoints.native_noise import without_native_noise
from diffmocap.keypoints.pose_bundle import BUNDLE_PARTS, SHIPPED_BUNDLE
from diffmocap.resources import verified_model

#: Time between images after which MediaPipe's filters ignore the past; see PoseLandmarker.process.
_FAR_APART_MS = 1_000_000
_ADVICE = (
    "`diffmocap models heavy FILE` makes a bundle, or leave task_file empty for the one that ships "
    "(`diffmocap models --help` says more)"
)


class Landmarks(NamedTuple):
    """What one image shows.

    Attributes:
        image: [33, 2] float32 places as shares of the image's width and height.
        visibility: [33] float32 in [0, 1].
        world: [33, 3] float32 m, x right, y down, z away from the camera, origin between the hips.
    """

    image: np.ndarray
    visibility: np.ndarray
    world: np.ndarray


class PoseLandmarker:
    """Landmarks of one person, who is tracked from image to image; not for use by several threads at once.

    Args:
        task_file: a pose landmarker bundle; empty for the one that ships.
        min_detection_confidence: score from which a person counts as found.
        min_tracking_confidence: score of the landmarks under which nobody counts as seen, and detection starts again.
        smooth: filter the landmarks over time.

    Raises:
        ModelFileError: the bundle is missing, damaged, or no pose landmarker.
        SetupError: MediaPipe, or a library that it loads, is not installed.
    """

    def __init__(
        self, task_file: str = "", min_detection_confidence: float = 0.5, min_tracking_confidence: float = 0.5,
        smooth: bool = True,
    ) -> None:  # fmt: skip
        path = Path(task_file).expanduser() if task_file else verified_model(SHIPPED_BUNDLE)
        check_task_file(path)
        self._mediapipe = import_mediapipe()
        from mediapipe.tasks.python import BaseOptions, vision

        self.name = f"mediapipe {self._mediapipe.__version__}, {path.name}"
        # The number of threads is MediaPipe's default. More threads are faster on an idle machine, but they spin while
        # they wait for the next image, and the whole graph loses frames.
        # MediaPipe's own min_tracking_confidence stays at its default: it is no score, but the overlap from which one
        # detection replaces another. What it was in the older solutions.Pose is the presence here.
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.VIDEO,
            min_pose_detection_confidence=min_detection_confidence,
            min_pose_presence_confidence=min_tracking_confidence,
        )
        self._smooth = smooth
        self._calls = 0
        with without_native_noise():
            try:
                self._landmarker = vision.PoseLandmarker.create_from_options(options)
            except (RuntimeError, ValueError, OSError) as error:
                if "shared object" in str(error):  # the dynamic loader's message about a missing library
                    raise SetupError(
                        f"MediaPipe's library cannot be loaded: {error}; "
                        "on Debian and Ubuntu: apt install libegl1 libgles2"
                    ) from error
                raise ModelFileError(f"MediaPipe cannot use '{path}': {error}; {_ADVICE}") from error

    def process(self, image_rgb: np.ndarray, time_ms: int) -> Landmarks | None:
        """The person in an RGB image [H, W, 3] uint8, None where nobody is seen.

        ``time_ms`` must increase from call to call; the filters take speeds from it.

        Raises:
            RuntimeError: MediaPipe failed, and will refuse all that follows.
            ValueError: as above, for an image that it cannot take.
        """
        self._calls += 1
        if not self._smooth:
            # The filter cannot be turned off. It is a low-pass filter whose weight of the past falls with the time
            # between images and vanishes after so long a gap. TrackingState does not depend on the time.
            time_ms = self._calls * _FAR_APART_MS
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=image_rgb)
        found = self._landmarker.detect_for_video(image, time_ms)
        if not found.pose_landmarks or not found.pose_world_landmarks:
            return None
        rows = np.array([(p.x, p.y, p.visibility) for p in found.pose_landmarks[0]], np.float32)
        world = np.array([(p.x, p.y, p.z) for p in found.pose_world_landmarks[0]], np.float32)
        if len(rows) != NUM_LANDMARKS or not np.isfinite(rows).all():
            return None
        return Landmarks(rows[:, :2], np.clip(rows[:, 2], 0.0, 1.0), world)

    def close(self) -> None:
        """Frees the networks and ends their threads."""
        with without_native_noise():
            self._landmarker.close()


def check_task_file(path: Path) -> None:
    """Raises ModelFileError unless ``path`` is a complete pose landmarker bundle.

    A bundle is a zip archive of two TFLite models; looking first gives better messages than
    MediaPipe's and keeps its native code away from damaged files.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no task file '{path}'; {_ADVICE}")
    try:
        with zipfile.ZipFile(path) as bundle:
            missing = [part for part in BUNDLE_PARTS if part not in bundle.namelist()]
            damaged = None if missing else bundle.testzip()
            models = [] if missing or damaged else [bundle.read(part)[4:8] for part in BUNDLE_PARTS]
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise ModelFileError(
            f"'{path}' ({path.stat().st_size} bytes) is no task bundle: {error}; the file is cut off or of another "
            f"kind; {_ADVICE}"
        ) from error
    if missing:
        raise ModelFileError(f"'{path}' is a bundle without {' and '.join(missing)}, so no pose landmarker; {_ADVICE}")
    if damaged or any(magic != b"TFL3" for magic in models):
        raise ModelFileError(f"the models inside '{path}' are damaged; {_ADVICE}")
