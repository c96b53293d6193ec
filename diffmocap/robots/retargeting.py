"""A robot's pose for a person's: inverse kinematics inside the robot's limits, a few steps a frame.

What is asked stands in :mod:`diffmocap.robots.scaling` and :mod:`diffmocap.robots.stance`; mink makes the quadratic
program of it, daqp solves it inside the box of :mod:`diffmocap.robots.limits` with capsules kept apart, and the
command follows the solution by the law that no limit is broken in.
"""

from __future__ import annotations

import ctypes
import math

import daqp
import mink
import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.errors import RobotError
from diffmocap.robots.arms import Arm
from diffmocap.robots.frames import SIDES, HumanFrame, RobotCommand
from diffmocap.robots.limits import CommandLimits, reachable
from diffmocap.robots.model import RobotModel
from diffmocap.robots.scaling import Scaling, Targets
from diffmocap.robots.stance import Stance, heading, yaw_of
from diffmocap.robots.tasks import SiteTask

#: Steps of the inverse kinematics in a frame, and to find the first pose.
STEPS, FIRST_STEPS = 2, 60
#: Steps end once none is longer [rad, m].
ENOUGH = 1e-4
#: Damping of all directions, so that straight limbs do not leap.
DAMPING = 1e-2
#: Share of the gap between two capsules that one step may close, and gaps that are looked at [m].
CLOSING, NEAR = 0.5, 0.08
#: A soft constraint of daqp: the box holds, and of the gaps as many as can.
_SOFT = 8


class Retargeter:
    """Follows one person with one robot.

    Attributes:
        robot: the model that is commanded.
        limits: keeps the commands inside the robot's limits; they are those of ``follow``.

    Raises:
        RobotError: the robot lacks what its description needs.
    """

    def __init__(self, robot: RobotModel) -> None:
        self.robot = robot
        self.limits = CommandLimits(robot)
        self._configuration = mink.Configuration(robot.model, robot.rest)
        self._scaling = scaling = Scaling(robot)
        self._stance = Stance(scaling) if scaling.legged else None
        self._layout()
        self._arms = [Arm(robot, side, length) for side, length in zip(SIDES, scaling.arm, strict=True)]
        self._posture = mink.PostureTask(robot.model, self._posture_cost())
        self._drawn_to = robot.rest.copy()
        self._apart = (
            mink.CollisionAvoidanceLimit(
                robot.model, [([int(a)], [int(b)]) for a, b in robot.pairs], gain=CLOSING,
                minimum_distance_from_collisions=robot.description.collision_distance,
                collision_detection_distance=NEAR,
            )
            if len(robot.pairs)
            else None
        )  # fmt: skip
        self._touching = mujoco.MjData(robot.model)
        nv, base = robot.model.nv, robot.first_dof
        velocity, acceleration = (
            np.concatenate([np.repeat(of_base, 3)[:base], of_joints])
            for of_base, of_joints in (
                (robot.description.base_velocity, robot.velocity),
                (robot.description.base_acceleration, robot.acceleration),
            )
        )
        self._most = velocity, acceleration
        self._low = np.concatenate([np.full(base, -np.inf), robot.low])
        self._high = np.concatenate([np.full(base, np.inf), robot.high])
        self._velocity = np.zeros(nv)
        self._started = False
        self.failures = 0

    def reset(self) -> None:
        """The next frame is the first of a motion."""
        self._started = False

    def follow(self, frame: HumanFrame, dt_s: float) -> RobotCommand:
        """The command for a person's pose, ``dt_s`` after the frame before.

        The first frame after the start or :meth:`reset` is a robot at rest in that pose; all others are inside the
        limits from there.

        Raises:
            RobotError: ``dt_s`` is not a positive number.
        """
        if not (math.isfinite(dt_s) and dt_s > 0):
            raise RobotError(f"{dt_s} s between two frames; expected a positive number")
        targets = self._scaling.targets(frame)
        if not self._started:
            return self._start(frame, targets)
        self._ask(targets, frame.contacts, dt_s)
        before = self._configuration.data.qpos.copy()
        self._solve(dt_s)
        return self._command(before, dt_s, frame.stamp_ns)

    def errors(self) -> tuple[np.ndarray, np.ndarray]:
        """What the solver's pose misses of what was asked: [P, 3] m of places, [R, 3] rad of rotations."""
        return self._task.errors(self._configuration)

    def _layout(self) -> None:
        """Which sites are asked what, and where in the task's rows they stand."""
        robot, sites, weights = self.robot, self.robot.sites, self.robot.description.weights
        tips, roots, costs = [], [], []

        def add(key: str, root: str | None, cost: float) -> slice:
            first = len(tips)
            for side in SIDES:
                tips.append(sites[f"{side}_{key}"])
                roots.append(-1 if root is None else sites[f"{side}_{root}"])
                costs.append([cost] * 3)
            return slice(first, first + 2)

        self._elbow = add("elbow", "shoulder", weights["elbow"])
        self._wrist = add("wrist", "shoulder", weights["wrist"])
        if self._stance is not None:
            self._knee = add("knee", "hip", weights["knee"])
            self._foot = add("sole", None, weights["foot"])
            self._hips = len(tips)
            tips.append(sites["pelvis"])
            roots.append(-1)
            costs.append([weights["pelvis_place"], weights["pelvis_place"], weights["pelvis_height"]])
        turned = self._scaling.turned
        self._task = SiteTask(robot.model, tips, roots, [sites[name] for name in turned])
        self._task.place_costs[:] = costs
        of = {"hand": "hand_rotation", "sole": "foot_rotation"}
        for row, name in enumerate(turned):
            self._task.rotation_costs[row] = weights[of.get(name.split("_")[-1], f"{name}_rotation")]
        self._sole_rows = [turned.index(f"{side}_sole") for side in SIDES] if self._stance else []

    def _posture_cost(self) -> np.ndarray:
        cost = np.full(self.robot.model.nv, self.robot.description.weights["posture"])
        cost[: self.robot.first_dof] = 0.0
        for arm in self._arms:
            cost[self.robot.first_dof + arm.joints] = self.robot.description.weights["arm_posture"]
        return cost

    def _start(self, frame: HumanFrame, targets: Targets) -> RobotCommand:
        """A robot at rest in the person's pose, above the origin, and turned as the person is."""
        configuration = self.robot.rest.copy()
        if self._stance is not None:
            turn = heading(frame.rotations[0])
            configuration[3:7] = math.cos(0.5 * turn), 0.0, 0.0, math.sin(0.5 * turn)
            self._stance.start(np.zeros(2))
        self._configuration.update(configuration)
        unhurried = np.full(self.robot.model.nv, 1e6)
        most, self._most = self._most, (unhurried, unhurried)
        for _ in range(FIRST_STEPS // STEPS):
            self._velocity[:] = 0.0
            self._ask(targets, np.zeros(2, dtype=bool), 1.0)
            if self._solve(1.0):
                break
        self._most = most
        self._velocity[:] = 0.0
        self._started = True
        q = self._configuration.data.qpos
        position, rotation = self._base(q)
        self.limits.start(q[self.robot.first :], position, rotation)
        return self.limits.rest(1.0, 0.0, frame.stamp_ns)

    def _ask(self, targets: Targets, contacts: np.ndarray, dt_s: float) -> None:
        """Sets what the solver is to reach."""
        task, weights = self._task, self.robot.description.weights
        task.places[self._elbow], task.places[self._wrist] = targets.elbow, targets.wrist
        task.rotations[:] = targets.rotations
        for side, arm in enumerate(self._arms):
            arm.follow(self._configuration.data.qpos, targets.elbow[side], targets.wrist[side])
            self._drawn_to[self.robot.first + arm.joints] = arm.positions
        self._posture.set_target(self._drawn_to)
        stance = self._stance
        if stance is None:
            return
        data = self._configuration.data
        ids = [self.robot.sites[f"{side}_sole"] for side in SIDES]
        at_rest = self._scaling.at_rest[self._sole_rows]
        turned = data.site_xmat[ids].reshape(2, 3, 3)
        yaws = np.array([yaw_of(turned[side], at_rest[side]) for side in range(2)])
        stance.follow(targets, contacts, data.site_xpos[ids], yaws, dt_s)
        task.places[self._knee] = targets.knee
        task.places[self._hips] = stance.pelvis(targets)
        for side, foot in enumerate(stance.feet):
            row = self._sole_rows[side]
            task.places[self._foot.start + side] = stance.sole(side, data.site_xpos[ids[side]])
            share = foot.settled
            if foot.rests:
                c, s = math.cos(foot.yaw), math.sin(foot.yaw)
                task.rotations[row] = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ at_rest[side]
            task.place_costs[self._foot.start + side] = _between(weights["foot"], weights["resting_foot"], share)
            task.rotation_costs[row] = _between(weights["foot_rotation"], weights["resting_foot_rotation"], share)

    def _solve(self, dt_s: float) -> bool:
        """Moves the configuration towards what is asked, inside the box of this frame; True once it is there."""
        robot, configuration = self.robot, self._configuration
        base = robot.first_dof
        joints = configuration.data.qpos[robot.first :]
        now = np.concatenate([np.zeros(base), joints])
        lower, upper = reachable(now, self._velocity, self._low, self._high, self._most, dt_s)
        moved = np.zeros(len(now))
        tasks = [self._task, self._posture]
        for _ in range(STEPS):
            problem = mink.build_ik(configuration, tasks, 1.0, DAMPING, limits=[])
            step = self._step(problem, lower - moved, upper - moved)
            if step is None:
                self.failures += 1
                break
            moved += step
            configuration.integrate_inplace(step, 1.0)
            if np.abs(step).max() < ENOUGH:
                break
        self._velocity = moved / dt_s
        return bool(np.abs(moved).max() < 10 * ENOUGH)

    def _step(self, problem, lower: np.ndarray, upper: np.ndarray) -> np.ndarray | None:
        """Solution of one quadratic program inside a box; None where daqp finds none."""
        nv = len(lower)
        rows, most = np.empty((0, nv)), np.empty(0)
        if self._apart is not None:
            gaps = self._apart.compute_qp_inequalities(self._configuration, 1.0)
            near = np.isfinite(gaps.h)
            rows, most = gaps.G[near], gaps.h[near]
        sense = np.zeros(nv + len(most), dtype=ctypes.c_int)
        sense[nv:] = _SOFT
        x, _, flag, _ = daqp.solve(
            problem.P, problem.q, np.ascontiguousarray(rows), np.concatenate([np.maximum(lower, upper), most]),
            np.concatenate([np.minimum(lower, upper), np.full(len(most), -1e30)]), sense,
        )  # fmt: skip
        if flag < 1 or not np.isfinite(x).all():
            return None
        return np.clip(x, lower, upper)

    def _command(self, before: np.ndarray, dt_s: float, stamp_ns: int) -> RobotCommand:
        """The command next to the solver's pose; where capsules would meet on the way to it, a step of the brake."""
        robot, q = self.robot, self._configuration.data.qpos
        position, rotation = self._base(q)
        was_position, was_rotation = self._base(before)
        turned = (Rotation.from_quat(rotation) * Rotation.from_quat(was_rotation).inv()).as_rotvec()
        velocity = np.concatenate([(position - was_position), turned]) / dt_s
        state = self.limits.state()
        command = self.limits.follow(
            q[robot.first :], self._velocity[robot.first_dof :], position, rotation, velocity, dt_s, stamp_ns
        )
        if self.gap(command.positions) < 0.0:
            self.limits.restore(state)
            command = self.limits.rest(dt_s, 0.0, stamp_ns)
        return command

    def gap(self, positions: np.ndarray) -> float:
        """Least distance of two guarded capsules with the joints at [N] positions [m]; negative where they meet."""
        if self._apart is None:
            return math.inf
        robot, data = self.robot, self._touching
        data.qpos[robot.first :] = positions
        mujoco.mj_kinematics(robot.model, data)
        return min(
            (mujoco.mj_geomDistance(robot.model, data, int(a), int(b), NEAR, None) for a, b in self._near(data)),
            default=NEAR,
        )

    def _near(self, data: mujoco.MjData) -> np.ndarray:
        """The guarded pairs [P, 2] whose bounding spheres meet."""
        pairs, model = self.robot.pairs, self.robot.model
        apart = data.geom_xpos[pairs[:, 0]] - data.geom_xpos[pairs[:, 1]]
        reach = model.geom_rbound[pairs].sum(1)
        return pairs[(apart * apart).sum(1) < reach * reach]

    def _base(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] and quaternion x, y, z, w [4] of the root link."""
        if not self.robot.description.floating:
            return np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        return q[:3].copy(), q[[4, 5, 6, 3]]


def _between(free: float, resting: float, share: float) -> float:
    """A cost on the way from one to another, in equal ratios."""
    return free * (resting / free) ** share if free > 0 else share * resting
