"""How the graph is, in the words that stand on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from textwrap import shorten

import numpy as np

from diffmocap.output.tracking_state import TrackingState
from diffmocap.viewer.pose import ViewedPose

#: Without a pose for so long, what is drawn is old [s].
STALE_S = 0.5
#: Of what a node says; all of it is on /diagnostics.
MOST_LETTERS = 150
GREEN, YELLOW, ORANGE, RED, GREY = "#3fb27f", "#d9b44a", "#e8843c", "#e5484d", "#8b929c"
_STATES = {
    TrackingState.SEARCHING: ("searching", GREY),
    TrackingState.TENTATIVE: ("tentative", YELLOW),
    TrackingState.TRACKED: ("tracked", GREEN),
    TrackingState.PREDICTED: ("predicted", ORANGE),
    TrackingState.LOST: ("lost", RED),
}


@dataclass(frozen=True)
class Health:
    """A node's newest diagnostics: ``level`` 0 (ok), 1 (warning), 2 (error), its message, and its values."""

    level: int
    message: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Status:
    """What is known at one time.

    Attributes:
        pose: the newest one; None before the first.
        silent_s: since it came, or since somebody looks.
        health: each node's by its name.
        floor: where it comes from.
    """

    pose: ViewedPose | None
    silent_s: float
    health: Mapping[str, Health]
    floor: str = ""

    @property
    def stale(self) -> bool:
        """Whether no pose comes; one said to be lost still comes."""
        return self.silent_s > STALE_S

    @property
    def word(self) -> str:
        """In a few words, for the 3D view, why no pose comes."""
        return f"no pose for {self.silent_s:.1f} s"


def status_html(status: Status) -> str:
    """The panel's first lines: the state, figures, and what the nodes complain of."""
    pose, health = status.pose, status.health
    if status.stale:
        name, colour = status.word, RED
    elif pose is None or pose.tracking is None:
        name, colour = ("pose", GREEN) if pose is not None else ("waiting for a pose", GREY)
    else:
        name, colour = _STATES[pose.tracking]
    lines = [f'<b style="color:{colour};font-size:1.25em">&#9679; {escape(name)}</b>']
    lines += [f"<div>{escape(line)}</div>" for line in _figures(status) if line]
    for node, found in sorted(health.items()):
        if found.level:
            shade = RED if found.level > 1 else YELLOW
            text = shorten(found.message, MOST_LETTERS, placeholder=" ...")
            lines.append(f'<div style="color:{shade}"><b>{escape(node)}</b>: {escape(text)}</div>')
    if status.stale and not any(found.level for found in health.values()):
        lines.append(f'<div style="color:{GREY}">{escape(_why_silent(health))}</div>')
    return f'<div style="padding:0 0.75em 0.4em;font-size:0.85em;line-height:1.5">{"".join(lines)}</div>'


def _figures(status: Status) -> list[str]:
    pose, values = status.pose, status.health.get("pose_node", Health(0, "", {})).values
    lines = []
    if (rate := values.get("pose_hz")) and not status.stale:
        latency = values.get("capture_to_publish_p50_ms")
        lines.append(f"{float(rate):.0f} poses/s" + (f", {float(latency):.0f} ms after the image" if latency else ""))
    if pose is not None and not status.stale:
        parts = [] if pose.track_id is None else [f"track {pose.track_id}"]
        if pose.confidence is not None and np.isfinite(pose.confidence):
            parts.append(f"confidence {pose.confidence:.2f}")
        if np.isfinite(pose.score):
            parts.append(f"score {pose.score:.3f}")
        if np.isfinite(pose.pelvis_deviation_m):
            parts.append(f"place to {100 * pose.pelvis_deviation_m:.1f} cm")
        lines.append(", ".join(parts))
    lines.append(f"floor: {status.floor}" if status.floor else "")
    return lines


def _why_silent(health: Mapping[str, Health]) -> str:
    if not health:
        return "no node of the graph can be heard: is it running, in this namespace and ROS domain?"
    if "pose_node" not in health:
        return f"pose_node cannot be heard; there are {', '.join(sorted(health))}"
    message = health["pose_node"].message
    return "pose_node runs and publishes no pose" if message in ("", "running") else f"pose_node: {message}"
