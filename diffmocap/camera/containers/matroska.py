"""The elements of an mkv or webm file (RFC 8794, RFC 9559) that describe its pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap

import numpy as np

from diffmocap.camera.containers.container import Container, Turn

_SEGMENT, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_TIMESTAMP_SCALE, _TRACK_ENTRY = 0x2AD7B1, 0xAE
_NUMBER, _TYPE, _CODEC, _VIDEO = 0xD7, 0x83, 0x86, 0xE0
_WIDTH, _HEIGHT, _DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2
_PROJECTION, _YAW, _ROLL = 0x7670, 0x7673, 0x7675
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
#: What ends a cluster or segment whose size was not known when it was begun, as in a recording that goes on.
_TOP = {_SEGMENT, _INFO, _TRACKS, _CLUSTER, 0x114D9B74, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469}
_VIDEO_TRACK = 1

Element = tuple[int, int, int]  # id, first byte of the content, the byte after it


def read_matroska(data: mmap | bytes) -> Container:
    """What the container says of its first video track."""
    scale_ns, track, number, times, missing = 1_000_000, {}, None, [], 0
    for kind, start, end in _elements(data, 0, len(data)):
        if kind != _SEGMENT:
            continue
        missing = max(0, end - len(data))
        for element in _elements(data, start, min(end, len(data))):
            kind, start, end = element
            if kind == _INFO:
                scale_ns = _integers(data, element).get(_TIMESTAMP_SCALE, scale_ns)
            elif kind == _TRACKS and number is None:
                number, track = _video_track(data, element)
            elif kind == _CLUSTER:
                times += _block_times(data, element, number)
        break
    values = np.sort(np.array(times, np.float64)) * (1e-9 * scale_ns)
    return Container(times_s=values - values[0] if len(values) else values, missing_bytes=missing, **track)


def _elements(data: mmap | bytes, start: int, end: int) -> Iterator[Element]:
    while start < end:
        kind, content, _ = _vint(data, start, marker=True)
        size, content, unknown = _vint(data, content, marker=False)
        stop = content + size
        if unknown:
            stop = end if kind == _SEGMENT else _end_of_unknown(data, content, end)
        yield kind, content, stop
        start = stop


def _end_of_unknown(data: mmap | bytes, start: int, end: int) -> int:
    """Where the next element of the top level begins."""
    while start < end:
        kind, content, _ = _vint(data, start, marker=True)
        if kind in _TOP:
            return start
        size, content, _ = _vint(data, content, marker=False)
        start = content + size
    return end


def _vint(data: mmap | bytes, at: int, marker: bool) -> tuple[int, int, bool]:
    """A number of variable length, the byte after it, and whether all its bits are set (a size not known)."""
    first = data[at]
    length = 9 - first.bit_length()
    if length > 8 or at + length > len(data):
        raise ValueError("no element")
    value = int.from_bytes(data[at : at + length], "big")
    bits = (1 << 7 * length) - 1
    return (value if marker else value & bits), at + length, value & bits == bits


def _integers(data: mmap | bytes, parent: Element) -> dict[int, int]:
    """The short elements inside one, read as unsigned integers."""
    return {
        kind: int.from_bytes(data[start:end], "big")
        for kind, start, end in _elements(data, parent[1], min(parent[2], len(data)))
        if end - start <= 8
    }


def _video_track(data: mmap | bytes, tracks: Element) -> tuple[int | None, dict]:
    """Number and description of the first video track."""
    for entry in _elements(data, tracks[1], min(tracks[2], len(data))):
        if entry[0] != _TRACK_ENTRY or _integers(data, entry).get(_TYPE) != _VIDEO_TRACK:
            continue
        parts = {kind: (kind, start, end) for kind, start, end in _elements(data, entry[1], entry[2])}
        codec = data[parts[_CODEC][1] : parts[_CODEC][2]].decode("latin-1") if _CODEC in parts else ""
        picture = _picture(data, parts[_VIDEO]) if _VIDEO in parts else {}
        return _integers(data, entry).get(_NUMBER), {"codec": codec, **picture}
    return None, {}


def _picture(data: mmap | bytes, video: Element) -> dict:
    values = _integers(data, video)
    width, height = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    shown = values.get(_DISPLAY_WIDTH, 0), values.get(_DISPLAY_HEIGHT, 0)
    pixel_aspect = 0.0
    # Units: pixels, centimetres, inches, aspect ratio; 4 is unknown.
    if all((width, height, *shown)) and values.get(_DISPLAY_UNIT, 0) < 4:
        pixel_aspect = shown[0] / shown[1] * height / width
    turn = Turn()
    for element in _elements(data, video[1], video[2]):
        if element[0] == _PROJECTION:
            pose = {
                kind: struct.unpack(">f" if end - start == 4 else ">d", data[start:end])[0]
                for kind, start, end in _elements(data, element[1], element[2])
                if kind in (_YAW, _ROLL)
            }
            # Roll is counter-clockwise; a yaw of half a turn is how a mirrored picture is written.
            turn = Turn.clockwise(-pose.get(_ROLL, 0.0), mirrored=abs(pose.get(_YAW, 0.0)) == 180.0)
    return {"width": width, "height": height, "pixel_aspect": pixel_aspect, "turn": turn}


def _block_times(data: mmap | bytes, cluster: Element, number: int | None) -> list[int]:
    """Times of the blocks of a track in one cluster, in units of the segment; of a whole block only."""
    times, now = [], 0
    for kind, start, end in _elements(data, cluster[1], min(cluster[2], len(data))):
        if kind == _TIMESTAMP:
            now = int.from_bytes(data[start:end], "big")
        elif kind == _BLOCK_GROUP:
            inner = _elements(data, start, min(end, len(data)))
            start, end = next(((a, b) for k, a, b in inner if k == _BLOCK), (0, 0))
        if kind not in (_SIMPLE_BLOCK, _BLOCK_GROUP) or not start < end <= len(data):
            continue
        track, at, _ = _vint(data, start, marker=False)
        if track == number:
            times.append(now + struct.unpack_from(">h", data, at)[0])
    return times
