"""What a camera source names, which cameras there are, and why one does not open."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diffmocap.camera.bags import bag_at, how_to_play
from diffmocap.camera.image_files import image_paths, is_image, is_image_pattern
from diffmocap.camera.urls import HIDDEN, has_secrets, without_secrets
from diffmocap.errors import CameraError

_OFFER = "or give a video file or a stream as the source (clip.mp4, rtsp://...)"
VIDEO_ENDINGS = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".3gp", ".ts", ".mpg")
#: A source that stands in an environment variable, where a command line or a file would show its password.
_HANDED_ON = "DIFFMOCAP_SOURCE"
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


@dataclass(frozen=True)
class Source:
    """``target`` is a device index or path, a file path, a folder or pattern of images, or a URL.

    ``label`` names it in messages, without what only its owner may know.
    """

    kind: Literal["device", "file", "images", "url"]
    target: int | str
    label: str


def parse_source(source: int | str) -> Source:
    """Reads a source as users write it.

    These are 0, '0', '/dev/video0', 'clip.mp4', 'photos/', 'img_%04d.jpg', 'frames/*.png', 'rtsp://host/stream', or
    '$NAME' of an environment variable that holds one of them.

    Raises:
        CameraError: where it is empty, a file that does not exist, a bag, or without images.
    """
    text = str(source).strip()
    if variable := _VARIABLE.fullmatch(text):
        name = variable[1] or variable[2]
        text = os.environ.get(name, "").strip()
        if not text:
            raise CameraError(f"the source is the environment variable {name}, which is not set; export it first")
    if text.isascii() and text.isdigit():
        return Source("device", int(text), f"camera {text}")
    if not text or (text.startswith("-") and text[1:].isdigit()):
        raise CameraError(f"'{text}' is no camera source: {cameras_found()}. Give its index, {_OFFER}")
    if text.startswith("/dev/"):
        return Source("device", text, f"camera {text}")
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    elif "://" in text:
        return Source("url", text, without_secrets(text))
    path = Path(text).expanduser()
    if bag_at(path):
        raise CameraError(how_to_play(path))
    if path.is_dir():
        return _images_in(path)
    if not path.exists() and "@" in text and ":" in text.partition("@")[0]:  # it may hold a password
        raise CameraError(
            "the source is no file, and an address needs its scheme in front, with two slashes: "
            f"rtsp://{HIDDEN}@{text.rpartition('@')[2].partition('?')[0]}"
        )
    if not path.exists() and is_image_pattern(text):
        return Source("images", str(path), f"'{path}' ({len(image_paths(text))} images)")
    if not path.is_file():
        raise CameraError(
            f"there is no file '{path}' (looked in {Path.cwd()}); check the path, or give a camera's index: "
            f"{cameras_found()}"
        )
    if not os.access(path, os.R_OK):
        raise CameraError(f"'{path}' may not be read by this user; change its permissions (chmod +r)")
    if is_image(path):
        image_paths(str(path))
        return Source("images", str(path), f"'{path}'")
    return Source("file", str(path), f"'{path}'")


def hidden_source(source: str) -> str:
    """``source`` for a parameter file: an address with a password goes into this process's environment instead."""
    if not has_secrets(source):
        return source
    os.environ[_HANDED_ON] = source
    return f"${_HANDED_ON}"


def list_devices() -> list[tuple[str, str]]:
    """(path, name) of the video devices that Linux shows, in the order of their numbers."""
    found = []
    for path in sorted(Path("/dev").glob("video[0-9]*"), key=lambda p: int(p.name[5:])):
        try:
            name = Path(f"/sys/class/video4linux/{path.name}/name").read_text().strip()
        except OSError:
            name = "unknown"
        found.append((str(path), name))
    return found


def cameras_found() -> str:
    """The cameras of this machine in words."""
    devices = list_devices()
    return "cameras found: " + ", ".join(f"{p} ({n})" for p, n in devices) if devices else "no camera was found"


def explain_device(source: Source) -> str:
    """Why a camera that was asked for does not deliver, and what to do about it."""
    path = f"/dev/video{source.target}" if isinstance(source.target, int) else str(source.target)
    if os.name != "posix" or not Path("/dev").is_dir():
        reason = "check that it is plugged in and that no other program uses it"
    elif not Path(path).exists():
        reason = (
            f"there is no {path}. Plug the camera in; in a container pass it with --device {path}; "
            "in a virtual machine or WSL attach the USB device first"
        )
    elif not os.access(path, os.R_OK | os.W_OK):
        reason = f"this user may not open {path}. Join its group: sudo usermod -aG video $USER, then log in again"
    else:
        reason = (
            f"{path} exists but delivers no image: another program may be using it (fuser {path}), "
            "or it is a metadata device and the next number is the camera"
        )
    return f"{source.label} does not open: {reason}; {cameras_found()}; {_OFFER}"


def _images_in(folder: Path) -> Source:
    try:
        count = len(image_paths(str(folder)))
    except CameraError as error:
        if not os.access(folder, os.R_OK | os.X_OK):
            raise
        videos = sorted(each.name for each in folder.iterdir() if each.suffix.lower() in VIDEO_ENDINGS)
        if videos:
            text = f"'{folder}' is a folder, expected a video file; name one of those in it: {', '.join(videos[:5])}"
            raise CameraError(text) from error
        if any(is_image(each) for each in folder.iterdir()):
            raise
        text = f"'{folder}' is a folder, expected a video file (mp4, mkv, avi, mov, webm), or a folder with images"
        raise CameraError(f"{text} (jpg, png, ...), of which it has none") from error
    return Source("images", str(folder), f"'{folder}' ({count} images)")
