"""What goes wrong with the keypoints of real detectors, added to motion capture before a camera.

A limb is hidden for a while, left and right are exchanged, the picture cuts to somebody else.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.keypoints.side_exchange import reordered
from training.lifting.noisy_keypoints import CAMERA, CORRELATION, NOISE, Observed, observe, stamp_ns

__all__ = [
    "CAMERA", "CORRELATION", "HALVES", "LIMBS", "NOISE", "Observed", "cut_together", "exchange_sides", "hide_parts",
    "observe",
]  # fmt: skip

_LEG = ("Knee", "Ankle", "BigToe", "SmallToe", "Heel")
#: What hides together, as names of keypoints: an arm, a hand, a leg ...
LIMBS = tuple(tuple(side + name for name in names) for side in "LR" for names in (("Elbow", "Wrist"), ("Wrist",), _LEG))
#: ... the head, half of the body where the image ends.
HALVES = (
    ("Nose", "LEye", "REye", "LEar", "REar"),
    ("MidHip", *(side + name for side in "LR" for name in ("Hip", *_LEG))),
    ("Nose", "LEye", "REye", "LEar", "REar", "Neck", *(s + n for s in "LR" for n in ("Shoulder", "Elbow", "Wrist"))),
)


def hide_parts(
    observed: Observed, every: int, frames: int, seed: int = 0, parts: tuple[tuple[str, ...], ...] = LIMBS
) -> Observed:
    """Every ``every`` frames one of the parts at random has no keypoints for ``frames`` frames."""
    g = np.random.default_rng(seed)
    keypoints = list(observed.keypoints)
    for start in range(every // 2, len(keypoints), every):
        hidden = [KEYPOINT_NAMES.index(name) for name in parts[g.integers(len(parts))]]
        for t in range(start, min(start + frames, len(keypoints))):
            confidence = keypoints[t].confidence.copy()
            confidence[hidden] = 0.0
            keypoints[t] = replace(keypoints[t], confidence=confidence)
    return replace(observed, keypoints=keypoints)


def exchange_sides(observed: Observed, every: int, frames: int) -> Observed:
    """Every ``every`` frames left and right keypoints are exchanged for ``frames`` frames."""
    keypoints = list(observed.keypoints)
    mirror = np.array(KEYPOINT_MIRROR)
    for start in range(every, len(keypoints), every):
        for t in range(start, min(start + frames, len(keypoints))):
            keypoints[t] = reordered(keypoints[t], mirror)
    return replace(observed, keypoints=keypoints)


def cut_together(parts: list[Observed]) -> Observed:
    """One sequence without a gap in time."""
    keypoints = [k for part in parts for k in part.keypoints]
    return Observed(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("rotations", "pelvis", "joints")),
        [replace(k, stamp_ns=stamp_ns(t)) for t, k in enumerate(keypoints)],
        tuple(np.cumsum([len(part) for part in parts])[:-1].tolist()),
    )
