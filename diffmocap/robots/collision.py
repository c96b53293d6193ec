"""Capsules of a robot that come near each other: how far apart they are, and how steps change that.

mink's limit of the same kind stops two bodies that already meet, and closes a share of a gap in each step, however
fast. Here they are led apart again, and come no nearer than they can still brake.
"""

from __future__ import annotations

import mujoco
import numpy as np

from diffmocap.robots.model import RobotModel

#: Share of what is missing to the distance that one step is to bring, and of a gap that it may close.
SHARE = 0.5
#: How hard two links brake before they meet: what arms do whose joints brake as hard as they can [m/s^2].
BRAKING = 12.0


class Gaps:
    """Rows for the guarded pairs of capsules that are nearer than ``near`` [m]."""

    def __init__(self, robot: RobotModel, near: float) -> None:
        model, pairs = robot.model, robot.pairs
        self._model, self._near, self._pairs = model, near, pairs
        self._keep = robot.description.collision_distance
        self._reach = (model.geom_rbound[pairs].sum(1) + near) ** 2
        self._bodies = model.geom_bodyid[pairs]
        self._ends = np.zeros(6)
        self._first, self._second = np.zeros((2, 3, model.nv))
        self._rows = np.zeros((len(pairs), model.nv))
        self._most = np.zeros(len(pairs))

    def rows(self, data: mujoco.MjData, dt_s: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Rows [P, nv] and bounds [P] m: row times step at most the bound.

        Args:
            data: with kinematics of the pose that the step starts from.
            dt_s: time that the step takes, so that what comes near can still brake; 0 where speed does not count.
        """
        count = 0
        for pair in self._candidates(data):
            first, second = self._pairs[pair]
            gap = mujoco.mj_geomDistance(self._model, data, first, second, self._near, self._ends)
            if gap >= self._near:
                continue
            normal = self._ends[3:] - self._ends[:3]
            length = np.sqrt(normal @ normal)
            if length < 1e-9:
                continue
            mujoco.mj_jac(self._model, data, self._first, None, self._ends[:3], self._bodies[pair, 0])
            mujoco.mj_jac(self._model, data, self._second, None, self._ends[3:], self._bodies[pair, 1])
            self._second -= self._first
            # Where capsules meet, the line between the points next to each other points backwards.
            np.dot(normal / (-length if gap >= 0.0 else length), self._second, out=self._rows[count])
            self._most[count] = gap - self._keep
            count += 1
        gap = self._most[:count]
        most = SHARE * gap
        if dt_s:
            brake = BRAKING * dt_s
            stopping = dt_s * (np.sqrt(brake * brake + 2.0 * BRAKING * np.maximum(gap, 0.0)) - brake)
            most = np.where(gap > 0.0, np.minimum(most, stopping), most)
        return self._rows[:count], most

    def least(self, data: mujoco.MjData) -> float:
        """Least distance of a guarded pair [m], at most ``near``."""
        return min(
            (mujoco.mj_geomDistance(self._model, data, *self._pairs[i], self._near, None) for i in
             self._candidates(data)), default=self._near,
        )  # fmt: skip

    def _candidates(self, data: mujoco.MjData) -> np.ndarray:
        """Pairs whose bounding spheres are near each other."""
        apart = data.geom_xpos[self._pairs[:, 0]] - data.geom_xpos[self._pairs[:, 1]]
        return np.flatnonzero(np.einsum("ij,ij->i", apart, apart) < self._reach)
