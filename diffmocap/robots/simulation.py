"""A robot that is driven by torques, in MuJoCo: do its joints keep up with the commands, or does it fall?

Each joint has a motor with proportional and derivative gain (PD) and gravity compensation, limited to the effort that
the model allows. The pelvis hangs on a soft support, a spring and a damper that carry its weight to the commanded
place: balance is the work of a controller of its own, which this is not. A fixed robot needs none.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from diffmocap.robots.frames import RobotCommand
from diffmocap.robots.model import RobotModel

#: Step of the simulation [s].
STEP_S = 0.002
#: Rotor and gear of a motor, seen from the joint [kg m^2].
ARMATURE = 0.02
#: How fast joints and the support follow [rad/s], critically damped.
JOINT_FREQUENCY, SUPPORT_FREQUENCY = 60.0, 15.0
#: The pelvis has fallen where it is farther from its commanded place [m], or is tilted by more [rad].
FALLEN_M, FALLEN_RAD = 0.3, math.radians(45.0)


@dataclass(frozen=True)
class Driven:
    """One simulated frame.

    Attributes:
        configuration: of the model. error: [N] rad, of each joint against its command. fallen: whether the robot lies.
        saturated: [N] whether each motor was at its limit at any time since the frame before.
    """

    configuration: np.ndarray
    error: np.ndarray
    fallen: bool
    saturated: np.ndarray


def drive(robot: RobotModel, commands: Sequence[RobotCommand], fps: float) -> Iterator[Driven]:
    """Simulates commands at an even rate, joined by straight lines; gives a frame for each command.

    The simulation begins at rest at the first command, and ends with the first frame in which the robot has fallen.
    """
    model = copy.copy(robot.model)
    data = mujoco.MjData(model)
    model.opt.timestep = STEP_S
    # The capsules are there to be kept apart, and those of neighbours overlap.
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    first, dofs = robot.first, slice(robot.first_dof, model.nv)
    model.dof_armature[dofs] = ARMATURE
    data.qpos[:] = configuration_of(robot, commands[0])
    mujoco.mj_forward(model, data)
    whole = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, whole)
    # What a joint alone has to move, all others being free: with more, a motor would be too stiff for its own steps.
    inertia = 1.0 / np.diag(np.linalg.inv(whole))
    frequency = np.where(np.arange(model.nv) < robot.first_dof, SUPPORT_FREQUENCY, JOINT_FREQUENCY)
    # The support carries, and turns, the whole robot, far more than the pelvis alone: MuJoCo damps it implicitly.
    base = slice(0, robot.first_dof)
    inertia[base] = np.diag(whole)[base]
    stiffness, damping = inertia * frequency**2, 2.0 * inertia * frequency
    model.dof_damping[base] = damping[base]
    own = np.where(np.arange(model.nv) < robot.first_dof, 0.0, damping)
    effort = np.concatenate([np.full(robot.first_dof, np.inf), robot.effort])
    steps = max(round(1.0 / (fps * STEP_S)), 1)
    before = data.qpos.copy()
    way, wanted = np.zeros(model.nv), before.copy()
    left = np.zeros(model.nv)
    for command in commands:
        target = configuration_of(robot, command)
        mujoco.mj_differentiatePos(model, way, 1.0, before, target)
        saturated = np.zeros(len(robot.joint_names), dtype=bool)
        for step in range(steps):
            wanted[:] = before
            mujoco.mj_integratePos(model, wanted, way, (step + 1) / steps)
            mujoco.mj_differentiatePos(model, left, 1.0, data.qpos, wanted)
            force = data.qfrc_bias + stiffness * left + damping * way * fps - own * data.qvel
            np.clip(force, -effort, effort, out=data.qfrc_applied)
            saturated |= np.abs(force[dofs]) > effort[dofs]
            mujoco.mj_step(model, data)
        before = target
        fallen = _fallen(robot, data, left)
        yield Driven(data.qpos.copy(), target[first:] - data.qpos[first:], fallen, saturated)
        if fallen:
            return


def configuration_of(robot: RobotModel, command: RobotCommand) -> np.ndarray:
    """The model's configuration for a command."""
    q = np.empty(robot.model.nq)
    if robot.first:
        q[:3], q[3:7] = command.base_position, np.roll(command.base_rotation, 1)
    q[robot.first :] = command.positions
    return q


def _fallen(robot: RobotModel, data: mujoco.MjData, left: np.ndarray) -> bool:
    if not np.isfinite(data.qpos).all():
        return True
    return bool(robot.first) and (
        float(np.linalg.norm(left[:3])) > FALLEN_M or float(np.linalg.norm(left[3:6])) > FALLEN_RAD
    )
