"""The figures of all streams in one row: the worst of what no stream may exceed, and sums of what is counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.output_safety.figures import errors_mm, motion_figures, truth_figures
from benchmarks.output_safety.limits import UrdfLimits
from benchmarks.output_safety.published import Published
from benchmarks.output_safety.stream import Stream

Figures = dict[str, Any]

#: The video with labels, and how many of its first images are judged for false persons by themselves.
INDOOR, INDOOR_FIRST = "intel_one_by_one_person", 240
#: What counts is the worst stream.
WORST = (
    "max_velocity", "velocity_published", "velocity_of_positions", "max_jump", "jump_told", "acceleration",
    "effort_share", "effort_over", "pelvis_speed", "root_turn_deg", "outside_limits", "most_outside_rad",
    "velocity_mismatch", "velocity_mismatch_rad_s", "velocity_mismatch_rms",
)  # fmt: skip


def stream_figures(
    streams: list[Stream], samples: list[Published], alone: list[Published], limits: UrdfLimits
) -> dict[str, Figures]:
    """By stream; the beginning of the indoor video once more by itself."""
    figures: dict[str, Figures] = {}
    for stream, these, single in zip(streams, samples, alone, strict=True):
        parts = [(stream.name, stream, these, single)]
        if stream.name == INDOOR:
            first = [x[x.now < INDOOR_FIRST] for x in (these, single)]
            parts.append((f"{stream.name}, first {INDOOR_FIRST}", stream[:INDOOR_FIRST], *first))
        for name, part, out, lone in parts:
            figures[name] = {"images": len(part)} | motion_figures(out, limits) | truth_figures(part, out, lone)
            figures[name]["errors"] = sum(out.errors.values())
    return figures


def summary(streams: list[Stream], figures: dict[str, Figures]) -> Figures:
    """One row. ``worst`` names the stream behind each maximum.

    ``withheld_right`` is the share of right poses that were withheld where nothing was done to the keypoints (bundled
    clip, real clip, motions), ``withheld_persons`` that of the persons of the indoor video, ``false_persons`` the
    number in its first images. ``mpjpe_mm`` is the mean of the bundled clip and of the real one's mean view.
    """
    row: Figures = {key: max(f[key] for f in figures.values()) for key in WORST}
    row["worst"] = {key: max(figures, key=lambda name, key=key: figures[name][key]) for key in WORST}
    plain = [figures[s.name] for s in streams if s.truth is not None and not s.disturbed]
    row["withheld_right"] = _share(plain, "withheld_right", "right")
    indoor = figures[INDOOR]
    row["withheld_persons"] = _share([indoor], "withheld_persons", "persons")
    row["false_persons"] = figures[f"{INDOOR}, first {INDOOR_FIRST}"]["false_persons"]
    row["false_poses"] = figures[f"{INDOOR}, first {INDOOR_FIRST}"]["false_poses"]
    row["false_persons_whole_video"] = indoor["false_persons"]
    row["false_persons_garbage"] = sum(
        f["false_persons"] or 0 for s in streams if s.disturbed and (f := figures[s.name])["false_persons"] is not None
    )
    row |= _mpjpe({name: f["mpjpe_mm"] for name, f in figures.items()})
    row["lag_ms"] = figures["bundled clip"]["lag_ms"]
    return row


def all_errors(streams: list[Stream], samples: list[Published]) -> dict[str, np.ndarray]:
    """Errors [T] in mm of each stream's images where truth is known and nothing was done to it; NaN without a pose."""
    return {
        s.name: errors_mm(s, x)
        for s, x in zip(streams, samples, strict=True)
        if s.truth is not None and not s.disturbed
    }


def paired(now: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> Figures:
    """How much larger the errors are than before, in images that both published."""
    differences = {name: now[name] - before[name] for name in now if name in before}
    by_stream = {name: float(np.nanmean(d)) for name, d in differences.items() if np.isfinite(d).any()}
    return {key.replace("mpjpe", "mpjpe_paired"): x for key, x in _mpjpe(by_stream).items()}


def _mpjpe(by_stream: dict[str, float | None]) -> Figures:
    bundled = by_stream.get("bundled clip")
    real = [x for name, x in by_stream.items() if name.startswith("real clip, view") and x is not None]
    real_mean = float(np.mean(real)) if real else None
    both = [x for x in (bundled, real_mean) if x is not None]
    mean = float(np.mean(both)) if both else None
    return {"mpjpe_mm": mean, "mpjpe_bundled_mm": bundled, "mpjpe_real_mm": real_mean}


def _share(figures: list[Figures], part: str, whole: str) -> float:
    return sum(f[part] for f in figures) / max(sum(f[whole] for f in figures), 1)
