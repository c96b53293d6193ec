"""Keypoint detection by MediaPipe Pose (BlazePose), on the CPU.

Two ways to its models: the wheel of MediaPipe 0.10.21 carries the "full" one and nothing is
downloaded; any pose landmarker bundle (``.task`` file) goes through MediaPipe's Tasks interface.
"""

from __future__ import annotations

import zipfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from diffmocap.errors import ImageError, ModelFileError, SettingsError, SetupError
from diffmocap.keypoints.body25 import NUM_LANDMARKS, no_keypoints
from diffmocap.keypoints.landmark_mapping import LandmarkMapping, keypoints_from_landmarks
from diffmocap.keypoints.native_noise import without_native_noise
from diffmocap.types import Frame, Keypoints2D

_TASK_PAGE = "https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker#models"
_BUNDLE_PARTS = ("pose_detector.tflite", "pose_landmarks_detector.tflite")


@dataclass(frozen=True)
class DetectorSettings:
    """How to detect.

    Attributes:
        task_file: path of a ``.task`` bundle; empty for the model inside MediaPipe's wheel.
        model_complexity: of the wheel's model; 1 ("full") is the one it carries.
        min_detection_confidence: score from which a person counts as found.
        min_tracking_confidence: score under which tracking gives up and detection starts again.
        min_visibility: landmarks less visible than this count as missing.
        smooth: let MediaPipe filter the landmarks over time.
        calibrated: map landmarks onto the body model's keypoints; otherwise each keypoint is the landmark of its name.
    """

    task_file: str = ""
    model_complexity: int = 1
    min_detection_confidence: float = 0.5
    min_tracking_confidence: float = 0.5
    min_visibility: float = 0.1
    smooth: bool = True
    calibrated: bool = True

    def __post_init__(self) -> None:
        for name in ("min_detection_confidence", "min_tracking_confidence", "min_visibility"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        if self.model_complexity != 1:
            raise SettingsError(
                f"model_complexity {self.model_complexity} is not in MediaPipe's wheel and would be downloaded; use 1, "
                f"or fetch a bundle (lite, full, heavy) from {_TASK_PAGE} and give its path as task_file"
            )


@dataclass(frozen=True)
class Detection:
    """All that MediaPipe says about one image.

    Attributes:
        keypoints: BODY_25, all missing where nobody is seen.
        landmarks_px: [33, 2] float32, pixels, or None where nobody is seen.
        visibility: [33] float32 in [0, 1], or None.
        world_landmarks: [33, 3] float32 metres, x right, y down, z away from the camera, origin
            between the hips; or None.
    """

    keypoints: Keypoints2D
    landmarks_px: np.ndarray | None = None
    visibility: np.ndarray | None = None
    world_landmarks: np.ndarray | None = None


class _Backend(Protocol):
    def process(self, image_rgb: np.ndarray, timestamp_us: int) -> tuple[Any, Any] | None:
        """Landmarks and world landmarks (33 each), None without a person; timestamps increase."""

    def close(self) -> None: ...


class Detector:
    """Finds one person in each image of a stream; not for use by several threads at once.

    Raises:
        ModelFileError: where the task file is missing or no pose landmarker, or the landmark mapping is missing.
        SetupError: where MediaPipe is missing or too new to carry its model and no task file is given.
    """

    def __init__(self, settings: DetectorSettings | None = None) -> None:
        self.settings = settings = settings or DetectorSettings()
        self._mapping = LandmarkMapping.load() if settings.calibrated else LandmarkMapping.plain()
        self._backend = self._start()
        self.name = f"mediapipe {Path(settings.task_file).name if settings.task_file else 'pose full (in the wheel)'}"
        self._seen_anybody = False
        self._first_stamp_ns: int | None = None
        self._last_timestamp_us = 1_000

    def detect(self, frame: Frame) -> Keypoints2D:
        """BODY_25 keypoints of the person in the image, all missing where nobody is seen."""
        return self.detect_full(frame).keypoints

    def detect_full(self, frame: Frame) -> Detection:
        """The keypoints together with MediaPipe's own landmarks."""
        height, width = frame.image.shape[:2]
        image_rgb = cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB)
        # Parts of the graph start, and say so, when the first person appears.
        try:
            with nullcontext() if self._seen_anybody else without_native_noise():
                found = self._backend.process(image_rgb, self._timestamp_us(frame.stamp_ns))
        except (RuntimeError, ValueError) as error:  # a graph that failed once refuses everything after
            self._backend = self._start()
            raise ImageError(
                f"MediaPipe failed on an image of {width} x {height} and was restarted: {error}"
            ) from error
        if found is None:
            return Detection(no_keypoints(width, height, frame.stamp_ns))
        self._seen_anybody = True
        image_landmarks, world = found
        landmarks = np.array([(p.x * width, p.y * height, p.visibility) for p in image_landmarks], np.float32)
        landmarks_px, visibility = landmarks[:, :2], np.clip(landmarks[:, 2], 0.0, 1.0)
        world_landmarks = np.array([(p.x, p.y, p.z) for p in world], np.float32) if world else None
        if len(landmarks) != NUM_LANDMARKS or not np.isfinite(landmarks).all():
            return Detection(no_keypoints(width, height, frame.stamp_ns))
        keypoints = keypoints_from_landmarks(
            landmarks_px, visibility, width, height, frame.stamp_ns, self.settings.min_visibility, world_landmarks,
            self._mapping,
        )
        return Detection(keypoints, landmarks_px, visibility, world_landmarks)

    def close(self) -> None:
        """Frees the model and its threads."""
        self._backend.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> _Backend:
        with without_native_noise():
            backend = _TaskBackend(self.settings) if self.settings.task_file else _WheelBackend(self.settings)
            # Its threads start in their own time; an image through all of them leaves the first real one no delay.
            backend.process(np.zeros((256, 256, 3), np.uint8), timestamp_us=1_000)
        return backend

    def _timestamp_us(self, stamp_ns: int) -> int:
        """Time for MediaPipe's filters: that of the stamps, but always rising, as it demands."""
        if self._first_stamp_ns is None:
            self._first_stamp_ns = stamp_ns
        wanted = (stamp_ns - self._first_stamp_ns) // 1_000 + 100_000
        if wanted < self._last_timestamp_us - 1_000_000:  # a recording starts over: its time goes on from here
            wanted = self._last_timestamp_us + 33_333
            self._first_stamp_ns = stamp_ns - (wanted - 100_000) * 1_000
        # Whole milliseconds apart, the unit of the Tasks interface.
        self._last_timestamp_us = max(wanted, self._last_timestamp_us + 1_000)
        return self._last_timestamp_us


class _WheelBackend:
    """The legacy solution, whose model lies inside the wheel."""

    def __init__(self, settings: DetectorSettings) -> None:
        mediapipe = _import_mediapipe()
        model = Path(mediapipe.__file__).parent / "modules/pose_landmark/pose_landmark_full.tflite"
        if not hasattr(mediapipe, "solutions") or not model.is_file():
            raise SetupError(
                f"mediapipe {mediapipe.__version__} carries no pose model; install mediapipe==0.10.21, "
                f"or fetch a pose landmarker bundle from {_TASK_PAGE} and give its path as task_file"
            )
        # It gives each network half of the cores, one of two. Two threads find keypoints in 13 ms instead of 22 there
        # as long as nothing else runs; but the one that waits for the next image spins, for 86 % of a core at 30 Hz,
        # and the whole graph loses frames. So this stays as MediaPipe has it.
        self._pose = mediapipe.solutions.pose.Pose(
            model_complexity=settings.model_complexity,
            smooth_landmarks=settings.smooth,
            min_detection_confidence=settings.min_detection_confidence,
            min_tracking_confidence=settings.min_tracking_confidence,
        )

    def process(self, image_rgb: np.ndarray, timestamp_us: int) -> tuple[Any, Any] | None:
        # It pretends 30 images a second, by which its filters lag at other rates. The attribute is
        # private, so a version without it keeps that pretence.
        if hasattr(self._pose, "_simulated_timestamp"):
            self._pose._simulated_timestamp = timestamp_us - 33_333
        found = self._pose.process(image_rgb)
        if found.pose_landmarks is None:
            return None
        world = found.pose_world_landmarks
        return found.pose_landmarks.landmark, world.landmark if world else None

    def close(self) -> None:
        self._pose.close()


class _TaskBackend:
    """The Tasks interface with a bundle of the user's."""

    def __init__(self, settings: DetectorSettings) -> None:
        path = Path(settings.task_file).expanduser()
        check_task_file(path)
        self._mediapipe = _import_mediapipe()
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.VIDEO,
            min_pose_detection_confidence=settings.min_detection_confidence,
            min_pose_presence_confidence=settings.min_tracking_confidence,
            min_tracking_confidence=settings.min_tracking_confidence,
        )
        try:
            self._landmarker = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"MediaPipe cannot use '{path}': {error}; {_FETCH}") from error

    def process(self, image_rgb: np.ndarray, timestamp_us: int) -> tuple[Any, Any] | None:
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=image_rgb)
        found = self._landmarker.detect_for_video(image, timestamp_us // 1_000)
        if not found.pose_landmarks:
            return None
        return found.pose_landmarks[0], found.pose_world_landmarks[0] if found.pose_world_landmarks else None

    def close(self) -> None:
        self._landmarker.close()


_FETCH = f"fetch a pose landmarker bundle again from {_TASK_PAGE}, or leave task_file empty to use the wheel's model"


def check_task_file(path: Path) -> None:
    """Raises ModelFileError unless ``path`` is a complete pose landmarker bundle.

    A bundle is a zip archive of two TFLite models; looking first gives better messages than
    MediaPipe's and keeps its native code away from damaged files.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no task file '{path}'; {_FETCH}")
    try:
        with zipfile.ZipFile(path) as bundle:
            missing = [part for part in _BUNDLE_PARTS if part not in bundle.namelist()]
            damaged = None if missing else bundle.testzip()
            models = [] if missing or damaged else [bundle.read(part)[4:8] for part in _BUNDLE_PARTS]
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise ModelFileError(
            f"'{path}' ({path.stat().st_size} bytes) is no task bundle: {error}; the file is cut off or of another "
            f"kind; {_FETCH}"
        ) from error
    if missing:
        raise ModelFileError(f"'{path}' is a bundle without {' and '.join(missing)}, so no pose landmarker; {_FETCH}")
    if damaged or any(magic != b"TFL3" for magic in models):
        raise ModelFileError(f"the models inside '{path}' are damaged; {_FETCH}")


def _import_mediapipe() -> Any:
    try:
        import mediapipe
    except ImportError as error:
        raise SetupError(f"keypoint detection needs MediaPipe ({error}); pip install mediapipe==0.10.21") from error
    return mediapipe
