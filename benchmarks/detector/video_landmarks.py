"""What MediaPipe says of the images of a video, one after the other; kept, as detecting takes longer than lifting."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.detector.alteration import Alteration
from diffmocap.camera.capture import Capture
from diffmocap.keypoints.body25 import NUM_LANDMARKS, no_keypoints
from diffmocap.keypoints.landmark_mapping import LandmarkMapping, keypoints_from_landmarks
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.keypoints.pose_bundle import SHIPPED_BUNDLE
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.resources import sha256_of, share_path
from diffmocap.types import Frame, Keypoints2D

#: Changes whenever other things are recorded, so that records kept from before are made anew.
RECORD = 1


@dataclass(frozen=True)
class VideoLandmarks:
    """T images of one size; NaN where nobody was found.

    Attributes:
        landmarks_px: [T, 33, 2] px; visibility: [T, 33]; world: [T, 33, 3] m, MediaPipe's axes (x right, y down, z away
            from the camera).
        stamp_ns: [T] int64, from 0.
        size: [2] width and height, px.
    """

    landmarks_px: np.ndarray
    visibility: np.ndarray
    world: np.ndarray
    stamp_ns: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.stamp_ns)

    def keypoints(self, settings: DetectorSettings | None = None) -> list[Keypoints2D]:
        """What the detector publishes of each image: all missing where nobody was found."""
        settings = settings or DetectorSettings()
        mapping = LandmarkMapping.load() if settings.calibrated else LandmarkMapping.plain()
        width, height = self.size.tolist()
        found = np.isfinite(self.landmarks_px).all((1, 2))
        return [
            keypoints_from_landmarks(
                self.landmarks_px[t], self.visibility[t], width, height, int(self.stamp_ns[t]), settings.min_visibility,
                self.world[t], mapping,
            ) if found[t] else no_keypoints(width, height, int(self.stamp_ns[t]))
            for t in range(len(self))
        ]  # fmt: skip


def landmarks_of(frames: Iterable[Frame]) -> dict[str, np.ndarray]:
    """``landmarks_px``, ``visibility`` and ``world`` of the images in their order, see :class:`VideoLandmarks`."""
    rows = []
    nobody = np.full((NUM_LANDMARKS, 2), np.nan), np.zeros(NUM_LANDMARKS), np.full((NUM_LANDMARKS, 3), np.nan)
    with Detector() as detector:
        for frame in frames:
            found = detector.detect_full(frame)
            seen = found.landmarks_px is not None and found.world_landmarks is not None
            rows.append((found.landmarks_px, found.visibility, found.world_landmarks) if seen else nobody)
    columns = (np.asarray(column, np.float32) for column in zip(*rows, strict=True))
    return dict(zip(("landmarks_px", "visibility", "world"), columns, strict=True))


def video_landmarks(video: Path, cache: Path, altered: Alteration | None = None) -> VideoLandmarks:
    """Every image of a video file, read as the product reads it; kept in ``cache`` by the video and the detector.

    ``altered``: how images are altered before the detector sees them; landmarks are told in the plain images.
    """
    how = "" if altered is None else f"{int(altered.mirrored)}_{altered.turned_deg:g}_{altered.scale:g}-"
    path = cache / f"{video.stem}-{sha256_of(video)[:16]}-{how}{_detector()}.npz"
    if not path.is_file():
        record = _detect(video, altered)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **record)
    with np.load(path, allow_pickle=False) as data:
        return VideoLandmarks(**{field.name: data[field.name] for field in fields(VideoLandmarks)})


def _detector() -> str:
    """Tells apart detectors of different versions, networks and settings."""
    bundle = sha256_of(share_path("models", SHIPPED_BUNDLE))
    words = f"{version('mediapipe')} {bundle} {DetectorSettings()} {RECORD}"
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _detect(video: Path, altered: Alteration | None) -> dict[str, np.ndarray]:
    stamps, size = [], np.zeros(2, int)
    with Capture(str(video), realtime=False, clock=lambda: 0) as capture:
        size[:] = capture.mode.width, capture.mode.height

        def frames() -> Iterable[Frame]:
            for frame in tqdm(capture, desc=f"detecting in {video.name}", unit="image", file=sys.stderr):
                stamps.append(frame.stamp_ns)
                yield frame if altered is None else replace(frame, image=altered.apply(frame.image))

        found = landmarks_of(frames())
    if altered is not None:
        found = altered.undo(found, *size.tolist())
    return found | {"stamp_ns": np.array(stamps, np.int64), "size": size}
