"""Curves of the last minute or two, in the page's side bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffmocap.body.skeleton import JOINT_NAMES

#: Colours that stay apart for colour-blind eyes (Okabe and Ito), on a dark ground.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#f5f5f5")


@dataclass(frozen=True)
class Stage:
    """A curve of latencies: its label, and the key of a node's diagnostics that holds it [ms]."""

    label: str
    node: str
    key: str


STAGES = (
    Stage("camera", "camera_node", "capture_to_publish_p50_ms"),
    Stage("detect", "keypoint_node", "detect_p50_ms"),
    Stage("lift", "pose_node", "lift_p50_ms"),
    Stage("refine", "pose_node", "refine_p50_ms"),
    Stage("publish", "pose_node", "publish_p50_ms"),
    Stage("image to pose, p50", "pose_node", "capture_to_publish_p50_ms"),
    Stage("p99", "pose_node", "capture_to_publish_p99_ms"),
)


def _joints(*names: str) -> list[int]:
    return [i for i, joint in enumerate(JOINT_NAMES) if any(joint.endswith(name) for name in names)]


#: Curve -> its joints; hands and toes, which do not move, are left out.
LIMBS = {
    "trunk and head": _joints("pelvis", "spine1", "spine2", "spine3", "neck", "head"),
    "left arm": _joints("left_shoulder", "left_elbow", "left_wrist"),
    "right arm": _joints("right_shoulder", "right_elbow", "right_wrist"),
    "left leg": _joints("left_hip", "left_knee", "left_ankle"),
    "right leg": _joints("right_hip", "right_knee", "right_ankle"),
}


def stage_values(diagnostics: Mapping[str, Mapping[str, str]]) -> np.ndarray:
    """The latencies [ms] of :data:`STAGES`, NaN where unknown, of each node's newest diagnostics (key -> text)."""
    return np.array([_number(diagnostics.get(stage.node, {}).get(stage.key)) for stage in STAGES])


def limb_deviations(deviations_deg: np.ndarray) -> np.ndarray:
    """Root mean square over the joints of each of :data:`LIMBS`, of standard deviations [24]."""
    return np.array([np.sqrt(np.mean(deviations_deg[joints] ** 2)) for joints in LIMBS.values()])


class History:
    """The newest values of several curves.

    Args:
        curves: how many.
        length: samples that are kept.
    """

    def __init__(self, curves: int, length: int) -> None:
        self._times_s, self._values = np.zeros(length), np.zeros((curves, length))
        self._count = 0

    def add(self, time_s: float, values: Sequence[float] | np.ndarray) -> None:
        """One value for each curve."""
        slot = self._count % len(self._times_s)
        self._times_s[slot], self._values[:, slot] = time_s, values
        self._count += 1

    def clear(self) -> None:
        """Forgets everything."""
        self._count = 0

    def series(self, now_s: float) -> tuple[np.ndarray, ...]:
        """Seconds before now [N], rising to 0, and each curve's values [N]; one empty sample where nothing came."""
        length = len(self._times_s)
        if not self._count:
            return (np.zeros(1), *np.full((len(self._values), 1), np.nan))
        order = np.arange(max(0, self._count - length), self._count) % length
        return (self._times_s[order] - now_s, *self._values[:, order])


def top_of(values: Sequence[np.ndarray]) -> float:
    """The end of an axis that begins at 0 for curves whose samples may be unknown (NaN): 1, 2 or 5 times a power of 10,
    a whole number of steps above the largest."""
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    largest = max(float(known.max()), 1e-3) if len(known) else 1.0
    step = 10.0 ** np.floor(np.log10(largest))
    step *= next(part for part in (0.1, 0.2, 0.5, 1.0) if largest <= 8 * part * step or part == 1.0)
    return float(step * np.ceil(1.02 * largest / step))


class Plot:
    """A chart of a :class:`History`."""

    def __init__(self, gui: Any, title: str, unit: str, labels: Sequence[str], history: History) -> None:
        self._history = history
        self._top = top_of(history.series(0.0)[1:])
        axis = {"stroke": "#c8ccd4", "grid": {"stroke": "#3a3f48", "width": 1}, "size": 40, "font": "11px sans-serif"}
        self._chart = gui.add_uplot(
            history.series(0.0),
            ({"label": "s"}, *({"label": n, "stroke": c, "width": 1.5} for n, c in zip(labels, COLOURS))),
            title=f"{title} [{unit}]",
            scales=self._scales(),
            axes=({**axis, "size": 30}, axis),
            legend={"show": True},
            height=190,
        )

    def update(self, now_s: float) -> None:
        """Sends the curves to the page."""
        data = self._history.series(now_s)
        if (top := top_of(data[1:])) != self._top:
            self._top = top
            self._chart.scales = self._scales()
        self._chart.data = data

    def _scales(self) -> dict[str, Any]:
        # A range that the page looks for itself is lost with the first sample that is not known.
        return {"x": {"time": False}, "y": {"range": (0.0, self._top)}}


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan
