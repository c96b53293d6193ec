"""Reads what the container of a video file says, whichever kind it is."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from diffmocap.camera.containers.container import Container
from diffmocap.camera.containers.matroska import read_matroska
from diffmocap.camera.containers.quicktime import read_quicktime


def read_container(path: str | Path) -> Container:
    """Reads an mp4, mov, m4v, 3gp, mkv or webm; a file of another kind, or a damaged one, gives what could be read."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] == b"\x1a\x45\xdf\xa3":
                return read_matroska(data)
            if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
                return read_quicktime(data)
    except (OSError, ValueError, IndexError, struct.error, OverflowError):  # empty, no file, or nonsense inside
        pass
    return Container()
