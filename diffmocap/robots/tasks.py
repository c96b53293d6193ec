"""What is asked of a robot's sites, as one task of mink: where they are, seen from the world or from another site, and
how they are turned."""

from __future__ import annotations

import mink
import mujoco
import numpy as np
from mink.tasks.task import BaseTask


class SiteTask(BaseTask):
    """Rows of three for each place and each rotation that is asked for.

    Jacobians of all sites are taken once, and all rows are one product: a task for each site would take most of the
    time in Python.

    Attributes:
        places: [P, 3] m, wanted of each place: in the world, or from its root site in the world's axes.
        rotations: [R, 3, 3] wanted of each rotation.
        place_costs: [P, 3], rotation_costs: [R, 3], along and about the world's axes; 0 asks for nothing.
        helped_by: [P, nv], 1 where a velocity of the model may help a place; all may, unless said otherwise.

    Args:
        model: MuJoCo's.
        tips, roots: sites of each place; a root of -1 is the world.
        turned: sites of each rotation.
    """

    def __init__(self, model: mujoco.MjModel, tips: list[int], roots: list[int], turned: list[int]) -> None:
        used = sorted({site for site in (*tips, *roots, *turned) if site >= 0})
        self._sites, self._model = used, model
        row = {site: i for i, site in enumerate(used)}
        self._tip = np.array([row[site] for site in tips], dtype=int)
        self._rooted = np.array([i for i, site in enumerate(roots) if site >= 0], dtype=int)
        self._root = np.array([row[site] for site in roots if site >= 0], dtype=int)
        self._turned = np.array([row[site] for site in turned], dtype=int)
        self._ids = np.array(used, dtype=int)
        # mj_jacSite writes whole rows of each; a view for each site saves slicing in the loop.
        self._moved, self._spun = np.zeros((2, len(used), 3, model.nv))
        self._views = [(site, self._moved[i], self._spun[i]) for i, site in enumerate(used)]
        self._wanted, self._is, self._left = np.zeros(4), np.zeros(4), np.zeros((len(turned), 3))
        self.places = np.zeros((len(tips), 3))
        self.rotations = np.tile(np.eye(3), (len(turned), 1, 1))
        self.place_costs = np.zeros((len(tips), 3))
        self.helped_by = np.ones((len(tips), model.nv))
        self.rotation_costs = np.zeros((len(turned), 3))

    def errors(self, configuration: mink.Configuration) -> tuple[np.ndarray, np.ndarray]:
        """What is missing: [P, 3] m and [R, 3] rad, in the world's axes."""
        data = configuration.data
        at = data.site_xpos[self._ids]
        now = at[self._tip]
        now[self._rooted] -= at[self._root]
        turned = data.site_xmat[self._ids[self._turned]].reshape(-1, 3, 3)
        for row, (wanted, is_now) in enumerate(zip(self.rotations, turned, strict=True)):
            mujoco.mju_mat2Quat(self._wanted, wanted.ravel())
            mujoco.mju_mat2Quat(self._is, is_now.ravel())
            mujoco.mju_subQuat(self._left[row], self._wanted, self._is)
        return self.places - now, np.einsum("rij,rj->ri", turned, self._left)

    def compute_qp_residual(self, configuration: mink.Configuration) -> tuple[np.ndarray, np.ndarray, float]:
        """Weighted Jacobian [3 (P + R), nv], weighted error, and no damping of its own."""
        for site, moved, spun in self._views:
            mujoco.mj_jacSite(self._model, configuration.data, moved, spun, site)
        places, rotations = self.errors(configuration)
        moved = self._moved[self._tip]
        moved[self._rooted] -= self._moved[self._root]
        moved *= self.helped_by[:, None]
        cost = np.concatenate([self.place_costs, self.rotation_costs]).ravel()
        jacobian = np.concatenate([moved, self._spun[self._turned]]).reshape(len(cost), -1)
        return jacobian * cost[:, None], np.concatenate([places, rotations]).ravel() * cost, 0.0

    def compute_qp_objective(self, configuration: mink.Configuration) -> mink.Objective:
        """The same as a quadratic objective."""
        jacobian, error, _ = self.compute_qp_residual(configuration)
        return mink.Objective(jacobian.T @ jacobian, -error @ jacobian)
