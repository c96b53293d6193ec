"""The streams that the output is judged by."""

from __future__ import annotations

from pathlib import Path

from benchmarks.output_safety.disturbances import (
    cuts,
    exchanged_sides,
    garbage,
    jittered_stamps,
    miscalibrated,
    missing_images,
    missing_seconds,
    outliers,
    switches,
    teleports,
)
from benchmarks.output_safety.sources import aside, bundled_clip, footage, projected_motions, real_views
from benchmarks.output_safety.stream import Stream

#: Frames of a motion, and of each between two cuts.
MOTION_FRAMES, CUT_FRAMES = 100, 60
#: How far the second person stands from the first [px of 640].
ASIDE_PX = 170.0


def all_streams(media: Path, clip: Path, motions: Path, cache: Path) -> list[Stream]:
    """Shared videos, streams with truth, and what is made of them."""
    bundled, projected = bundled_clip(cache), projected_motions(motions, MOTION_FRAMES)
    videos, views = footage(media, cache), real_views(clip, cache)
    start = bundled[:300]
    # Walking and turning; waving and jumping; squats and turns from side to side.
    thirds = bundled[:300], bundled[200:500], bundled[426:]
    return [
        *videos,
        bundled,
        *views,
        *projected,
        *(exchanged_sides(part, seed) for seed, part in enumerate(thirds)),
        *(exchanged_sides(projected[n], seed) for n, seed in ((0, 11), (3, 13))),
        *(exchanged_sides(video, seed) for video in (*videos[::2], *views) for seed in (20, 21)),
        exchanged_sides(thirds[1], seed=3, legs_alone=True),
        exchanged_sides(videos[2], seed=22, legs_alone=True),
        switches(start, aside(bundled[300:], ASIDE_PX)),
        cuts(projected[:4], CUT_FRAMES),
        missing_images(start, seed=0),
        missing_seconds(bundled[:480]),
        outliers(start, count=1, seed=0),
        outliers(start, count=4, seed=1),
        teleports(start),
        jittered_stamps(start, seed=0),
        garbage(start, seed=0),
        miscalibrated(bundled[:45], 0.05),
        miscalibrated(bundled[:45], 20.0),
    ]
