"""Videos, photos and other sources as phones, browsers, recorders and people bring them."""

from __future__ import annotations

import inspect
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .case import Case
from .video_files import element, set_durations, set_matrix, set_metadata, set_pixel_aspect, write_video, write_webm

#: Of the bundled clip: enough for a mean that tells a wrong picture from a right one.
FRAMES = 60
FPS = 30.0
ROTATIONS = {
    90: (cv2.ROTATE_90_COUNTERCLOCKWISE, (0, 1, -1, 0)),
    180: (cv2.ROTATE_180, (-1, 0, 0, -1)),
    270: (cv2.ROTATE_90_CLOCKWISE, (0, -1, 1, 0)),
}
#: Half at 30, half at 10 images a second.
SHOWN_S = np.concatenate([np.arange(30) / 30.0, 1.0 + np.arange(30) / 10.0])
FOCAL_LENGTH_KEY = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


def _demo() -> Iterator[np.ndarray]:
    from diffmocap.resources import share_path

    video = cv2.VideoCapture(str(share_path("media", "demo.mp4")))
    for _ in range(FRAMES):
        ok, image = video.read()
        assert ok
        yield image


def _truth() -> dict[str, np.ndarray]:
    from diffmocap.resources import share_path

    with np.load(share_path("media", "demo.npz")) as file:
        return {key: file[key] for key in file.files}


def _capture(source: Any, **settings: Any) -> Any:
    """A capture with those of the settings that the version at hand knows."""
    from diffmocap.camera.capture import Capture

    known = inspect.signature(Capture).parameters
    if "settings" in known:
        from diffmocap.camera.settings import CaptureSettings

        fields = {name for name in CaptureSettings.__dataclass_fields__ if name in settings}
        settings["settings"] = CaptureSettings(**{name: settings[name] for name in fields})
    return Capture(source, realtime=False, **{key: value for key, value in settings.items() if key in known})


def _joints_m(source: Path, intrinsics: Callable[[int, int], Any], **settings: Any) -> dict[int, np.ndarray]:
    """[24, 3] in the optical frame by the index of the image, as the whole pipeline finds them."""
    from diffmocap.keypoints.mediapipe_detector import Detector

    try:
        from diffmocap.pipeline.pose_pipeline import PosePipeline
    except ModuleNotFoundError:  # a checkout in which it was one file
        from diffmocap.pipeline import PosePipeline

    pipeline, found = PosePipeline.load(), {}
    with _capture(source, clock=lambda: 0, **settings) as capture, Detector() as detector:
        camera = intrinsics(capture.mode.width, capture.mode.height)
        for frame in capture:
            result = pipeline.step(detector.detect(frame), camera)
            if result.state is not None:
                found[frame.index] = np.asarray(result.state.joint_positions)
    return found


def _mpjpe_mm(source: Path, **settings: Any) -> float | str:
    """Against the truth of the bundled clip, the field of view known."""
    from diffmocap.evaluation.joint_errors import mpjpe_mm
    from diffmocap.types import CameraIntrinsics

    truth = _truth()
    focal = float(truth["K"][1, 1]) if "K" in truth else 480 / 2 / math.tan(math.radians(25))
    fov_deg = math.degrees(2 * math.atan(240 / focal))
    found = _joints_m(source, lambda width, height: CameraIntrinsics.from_fov(width, height, fov_deg), **settings)
    if not found:
        return "nobody found"
    return float(mpjpe_mm(np.stack(list(found.values())), truth["joints"][list(found)], root=(0,)))


def _as_it_is(folder: Path) -> float | str:
    return _mpjpe_mm(write_video(folder / "upright.mp4", list(_demo()), FPS))


def _turned_mp4(degrees: int) -> Callable[[Path], float | str]:
    def measure(folder: Path) -> float | str:
        code, matrix = ROTATIONS[degrees]
        path = write_video(folder / "turned.mp4", [cv2.rotate(image, code) for image in _demo()], FPS)
        set_matrix(path, *matrix)
        return _mpjpe_mm(path)

    return measure


def _turned_webm(folder: Path) -> float | str:
    images = [cv2.rotate(image, ROTATIONS[90][0]) for image in _demo()]
    pose = element(0x7670, element(0x7675, struct.pack(">d", -90.0)))
    times_ms = [round(1e3 * i / FPS) for i in range(len(images))]
    return _mpjpe_mm(write_webm(folder / "turned.webm", images, times_ms, pose, times_ms[-1] + 33.0))


def _narrow_pixels(folder: Path) -> float | str:
    images = [cv2.resize(image, (480, 480), interpolation=cv2.INTER_AREA) for image in _demo()]
    path = write_video(folder / "narrow.mp4", images, FPS)
    set_pixel_aspect(path, 4, 3)
    return _mpjpe_mm(path)


def _mirrored(folder: Path) -> float | str:
    path = write_video(folder / "mirrored.mp4", [np.ascontiguousarray(image[:, ::-1]) for image in _demo()], FPS)
    return _mpjpe_mm(path, mirror=True)


def _greys() -> list[np.ndarray]:
    return [np.full((48, 64, 3), 4 * i, np.uint8) for i in range(len(SHOWN_S))]


def _variable_mp4(folder: Path) -> Path:
    path = write_video(folder / "variable.mp4", _greys(), FPS)
    set_durations(path, [*np.diff(SHOWN_S), 0.1])
    return path


def _recorded_webm(start_ms: int, duration_ms: float | None) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        times_ms = (SHOWN_S * 1e3).round().astype(int) + start_ms
        return write_webm(folder / "recorded.webm", _greys(), times_ms.tolist(), duration_ms=duration_ms)

    return make


def _worst_stamp_s(make: Callable[[Path], Path]) -> Callable[[Path], float]:
    def measure(folder: Path) -> float:
        with _capture(make(folder), clock=lambda: 0, event=lambda *_: None) as capture:
            stamps_s = np.array([frame.stamp_ns for frame in capture]) * 1e-9
        return float(np.abs(stamps_s - stamps_s[0] - SHOWN_S[: len(stamps_s)]).max())

    return measure


def _said(make: Callable[[Path], Path]) -> Callable[[Path], str]:
    def measure(folder: Path) -> str:
        said: list[str] = []
        with _capture(make(folder), event=lambda _, text: said.append(text)) as capture:
            count = len(list(capture))
        return "; ".join(said).replace(f"{folder}/", "") or f"plays, {count} images"

    return measure


def _numbered(folder: Path) -> None:
    for number in range(8, 12):
        cv2.imwrite(str(folder / f"img_{number:04d}.jpg"), np.full((48, 64, 3), 10 * number, np.uint8))


def _what_a_source_says(make: Callable[[Path], Any]) -> Callable[[Path], str]:
    def measure(folder: Path) -> str:
        source = make(folder)
        try:
            with _capture(source, fps=10.0) as capture:
                greys = [round(float(frame.image.mean()) / 10) for frame in capture]
        except Exception as error:
            return str(error).replace(f"{folder}/", "")[:200]
        return f"plays images {greys} at {capture.mode.fps:g} Hz"

    return measure


def _folder(folder: Path) -> Path:
    _numbered(folder)
    return folder


def _pattern(folder: Path) -> str:
    _numbered(folder)
    return str(folder / "img_%04d.jpg")


def _bag(folder: Path) -> Path:
    path = folder / "run.mcap"
    path.write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    return path


def _av1(folder: Path) -> Path:
    path = write_video(folder / "clip.mp4", _greys()[:3])
    path.write_bytes(path.read_bytes().replace(b"mp4v", b"av01").replace(b"esds", b"free"))
    return path


def _distance_m(folder: Path) -> float:
    """Mean error of the person's distance in a clip of twice the focal length, nobody having calibrated."""
    images = []
    for image in _demo():
        middle = image[120:360, 160:480]
        images.append(cv2.resize(middle, (640, 480), interpolation=cv2.INTER_LINEAR))
    truth = _truth()
    focal = 2.0 * float(truth["K"][1, 1])
    path = write_video(folder / "phone.mp4", images, FPS)
    film_mm = focal * math.hypot(36, 24) / math.hypot(640, 480)
    set_metadata(path, FOCAL_LENGTH_KEY, f"{film_mm:.2f}".encode())
    found = _joints_m(path, lambda width, height: _uncalibrated(path, width, height))
    error = [abs(joints[0, 2] - truth["joints"][index, 0, 2]) for index, joints in found.items()]
    return float(np.mean(error))


def _uncalibrated(path: Path, width: int, height: int) -> Any:
    """What camera_node publishes and pose_node makes of it."""
    from diffmocap.types import CameraIntrinsics

    try:
        from diffmocap.camera.devices import parse_source
        from diffmocap.camera.focal_length import estimated_intrinsics, focal_length_35mm
    except ImportError:
        return CameraIntrinsics.from_fov(width, height)
    return estimated_intrinsics(focal_length_35mm(parse_source(str(path))), width, height)


#: How :func:`_as_it_is` came out: what a right picture of these images gives.
RIGHT = "as the upright clip"
ORIENTATION = "orientation in the container"
CASES = (
    Case(ORIENTATION, f"mp4, first {FRAMES} images of the bundled clip, upright", "mm", "35", _as_it_is),
    *(
        Case(ORIENTATION, f"mp4 to be turned by {degrees} degrees", "mm", RIGHT, _turned_mp4(degrees))
        for degrees in ROTATIONS
    ),
    Case(ORIENTATION, "webm to be turned by 90 degrees", "mm", RIGHT, _turned_webm),
    Case("times", "mp4, half at 30 and half at 10 Hz: worst stamp", "s", "0", _worst_stamp_s(_variable_mp4)),
    Case(
        "times",
        "a browser's webm of the same, no length, from 5 s on: worst stamp",
        "s",
        "0",
        _worst_stamp_s(_recorded_webm(5_000, None)),
    ),
    Case("times", "webm of the same, its length known: worst stamp", "s", "0", _worst_stamp_s(_recorded_webm(0, 4e3))),
    Case("times", "what is said of that file", "", "nothing", _said(_recorded_webm(0, 4e3))),
    Case("pixels that are not square", "sample aspect ratio 4:3", "mm", RIGHT, _narrow_pixels),
    Case("mirrored picture", "the bundled clip in a mirror", "mm", RIGHT, _mirrored),
    Case("other sources", "a folder of numbered images", "", "plays in order", _what_a_source_says(_folder)),
    Case("other sources", "img_%04d.jpg", "", "plays in order", _what_a_source_says(_pattern)),
    Case("other sources", "a bag", "", "the command that plays it", _what_a_source_says(_bag)),
    Case("other sources", "an AV1 file", "", "the codec is named", _what_a_source_says(_av1)),
    Case(
        "no calibration at all",
        "a phone's video with its focal length, twice the usual: the person's distance",
        "m",
        "small",
        _distance_m,
    ),
)
