"""The boxes of an mp4, mov or 3gp file (ISO/IEC 14496-12, QuickTime File Format) that describe its pictures."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from mmap import mmap

import numpy as np

from diffmocap.camera.containers.container import Container, Turn

#: Key of Apple's metadata, which other makers' phones write as well.
_FOCAL_LENGTH_KEY = b"com.apple.quicktime.camera.focal_length.35mm_equivalent"

Box = tuple[bytes, int, int]  # type, first byte of the content, the byte after it


def read_quicktime(data: mmap | bytes) -> Container:
    """What the container says of its first video track."""
    top = list(_boxes(data, 0, len(data)))
    missing = max(0, top[-1][2] - len(data)) if top else 0
    movie = _first(top, b"moov")
    if movie is None:
        return Container(missing_bytes=missing)
    movie_boxes = list(_inside(data, movie))
    for track in (box for box in movie_boxes if box[0] == b"trak"):
        track_boxes = list(_inside(data, track))
        media = list(_inside(data, _first(track_boxes, b"mdia")))
        handler = _first(media, b"hdlr")
        if handler is not None and data[handler[1] + 8 : handler[1] + 12] == b"vide":
            break
    else:
        return Container(missing_bytes=missing)
    samples = list(_inside(data, _first(list(_inside(data, _first(media, b"minf"))), b"stbl")))
    codec, width, height, pixel_aspect = _sample_entry(data, _first(samples, b"stsd"))
    fragments = [box for box in top if box[0] == b"moof"]
    header = _first(track_boxes, b"tkhd")
    return Container(
        codec=codec,
        width=width,
        height=height,
        turn=_turn(_matrix(data, header, 40, 52) @ _matrix(data, _first(movie_boxes, b"mvhd"), 36, 48)),
        pixel_aspect=pixel_aspect,
        times_s=_times_s(data, movie_boxes, track_boxes, media, samples, fragments, _track_id(data, header)),
        focal_length_35mm=_focal_length(data, movie_boxes, track_boxes),
        missing_bytes=missing,
    )


def _boxes(data: mmap | bytes, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            size, content = struct.unpack_from(">Q", data, content)[0], content + 8
        stop = end if size == 0 else start + size
        if stop < content:
            return
        yield kind, content, stop
        start = stop


def _inside(data: mmap | bytes, box: Box | None) -> Iterator[Box]:
    return iter(()) if box is None else _boxes(data, box[1], min(box[2], len(data)))


def _first(boxes: list[Box], kind: bytes) -> Box | None:
    return next((box for box in boxes if box[0] == kind), None)


def _version(data: mmap | bytes, box: Box) -> int:
    return data[box[1]]


def _matrix(data: mmap | bytes, box: Box | None, offset: int, offset_64: int) -> np.ndarray:
    """[2, 2] of a header's matrix for row vectors; the identity where there is none."""
    if box is None:
        return np.eye(2)
    a, b, _, c, d = struct.unpack_from(">5i", data, box[1] + (offset_64 if _version(data, box) else offset))
    return np.array([[a, b], [c, d]]) / 65536.0


def _turn(matrix: np.ndarray) -> Turn:
    """From rows of (x, y) -> (x, y), x right and y down."""
    determinant = float(np.linalg.det(matrix))
    if abs(determinant) < 1e-6:
        return Turn()
    mirrored = determinant < 0.0
    if mirrored:
        matrix = np.diag([-1.0, 1.0]) @ matrix
    return Turn.clockwise(math.degrees(math.atan2(matrix[0, 1], matrix[0, 0])), mirrored)


def _track_id(data: mmap | bytes, header: Box | None) -> int:
    if header is None:
        return 0
    return struct.unpack_from(">I", data, header[1] + (20 if _version(data, header) else 12))[0]


def _sample_entry(data: mmap | bytes, description: Box | None) -> tuple[str, int, int, float]:
    """Codec, width, height and pixel aspect of the first entry of an stsd box."""
    if description is None:
        return "", 0, 0, 0.0
    entry = next(_boxes(data, description[1] + 8, min(description[2], len(data))), None)
    if entry is None:
        return "", 0, 0, 0.0
    width, height = struct.unpack_from(">2H", data, entry[1] + 24)
    boxes = list(_boxes(data, entry[1] + 78, min(entry[2], len(data))))
    pixel_aspect = 0.0
    if (box := _first(boxes, b"pasp")) is not None:
        across, down = struct.unpack_from(">2I", data, box[1])
        pixel_aspect = across / down if across and down else 0.0
    return entry[0].decode("latin-1"), width, height, pixel_aspect


def _timescale(data: mmap | bytes, box: Box | None) -> int:
    """Units a second of an mdhd or mvhd box."""
    if box is None:
        raise ValueError("no timescale")
    scale = struct.unpack_from(">I", data, box[1] + (20 if _version(data, box) else 12))[0]
    if scale == 0:
        raise ValueError("a timescale of 0")
    return scale


def _times_s(
    data: mmap | bytes,
    movie: list[Box],
    track: list[Box],
    media: list[Box],
    samples: list[Box],
    fragments: list[Box],
    track_id: int,
) -> np.ndarray:
    """[N] when the images are shown, from the first one on; empty where the tables do not say."""
    scale = _timescale(data, _first(media, b"mdhd"))
    durations = _run_lengths(data, _first(samples, b"stts"))
    offsets = _run_lengths(data, _first(samples, b"ctts"))
    times = np.cumsum(np.concatenate([[0], durations[:-1]])) if len(durations) else np.empty(0)
    if len(offsets) == len(times):
        times = times + offsets
    # Fragments, as browsers and cameras write them while they record.
    defaults = _fragment_defaults(data, movie, track_id)
    times = np.concatenate([times, *_fragment_times(data, fragments, track_id, defaults)])
    times = np.sort(_as_edited(data, movie, track, times, scale))
    return (times - times[0]) / scale if len(times) else np.empty(0)


def _run_lengths(data: mmap | bytes, box: Box | None) -> np.ndarray:
    """[N] the values of a table of (count, value)."""
    if box is None:
        return np.empty(0)
    entries = struct.unpack_from(">I", data, box[1] + 4)[0]
    if box[1] + 8 + 8 * entries > min(box[2], len(data)):
        raise ValueError("a table longer than its box")
    table = np.frombuffer(data[box[1] + 8 : box[1] + 8 + 8 * entries], ">i4").reshape(-1, 2)
    counts = table[:, 0].astype(np.int64)
    if (counts < 0).any() or counts.sum() > len(data):  # a sample takes a byte at least
        raise ValueError("a table of more samples than there can be")
    return np.repeat(table[:, 1].astype(np.int64), counts)


def _as_edited(data: mmap | bytes, movie: list[Box], track: list[Box], times: np.ndarray, scale: int) -> np.ndarray:
    """The times that the track's edit list shows, where that is one part of it; else all."""
    edit = _first(list(_inside(data, _first(track, b"edts"))), b"elst")
    if edit is None or not len(times):
        return times
    version, entries = _version(data, edit), struct.unpack_from(">I", data, edit[1] + 4)[0]
    layout = ">Qq" if version else ">Ii"
    size = struct.calcsize(layout) + 4
    shown = [struct.unpack_from(layout, data, edit[1] + 8 + size * i) for i in range(min(entries, 16))]
    shown = [(duration, start) for duration, start in shown if start >= 0]
    if len(shown) != 1:
        return times
    duration, start = shown[0]
    length = duration * scale / _timescale(data, _first(movie, b"mvhd"))
    shown = times >= start
    if length > 0:
        shown &= times < start + length
    return times[shown] if shown.any() else times


def _fragment_defaults(data: mmap | bytes, movie: list[Box], track_id: int) -> int:
    """Duration of a sample that its fragment does not give."""
    for box in _inside(data, _first(movie, b"mvex")):
        if box[0] == b"trex" and struct.unpack_from(">I", data, box[1] + 4)[0] == track_id:
            return struct.unpack_from(">I", data, box[1] + 12)[0]
    return 0


def _fragment_times(data: mmap | bytes, fragments: list[Box], track_id: int, default: int) -> Iterator[np.ndarray]:
    """Times of the samples of each run of each fragment of a track, in the media's units."""
    now = 0
    for fragment in fragments:
        for part in _inside(data, fragment):
            boxes = list(_inside(data, part)) if part[0] == b"traf" else []
            header = _first(boxes, b"tfhd")
            if header is None or struct.unpack_from(">I", data, header[1] + 4)[0] != track_id:
                continue
            if (start := _first(boxes, b"tfdt")) is not None:
                now = struct.unpack_from(">Q" if _version(data, start) else ">I", data, start[1] + 4)[0]
            duration = _default_of(data, header, default)
            for run in (box for box in boxes if box[0] == b"trun"):
                durations, offsets = _run(data, run, duration)
                yield now + np.cumsum(np.concatenate([[0], durations[:-1]])) + offsets
                now += int(durations.sum())


def _default_of(data: mmap | bytes, header: Box, default: int) -> int:
    flags = int.from_bytes(data[header[1] + 1 : header[1] + 4], "big")
    at = header[1] + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    return struct.unpack_from(">I", data, at)[0] if flags & 0x8 else default


def _run(data: mmap | bytes, run: Box, default: int) -> tuple[np.ndarray, np.ndarray]:
    """Durations and composition offsets [N] of a trun box."""
    flags = int.from_bytes(data[run[1] + 1 : run[1] + 4], "big")
    count = struct.unpack_from(">I", data, run[1] + 4)[0]
    at = run[1] + 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    fields = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
    end = at + 4 * count * len(fields)
    if count > len(data) or end > min(run[2], len(data)):
        raise ValueError("a fragment longer than its box")
    table = np.frombuffer(data[at:end], ">i4").reshape(count, len(fields)).astype(np.int64)
    durations = table[:, fields.index(0x100)] if 0x100 in fields else np.full(count, default, np.int64)
    offsets = table[:, fields.index(0x800)] if 0x800 in fields else np.zeros(count, np.int64)
    return durations, offsets


def _focal_length(data: mmap | bytes, movie: list[Box], track: list[Box]) -> float:
    """Equivalent focal length for 35 mm film [mm] among the metadata of the movie or the track; 0 where not there."""
    places = [*movie, *track, *_inside(data, _first(movie, b"udta")), *_inside(data, _first(track, b"udta"))]
    for meta in (box for box in places if box[0] == b"meta"):
        # QuickTime's is a plain box, ISO's has a version first.
        start = meta[1] if data[meta[1] + 4 : meta[1] + 8] == b"hdlr" else meta[1] + 4
        boxes = list(_boxes(data, start, min(meta[2], len(data))))
        keys, items = _first(boxes, b"keys"), _first(boxes, b"ilst")
        if keys is None or items is None:
            continue
        names = [data[a:b] for _, a, b in _boxes(data, keys[1] + 8, min(keys[2], len(data)))]
        for kind, start, end in _boxes(data, items[1], min(items[2], len(data))):
            index = int.from_bytes(kind, "big") - 1
            if 0 <= index < len(names) and names[index] == _FOCAL_LENGTH_KEY:
                value = _first(list(_boxes(data, start, end)), b"data")
                return 0.0 if value is None else _number(data, value)
    return 0.0


def _number(data: mmap | bytes, box: Box) -> float:
    """The value of a data box of metadata, whichever of the types of numbers it has; 0 for another."""
    kind = int.from_bytes(data[box[1] : box[1] + 4], "big") & 0xFFFFFF
    content = data[box[1] + 8 : box[2]]
    if kind == 1:  # text
        return float(content.decode())
    if kind in (21, 22, 65, 66, 67, 74, 75, 76, 77, 78):  # integers of one to eight bytes
        return float(int.from_bytes(content, "big", signed=kind in (21, 65, 66, 67, 74)))
    layout = {23: ">f", 24: ">d"}.get(kind)
    return float(struct.unpack(layout, content)[0]) if layout else 0.0
