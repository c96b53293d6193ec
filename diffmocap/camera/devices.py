"""What a camera source names, which cameras there are, and why one does not open."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diffmocap.errors import CameraError

_OFFER = "or give a video file or a stream as the source (clip.mp4, rtsp://...)"


@dataclass(frozen=True)
class Source:
    """``target`` is a device index or path, a file path or a URL; ``label`` names it in messages."""

    kind: Literal["device", "file", "url"]
    target: int | str
    label: str


def parse_source(source: int | str) -> Source:
    """Reads a source as users write it: 0, '0', '/dev/video0', 'clip.mp4', 'rtsp://host/stream'.

    Raises:
        CameraError: where it is empty, or a file that does not exist.
    """
    text = str(source).strip()
    if text.isascii() and text.isdigit():
        return Source("device", int(text), f"camera {text}")
    if not text or (text.startswith("-") and text[1:].isdigit()):
        raise CameraError(f"'{text}' is no camera source: {cameras_found()}. Give its index, {_OFFER}")
    if text.startswith("/dev/"):
        return Source("device", text, f"camera {text}")
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    elif "://" in text:
        return Source("url", text, _without_password(text))
    path = Path(text).expanduser()
    if path.is_dir():
        raise CameraError(f"'{path}' is a folder, expected a video file (mp4, mkv, avi, mov, webm)")
    if not path.is_file():
        raise CameraError(
            f"there is no file '{path}' (looked in {Path.cwd()}); check the path, or give a camera's index: "
            f"{cameras_found()}"
        )
    if not os.access(path, os.R_OK):
        raise CameraError(f"'{path}' may not be read by this user; change its permissions (chmod +r)")
    return Source("file", str(path), f"'{path}'")


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


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
