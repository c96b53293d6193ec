"""How much of a motion's root wrench can the ground not supply? A judge that shares no code with the refinement.

    URDF -> momentum of 24 rigid links -> its rate -> wrench that the ground must supply
    source motion capture -> which contact points touch -> forces in their friction cones -> what is left over

Masses are read off the project's URDF here, momentum is differenced here (NumPy and SciPy alone), contacts come from
the motion that the camera saw and not from the estimate, and forces from non-negative least squares. Nothing of
``diffmocap.physics`` computes; contact points are only the places of skin that may touch.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.spatial.transform import Rotation

from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS
from diffmocap.physics.contact_points import ContactPoints

GRAVITY = 9.80665
FRICTION = 0.8
#: Edges of the pyramid inside the friction cone.
EDGES = 8
#: A moment counts as a force at this arm [m], about the radius of gyration of a standing person.
ARM = 0.5
#: A point of the source's body touches from below both lower levels on until it is above an upper one [m, m/s]; resting
#: feet of the captured motions are within centimetres of the floor and glide at up to 30 cm/s.
TOUCH, LEAVE = (0.04, 0.4), (0.07, 0.8)
#: The URDF has x forward, y left, z up; links have SMPL's x left, y up, z forward.
_SMPL_FROM_URDF = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class RootWrench:
    """What the ground must supply at the T - 2 inner frames.

    Attributes:
        force: [T - 2, 3] N. moment: [T - 2, 3] N m about ``centre``. centre: [T - 2, 3] m, of mass.
    """

    force: np.ndarray
    moment: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True)
class Unexplained:
    """What no contact explains at the T - 2 inner frames.

    Attributes:
        force_pct: [T - 2] of the body's weight. moment_nm: [T - 2] about the centre of mass.
        combined_pct: [T - 2] root of the sum of squares of the force and of the moment over :data:`ARM`, in percent of
            the weight: what the least squares minimise, and the benchmark's ``root_residual``.
    """

    force_pct: np.ndarray
    moment_nm: np.ndarray
    combined_pct: np.ndarray

    def figures(self) -> dict[str, float]:
        """Mean over frames, and medians beside."""
        return {
            "root_residual": float(self.combined_pct.mean()),
            "root_residual_median": float(np.median(self.combined_pct)),
            "root_force_pct": float(self.force_pct.mean()),
            "root_moment_nm": float(self.moment_nm.mean()),
        }


class RootJudge:
    """Judges motions of the body that a URDF describes.

    Args:
        urdf: its text; joints of three axes each between links of SMPL's names. points: where the body may touch.
    """

    def __init__(self, urdf: str, points: ContactPoints) -> None:
        robot = ET.fromstring(urdf)
        came_by = {joint.find("child").get("link"): joint for joint in robot.iter("joint")}
        inertials = {link.get("name"): link.find("inertial") for link in robot.iter("link")}
        self.mass, self.centre = np.zeros(NUM_JOINTS), np.zeros((NUM_JOINTS, 3))
        self.inertia, self.bones = np.zeros((NUM_JOINTS, 3, 3)), np.zeros((NUM_JOINTS, 3))
        for j, name in enumerate(JOINT_NAMES):
            inertial = inertials[name]
            entries = {key: float(value) for key, value in inertial.find("inertia").items()}
            matrix = np.array([[entries["i" + "".join(sorted(a + b))] for b in "xyz"] for a in "xyz"])
            self.mass[j] = float(inertial.find("mass").get("value"))
            self.centre[j] = _SMPL_FROM_URDF @ _numbers(inertial.find("origin"))
            self.inertia[j] = _SMPL_FROM_URDF @ matrix @ _SMPL_FROM_URDF.T
            link = name  # through the links between the axes, to the next segment
            while j and link != JOINT_NAMES[PARENTS[j]]:
                self.bones[j] += _SMPL_FROM_URDF @ _numbers(came_by[link].find("origin"))
                link = came_by[link].find("parent").get("link")
        self._segment = points.segment.cpu().numpy()
        self._offset, self._radius = points.offset.double().cpu().numpy(), points.radius.double().cpu().numpy()
        self.point_names = points.names

    @property
    def weight(self) -> float:
        """Of the body [N]."""
        return GRAVITY * float(self.mass.sum())

    def poses(self, rotations: np.ndarray, pelvis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Global rotations [T, 24, 3, 3] and joints [T, 24, 3] m of local ones and the pelvis [T, 3] m."""
        turned, joints = np.array(rotations, float), np.empty((*np.shape(rotations)[:2], 3))
        joints[:, 0] = pelvis
        for j, parent in enumerate(PARENTS[1:], 1):
            turned[:, j] = turned[:, parent] @ turned[:, j]
            joints[:, j] = joints[:, parent] + turned[:, parent] @ self.bones[j]
        return turned, joints

    def contact_positions(self, rotations: np.ndarray, pelvis: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Skin nearest to the ground [T, P, 3] m at the points that may touch."""
        turned, joints = self.poses(rotations, pelvis)
        centres = joints[:, self._segment] + np.einsum("tpij,pj->tpi", turned[:, self._segment], self._offset)
        return centres - self._radius[:, None] * np.asarray(up, float)

    def contacts(
        self, rotations: np.ndarray, pelvis: np.ndarray, dt_s: float, up: np.ndarray, height: float
    ) -> np.ndarray:
        """Which points touch [T, P] bool, by height and speed, read forwards in time; label whole takes, then cut."""
        position = self.contact_positions(rotations, pelvis, up)
        gap = position @ np.asarray(up, float) - height
        pace = np.linalg.norm(np.gradient(position, dt_s, axis=0), axis=-1)
        touches, leaves = (gap < TOUCH[0]) & (pace < TOUCH[1]), (gap > LEAVE[0]) | (pace > LEAVE[1])
        state = np.zeros_like(touches)
        state[0] = touches[0]
        for t in range(1, len(state)):
            state[t] = touches[t] | (state[t - 1] & ~leaves[t])
        return state

    def wrench(self, rotations: np.ndarray, pelvis: np.ndarray, dt_s: float, up: np.ndarray) -> RootWrench:
        """Rate of change of momentum, less what gravity gives, of motions of at least 3 frames.

        Momentum is that between two frames, from their difference; its rate at a frame the difference of those on
        either side. Moments are about the centre of mass of the frame, at rest while differenced.
        """
        turned, joints = self.poses(rotations, pelvis)
        centres = joints + np.einsum("tjab,jb->tja", turned, self.centre)
        steps = Rotation.from_matrix((turned[1:] @ turned[:-1].transpose(0, 1, 3, 2)).reshape(-1, 3, 3)).as_rotvec()
        half = Rotation.from_rotvec(0.5 * steps).as_matrix().reshape(turned[1:].shape) @ turned[:-1]
        spin = steps.reshape(centres[1:].shape) / dt_s
        momentum = self.mass[:, None] * np.diff(centres, axis=0) / dt_s
        between = 0.5 * (centres[1:] + centres[:-1])
        own = np.einsum("tjab,jbc,tjdc,tjd->tja", half, self.inertia, half, spin)
        of_mass = np.einsum("j,tja->ta", self.mass, centres)[1:-1] / self.mass.sum()

        def about(frames: slice) -> np.ndarray:
            arm = between[frames] - of_mass[:, None]
            return (np.cross(arm, momentum[frames]) + own[frames]).sum(1)

        before, after = slice(None, -1), slice(1, None)
        force = (momentum[after] - momentum[before]).sum(1) / dt_s + self.weight * np.asarray(up, float)
        return RootWrench(force, (about(after) - about(before)) / dt_s, of_mass)

    def unexplained(
        self, rotations: np.ndarray, pelvis: np.ndarray, dt_s: float, up: np.ndarray, contacts: np.ndarray
    ) -> Unexplained:
        """What forces at the labelled points [T, P] of this very motion leave of its root wrench."""
        needed = self.wrench(rotations, pelvis, dt_s, up)
        position = self.contact_positions(rotations, pelvis, up)[1:-1]
        edges = friction_edges(np.asarray(up, float))
        left = np.empty((len(position), 6))
        for t, touching in enumerate(contacts[1:-1]):
            wanted = np.concatenate([needed.force[t], needed.moment[t] / ARM]) / self.weight
            arms = position[t, touching] - needed.centre[t]
            columns = np.concatenate([
                np.broadcast_to(edges, (len(arms), EDGES, 3)), np.cross(arms[:, None], edges) / ARM
            ], -1).reshape(-1, 6)  # fmt: skip
            left[t] = wanted - (columns.T @ nnls(columns.T, wanted, maxiter=100 * EDGES)[0] if len(arms) else 0.0)
        return Unexplained(
            100 * np.linalg.norm(left[:, :3], axis=1), ARM * self.weight * np.linalg.norm(left[:, 3:], axis=1),
            100 * np.linalg.norm(left, axis=1),
        )  # fmt: skip


def friction_edges(up: np.ndarray) -> np.ndarray:
    """Unit forces [EDGES, 3] along the edges of the pyramid."""
    forward = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    forward /= np.linalg.norm(forward)
    angle = 2 * np.pi * np.arange(EDGES)[:, None] / EDGES
    edges = up + FRICTION * (np.cos(angle) * forward + np.sin(angle) * np.cross(up, forward))
    return edges / np.linalg.norm(edges, axis=1, keepdims=True)


def _numbers(origin: ET.Element) -> np.ndarray:
    if any(float(angle) for angle in origin.get("rpy", "0 0 0").split()):
        raise ValueError("a link of the URDF is turned at zero pose; ours have x forward, y left, z up")
    return np.array([float(x) for x in origin.get("xyz", "0 0 0").split()])
