"""A robot's pose for a person's: inverse kinematics inside the robot's limits, a few steps per frame.

What is asked stands in :mod:`diffmocap.robots.scaling` and :mod:`diffmocap.robots.stance`; mink makes a quadratic
program of it, and daqp solves that with capsules kept apart. First the pose that is asked for is found, inside the
range of each joint alone. Where it cannot be reached by the next command, the nearest pose that can is found inside
the box of :mod:`diffmocap.robots.limits`: the feet that rest then stay, and what matters less comes later.
"""

from __future__ import annotations

import ctypes
import math

import daqp
import mink
import mujoco
import numpy as np

from diffmocap.errors import RobotError
from diffmocap.robots.arms import Arm
from diffmocap.robots.collision import Gaps
from diffmocap.robots.frames import SIDES, HumanFrame, RobotCommand
from diffmocap.robots.limits import LONGEST_S, SHORTEST_S, CommandLimits
from diffmocap.robots.model import RobotModel, joints_between
from diffmocap.robots.scaling import Scaling, Targets
from diffmocap.robots.stance import Stance, heading, yaw_of
from diffmocap.robots.tasks import SiteTask

#: Steps to the pose that is asked for in a frame, and to the first pose of a motion.
STEPS, FIRST_STEPS = 2, 60
#: Where the pose that is asked for is out of reach: cost of each joint's own way, and the share of all costs but those
#: of resting feet that is left beside it.
INSIDE, OTHERS = 1.0, 0.3
#: The same of the legs' joints: they carry the hips, and must move together.
INSIDE_LEGS = 0.03
#: An arm of the wanted pose that is farther from what the person's arm asks for goes there at once [rad].
LEAP = 0.6
#: Longest step of a joint [rad], so that a step is where its linear model holds.
LONGEST_STEP = 0.5
#: Steps end once none is longer [rad, m].
ENOUGH = 1e-4
#: Less than this outside of a box is inside [rad, m].
ROUNDING = 1e-9
#: Damping of all directions, so that straight limbs do not leap.
DAMPING = 1e-2
#: Gaps between capsules that are looked at: of the pose that is asked for, and of the commanded one, which has a speed
#: [m].
NEAR, NEAR_MOVING = 0.04, 0.15
#: A soft constraint of daqp: the box holds, and of the gaps as many as can.
_SOFT = 8


class Retargeter:
    """Follows one person with one robot.

    Attributes:
        robot: the model that is commanded.
        limits: what every command has passed.
        failures: how often daqp found no solution; the pose of the step before was kept.
    """

    def __init__(self, robot: RobotModel) -> None:
        self.robot = robot
        self.limits = CommandLimits(robot)
        self.failures = 0
        self._scaling = scaling = Scaling(robot)
        self._stance = Stance(scaling) if scaling.legged else None
        self._wanted = mink.Configuration(robot.model, robot.rest)
        self._commanded = mink.Configuration(robot.model, robot.rest)
        self._soles = [robot.sites[f"{side}_sole"] for side in SIDES] if scaling.legged else []
        self._layout()
        self._arms = [Arm(robot, side, length) for side, length in zip(SIDES, scaling.arm, strict=True)]
        self._posture = mink.PostureTask(robot.model, self._posture_cost())
        for side, arm in enumerate(self._arms):
            # An arm that lags does not turn the whole robot: it is helped by its own joints alone.
            own = np.zeros(robot.model.nv)
            own[robot.first_dof + arm.joints] = 1.0
            for task in (self._task, self._task_inside):
                task.helped_by[[self._elbow.start + side, self._wrist.start + side]] = own
        self._drawn_to = robot.rest.copy()
        every = np.full(robot.model.nv, INSIDE)
        for sole in self._soles:
            every[joints_between(robot, sole, robot.model.site_bodyid[robot.sites["pelvis"]])] = INSIDE_LEGS
        self._inside = mink.PostureTask(robot.model, every)
        self._tasks = [self._task, self._posture]
        self._gaps, self._gaps_moving = (Gaps(robot, near) for near in (NEAR, NEAR_MOVING))
        self._posed = mujoco.MjData(robot.model)
        self._range = np.full(robot.model.nv, LONGEST_STEP)
        self._gap = math.inf
        self._started = False

    def reset(self) -> None:
        """The next frame is the first of a motion."""
        self._started = False

    def follow(self, frame: HumanFrame, dt_s: float) -> RobotCommand:
        """The command for a person's pose, ``dt_s`` after the frame before.

        The first frame after the start or :meth:`reset` gives a robot at rest in that pose, above the origin; all
        others are inside the limits from there.

        Raises:
            RobotError: ``dt_s`` is not a positive number.
        """
        if not (math.isfinite(dt_s) and dt_s > 0):
            raise RobotError(f"{dt_s} s between two frames; expected a positive number")
        targets = self._scaling.targets(frame)
        if not self._started:
            return self._start(frame, targets)
        dt_s = min(max(dt_s, SHORTEST_S), LONGEST_S)
        before = self._wanted.data.qpos.copy()
        self._ask(targets, frame.contacts, dt_s)
        self._follow_leaps()
        self._find(STEPS)
        self._command_within(self._way(before, self._wanted) / dt_s, dt_s)
        return self._limited(dt_s, frame.stamp_ns)

    def gap(self, positions: np.ndarray) -> float:
        """Least distance of two guarded capsules with the joints at [N] positions [m]; negative where they meet.

        Farther than ``NEAR`` counts as that.
        """
        data = self._posed
        data.qpos[self.robot.first :] = positions
        mujoco.mj_kinematics(self.robot.model, data)
        return self._gaps.least(data)

    def errors(self) -> tuple[np.ndarray, np.ndarray]:
        """What the command misses of what was asked: [P, 3] m of places, [R, 3] rad of rotations."""
        return self._task.errors(self._commanded)

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
        self._task, self._task_inside = (
            SiteTask(robot.model, tips, roots, [sites[name] for name in turned]) for _ in range(2)
        )
        self._task.place_costs[:] = costs
        of = {"hand": "hand_rotation", "sole": "foot_rotation"}
        for row, name in enumerate(turned):
            self._task.rotation_costs[row] = weights[of.get(name.split("_")[-1], f"{name}_rotation")]
        self._sole_rows = [turned.index(f"{side}_sole") for side in SIDES] if self._stance else []

    def _posture_cost(self) -> np.ndarray:
        weights = self.robot.description.weights
        cost = np.full(self.robot.model.nv, weights["posture"])
        cost[: self.robot.first_dof] = 0.0
        for arm in self._arms:
            cost[self.robot.first_dof + arm.joints] = weights["arm_posture"]
        return cost

    def _start(self, frame: HumanFrame, targets: Targets) -> RobotCommand:
        """A robot at rest in the person's pose, above the origin, and turned as the person is."""
        configuration = self.robot.rest.copy()
        if self._stance is not None:
            turn = heading(frame.rotations[0])
            configuration[3:7] = math.cos(0.5 * turn), 0.0, 0.0, math.sin(0.5 * turn)
            self._stance.start(np.zeros(2))
        self._wanted.update(configuration)
        self._commanded.update(configuration)
        for _ in range(FIRST_STEPS // STEPS):
            self._ask(targets, np.zeros(2, dtype=bool), 1.0)
            self._find(STEPS)
            self._commanded.update(self._wanted.data.qpos)
        self._started, self._gap = True, math.inf
        joints, place, turned = self._parts(self._wanted.data.qpos)
        return self.limits.start(joints, place, turned, frame.stamp_ns)

    def _ask(self, targets: Targets, contacts: np.ndarray, dt_s: float) -> None:
        """Sets what the solver is to reach."""
        task, weights = self._task, self.robot.description.weights
        task.places[self._elbow], task.places[self._wrist] = targets.elbow, targets.wrist
        task.rotations[:] = targets.rotations
        for side, arm in enumerate(self._arms):
            arm.follow(self._commanded.data.qpos, targets.elbow[side], targets.wrist[side])
            self._drawn_to[arm.at] = arm.positions
        self._posture.set_target(self._drawn_to)
        stance = self._stance
        if stance is None:
            return
        data = self._commanded.data
        at_rest = self._scaling.at_rest[self._sole_rows]
        turned = data.site_xmat[self._soles].reshape(2, 3, 3)
        yaws = np.array([yaw_of(turned[side], at_rest[side]) for side in range(2)])
        soles = data.site_xpos[self._soles]
        stance.follow(targets, contacts, soles, yaws, dt_s)
        task.places[self._knee] = targets.knee
        task.places[self._hips] = stance.pelvis(targets)
        for side, foot in enumerate(stance.feet):
            row = self._sole_rows[side]
            task.places[self._foot.start + side] = stance.sole(side, soles[side])
            share = foot.settled
            if foot.rests:
                c, s = math.cos(foot.yaw), math.sin(foot.yaw)
                task.rotations[row] = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ at_rest[side]
            task.place_costs[self._foot.start + side] = _between(weights["foot"], weights["resting_foot"], share)
            task.rotation_costs[row] = _between(weights["foot_rotation"], weights["resting_foot_rotation"], share)

    def _follow_leaps(self) -> None:
        """Puts the arms of the wanted pose where the person's arms ask for, once those have found another way."""
        q = self._wanted.data.qpos
        leapt = [arm for arm in self._arms if np.abs(q[arm.at] - arm.positions).max() > LEAP]
        for arm in leapt:
            q[arm.at] = arm.positions
        if leapt:
            self._wanted.update()

    def _find(self, steps: int) -> None:
        """Moves the wanted pose towards what is asked, inside the range of each joint."""
        box, base = self.limits.box, self.robot.first_dof
        for _ in range(steps):
            lower, upper = -self._range, self._range.copy()
            joints = self._wanted.data.qpos[self.robot.first :]
            lower[base:] = np.maximum(lower[base:], np.minimum(box.low[base:] - joints, 0.0))
            upper[base:] = np.minimum(upper[base:], np.maximum(box.high[base:] - joints, 0.0))
            step = self._step(self._wanted, lower, upper, self._tasks)
            if step is None:
                return
            self._wanted.integrate_inplace(step, 1.0)
            if np.abs(step).max() < ENOUGH:
                return

    def _command_within(self, velocity: np.ndarray, dt_s: float) -> None:
        """Moves the commanded pose to the wanted one, which moves with ``velocity`` [nv], or as near as its limits
        allow."""
        limits, base = self.limits, self.robot.first_dof
        position = np.zeros(len(velocity))
        position[base:] = self._commanded.data.qpos[self.robot.first :]
        lower, upper = ends = limits.box.ends(position, limits.velocity, dt_s)
        way = self._way(self._commanded.data.qpos, self._wanted)
        gentle = limits.box.towards(ends, way, velocity, dt_s)
        within = ((way >= gentle[0] - ROUNDING) & (way <= gentle[1] + ROUNDING)).all()
        if within and self._gaps.least(self._wanted.data) >= 0.0:
            self._commanded.update(self._wanted.data.qpos)
            return
        # Each joint by itself would come as near as it can and still stop there; resting feet have them do otherwise.
        near = np.clip(way, *gentle)
        lower[:base], upper[:base] = gentle[0][:base], gentle[1][:base]
        self._inside.set_target(self._commanded.integrate(near, 1.0))
        moved = np.zeros(len(velocity))
        tasks = self._tasks_inside(dt_s)
        for _ in range(STEPS):
            step = self._step(self._commanded, lower - moved, upper - moved, tasks, dt_s)
            if step is None:
                break
            moved += step
            self._commanded.integrate_inplace(step, 1.0)

    def _tasks_inside(self, dt_s: float) -> list:
        """Resting feet as before, all else less than each joint's own way; ``dt_s`` since the command before."""
        task, within = self._task, self._task_inside
        within.places, within.rotations = task.places, task.rotations
        within.place_costs[:], within.rotation_costs[:] = OTHERS * task.place_costs, OTHERS * task.rotation_costs
        if self._stance is not None:
            for side, foot in enumerate(self._stance.feet):
                if foot.rests:
                    within.place_costs[self._foot.start + side] = task.place_costs[self._foot.start + side]
                    within.rotation_costs[self._sole_rows[side]] = task.rotation_costs[self._sole_rows[side]]
            within.place_costs[self._hips] = task.place_costs[self._hips]
            pelvis = self._scaling.turned.index("pelvis")
            within.rotation_costs[pelvis] = task.rotation_costs[pelvis]
        within.place_costs[self._elbow] = 0.0  # so that all of an arm's joints help its hand
        for side, arm in enumerate(self._arms):
            row = self._wrist.start + side
            arm.lag(self._commanded.data, task.places[row], self._wanted.data.qpos, dt_s)
            if not arm.straight:
                within.place_costs[row] = 0.0
        return [within, self._inside]

    def _step(
        self, configuration: mink.Configuration, lower: np.ndarray, upper: np.ndarray, tasks: list, dt_s: float = 0.0
    ) -> np.ndarray | None:
        """Solution of one quadratic program inside a box; None where daqp finds none.

        With a time ``dt_s`` that the step takes, capsules come no nearer than they can still brake.
        """
        problem = mink.build_ik(configuration, tasks, 1.0, DAMPING, limits=[])
        nv = len(lower)
        rows, most = (self._gaps_moving if dt_s else self._gaps).rows(configuration.data, dt_s)
        sense = np.zeros(nv + len(most), dtype=ctypes.c_int)
        sense[nv:] = _SOFT
        x, _, flag, _ = daqp.solve(
            problem.P, problem.q, rows, np.concatenate([upper, most]),
            np.concatenate([lower, np.full(len(most), -1e30)]), sense,
        )  # fmt: skip
        if flag < 1 or not np.isfinite(x).all():
            self.failures += 1
            return None
        return np.clip(x, lower, upper)

    def _limited(self, dt_s: float, stamp_ns: int) -> RobotCommand:
        """The command of the commanded pose, after the limits had the last word."""
        gap = self._gaps.least(self._commanded.data)
        if gap < 0.0 and gap < self._gap:
            command = self.limits.rest(dt_s, 0.0, stamp_ns)  # rather late than through itself
        else:
            command = self.limits.keep(*self._parts(self._commanded.data.qpos), dt_s, stamp_ns)
        q = self._commanded.data.qpos.copy()
        q[self.robot.first :] = command.positions
        if self.robot.first:
            q[:3], q[3:7] = command.base_position, np.roll(command.base_rotation, 1)
        self._commanded.update(q)
        self._gap = gap
        return command

    def _way(self, start: np.ndarray, end: mink.Configuration) -> np.ndarray:
        """Velocity [nv] that leads from a configuration to another in a second."""
        way = np.empty(self.robot.model.nv)
        mujoco.mj_differentiatePos(self.robot.model, way, 1.0, start, end.data.qpos)
        return way

    def _parts(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Joints [N], and position [3] and quaternion x, y, z, w [4] of the root link."""
        if not self.robot.first:
            return q, np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        return q[7:], q[:3], q[[4, 5, 6, 3]]


def _between(free: float, resting: float, share: float) -> float:
    """A cost on the way from one to another, in equal ratios."""
    return free * (resting / free) ** share if free > 0 else share * resting
