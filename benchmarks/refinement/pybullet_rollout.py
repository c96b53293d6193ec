"""Rollouts in PyBullet: how long a driven character tracks a motion, in an engine that did not help to find it.

The engine integrates, and solves contacts and friction, in its own way (Featherstone's algorithm, sequential impulses).
Its character has the body's segments on spherical joints and touches with spheres at the contact points. Drives are
those of :mod:`diffmocap.physics.joint_drives`, the same for whatever is compared, stable at the engine's step by the
mass matrix and the contact forces of the previous step; no force holds the pelvis. A rollout ends where the pelvis is
0.3 m off.
"""

from __future__ import annotations

import math
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS
from diffmocap.physics.articulated import ArticulatedBody, SolvePositive
from diffmocap.physics.ground import Ground
from diffmocap.physics.ground_contact import GroundContact
from diffmocap.physics.joint_drives import JointDrives
from diffmocap.physics.simulation import BodyMotionState, targets_between
from diffmocap.refinement.diffphy.task import DiffphyTask

#: A character that far from its reference has fallen, or is elsewhere [m].
LOST_M = 0.3
#: Steps a second; the engine's default is 240. Drives hear of the ground a step late, and those of segments as light as
#: toes bear no more in a step than the ground gave in the last: at 480 Hz toes give way for half a second, at this rate
#: they follow as in :mod:`diffmocap.physics.simulation`.
RATE_HZ = 3840.0
#: Radius of the spheres at points of the skin [m]: they touch where the point is.
POINT_RADIUS = 0.02
#: Time in which the engine lifts out what is below the ground [s]. Soles of motion capture begin 2 to 4 cm below it;
#: the engine's default, a fifth in every step, throws a body off that stands so.
SURFACING_S = 0.1
#: What rollouts depend on beside the character and its motion, in words.
JUDGE = f"{RATE_HZ:g} Hz, lost at {LOST_M:g} m, surfacing in {SURFACING_S:g} s"


@dataclass(frozen=True)
class Rollout:
    """How it went.

    Attributes:
        seconds: until the pelvis was :data:`LOST_M` off, or the whole motion's. censored: it never was.
        pelvis: [T, 3] m at the frames that were simulated.
    """

    seconds: float
    censored: bool
    pelvis: np.ndarray


class PybulletCharacter:
    """A character in an engine of its own; a context manager.

    Args:
        body: float64. ground: the plane. drives: gains; None for the body's own. friction: coefficient.
    """

    def __init__(
        self, body: ArticulatedBody, ground: Ground, drives: JointDrives | None = None,
        friction: float = GroundContact.friction, rate_hz: float = RATE_HZ,
    ) -> None:  # fmt: skip
        import pybullet
        from pybullet_utils.bullet_client import BulletClient

        self.body, self.drives, self.rate_hz = body, drives or JointDrives.of_body(body), rate_hz
        self._gravity = -ground.gravity_m_s2 * ground.up.to(body.segments.mass)
        # Links have their principal axes, so that the engine's frames of inertia are those of the links.
        _, axes = torch.linalg.eigh(body.segments.inertia)
        self._axes = axes * torch.linalg.det(axes)[:, None, None]
        self.engine = engine = BulletClient(connection_mode=pybullet.DIRECT)
        engine.setGravity(*self._gravity.tolist())
        engine.setTimeStep(1 / rate_hz)
        engine.setPhysicsEngineParameter(numSolverIterations=50, contactERP=1 / (rate_hz * SURFACING_S))
        up = ground.up.tolist()
        plane = engine.createMultiBody(
            0, engine.createCollisionShape(engine.GEOM_PLANE, planeNormal=up),
            basePosition=(float(ground.height) * ground.up).tolist(),
        )  # fmt: skip
        engine.changeDynamics(plane, -1, lateralFriction=1.0, restitution=0.0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "character.urdf"
            path.write_text(self.urdf())
            self.robot = engine.loadURDF(str(path), flags=engine.URDF_USE_INERTIA_FROM_FILE)
        count = engine.getNumJoints(self.robot)
        names = {engine.getJointInfo(self.robot, i)[12].decode(): i for i in range(count)}
        self._links = [names[name] for name in JOINT_NAMES[1:]]
        self._segment = {link: joint for joint, link in enumerate(self._links, 1)} | {-1: 0}
        for link in range(-1, count):
            engine.changeDynamics(
                self.robot, link, lateralFriction=friction, restitution=0.0, linearDamping=0.0, angularDamping=0.0,
                jointDamping=0.0,
            )  # fmt: skip
        for link in self._links:  # the engine's own motors rest
            engine.setJointMotorControlMultiDof(
                self.robot, link, engine.POSITION_CONTROL, targetPosition=[0, 0, 0, 1], positionGain=0, velocityGain=0,
                force=[0, 0, 0],
            )  # fmt: skip

    def __enter__(self) -> PybulletCharacter:
        return self

    def __exit__(self, *error: object) -> None:
        self.engine.disconnect()

    def urdf(self) -> str:
        """24 links in their principal axes, 23 spherical joints, spheres at the contact points."""
        segments, points, robot = self.body.segments, self.body.points, ET.Element("robot", name="character")
        for j, name in enumerate(JOINT_NAMES):
            axes = self._axes[j]
            link = ET.SubElement(robot, "link", name=name)
            inertial = ET.SubElement(link, "inertial")
            ET.SubElement(inertial, "origin", xyz=_text(segments.centre[j] @ axes), rpy="0 0 0")
            ET.SubElement(inertial, "mass", value=f"{float(segments.mass[j]):.9g}")
            moments = (axes.T @ segments.inertia[j] @ axes).diagonal().tolist()
            entries = {f"i{a}{b}": "0" for a, b in ("xy", "xz", "yz")}
            ET.SubElement(inertial, "inertia", entries | {f"i{a}{a}": f"{m:.9g}" for a, m in zip("xyz", moments)})
            for q in torch.nonzero(points.segment == j)[:, 0].tolist():
                radius, centre = float(points.radius[q]), points.offset[q]
                if radius < POINT_RADIUS:  # on the sole: the sphere's lowest point at rest, where up is y
                    centre = centre + torch.tensor([0.0, POINT_RADIUS - radius, 0.0]).to(centre)
                    radius = POINT_RADIUS
                shape = ET.SubElement(link, "collision")
                ET.SubElement(shape, "origin", xyz=_text(centre @ axes), rpy="0 0 0")
                ET.SubElement(ET.SubElement(shape, "geometry"), "sphere", radius=f"{radius:.9g}")
            if j:
                parent = self._axes[PARENTS[j]]
                joint = ET.SubElement(robot, "joint", name=f"{name}_joint", type="spherical")
                # URDF's rpy turns about the fixed x, y and z in turn.
                angles = roma.rotmat_to_euler("xyz", parent.T @ axes)
                ET.SubElement(joint, "origin", xyz=_text(segments.offsets[j] @ parent), rpy=_text(angles))
                ET.SubElement(joint, "parent", link=JOINT_NAMES[PARENTS[j]])
                ET.SubElement(joint, "child", link=name)
                ET.SubElement(joint, "axis", xyz="1 0 0")  # unused, but the engine's reader asks for it
        ET.indent(robot)  # the engine's reader breaks lines of more than a thousand characters
        return ET.tostring(robot, encoding="unicode")

    def set_state(self, state: BodyMotionState) -> None:
        """Put the character into the state of one body, [1, ...]."""
        engine, body = self.engine, self.body
        rotations, u = state.rotations[0].to(body.segments.mass), state.velocity[0].to(body.segments.mass)
        turned = rotations @ self._axes
        arm = rotations[0] @ body.segments.centre[0]
        speed = u[0] + torch.linalg.cross(u[1], arm)
        place = state.pelvis[0].to(arm) + arm
        quaternions = roma.rotmat_to_unitquat(turned[:1])
        engine.resetBasePositionAndOrientation(self.robot, place.tolist(), quaternions[0].tolist())
        engine.resetBaseVelocity(self.robot, speed.tolist(), u[1].tolist())
        parents = list(PARENTS[1:])
        local = rotations[parents].transpose(-1, -2) @ rotations[1:]
        local = self._axes[1:].transpose(-1, -2) @ local @ self._axes[1:]
        rates = ((u[2:] - u[1:][parents])[:, None] @ turned[1:])[:, 0]
        for link, quaternion, rate in zip(self._links, roma.rotmat_to_unitquat(local).tolist(), rates.tolist()):
            engine.resetJointStateMultiDof(self.robot, link, targetValue=quaternion, targetVelocity=rate)

    def state(self) -> BodyMotionState:
        """Where the character is, float64 [1, ...]."""
        engine, body = self.engine, self.body
        place, quaternion = engine.getBasePositionAndOrientation(self.robot)
        speed, spin = engine.getBaseVelocity(self.robot)
        links = engine.getLinkStates(self.robot, self._links, computeLinkVelocity=1, computeForwardKinematics=1)
        quaternions = torch.tensor([quaternion, *(link[5] for link in links)], dtype=torch.float64)
        omega = torch.tensor([spin, *(link[7] for link in links)], dtype=torch.float64)
        quaternions = torch.nn.functional.normalize(quaternions, dim=-1)
        rotations = roma.unitquat_to_rotmat(quaternions) @ self._axes.transpose(-1, -2)
        arm = rotations[0] @ body.segments.centre[0]
        velocity = torch.tensor(speed, dtype=torch.float64) - torch.linalg.cross(omega[0], arm)
        pelvis = torch.tensor(place, dtype=torch.float64) - arm
        return BodyMotionState(rotations[None], pelvis[None], torch.cat([velocity[None], omega])[None])

    def step(self, torque: torch.Tensor, rotations: torch.Tensor) -> None:
        """One step of the engine under torques [24, 3] N m on the children, in the motion's axes, at rotations
        [24, 3, 3]."""
        own = (torque[:, None] @ (rotations @ self._axes))[:, 0].tolist()
        for joint, link in enumerate(self._links, 1):
            self.engine.setJointMotorControlMultiDof(
                self.robot, link, self.engine.TORQUE_CONTROL, force=own[joint]
            )  # fmt: skip
        self.engine.stepSimulation()

    def contact_force(self, positions: torch.Tensor) -> torch.Tensor:
        """Generalised force [1, 75] of the last step's contacts; ``positions`` [24, 3] of the joints."""
        joints, total = positions.numpy(), np.zeros((1 + NUM_JOINTS, 3))
        for contact in self.engine.getContactPoints(self.robot):
            point = np.array(contact[5])
            force = contact[9] * np.array(contact[7])
            force = force + contact[10] * np.array(contact[11]) + contact[12] * np.array(contact[13])
            total[0] += force
            segment = self._segment[contact[3]]
            while segment >= 0:
                total[1 + segment] += np.cross(point - joints[segment], force)
                point, segment = joints[segment], PARENTS[segment]
        return torch.from_numpy(total).view(1, -1)

    def drive(self, aim: torch.Tensor, rate: torch.Tensor, contact: torch.Tensor) -> torch.Tensor:
        """One step towards local targets [1, 23, 3, 3] that turn with ``rate`` [1, 24, 3] in the parents' axes.

        ``contact`` is the generalised force of the contacts in the previous step; returns that of this one.
        """
        body, dt, now = self.body, 1 / self.rate_hz, self.state()
        at = body.configuration(now.rotations, now.pelvis)
        wanted = (now.rotations.index_select(1, body.parents) @ rate[..., None])[..., 0]
        error, relative = self.drives.error(now.rotations, aim, body), body.relative @ now.velocity[:, 1:]
        torque, stiffening = self.drives.torque(error, wanted, relative, dt)
        force = body.joint_force(torque) - body.bias(at, now.velocity, self._gravity) + contact
        matrix = body.mass_matrix(at) + dt * body.joint_matrix(stiffening)
        gain = SolvePositive.apply(matrix, dt * force).view_as(now.velocity)
        torque = torque - stiffening[..., None] * (body.relative @ gain[:, 1:])
        self.step(torque[0], now.rotations[0])
        return self.contact_force(at.positions[0, :NUM_JOINTS])

    @torch.no_grad()
    def rollout(self, start: BodyMotionState, targets: torch.Tensor, reference: torch.Tensor, dt_s: float) -> Rollout:
        """Track local targets [T, 23, 3, 3] at frames dt_s apart until the pelvis leaves ``reference`` [T, 3] m."""
        self.set_state(start)
        steps = round(dt_s * self.rate_hz)
        if not math.isclose(steps / self.rate_hz, dt_s, rel_tol=1e-3):
            raise ValueError(f"frames of {dt_s} s are not a whole number of steps at {self.rate_hz} Hz")
        aims, rates = targets_between(targets[None].double(), dt_s, steps)
        reference, path = reference.double(), [start.pelvis[0].double()]
        contact = torch.zeros(1, 3 * (1 + NUM_JOINTS), dtype=torch.float64)
        for frame, (frame_aims, rate) in enumerate(zip(aims.unbind(1), rates.unbind(1)), 1):
            for aim in frame_aims.unbind(1):
                contact = self.drive(aim, rate, contact)
            path.append(self.state().pelvis[0])
            if not float((path[-1] - reference[frame]).norm()) < LOST_M:
                return Rollout(frame * dt_s, False, torch.stack(path).numpy())
        return Rollout((len(reference) - 1) * dt_s, True, torch.stack(path).numpy())


def rollout_of(task: DiffphyTask, x: torch.Tensor, precise: ArticulatedBody) -> Rollout:
    """A rollout of controls [1, N] from the task's own start; ``precise`` is its body in float64."""
    ground = Ground(task.simulator.up.double(), task.simulator.height.double())
    targets = task.controls.targets(task.rotations[:, :, 1:], x.to(task.pelvis))
    start = BodyMotionState(*(value.double() for value in vars(task.start).values()))
    with PybulletCharacter(precise, ground) as character:
        return character.rollout(start, targets[0].double(), task.pelvis[0], task.dt_s)


def _text(x: torch.Tensor) -> str:
    return " ".join(f"{value:.9g}" for value in x.tolist())
