"""Where the camera stands in an upright world whose floor is z = 0.

Poses are in the camera's optical frame, which says nothing of gravity. The floor does: as the physics found it, as
static transforms say, or, until either is known, as below a level camera; see `feet_level` for how high it then lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

#: Of a camera of which nothing is known [m].
USUAL_HEIGHT_M = 1.0
#: Changes of the floor below these are not shown: the scene would tremble with every estimate [rad, m].
LEAST_TURN_RAD, LEAST_SHIFT_M = np.deg2rad(0.5), 0.01
#: Where the camera looks or, where that is straight up or down, where its upper side points.
_VIEWS = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class World:
    """The pose of the optical frame in the world: x ahead of the camera, y to its left, z up, origin below it.

    Attributes:
        R_world_optical: [3, 3].
        height_m: of the camera above the floor.
        source: in words, where the floor comes from.
    """

    R_world_optical: np.ndarray
    height_m: float
    source: str

    @classmethod
    def guessed(cls) -> World:
        """A level camera at a usual height."""
        return cls.from_floor(np.array([0.0, -1.0, 0.0]), -USUAL_HEIGHT_M, "guessed, below a level camera")

    @classmethod
    def from_floor(cls, up: np.ndarray, offset_m: float, source: str) -> World:
        """Of a floor of points p with ``up @ p == offset_m`` in the optical frame; ``up`` is a unit vector."""
        level = _VIEWS - (_VIEWS @ up)[:, None] * up
        ahead = level[np.linalg.norm(level, axis=1).argmax()]
        ahead = ahead / np.linalg.norm(ahead)
        return cls(np.stack([ahead, np.cross(up, ahead), up]), -float(offset_m), source)

    @property
    def wxyz(self) -> np.ndarray:
        """[4] the rotation as a unit quaternion, scalar first."""
        return Rotation.from_matrix(self.R_world_optical).as_quat()[[3, 0, 1, 2]]

    @property
    def position_m(self) -> np.ndarray:
        """[3] place of the camera."""
        return np.array([0.0, 0.0, self.height_m])

    def points(self, optical_m: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the optical frame in the world."""
        return optical_m @ self.R_world_optical.T + self.position_m

    def differs(self, other: World) -> bool:
        """Whether one would see the difference."""
        turn = Rotation.from_matrix(self.R_world_optical @ other.R_world_optical.T).magnitude()
        moved = abs(self.height_m - other.height_m) > LEAST_SHIFT_M or turn > LEAST_TURN_RAD
        return bool(moved or self.source != other.source)
