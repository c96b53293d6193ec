"""Videos as phones, browsers and screen recorders write them, made from what OpenCV can write.

An mp4 of OpenCV has its index at the end, so its boxes can grow; a webm is put together here from the pictures that
OpenCV encoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

UNIT = 65536


def write_video(path: Path, images: Sequence[np.ndarray], fps: float = 30.0, codec: str = "mp4v") -> Path:
    """Writes images uint8 [H, W, 3] by OpenCV."""
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (width, height))
    assert writer.isOpened(), path
    for image in images:
        writer.write(image)
    writer.release()
    return path


# --- mp4 -------------------------------------------------------------------------------------------------------------


def change_box(path: Path, where: str, change: Callable[[bytes], bytes]) -> None:
    """Replaces the content of a box of an mp4, named by its path from the top ('moov/trak/tkhd')."""
    data = path.read_bytes()
    path.write_bytes(_changed(data, where.split("/"), change))


def _changed(data: bytes, names: list[str], change: Callable[[bytes], bytes]) -> bytes:
    made, at, found = b"", 0, False
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + size]
        if kind.decode("latin-1") == names[0] and not found:
            found = True
            skip = {b"stsd": 8, b"mp4v": 78}.get(kind, 0)  # fields before the boxes inside
            content = (
                change(content) if len(names) == 1 else content[:skip] + _changed(content[skip:], names[1:], change)
            )
        made += struct.pack(">I4s", len(content) + 8, kind) + content
        at += size
    assert found, names
    return made


def box(kind: str, content: bytes) -> bytes:
    """A box of an mp4."""
    return struct.pack(">I4s", len(content) + 8, kind.encode("latin-1")) + content


def set_matrix(path: Path, a: float, b: float, c: float, d: float) -> None:
    """The display matrix of the first track, as phones write it: a row vector (x, y) becomes (ax + cy, bx + dy)."""
    rows = struct.pack(">9i", *(round(v * UNIT) for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    change_box(path, "moov/trak/tkhd", lambda content: content[:40] + rows + content[76:])


def set_pixel_aspect(path: Path, across: int, down: int) -> None:
    """The sample aspect ratio in the container."""
    shape = box("pasp", struct.pack(">2I", across, down))
    change_box(path, "moov/trak/mdia/minf/stbl/stsd/mp4v", lambda content: content + shape)


def set_durations(path: Path, durations_s: Sequence[float]) -> None:
    """How long each image is shown."""
    scale = struct.unpack_from(">I", _content(path, "moov/trak/mdia/mdhd"), 12)[0]
    table = b"".join(struct.pack(">2I", 1, round(duration * scale)) for duration in durations_s)
    change_box(
        path, "moov/trak/mdia/minf/stbl/stts", lambda content: content[:4] + struct.pack(">I", len(durations_s)) + table
    )
    path.write_bytes(path.read_bytes().replace(b"edts", b"free"))  # it shows a part that is as long as it was before


def set_metadata(path: Path, key: str, value: bytes, kind: int = 1) -> None:
    """One entry of QuickTime's metadata."""
    handler = box("hdlr", bytes(8) + b"mdta" + bytes(13))
    keys = box("keys", struct.pack(">2I", 0, 1) + struct.pack(">I", len(key) + 8) + b"mdta" + key.encode())
    items = box("ilst", struct.pack(">2I", 24 + len(value), 1) + box("data", struct.pack(">2I", kind, 0) + value))
    change_box(path, "moov", lambda content: content + box("meta", handler + keys + items))


def _content(path: Path, where: str) -> bytes:
    found = []
    _changed(path.read_bytes(), where.split("/"), lambda content: found.append(content) or content)
    return found[0]


# --- webm ------------------------------------------------------------------------------------------------------------


def write_webm(
    path: Path,
    images: Sequence[np.ndarray],
    times_ms: Sequence[int],
    picture: bytes = b"",
    duration_ms: float | None = None,
) -> Path:
    """A webm as browsers record it, its length unknown; ``picture``: elements for the description of the track."""
    plain = write_video(path.with_suffix(".plain.webm"), images, codec="VP80").read_bytes()
    blocks = [data[4:] for data in _find(plain, 0, len(plain), 0xA3)]
    assert len(blocks) == len(images) == len(times_ms)
    height, width = images[0].shape[:2]
    info = element(0x2AD7B1, (1_000_000).to_bytes(3, "big"))
    if duration_ms is not None:
        info += element(0x4489, struct.pack(">d", duration_ms))
    video = element(0xB0, width.to_bytes(2, "big")) + element(0xBA, height.to_bytes(2, "big")) + picture
    track = element(0xD7, b"\x01") + element(0x73C5, b"\x01") + element(0x83, b"\x01") + element(0x86, b"V_VP8")
    made = element(0x1A45DFA3, element(0x4282, b"webm") + element(0x4287, b"\x04") + element(0x4285, b"\x02"))
    made += bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7  # a segment that is being written
    made += element(0x1549A966, info) + element(0x1654AE6B, element(0xAE, track + element(0xE0, video)))
    for time_ms, block in zip(times_ms, blocks, strict=True):
        simple = b"\x81" + struct.pack(">hB", 0, 0x80 if time_ms == times_ms[0] else 0) + block
        made += element(0x1F43B675, element(0xE7, time_ms.to_bytes(4, "big")) + element(0xA3, simple))
    path.write_bytes(made)
    return path


def element(kind: int, content: bytes) -> bytes:
    """An element of an mkv or webm."""
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + (0x10000000 | len(content)).to_bytes(4, "big") + content


def _find(data: bytes, start: int, end: int, wanted: int) -> list[bytes]:
    """Contents of the elements of one kind, in clusters and segments."""
    found = []
    while start < end:
        kind, start = _number(data, start, False)
        size, start = _number(data, start, True)
        stop = min(start + size, end)
        if kind == wanted:
            found.append(data[start:stop])
        elif kind in (0x18538067, 0x1F43B675):
            found += _find(data, start, stop, wanted)
        start = stop
    return found


def _number(data: bytes, at: int, masked: bool) -> tuple[int, int]:
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return (value & ((1 << 7 * length) - 1) if masked else value), at + length
