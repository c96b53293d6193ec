"""The arm's joints that a person's arm asks for, whatever was before: where an arm is to go when it lags behind.

Inverse kinematics goes downhill. An arm whose limits held it back while the person's went on may find itself at a pose
from which every step is worse, twisted against the end of a joint, and stays. So the joints of each arm are found by
themselves, without limits of speed, and the robot's arm is drawn towards them joint by joint, which never gets stuck.
Where even they miss the person's arm, they are sought anew from other starts.

Joint by joint is not straight, though: while slow joints are on their way the hand is nowhere near. So a hand that lags
is led straight to where it is asked for, and joint by joint only once it does not get on.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from diffmocap.robots.model import RobotModel, joints_between

#: Steps a frame, and from another start.
STEPS, STEPS_ANEW = 2, 5
#: An elbow or a wrist that misses by more than this share of the arm makes another start worth trying ...
MISSES = 0.08
#: ... which is gone to where it costs less by this share.
BETTER = 0.7
#: Cost of the elbow's place beside that of the wrist, which is 1: where both cannot be reached, the hand counts.
ELBOW = 0.4
#: A hand that lags gets on while what it misses shrinks by so many lengths of the arm in a second ...
GETS_ON = 0.3
#: ... and goes joint by joint after so long without [s], until none of its joints is farther from its goal [rad].
PATIENCE_S, ARRIVED = 0.4, 0.3
#: Draws the joints to those of the frame before, and to the rest pose [per rad, beside costs of 1 per m].
DAMPING, POSTURE = 0.03, 0.015


class Arm:
    """One arm's joints.

    Attributes:
        joints: [J] of the robot's joints that lie between chest and wrist.
        at: where they are in a configuration. positions: [J] rad of them, as the person's arm asks for.
        straight: whether the hand of an arm that lags is led straight to where it is asked for.
    """

    def __init__(self, robot: RobotModel, side: str, length: float) -> None:
        model = robot.model
        self._model, self._data = model, mujoco.MjData(model)
        self._sites = [robot.sites[f"{side}_{key}"] for key in ("shoulder", "elbow", "wrist")]
        self._dofs = joints_between(robot, self._sites[2], model.site_bodyid[robot.sites["chest"]])
        self.joints = self._dofs - robot.first_dof
        self.at = robot.first + self.joints
        self._low, self._high = robot.low[self.joints], robot.high[self.joints]
        self._rest = robot.rest[self.at]
        ends = np.isfinite(self._low) & np.isfinite(self._high)  # not of joints that turn without end
        self._starts = [robot.rest[self.at], robot.t_pose[self.at], self._rest.copy()]
        self._starts[-1][ends] = 0.5 * (self._low[ends] + self._high[ends])
        self._next = 0
        self._length = length
        self.straight = True
        self._waited_s, self._off = 0.0, 0.0
        self._jacobians = np.zeros((3, 3, model.nv))
        self._cost = np.repeat([ELBOW, 1.0], 3)
        self._eye = np.eye(len(self.joints))
        self.positions = self._rest.copy()

    def follow(self, configuration: np.ndarray, elbow: np.ndarray, wrist: np.ndarray) -> None:
        """Finds the joints for places [3] m of elbow and wrist from the shoulder, of a robot's configuration."""
        self._data.qpos[:] = configuration
        positions, cost, off = self._descend(self.positions, elbow, wrist, STEPS)
        if off > MISSES * self._length:
            start = self._starts[self._next]
            self._next = (self._next + 1) % len(self._starts)
            other, less, _ = self._descend(start, elbow, wrist, STEPS_ANEW)
            if less < BETTER * cost:
                positions = other
        self.positions = positions

    def lag(self, commanded: mujoco.MjData, wrist: np.ndarray, wanted: np.ndarray, dt_s: float) -> None:
        """Minds how an arm that limits left behind gets on: ``dt_s`` more have passed.

        Args:
            commanded: with kinematics of the commanded pose.
            wrist: [3] m from the shoulder, where it is asked for.
            wanted: configuration that the arm is on its way to.
        """
        shoulder, _, tip = commanded.site_xpos[self._sites]
        off = math.dist(tip - shoulder, wrist) / self._length
        if not self.straight:
            self.straight = bool(np.abs(commanded.qpos[self.at] - wanted[self.at]).max() < ARRIVED)
            self._waited_s = 0.0
        elif off < MISSES:
            self._waited_s = 0.0
        elif off < self._off - GETS_ON * dt_s:
            self._waited_s = max(self._waited_s - dt_s, 0.0)
        else:
            self._waited_s += dt_s
            self.straight = self._waited_s < PATIENCE_S
        self._off = off

    def _descend(
        self, start: np.ndarray, elbow: np.ndarray, wrist: np.ndarray, steps: int
    ) -> tuple[np.ndarray, float, float]:
        """Joints after some steps, the squared error of both places, and the larger error [m]."""
        q = start.copy()
        wanted = np.concatenate([elbow, wrist])
        error = self._errors(q, wanted)
        for _ in range(steps):
            for i, site in enumerate(self._sites):
                mujoco.mj_jacSite(self._model, self._data, self._jacobians[i], None, site)
            moved = self._jacobians[:, :, self._dofs]
            jacobian = (moved[1:] - moved[:1]).reshape(6, -1) * self._cost[:, None]
            normal = jacobian.T @ jacobian + (DAMPING**2 + POSTURE**2) * self._eye
            slope = jacobian.T @ (self._cost * error) + POSTURE**2 * (self._rest - q)
            step = np.linalg.solve(normal, slope)
            # Joints that would leave their range stay at its end, and the others make up for them.
            out = (q + step < self._low) | (q + step > self._high)
            if out.any() and not out.all():
                held = np.clip(q + step, self._low, self._high) - q
                inner = ~out
                right = slope[inner] - normal[np.ix_(inner, out)] @ held[out]
                step = held
                step[inner] = np.linalg.solve(normal[np.ix_(inner, inner)], right)
            q = np.clip(q + step, self._low, self._high)
            error = self._errors(q, wanted)
        cost = self._cost * error
        return q, float(cost @ cost), float(np.sqrt((error.reshape(2, 3) ** 2).sum(1)).max())

    def _errors(self, q: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        self._data.qpos[self.at] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        at = self._data.site_xpos[self._sites]
        return wanted - (at[1:] - at[0]).ravel()
