"""Keypoint detection by MediaPipe Pose (BlazePose), on the CPU.

The networks come from a pose landmarker bundle (``.task`` file): "full" ships in ``models/``, nothing is downloaded,
and ``diffmocap models`` makes others.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass

import cv2
import numpy as np

from diffmocap.errors import ImageError
from diffmocap.keypoints.body25 import no_keypoints
from diffmocap.keypoints.landmark_mapping import LandmarkMapping, keypoints_from_landmarks
from diffmocap.keypoints.native_noise import without_native_noise
from diffmocap.keypoints.person_finder import PersonFinder
from diffmocap.keypoints.pose_landmarker import PoseLandmarker
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.types import Frame, Keypoints2D


@dataclass(frozen=True)
class Detection:
    """MediaPipe's full result for one image.

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


class Detector:
    """Finds one person in each image of a stream; not for use by several threads at once.

    Raises:
        ModelFileError: where the bundle is missing or no pose landmarker, or the landmark mapping is missing.
        SetupError: where MediaPipe is missing.
    """

    def __init__(self, settings: DetectorSettings | None = None) -> None:
        self.settings = settings = settings or DetectorSettings()
        self._mapping = LandmarkMapping.load() if settings.calibrated else LandmarkMapping.plain()
        self._start()
        self.name = self._landmarker.name
        self._seen_anybody = False
        self._first_stamp_ns: int | None = None
        self._last_time_ms = 1

    def detect(self, frame: Frame) -> Keypoints2D:
        """BODY_25 keypoints of the person in the image, all missing where nobody is seen."""
        return self.detect_full(frame).keypoints

    def detect_full(self, frame: Frame) -> Detection:
        """The keypoints together with MediaPipe's own landmarks."""
        height, width = frame.image.shape[:2]
        image_rgb = cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB)
        # MediaPipe starts parts of its graph, and logs that, when the first person appears.
        try:
            with nullcontext() if self._seen_anybody else without_native_noise():
                self._finder.search = self.settings.search_small
                found = self._finder.find(image_rgb, self._time_ms(frame.stamp_ns))
        except (RuntimeError, ValueError) as error:  # a graph that failed once rejects all further input
            with suppress(RuntimeError, ValueError):  # closing raises the same error again
                self._landmarker.close()
            self._start()
            raise ImageError(
                f"MediaPipe failed on an image of {width} x {height} and was restarted: {error}"
            ) from error
        if found is None:
            return Detection(no_keypoints(width, height, frame.stamp_ns))
        self._seen_anybody = True
        landmarks_px = found.image * np.array([width, height], np.float32)
        keypoints = keypoints_from_landmarks(
            landmarks_px,
            found.visibility,
            width,
            height,
            frame.stamp_ns,
            self.settings.min_visibility,
            found.world,
            self._mapping,
        )
        return Detection(keypoints, landmarks_px, found.visibility, found.world)

    def close(self) -> None:
        """Frees the model and its threads."""
        self._landmarker.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        settings = self.settings
        self._landmarker = PoseLandmarker(
            settings.task_file, settings.min_detection_confidence, settings.min_tracking_confidence, settings.smooth
        )
        with without_native_noise():
            # MediaPipe starts its threads at the first image; a blank one now spares the first real image that delay.
            self._landmarker.process(np.zeros((256, 256, 3), np.uint8), time_ms=1)
        self._finder = PersonFinder(self._landmarker)

    def _time_ms(self, stamp_ns: int) -> int:
        """Time for MediaPipe's filters: that of the stamps, but strictly increasing, as MediaPipe requires."""
        if self._first_stamp_ns is None:
            self._first_stamp_ns = stamp_ns
        wanted = round((stamp_ns - self._first_stamp_ns) / 1e6) + 100
        if wanted < self._last_time_ms - 1_000:  # a recording starts again: time continues from here
            wanted = self._last_time_ms + 33
            self._first_stamp_ns = stamp_ns - (wanted - 100) * 1_000_000
        self._last_time_ms = max(wanted, self._last_time_ms + 1)
        return self._last_time_ms
