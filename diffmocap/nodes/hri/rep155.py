"""A person as REP-155 (ROS4HRI) has a body: its URDF with the person's proportions, and the angles of its joints.

The frame of the root link ``body_<id>`` lies between the hips, x forward, y left, z up. Limbs hang along -z at zero.
Names and axes of the joints are those of the standard's model; what it has no joint for (the turn of the torso against
the hips, wrists, ankles) is left out, and limbs keep the directions that they have.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.errors import RobotError

_JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
#: Columns are axes of the standard's links (x forward, y left, z up) in SMPL's body frame (x left, y up, z forward).
SMPL_FROM_LINK = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
_SIDES = (("l", "left", 1.0), ("r", "right", -1.0))
#: A limb that is nearer to straight, or an upper arm to hanging, has no plane: it keeps that of the frame before [rad].
_STRAIGHT = 0.2
#: Sine of the angle between a thigh and the axis that is to lie across it, below which they are one.
_CONSISTENT = 1e-6
#: A shorter limb has no direction: joints that somebody left zero [m].
_SHORTEST = 1e-3
#: Radius of limbs, for looks alone [m].
_RADIUS = 0.03
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def joint_names(body_id: str) -> list[str]:
    """Names of the joints that move, in the order of :meth:`BodyAngles.of`."""
    names = ["waist", "r_head", "y_head", "p_head"]
    for side, _, _ in _SIDES:
        names += [f"{side}_{name}" for name in ("y_shoulder", "p_shoulder", "r_shoulder", "elbow")]
    for side, _, _ in _SIDES:
        names += [f"{side}_{name}" for name in ("y_hip", "p_hip", "r_hip", "knee")]
    return [f"{name}_{body_id}" for name in names]


def body_id(seed: str, track_id: int) -> str:
    """Five letters for a track; other graphs, told apart by ``seed``, have others."""
    number = zlib.crc32(f"{seed}/{track_id}".encode())
    return "".join(_LETTERS[number // 26**place % 26] for place in range(5))


@dataclass(frozen=True)
class Proportions:
    """Lengths of one person [m].

    Attributes:
        torso: from between the hips to between the shoulders. neck: from there to the head joint.
        shoulder: half of the width between the shoulders. hip: likewise of the hips.
        upper_arm, forearm, thigh, shank: means of both sides.
    """

    torso: float
    neck: float
    shoulder: float
    hip: float
    upper_arm: float
    forearm: float
    thigh: float
    shank: float

    @classmethod
    def of(cls, positions: np.ndarray) -> Proportions:
        """Of joints [24, 3] in any pose."""

        def length(*pairs: tuple[str, str]) -> float:
            return float(np.mean([np.linalg.norm(positions[_JOINT[a]] - positions[_JOINT[b]]) for a, b in pairs]))

        def both(a: str, b: str) -> float:
            return length((f"left_{a}", f"left_{b}"), (f"right_{a}", f"right_{b}"))

        hips, shoulders = (_middle(positions, name) for name in ("hip", "shoulder"))
        return cls(
            torso=float(np.linalg.norm(shoulders - hips)),
            neck=float(np.linalg.norm(positions[_JOINT["head"]] - shoulders)),
            shoulder=0.5 * length(("left_shoulder", "right_shoulder")),
            hip=0.5 * length(("left_hip", "right_hip")),
            upper_arm=both("shoulder", "elbow"), forearm=both("elbow", "wrist"),
            thigh=both("hip", "knee"), shank=both("knee", "ankle"),
        )  # fmt: skip


class BodyAngles:
    """Angles of one body, frame by frame, so that straight limbs keep the plane that they had."""

    def __init__(self) -> None:
        self._planes = dict.fromkeys([f"{side}_{what}" for side, _, _ in _SIDES for what in ("y", "r")], 0.0)

    def of(self, positions: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """[20] rad in the order of :func:`joint_names`.

        Args:
            positions: [24, 3] m; rotations: [24, 3, 3] global, of SMPL's joints, in any one frame.

        Raises:
            RobotError: a thigh without length, or a rotation that is not that of its joints.
        """
        body = rotations[0] @ SMPL_FROM_LINK
        at = (positions - _middle(positions, "hip")) @ body  # in the axes of the root link
        spine = _middle(at, "shoulder")
        waist = math.atan2(spine[0], spine[2])
        torso = Rotation.from_euler("y", waist).as_matrix()
        head = (body @ torso).T @ rotations[_JOINT["head"]] @ SMPL_FROM_LINK
        roll, yaw, pitch = Rotation.from_matrix(head).as_euler("XZY")
        found = [waist, roll, yaw, -pitch]
        upper = at @ torso
        for side, name, sign in _SIDES:
            found += self._arm(upper, side, name, sign)
        for _, name, sign in _SIDES:
            found += _leg(at, body.T @ rotations[_JOINT[f"{name}_hip"]] @ SMPL_FROM_LINK, name, sign)
        return np.array(found)

    def _arm(self, at: np.ndarray, side: str, name: str, sign: float) -> list[float]:
        """Rz(-s y) Rx(s p) Rz(s r) takes the hanging arm to where it is; the elbow bends about -y then."""
        shoulder, elbow, wrist = (at[_JOINT[f"{name}_{part}"]] for part in ("shoulder", "elbow", "wrist"))
        upper, lower = _unit(elbow - shoulder), _unit(wrist - elbow)
        # Rz(a) Rx(b) (0, 0, -1) = (-sin a sin b, cos a sin b, -cos b), with a = -s y and b = s p.
        lifted = math.acos(min(max(-upper[2], -1.0), 1.0))
        if lifted > _STRAIGHT:
            self._planes[f"{side}_y"] = math.atan2(upper[0], sign * upper[1])
        swing = self._planes[f"{side}_y"]
        frame = Rotation.from_euler("ZX", [-sign * swing, sign * lifted])
        lower = frame.inv().apply(lower)
        bend = math.acos(min(max(-lower[2], -1.0), 1.0))
        if bend > _STRAIGHT:
            self._planes[f"{side}_r"] = sign * math.atan2(lower[1], lower[0])
        return [swing, lifted, self._planes[f"{side}_r"], bend]


def _leg(at: np.ndarray, thigh: np.ndarray, name: str, sign: float) -> list[float]:
    """Rz(-y) Rx(s p) Ry(-r) is the turn of the thigh, whose direction the joints say; the knee bends about -y."""
    hip, knee, ankle = (at[_JOINT[f"{name}_{part}"]] for part in ("hip", "knee", "ankle"))
    if np.linalg.norm(hip - knee) < _SHORTEST:
        raise RobotError(f"the {name} hip and knee lie in one point")
    up, lower = _unit(hip - knee), _unit(ankle - knee)
    left = thigh[:, 1] - (thigh[:, 1] @ up) * up
    if np.linalg.norm(left) < _CONSISTENT:
        raise RobotError(f"the rotation of the {name} thigh is not that of its joints")
    left = _unit(left)
    turn = Rotation.from_matrix(np.column_stack([np.cross(left, up), left, up]))
    yaw, roll, pitch = turn.as_euler("ZXY")
    lower = turn.inv().apply(lower)
    return [-yaw, sign * roll, -pitch, math.atan2(lower[0], -lower[2])]


def human_urdf(body_id: str, sizes: Proportions) -> str:
    """The URDF of a body with these proportions; its links and joints end with ``_<id>``."""
    links: dict[str, tuple[float, float]] = {}  # name -> length down, up, to draw
    joints: list[str] = []

    def joint(name: str, parent: str, child: str, at: tuple[float, float, float], axis: str = "", ends=(0.0, 0.0)):
        links.setdefault(parent, (0.0, 0.0))
        links.setdefault(child, (0.0, 0.0))
        limits = f'<axis xyz="{axis}"/><limit lower="{ends[0]}" upper="{ends[1]}" effort="1000" velocity="30"/>'
        joints.append(
            f'  <joint name="{name}_{body_id}" type="{"revolute" if axis else "fixed"}">'
            f'<parent link="{parent}_{body_id}"/><child link="{child}_{body_id}"/>'
            f'<origin xyz="{at[0]:.4f} {at[1]:.4f} {at[2]:.4f}"/>{limits if axis else ""}</joint>'
        )

    turn, here = (-math.pi, math.pi), (0.0, 0.0, 0.0)
    joint("waist", "body", "waist", here, "0 1 0", turn)
    joint("torso", "waist", "torso", (0.0, 0.0, sizes.torso))
    joint("r_head", "torso", "r_head", (0.0, 0.0, sizes.neck), "1 0 0", turn)
    joint("y_head", "r_head", "y_head", here, "0 0 1", turn)
    joint("p_head", "y_head", "p_head", here, "0 -1 0", turn)
    joint("head", "p_head", "head", here)
    links["torso"] = (sizes.torso, 0.0)
    links["head"] = (0.0, 0.15)
    for side, _, sign in _SIDES:
        out = (0.0, sign * sizes.shoulder, 0.0)
        joint(f"{side}_y_shoulder", "torso", f"{side}_y_shoulder", out, f"0 0 {-sign:g}", turn)
        joint(f"{side}_p_shoulder", f"{side}_y_shoulder", f"{side}_p_shoulder", here, f"{sign:g} 0 0", turn)
        joint(f"{side}_r_shoulder", f"{side}_p_shoulder", f"{side}_shoulder", here, f"0 0 {sign:g}", turn)
        joint(f"{side}_elbow", f"{side}_shoulder", f"{side}_elbow", (0.0, 0.0, -sizes.upper_arm), "0 -1 0", turn)
        joint(f"{side}_wrist", f"{side}_elbow", f"{side}_wrist", (0.0, 0.0, -sizes.forearm))
        links[f"{side}_shoulder"], links[f"{side}_elbow"] = (sizes.upper_arm, 0.0), (sizes.forearm, 0.0)
    for side, _, sign in _SIDES:
        out = (0.0, sign * sizes.hip, 0.0)
        joint(f"{side}_y_hip", "body", f"{side}_y_hip", out, "0 0 -1", turn)
        joint(f"{side}_p_hip", f"{side}_y_hip", f"{side}_p_hip", here, f"{sign:g} 0 0", turn)
        joint(f"{side}_r_hip", f"{side}_p_hip", f"{side}_hip", here, "0 -1 0", turn)
        joint(f"{side}_knee", f"{side}_hip", f"{side}_knee", (0.0, 0.0, -sizes.thigh), "0 -1 0", turn)
        joint(f"{side}_ankle", f"{side}_knee", f"{side}_ankle", (0.0, 0.0, -sizes.shank))
        links[f"{side}_hip"], links[f"{side}_knee"] = (sizes.thigh, 0.0), (sizes.shank, 0.0)
    drawn = [f"  {_link(f'{name}_{body_id}', *lengths)}" for name, lengths in links.items()]
    return "\n".join(['<?xml version="1.0"?>', '<robot name="human">', *drawn, *joints, "</robot>", ""])


def _link(name: str, down: float, up: float) -> str:
    if not down and not up:
        return f'<link name="{name}"/>'
    length, middle = down or up, 0.5 * (up - down)
    return (
        f'<link name="{name}"><visual><origin xyz="0 0 {middle:.4f}"/><geometry>'
        f'<cylinder length="{length:.4f}" radius="{_RADIUS}"/></geometry></visual></link>'
    )


def _middle(positions: np.ndarray, name: str) -> np.ndarray:
    return 0.5 * (positions[_JOINT[f"left_{name}"]] + positions[_JOINT[f"right_{name}"]])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
