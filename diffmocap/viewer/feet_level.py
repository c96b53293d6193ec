"""A floor below the feet, for as long as nothing better is known of its height: a body that hovers looks wrong.

What the physics knows of the floor comes before it, and that is all that anybody has told: a height of the camera too.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.viewer.body import Skin
from diffmocap.viewer.world import World

#: Poses that count, five seconds at 30 a second; the share of them in which a foot may be lower than the floor.
POSES, LOWER = 150, 0.1
_TOES = [JOINT_NAMES.index(name) for name in ("left_foot", "right_foot")]
#: From any other joint down to what lies on the floor, of a person who sits, lies or stands on their hands [m].
_FLESH_M = 0.06
#: The floor stays where it is until it is off by more than this [m].
STEADY_M = 0.03


class FeetLevel:
    """How low feet were lately.

    Args:
        skin: of the body; its toes' joints lie above the sole.
    """

    def __init__(self, skin: Skin) -> None:
        soles = skin.vertices_m[:, 1].min()
        self._above_m = float(np.mean(skin.joints_m[_TOES, 1]) - soles)
        self._lowest: deque[float] = deque(maxlen=POSES)
        self._offset_m: float | None = None
        self._up: np.ndarray | None = None

    def world(self, guess: World, joints_m: np.ndarray) -> World:
        """The guessed world with its floor below the feet of this pose [24, 3] m, in optical axes, and before it."""
        up = guess.R_world_optical[2]
        if self._up is None or not np.allclose(up, self._up):
            self._lowest.clear()
            self._up, self._offset_m = up, None
        heights = joints_m @ up - _FLESH_M
        heights[_TOES] = joints_m[_TOES] @ up - self._above_m
        lowest = float(heights.min())
        if not np.isfinite(lowest):
            return guess if self._offset_m is None else self._made()
        self._lowest.append(lowest)
        found = float(np.quantile(self._lowest, LOWER))
        if self._offset_m is None or abs(found - self._offset_m) > STEADY_M:
            self._offset_m = found
        return self._made()

    def _made(self) -> World:
        return World.from_floor(self._up, self._offset_m, "below the feet, until it is known")
