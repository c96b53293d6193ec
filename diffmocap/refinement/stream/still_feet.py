"""Feet that stand, by their keypoints alone: what does not move in the image stands still, wherever the floor is.

A person's distance from the camera is the least certain of all that is lifted: a foot that stands wanders by decimetres
along the view while its keypoints stay where they are. A foot that moves along the view alone would be taken to stand
until it is seen to leave its place, but steps lift feet, and cameras look down on them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.camera.projection import NEAREST_M
from diffmocap.compiler import array
from diffmocap.physics.contact_points import FOOT_POINTS
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.window import Window

#: A keypoint stands when it was still for so long [s], slower than this [m/s] and as near as this to its mean place,
#: root mean square and at the most [m]; its place is a mean over the last seconds. Chosen on walks, jumps, dances and a
#: seated person of the training split, at a detector's usual noise and at a third of it.
STILL_S, SPEED_M_S, SPREAD_M, MOST_M, MEMORY_S = 0.12, 0.3, 0.012, 0.05, 0.5
#: Fewest frames that show stillness.
_FEWEST = 3
#: Keypoints of a foot's parts, the first one that is seen in most frames counts; ankles turn over heels that stand.
_HEEL, _TOES = ("Heel", "Ankle"), ("BigToe", "SmallToe")
_PARTS = dict(zip(FOOT_POINTS, (_HEEL, _TOES, _TOES, _TOES), strict=True))
_OF_FEET = tuple(side + name for side in "LR" for name in (*_HEEL, *_TOES))
_COLUMNS = [KEYPOINT_NAMES.index(name) for name in _OF_FEET]


def still_points(window: Window, pelvis: torch.Tensor, points: BodyPoints) -> torch.Tensor:
    """[T, P] bool contact points that stand still in the images of a window of batch 1; false for all but the soles'.

    A frame's state depends on earlier frames alone.

    Args:
        pelvis: [T, 3] m of the person in the optical frame, whose distance turns pixels into metres.
    """
    from diffmocap.refinement.kernels.still_points import still_state  # compiling may take a while

    frames = window.frames
    seen = window.confidence[0][:, _COLUMNS] > 0
    focal = 0.5 * (window.K[0, 0, 0] + window.K[0, 1, 1])
    metres = pelvis[:, 2].clamp_min(NEAREST_M) / focal
    still = still_state(
        array(window.points_px[0][:, _COLUMNS]), seen.numpy(), array(metres),
        max(_FEWEST, round(STILL_S / window.dt_s) + 1), SPREAD_M, MOST_M, SPEED_M_S * window.dt_s,
        MEMORY_S / window.dt_s,
    )  # fmt: skip
    often = (2 * seen.sum(0) > frames).tolist()
    found = np.zeros((frames, len(points.contact_names)), bool)
    for point, columns in _watched(points.contact_names):
        column = next((c for c in columns if often[c]), None)
        if column is not None:
            found[:, point] = still[:, column]
    return torch.from_numpy(found)


@lru_cache(maxsize=8)
def _watched(names: tuple[str, ...]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Contact points of the soles, and the columns of the keypoints that show them, the best one first."""
    found = []
    for point, name in enumerate(names):
        side, _, part = name.partition("_")
        if part in _PARTS:
            found.append((point, tuple(_OF_FEET.index(side[0].upper() + keypoint) for keypoint in _PARTS[part])))
    return tuple(found)
