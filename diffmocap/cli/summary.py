"""The figures of a run: rates, losses, latencies, memory; as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any

import numpy as np

from diffmocap.cli.recording import RecordedFrame, Recording, percentiles_ms

#: Stages that the nodes time themselves: title, node, key on /diagnostics.
_TIMED_BY_NODES = (
    ("  detection", "keypoint_node", "detect"),
    ("  lifting", "pose_node", "lift"),
    ("  refinement", "pose_node", "refine"),
    ("  publishing", "pose_node", "publish"),
)


@dataclass(frozen=True)
class Stage:
    """Latency of a stage [ms]; a title that is indented is a part of the stage above it."""

    title: str
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Summary:
    """Figures of one run.

    Attributes:
        source: what was played.
        frames: images that the source gave, those included that the camera node was too late to read.
        poses: joint states received.
        dropped: frames after the first pose that got no joint state: ``no_person`` + ``lost``.
        no_person: frames among them in which too few keypoints were visible for a pose.
        lost: frames among them that the graph did not get through.
        refined_frames: poses that went through the refinement stage, whose last resort is a causal filter.
        physics_frames: poses among them that the physics made better, by its loss.
        fps: joint states a second from the first to the last.
        latency_p50_ms, latency_p99_ms: from the image to the receipt of its joint state; None without poses.
        rss_mb: resident memory of the nodes together, at its highest.
        start_s: from the start of the nodes to the first pose; None without poses.
        stages: latencies along the way.
        accuracy: against ground truth, empty where there is none.
        optimizer: what takes the refinement's steps. hypotheses: poses sampled per image, for most of the run.
            guidance: weight of the sampling's. None or empty where pose_node did not say it.
        frames_with_step: share of the refined frames that had time for a step; None without any.
    """

    source: str
    frames: int
    poses: int
    dropped: int
    no_person: int
    lost: int
    refined_frames: int
    physics_frames: int
    fps: float
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    rss_mb: float
    start_s: float | None
    stages: tuple[Stage, ...] = ()
    accuracy: dict[str, float] = field(default_factory=dict)
    optimizer: str = ""
    hypotheses: int | None = None
    guidance: float | None = None
    frames_with_step: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded to their significant digits."""
        figures = {
            "source": self.source,
            "fps": round(self.fps, 2),
            "latency_p50_ms": _rounded(self.latency_p50_ms),
            "latency_p99_ms": _rounded(self.latency_p99_ms),
            "frames": self.frames,
            "poses": self.poses,
            "dropped": self.dropped,
            "no_person": self.no_person,
            "lost": self.lost,
            "refined_frames": self.refined_frames,
            "physics_frames": self.physics_frames,
            "optimizer": self.optimizer,
            "hypotheses": self.hypotheses,
            "guidance": self.guidance,
            "frames_with_step": self.frames_with_step
            if self.frames_with_step is None
            else round(self.frames_with_step, 4),
            "rss_mb": round(self.rss_mb, 1),
            "start_s": _rounded(self.start_s),
        }
        stages = {s.title.strip(): {"p50_ms": _rounded(s.p50_ms), "p99_ms": _rounded(s.p99_ms)} for s in self.stages}
        return figures | {"stages": stages} | {name: round(value, 5) for name, value in self.accuracy.items()}


def summarise(
    recording: Recording, source: str, video_stamps: bool, accuracy: dict[str, float] | None = None
) -> Summary:
    """Figures of a recording.

    Args:
        recording: of the run.
        source: what was played.
        video_stamps: the stamps are times of the video, so that latency counts from the image's leaving the camera
            node rather than from its stamp.
        accuracy: against ground truth.
    """
    frames = recording.frames
    tally = recording.tally()
    lost = tally.lost + recording.skipped - recording.skipped_before_first_pose
    total = percentiles_ms(_durations(frames, video_stamps, "joint_state_ns"))
    return Summary(
        source=source,
        frames=recording.images + recording.skipped,
        poses=recording.poses,
        dropped=tally.no_person + lost if recording.poses else 0,
        no_person=tally.no_person,
        lost=lost if recording.poses else 0,
        refined_frames=recording.refined,
        physics_frames=recording.by_physics,
        fps=recording.fps,
        latency_p50_ms=total and total[0],
        latency_p99_ms=total and total[1],
        rss_mb=recording.peak_rss_bytes / 2**20,
        start_s=(recording.first_pose_ns - recording.started_ns) * 1e-9 if recording.first_pose_ns else None,
        stages=tuple(_stages(recording, frames, video_stamps)),
        accuracy=accuracy or {},
        **_how(recording),
    )


def _how(recording: Recording) -> dict[str, Any]:
    """How poses were made, as pose_node said."""

    def last(key: str) -> float | None:
        values = recording.values_over_time("pose_node", key)
        return values[-1] if values else None

    # A busy machine gives hypotheses up and takes them back.
    several = recording.values_over_time("pose_node", "hypotheses")
    hypotheses = median_low(several) if several else None
    refined = recording.value("pose_node", "refined")
    return {
        "optimizer": recording.text("pose_node", "optimizer"),
        "hypotheses": None if hypotheses is None else int(hypotheses), "guidance": last("guidance"),
        "frames_with_step": recording.value("pose_node", "refined_with_step") / refined if refined else None,
    }  # fmt: skip


def _stages(recording: Recording, frames: list[RecordedFrame], video_stamps: bool) -> Iterable[Stage]:
    within = dict(_node_stages(recording))
    if not video_stamps:
        yield from _measured("camera", [f.image_ns - f.stamp_ns for f in frames if f.image_ns])
    yield from _measured("keypoints", [f.keypoints_ns - f.image_ns for f in frames if f.keypoints_ns and f.image_ns])
    yield from within.get("keypoint_node", ())
    pose = [f.joint_state_ns - f.keypoints_ns for f in frames if f.joint_state_ns and f.keypoints_ns]
    yield from _measured("pose", pose)
    yield from within.get("pose_node", ())
    yield from _measured("total", _durations(frames, video_stamps, "joint_state_ns"))


def _node_stages(recording: Recording) -> Iterable[tuple[str, list[Stage]]]:
    """What the nodes time themselves: the median of their windows' p50, the worst of their p99."""
    for node in ("keypoint_node", "pose_node"):
        stages = []
        for title, of, key in _TIMED_BY_NODES:
            p50, p99 = recording.values_over_time(of, f"{key}_p50_ms"), recording.values_over_time(of, f"{key}_p99_ms")
            if of == node and p50 and p99:
                stages.append(Stage(title, float(np.median(p50)), max(p99)))
        yield node, stages


def _measured(title: str, durations_ns: list[int]) -> Iterable[Stage]:
    if (percentiles := percentiles_ms(durations_ns)) is not None:
        yield Stage(title, *percentiles)


def _durations(frames: list[RecordedFrame], video_stamps: bool, until: str) -> list[int]:
    pairs = ((f.image_ns if video_stamps else f.stamp_ns, getattr(f, until)) for f in frames)
    return [end - start for start, end in pairs if start and end]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def tell_figures(summary: Summary, more: dict[str, Any], failure: Exception | None, as_json: bool) -> None:
    """Prints the table, and as JSON one line on stdout, which then belongs to it alone.

    Args:
        summary: of the run.
        more: further entries of the line of JSON.
        failure: what ended the run before its end, None for nothing; without a single image there is no table.
        as_json: whether JSON was asked for.
    """
    if summary.frames or failure is None:
        print(summary_table(summary), file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        error = {} if failure is None else {"error": str(failure)}
        print(json.dumps(summary.as_json() | more | error), flush=True)


def unquoted(label: str) -> str:
    """A source's label as a heading, without the quotes that it has inside a sentence."""
    return re.sub(r"^'(.*)'", r"\1", label)


def summary_table(summary: Summary) -> str:
    """The figures as lines of text."""
    s = summary
    lines = [f"{s.source}", f"  frames            {s.frames}"]
    if s.poses:
        lost = f"{s.no_person} with nobody in view, {s.lost} lost"
        lines += [
            f"  poses             {s.poses} ({s.physics_frames} refined by physics); {lost} after the first pose",
            f"  rate              {s.fps:.1f} joint states a second",
            f"  first pose        {s.start_s:.1f} s after the start",
        ]
    else:
        lines.append("  poses             none: nobody was seen")
    lines.append(f"  memory            {s.rss_mb:.0f} MB, all nodes together")
    if s.stages:
        lines += ["", f"  {'latency [ms]':<18}{'p50':>8}{'p99':>8}"]
        lines += [f"  {stage.title:<18}{stage.p50_ms:>8.1f}{stage.p99_ms:>8.1f}" for stage in s.stages]
    if s.accuracy:
        lines += ["", f"  against the truth beside the clip, {s.accuracy['compared_frames']} frames"]
        for name, title, digits in (("mpjpe_mm", "MPJPE [mm]", 1), ("pa_mpjpe_mm", "PA-MPJPE [mm]", 1),
                                    ("pixel_error", "pixel error", 4), ("frames_improved", "improved", 3)):  # fmt: skip
            if name in s.accuracy:
                lines.append(f"  {title:<18}{s.accuracy[name]:>8.{digits}f}")
    return "\n".join(lines)
