"""A video's keypoints, detected once: what was found is kept until the motion is written, so that nothing is redone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from diffmocap.camera.bag_video import BagVideo
from diffmocap.camera.bags import bag_at
from diffmocap.camera.calibration.calibration_file import load_calibration
from diffmocap.camera.capture import Capture
from diffmocap.camera.devices import parse_source
from diffmocap.camera.focal_length import estimated_intrinsics, focal_length_35mm
from diffmocap.camera.intrinsics import fitted
from diffmocap.camera.mirror import mirrored
from diffmocap.camera.settings import CaptureSettings
from diffmocap.errors import CameraError, MotionFileError
from diffmocap.files.array_archive import ArrayArchive
from diffmocap.files.whole_file import whole_file
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.reconstruct.keypoint_columns import columns_of, keypoints_of
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: Time between two savings of what was found so far [s], and at least so many times what the last one took.
SAVE_EVERY_S, SAVE_SHARE = 10.0, 20.0


def detected(
    source: str, capture: CaptureSettings, detector: DetectorSettings,
    told: Callable[[int, int], None] = lambda done, count: None, topic: str = "", begun: Sequence[Keypoints2D] = (),
    save: Callable[[list[Keypoints2D]], None] = lambda so_far: None,
) -> list[Keypoints2D]:  # fmt: skip
    """Keypoints of every image of a file or bag, in its order; all missing where nobody is seen.

    Args:
        told: hears how many images there were so far, and how many there will be, 0 where that is not known.
        topic: names a bag's images.
        begun: keypoints of the first images, from a run that was interrupted; the detector, which follows a person from
            image to image, begins anew behind them.
        save: is given what was found so far, every :data:`SAVE_EVERY_S` and when the work is interrupted.

    Raises:
        CameraError: the source is no video or image files, or has fewer than two images.
    """
    from diffmocap.keypoints.mediapipe_detector import Detector

    keypoints: list[Keypoints2D] = []
    with _video(source, capture, topic) as video, Detector(detector) as detect:
        count = video.count if isinstance(video, BagVideo) else video.mode.frames
        saved_s, pause_s = time.monotonic(), SAVE_EVERY_S
        try:
            for frame in video:
                before = begun[len(keypoints)] if len(keypoints) < len(begun) else None
                first_ns = keypoints[0].stamp_ns if keypoints else frame.stamp_ns
                # Stamps count from when the file was opened.
                if before and before.stamp_ns - begun[0].stamp_ns == frame.stamp_ns - first_ns:
                    keypoints.append(replace(before, stamp_ns=frame.stamp_ns))
                else:
                    keypoints.append(detect.detect(frame))
                told(len(keypoints), count)
                if (now_s := time.monotonic()) - saved_s > pause_s:
                    save(keypoints)
                    saved_s = time.monotonic()
                    pause_s = max(SAVE_EVERY_S, SAVE_SHARE * (saved_s - now_s))
        except BaseException:
            if keypoints:
                save(keypoints)
            raise
    if len(keypoints) < 2:
        raise CameraError(f"{source} has {len(keypoints)} image; a motion needs at least 2")
    return keypoints


def _video(source: str, capture: CaptureSettings, topic: str) -> Capture | BagVideo:
    if bag_at(Path(source)):
        return BagVideo(Path(source), topic, capture.mirror)
    video = Capture(source, capture, realtime=False)
    if video.live:
        video.close()
        raise CameraError(
            f"{video.source.label} is live: a motion is reconstructed from a file; `diffmocap live` plays cameras"
        )
    return video


def camera_of(
    source: str, size: tuple[int, int], calibration: Path | None, vertical_fov_deg: float, mirror: bool = False,
    topic: str = "",
) -> CameraIntrinsics:  # fmt: skip
    """Intrinsics for images of ``size``: calibrated, or by what the file or bag tells, or of the given angle.

    ``vertical_fov_deg`` 0: what the file tells, else the usual angle. ``mirror``: the images were flipped back; a
    calibration is of what the camera showed. ``topic``: of a bag's images.

    Raises:
        SettingsError: the calibration cannot be used, or is of images of another shape.
    """
    if calibration is not None:
        calibrated = fitted(load_calibration(calibration), *size)
        return mirrored(calibrated) if mirror else calibrated
    if vertical_fov_deg:
        return CameraIntrinsics.from_fov(*size, vertical_fov_deg)
    if bag_at(Path(source)):
        with BagVideo(Path(source), topic, mirror) as bag:
            return bag.intrinsics(*size) or CameraIntrinsics.from_fov(*size)
    focal_mm = focal_length_35mm(parse_source(source))
    return estimated_intrinsics(focal_mm, *size) if focal_mm else CameraIntrinsics.from_fov(*size)


def origin_of(source: str, *options: object) -> str:
    """What keypoints were found in, and how: the file or folder as it is now, and what was asked of the detector."""
    path = Path(source)
    stamp = path.stat() if path.exists() else None
    return repr((str(path.absolute()), stamp and (stamp.st_mtime_ns, stamp.st_size), *options))


def keep(path: Path, keypoints: list[Keypoints2D], origin: str) -> None:
    """Writes keypoints to an ``.npz``; ``origin``: of :func:`origin_of`."""
    text = np.frombuffer(origin.encode(), np.uint8)
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **columns_of(keypoints), origin=text)


def kept(path: Path, origin: str) -> list[Keypoints2D] | None:
    """Reads what :func:`keep` wrote; None where that is of another origin.

    Raises:
        MotionFileError: the file is damaged.
    """
    with ArrayArchive(path, MotionFileError, "delete it, and they are detected anew") as data:
        if data.array("origin", (None,)).astype(np.uint8).tobytes() != origin.encode():
            return None
        return keypoints_of(data)
