"""OpenSim's files: markers (``.trc``) and coordinates (``.mot``).

Both have OpenSim's axes: y up, and the subject of the rest pose looks along +x with z to its right.

TRC holds SMPL's 24 joints and eleven points of the skin (face, toes, heels) as markers, for OpenSim's scaling and
inverse kinematics, which put the motion on an OpenSim model. MOT holds the angles of our URDF's 69 joints by their
names, in degrees, and the pelvis in OpenSim's coordinates: ``pelvis_tilt``, ``pelvis_list`` and ``pelvis_rotation``
(about z, then x, then y) and ``pelvis_tx``, ``pelvis_ty``, ``pelvis_tz`` in metres. OpenSim plots it; a model's own
coordinates have other names and come from the TRC.

A second MOT holds the forces of the ground by the names of OpenSim's examples, the right foot's first
(``ground_force_vx``, ...), then the left foot's (``1_ground_force_vx``, ...), for its external loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, angle_trajectory
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_FROM_VERTEX, KEYPOINT_NAMES
from diffmocap.motion.motion import Motion

#: [3, 3] takes vectors of a world with y up, in which the rest pose looks along +z, into OpenSim's axes.
OPENSIM_FROM_Y_UP = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
MARKER_NAMES = (*JOINT_NAMES, *(KEYPOINT_NAMES[k] for k in KEYPOINT_FROM_VERTEX))


def markers(motion: Motion, body: BodyModel) -> np.ndarray:
    """[T, 35, 3] m in OpenSim's axes, of a motion with y up."""
    joints, keypoints = body.joints_and_keypoints(motion.rotations, motion.pelvis, motion.betas[None])
    points = torch.cat([joints, keypoints[:, list(KEYPOINT_FROM_VERTEX)]], 1)
    return points.numpy().astype(np.float64) @ OPENSIM_FROM_Y_UP.T


def write_trc(path: Path, motion: Motion, body: BodyModel, unit: str, scale: float, name: str) -> None:
    """Writes the markers of a motion with y up; ``scale``: lengths of ``unit`` a metre, ``name``: in the header."""
    frames, rate = len(motion), f"{motion.fps:g}"
    points = markers(motion, body).reshape(frames, -1) * scale
    count = len(MARKER_NAMES)
    labels = [f"{axis}{k}" for k in range(1, count + 1) for axis in "XYZ"]
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{frames}\t{count}\t{unit}\t{rate}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(MARKER_NAMES) + "\t\t",
        "\t\t" + "\t".join(labels),
        "",
    ]
    table = np.column_stack([np.arange(1, frames + 1), np.arange(frames) / motion.fps, points])
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write("\n".join(lines) + "\n")
        np.savetxt(f, table, fmt=["%d", "%.6f"] + ["%.6f"] * points.shape[1], delimiter="\t")


def write_mot(path: Path, motion: Motion, name: str) -> None:
    """Writes the angles [deg] and the pelvis [m, deg] of a motion with y up; ``name`` is the first line."""
    turns = OPENSIM_FROM_Y_UP @ motion.rotations[:, 0].numpy().astype(np.float64) @ OPENSIM_FROM_Y_UP.T
    pelvis_deg = roma.rotmat_to_euler("ZXY", torch.from_numpy(turns), degrees=True).numpy()
    pelvis_deg = np.unwrap(pelvis_deg, period=360.0, axis=0)
    place = motion.pelvis.numpy().astype(np.float64) @ OPENSIM_FROM_Y_UP.T
    angles = np.degrees(angle_trajectory(motion.rotations.double()).numpy())
    columns = [
        "time", "pelvis_tilt", "pelvis_list", "pelvis_rotation", "pelvis_tx", "pelvis_ty", "pelvis_tz",
        *JOINT_ANGLE_NAMES,
    ]  # fmt: skip
    notes = "Angles are in degrees; names and axes are those of the joints in human.urdf"
    _write_storage(path, name, notes, columns, motion.fps, np.hstack([pelvis_deg, place, angles]))


@dataclass(frozen=True)
class GroundForces:
    """Of T frames, left foot and right foot, in the axes of a motion with y up, the floor at y = 0.

    Attributes:
        force: [T, 2, 3] N on the foot.
        centre: [T, 2, 3] m, centre of pressure on the floor; below the foot's middle where it carries nothing.
        moment: [T, 2] N m about the vertical through the centre.
        mass_kg: of the body.
    """

    force: np.ndarray
    centre: np.ndarray
    moment: np.ndarray
    mass_kg: float


def write_ground_forces(path: Path, found: GroundForces, fps: float, name: str) -> None:
    """Writes the forces of the ground on both feet; ``name`` is the first line."""
    columns, parts = ["time"], []
    for foot, prefix in ((1, ""), (0, "1_")):
        columns += [f"{prefix}ground_force_{kind}{axis}" for kind in "vp" for axis in "xyz"]
        parts += [found.force[:, foot] @ OPENSIM_FROM_Y_UP.T, found.centre[:, foot] @ OPENSIM_FROM_Y_UP.T]
    for foot, prefix in ((1, ""), (0, "1_")):
        columns += [f"{prefix}ground_torque_{axis}" for axis in "xyz"]
        parts.append(found.moment[:, foot, None] * [0.0, 1.0, 0.0])
    notes = f"Forces on the feet, computed from the motion of a body of {found.mass_kg:.1f} kg; not measured"
    _write_storage(path, name, notes, columns, fps, np.hstack(parts))


def _write_storage(path: Path, name: str, notes: str, columns: list[str], fps: float, table: np.ndarray) -> None:
    """OpenSim's storage file of a table [T, N] beside the time; ``name`` is the first line."""
    lines = [
        " ".join(name.split()) or "motion", "version=1", f"nRows={len(table)}", f"nColumns={len(columns)}",
        "inDegrees=yes", "", "Units are S.I. units (second, meters, Newtons, ...)", notes, "endheader",
        "\t".join(columns),
    ]  # fmt: skip
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write("\n".join(lines) + "\n")
        np.savetxt(f, np.column_stack([np.arange(len(table)) / fps, table]), fmt="%.6f", delimiter="\t")
