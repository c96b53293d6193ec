"""What goes wrong with keypoints, done to a stream: each takes one with truth and returns it with bad input.

All is drawn from a seed. ``clean`` of the result says which images were left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from benchmarks.output_safety.labels import NONE, PERSON
from benchmarks.output_safety.stream import Stream
from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.keypoints.body25 import no_keypoints
from diffmocap.keypoints.side_exchange import reordered
from diffmocap.types import CameraIntrinsics, Keypoints2D

_MIRROR = np.array(KEYPOINT_MIRROR)
_LEG = ("Hip", "Knee", "Ankle", "BigToe", "SmallToe", "Heel")
_LEGS_MIRROR = np.where([name[1:] in _LEG for name in KEYPOINT_NAMES], _MIRROR, np.arange(len(_MIRROR)))


def half_size_px(keypoints: Keypoints2D) -> float:
    """Half of the longer side of the box of the keypoints that are seen."""
    seen = keypoints.points_px[keypoints.confidence > 0]
    return 0.5 * float(np.ptp(seen, axis=0).max()) if len(seen) else 0.0


def exchanged_sides(stream: Stream, seed: int, share: float = 0.04, legs_alone: bool = False) -> Stream:
    """Left and right are exchanged in single images, a ``share`` of all: of all keypoints or of the legs alone."""
    wrong = np.random.default_rng(seed).random(len(stream)) < share
    order = _LEGS_MIRROR if legs_alone else _MIRROR
    keypoints = [reordered(k, order) if w else k for k, w in zip(stream.keypoints, wrong, strict=True)]
    what = "left and right leg" if legs_alone else "left and right"
    name = f"{stream.name}, {'legs' if legs_alone else 'sides'} exchanged, seed {seed}"
    return stream.disturbed_by(name, f"{what} exchanged in {share:.0%} of the images", keypoints, ~wrong)


def outliers(stream: Stream, count: int, seed: int, every: int = 15, size: tuple[float, float] = (0.5, 1.5)) -> Stream:
    """In every ``every``-th image ``count`` keypoints lie elsewhere, ``size`` half-sizes away in any direction."""
    g = np.random.default_rng(seed)
    keypoints, clean = list(stream.keypoints), np.ones(len(stream), bool)
    for t in range(every, len(stream), every):
        k, seen = keypoints[t], np.flatnonzero(keypoints[t].confidence > 0)
        if len(seen) < count:
            continue
        wrong = g.choice(seen, count, replace=False)
        angle, way = g.uniform(0, 2 * np.pi, count), g.uniform(*size, count) * half_size_px(k)
        points = k.points_px.copy()
        points[wrong] += (way * np.array([np.cos(angle), np.sin(angle)])).T.astype(np.float32)
        keypoints[t], clean[t] = replace(k, points_px=points), False
    words = "one keypoint" if count == 1 else f"{count} keypoints"
    what = f"{words} of every {every}th image {size[0]} to {size[1]} half-sizes of the person away"
    return stream.disturbed_by(f"{stream.name}, {words} thrown", what, keypoints, clean)


def missing_images(stream: Stream, seed: int, share: float = 0.1) -> Stream:
    """Single images, a ``share`` of all, in which the detector finds nobody."""
    empty = np.random.default_rng(seed).random(len(stream)) < share
    keypoints = [_nobody(k) if e else k for k, e in zip(stream.keypoints, empty, strict=True)]
    what = f"nobody found in {share:.0%} of the images"
    return stream.disturbed_by(f"{stream.name}, single images missing", what, keypoints, ~empty)


def missing_seconds(stream: Stream, gaps: Iterable[tuple[float, float, bool]] = (
    (1.0, 0.2, True), (2.0, 0.3, False), (3.3, 1.0, True), (5.3, 1.0, False), (7.3, 2.5, True), (11.5, 2.5, False),
)) -> Stream:  # fmt: skip
    """At a time [s] nothing is seen for some time [s]: empty keypoints (True) or no message at all (False)."""
    keypoints, rows = list(stream.keypoints), np.ones(len(stream), bool)
    clean = rows.copy()
    seconds = 1e-9 * np.array([k.stamp_ns for k in keypoints])
    gaps = tuple(gaps)
    for start, length, empty in gaps:
        gone = np.flatnonzero((seconds >= start) & (seconds < start + length))
        clean[gone] = False
        if not empty:
            rows[gone] = False
        for t in gone:
            keypoints[t] = _nobody(keypoints[t])
    what = ", ".join(f"{length:g} s {'of empty keypoints' if empty else 'of silence'}" for _, length, empty in gaps)
    return stream.disturbed_by(f"{stream.name}, seconds missing", what, keypoints, clean)[rows]


def teleports(stream: Stream, every: int = 40, frames: tuple[int, ...] = (1, 5), shift: float = 1.5) -> Stream:
    """Every ``every`` images for a while all keypoints lie ``shift`` half-sizes aside, or are half as far apart."""
    keypoints, clean = list(stream.keypoints), np.ones(len(stream), bool)
    for n, start in enumerate(range(every, len(stream), every)):
        for t in range(start, min(start + frames[n % len(frames)], len(stream))):
            k, seen = keypoints[t], keypoints[t].confidence > 0
            points = k.points_px.copy()
            if n // len(frames) % 2:
                middle = points[seen].mean(0)
                points[seen] = middle + 0.5 * (points[seen] - middle)
            else:
                points[seen, 0] += shift * half_size_px(k)
            keypoints[t], clean[t] = replace(k, points_px=points), False
    what = f"every {every} images for {' or '.join(map(str, frames))}: {shift} half-sizes aside, or half as large"
    return stream.disturbed_by(f"{stream.name}, teleports", what, keypoints, clean)


def jittered_stamps(stream: Stream, seed: int, std_s: float = 0.006, repeated: float = 0.02) -> Stream:
    """Stamps that are off by normal errors of ``std_s``, and a ``repeated`` share that say the one before again."""
    g = np.random.default_rng(seed)
    error_ns = 1e9 * np.clip(g.normal(0.0, std_s, len(stream)), -2 * std_s, 2 * std_s)
    stamps = np.array([k.stamp_ns for k in stream.keypoints]) + error_ns.astype(np.int64)
    again = g.random(len(stream)) < repeated
    again[0] = False
    stamps[again] = stamps[np.flatnonzero(again) - 1]
    keypoints = [replace(k, stamp_ns=int(s)) for k, s in zip(stream.keypoints, stamps, strict=True)]
    what = f"stamps off by {1e3 * std_s:g} ms (standard deviation), {repeated:.0%} repeat the one before"
    return stream.disturbed_by(f"{stream.name}, stamps jitter", what, keypoints, ~again)


def garbage(stream: Stream, seed: int, every: int = 90, frames: int = 20) -> Stream:
    """Every ``every`` images keypoints are anywhere in the picture for ``frames``: nobody is there."""
    g = np.random.default_rng(seed)
    keypoints, clean = list(stream.keypoints), np.ones(len(stream), bool)
    for start in range(every // 2, len(stream), every):
        for t in range(start, min(start + frames, len(stream))):
            k = keypoints[t]
            points = g.uniform((0, 0), (k.width, k.height), (25, 2)).astype(np.float32)
            keypoints[t] = Keypoints2D(
                points, g.uniform(0.3, 1.0, 25).astype(np.float32), k.width, k.height, k.stamp_ns
            )
            clean[t] = False
    labels = np.where(clean, PERSON, NONE)
    what = f"every {every} images {frames} with keypoints anywhere in the picture"
    return stream.disturbed_by(f"{stream.name}, garbage", what, keypoints, clean, labels)


def switches(stream: Stream, other: Stream, stays: tuple[int, ...] = (45, 1, 30, 3, 45, 45)) -> Stream:
    """The detector goes back and forth between two people in view, and stays with each for so many images in turn.

    Truth is that of who is seen. Which of both ought to be published nobody says, so that no image counts as clean.
    """
    length = min(len(stream), len(other))
    turns = np.repeat(np.arange(length) % 2, np.resize(stays, length))[:length].astype(bool)
    keypoints = [(other if o else stream).keypoints[t] for t, o in enumerate(turns)]
    keypoints = [replace(k, stamp_ns=stream.keypoints[t].stamp_ns) for t, k in enumerate(keypoints)]
    truth = np.where(turns[:, None, None], other.truth[:length], stream.truth[:length])
    both = replace(stream[:length], truth=truth)
    what = f"keypoints of two people in turn, for {', '.join(map(str, stays))} images"
    return both.disturbed_by("two people in turn", what, keypoints, np.zeros(length, bool))


def cuts(streams: list[Stream], frames: int) -> Stream:
    """Several streams of one camera without a gap in time."""
    parts = [s[:frames] for s in streams]
    step_ns = streams[0].keypoints[1].stamp_ns - streams[0].keypoints[0].stamp_ns
    keypoints = [k for p in parts for k in p.keypoints]
    keypoints = [replace(k, stamp_ns=t * step_ns) for t, k in enumerate(keypoints)]
    whole = replace(parts[0], keypoints=keypoints, truth=np.concatenate([p.truth for p in parts]),
                    clean=np.ones(len(keypoints), bool))  # fmt: skip
    what = f"every {frames} images somebody else elsewhere"
    return whole.disturbed_by("cuts", what, keypoints, np.zeros(len(keypoints), bool))


def miscalibrated(stream: Stream, factor: float) -> Stream:
    """A camera that is said to have ``factor`` times its focal length."""
    c = stream.intrinsics
    wrong = CameraIntrinsics(c.width, c.height, factor * c.fx, factor * c.fy, c.cx, c.cy)
    nothing = np.zeros(len(stream), bool)
    what = f"focal length said to be {factor:g} times as long"
    name = f"{stream.name}, focal length times {factor:g}"
    return replace(stream.disturbed_by(name, what, stream.keypoints, nothing), intrinsics=wrong, truth=None)


def _nobody(keypoints: Keypoints2D) -> Keypoints2D:
    return no_keypoints(keypoints.width, keypoints.height, keypoints.stamp_ns)
