"""How safe and how right published samples are: the figures of one stream, from what stands on the topics and truth.

Differences are between samples that follow each other on the topic, over the time between their stamps. Where it was
told that the second does not continue the first (another track, or a state in between in which nobody is tracked), the
pair is left out, and its jump is ``jump_told``. After a silence of more than 0.5 s that nobody was told of, a jump
counts whole, as a follower meets it in one message; all other jumps and turns are scaled to the time of one frame at
30 Hz (so that a turn can be more than half a circle).

*Velocity mismatch*: of a joint between two samples, by how much the mean of its two velocities is off the difference of
its two positions over the time between their stamps. It is zero where the velocity changes evenly between both, and
whoever has ``joint_states`` alone can check it. ``velocity_mismatch`` is the largest one of a stream over the largest
speed of that stream by its positions; ``velocity_mismatch_rms`` compares root mean squares.
"""

from __future__ import annotations

import numpy as np
import roma
import torch

from benchmarks.output_safety.labels import NONE, PERSON
from benchmarks.output_safety.limits import UrdfLimits
from benchmarks.output_safety.published import MAX_GAP_S, PREDICTED, TENTATIVE, TRACKED, UNTOLD, Published
from benchmarks.output_safety.stream import Stream

#: One frame of 30 Hz [s].
FRAME_S = 1 / 30
#: A pose is right up to this MPJPE [mm].
RIGHT_MM = 150.0
#: Angles are published with more digits than the URDF prints its limits with [rad].
LIMIT_TOLERANCE = 1e-4
#: Samples below which the lag of a motion is not told.
LONG = 150
_LAGS_S = np.arange(-0.1, 0.4001, 0.005)


def motion_figures(samples: Published, limits: UrdfLimits) -> dict[str, float]:
    """All that needs no truth; zeros where there are fewer than two samples."""
    q, v, effort = samples.angles, samples.velocities, samples.efforts
    outside = ((q < limits.lower - LIMIT_TOLERANCE) | (q > limits.upper + LIMIT_TOLERANCE)).any(1)
    with np.errstate(invalid="ignore"):
        over = (np.abs(effort) > limits.effort * (1 + 1e-6)).any(1)
    judged = np.isfinite(effort).all(1)
    dt = np.diff(samples.stamp_s)
    told = samples.told[1:] | (dt <= 0)
    near = ~told & (dt <= MAX_GAP_S)
    gone = ~told & (dt > MAX_GAP_S)
    step = np.diff(q, axis=0)
    turn = np.degrees(_turns(samples.root))
    rate = step / np.where(dt > 0, dt, np.inf)[:, None]
    mean = 0.5 * (v[1:] + v[:-1])
    mismatch = np.abs(rate - mean)
    speed = float(_most(np.abs(rate[near])))
    scale = FRAME_S / np.where(dt > 0, dt, np.inf)
    way = np.linalg.norm(np.diff(samples.pelvis, axis=0), axis=-1)
    return {
        "poses": len(samples),
        "velocity_published": _most(np.abs(v)),
        "velocity_of_positions": speed,
        "max_velocity": max(_most(np.abs(v)), speed),
        "max_jump": max(_most(np.abs(step[near]) * scale[near, None]), _most(np.abs(step[gone]))),
        "jump_told": _most(np.abs(step[samples.told[1:]])),
        "acceleration": _most(np.abs(np.diff(v, axis=0)[near]) / dt[near, None]),
        "effort_share": _most(np.abs(effort[judged]) / limits.effort),
        "effort_over": float(over[judged].mean()) if judged.any() else 0.0,
        "pelvis_speed": _most(way[near] / dt[near]),
        "root_turn_deg": max(_most(turn[near] * scale[near]), _most(turn[gone])),
        "root_turn_unscaled_deg": _most(turn[~told]),
        "outside_limits": float(outside.mean()) if len(samples) else 0.0,
        "most_outside_rad": _most(np.maximum(limits.lower - q, q - limits.upper).clip(0)),
        "velocity_mismatch": _most(mismatch[near]) / max(_most(np.abs(rate[near])), 1e-3),
        "velocity_mismatch_rad_s": _most(mismatch[near]),
        "velocity_mismatch_rms": _rms(mismatch[near]) / max(_rms(rate[near]), 1e-3),
        "breaks_told": int(samples.told.sum()),
        "predicted": float((samples.state == PREDICTED).mean()) if len(samples) else 0.0,
    }


def truth_figures(stream: Stream, samples: Published, alone: Published) -> dict[str, float | int | None]:
    """False persons, right poses withheld, errors and lag; None where nothing is known of it.

    ``alone``: the poses of the images by themselves, which say whether a pose that was withheld had been right.
    """
    shown = _rows(stream, samples, (UNTOLD, TRACKED, TENTATIVE))
    found = _rows(stream, alone, (UNTOLD,))
    figures: dict[str, float | int | None] = dict.fromkeys(
        ("false_persons", "false_poses", "withheld_persons", "persons", "withheld_right", "right", "mpjpe_mm", "lag_ms")
    )
    if stream.labels is not None:
        nobody, somebody = stream.labels == NONE, (stream.labels == PERSON) & found & stream.clean
        said = np.zeros(len(stream), bool)
        said[samples.now] = True
        figures["false_persons"] = int((_rows(stream, samples, (UNTOLD, TRACKED)) & nobody).sum())
        figures["false_poses"] = int((said & nobody).sum())
        figures["persons"] = int(somebody.sum())
        figures["withheld_persons"] = int((somebody & ~shown).sum())
    if stream.truth is not None:
        error = errors_mm(stream, samples)
        right = np.nan_to_num(errors_mm(stream, alone), nan=np.inf) < RIGHT_MM
        right &= stream.clean
        figures["right"] = int(right.sum())
        figures["withheld_right"] = int((right & ~shown).sum())
        figures["mpjpe_mm"] = float(np.nanmean(error)) if np.isfinite(error).any() else None
        figures["lag_ms"] = lag_ms(stream, samples)
    return figures


def errors_mm(stream: Stream, samples: Published) -> np.ndarray:
    """[T] MPJPE about the root of the pose of each image in mm, NaN where there is none or no truth."""
    errors = np.full(len(stream), np.nan)
    known = samples.row >= 0
    rows = samples.row[known]
    found = samples.joints[known][:, stream.joints]
    errors[rows] = _mpjpe_mm(stream, found, stream.truth[rows])
    return errors


def lag_ms(stream: Stream, samples: Published) -> float | None:
    """How much later than in truth the published motion is at the time of the newest image: the shift of the truth
    that fits what came out best. None where truth has gaps or the stream is short."""
    times = 1e-9 * np.array([k.stamp_ns for k in stream.keypoints])
    usual = stream.clean & np.isfinite(stream.truth).all((1, 2))
    if usual.mean() < 0.9 or len(samples) < LONG or (np.diff(times) <= 0).any():
        return None
    now = times[samples.now]
    inside = (now > times[usual][0] + _LAGS_S[-1]) & (now < times[usual][-1] + _LAGS_S[0]) & stream.clean[samples.now]
    found = samples.joints[inside][:, stream.joints]
    fits = []
    for lag in _LAGS_S:
        at = np.interp(now[inside] - lag, times[usual], np.arange(usual.sum()))
        low = np.minimum(at.astype(int), usual.sum() - 2)
        part = (at - low)[:, None, None]
        truth = stream.truth[usual]
        fits.append(np.mean(_mpjpe_mm(stream, found, (1 - part) * truth[low] + part * truth[low + 1])))
    return 1e3 * float(_LAGS_S[int(np.argmin(fits))])


def _mpjpe_mm(stream: Stream, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    root = list(stream.root)
    away = (found - found[:, root].mean(1, keepdims=True)) - (truth - truth[:, root].mean(1, keepdims=True))
    return 1e3 * np.linalg.norm(away, axis=-1).mean(1)


def _rows(stream: Stream, samples: Published, states: tuple[int, ...]) -> np.ndarray:
    """[T] bool: of which images poses in one of these states were published."""
    there = np.zeros(len(stream), bool)
    there[samples.row[(samples.row >= 0) & np.isin(samples.state, states)]] = True
    return there


def _turns(root: np.ndarray) -> np.ndarray:
    R = torch.from_numpy(np.asarray(root, float))
    if len(R) < 2:
        return np.zeros(max(len(R) - 1, 0))
    return roma.rotmat_geodesic_distance(R[:-1], R[1:]).numpy()


def _most(values: np.ndarray) -> float:
    return float(np.max(values)) if values.size else 0.0


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0
