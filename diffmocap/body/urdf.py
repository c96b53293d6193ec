"""The human URDF: 24 links with mass and inertia, 69 revolute joints, meshes cut from the skin.

Every link has x forward, y left, z up at zero pose (the T-pose), origin at its SMPL joint; the root link ``pelvis``
lies at the pelvis joint. A joint's three revolute axes are chained through two nearly massless links. Run
``python -m diffmocap.body.urdf`` to write ``models/human.urdf`` and ``models/meshes/``.
"""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from diffmocap.body.inertia import SegmentInertia, segment_inertias
from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, JOINT_AXES, URDF_FROM_SMPL, angle_limits, joint_kind
from diffmocap.body.link_meshes import link_meshes, write_stl
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS
from diffmocap.errors import ModelFileError
from diffmocap.resources import share_path

#: Where ROS finds the meshes once the package is installed.
ROS_MESH_ROOT = "package://diffmocap/models/meshes"

#: Strongest torque of a joint about each of its axes [N m]: the order of magnitude that a strong adult reaches.
EFFORT = {
    "hip": 300.0, "knee": 300.0, "ankle": 200.0, "foot": 40.0, "spine1": 350.0, "spine2": 350.0, "spine3": 300.0,
    "neck": 60.0, "head": 50.0, "collar": 150.0, "shoulder": 130.0, "elbow": 100.0, "wrist": 30.0, "hand": 15.0,
}  # fmt: skip
#: Fastest turn about one axis [rad/s]; running and throwing stay below.
VELOCITY = 35.0
#: Mass [kg] and inertia [kg m^2] of the links between the axes of one joint: small, yet valid for physics engines.
AXIS_LINK_MASS, AXIS_LINK_INERTIA = 1e-3, 1e-6


def build_urdf(
    body: BodyModel,
    betas: torch.Tensor | None = None,
    mesh_files: Mapping[str, str] | None = None,
    inertias: Sequence[SegmentInertia] | None = None,
) -> str:
    """The URDF as text.

    Args:
        body: gives lengths, and masses where ``inertias`` are not given.
        betas: [1, 10] shape; None is the mean shape.
        mesh_files: link name -> file name of its visual mesh in link axes [m]; None: no visuals.
    """
    inertias = segment_inertias(body, betas) if inertias is None else inertias
    rest = body.rest_joints(betas)[0].cpu().numpy().astype(float)
    m = URDF_FROM_SMPL.numpy().astype(float)
    limits = angle_limits().numpy()
    robot = ET.Element("robot", name="human")
    ET.SubElement(ET.SubElement(robot, "material", name="skin"), "color", rgba="0.80 0.68 0.60 1.0")
    for joint, name in enumerate(JOINT_NAMES):
        if joint:
            offset = m @ (rest[joint] - rest[PARENTS[joint]])
            _add_axes(robot, joint, offset, limits[3 * joint - 3 : 3 * joint])
        segment = inertias[joint]
        mesh = None if mesh_files is None else mesh_files.get(name)
        _add_link(robot, name, segment.mass, m @ segment.centre, m @ segment.inertia @ m.T, mesh)
    ET.indent(robot)
    return '<?xml version="1.0"?>\n' + ET.tostring(robot, encoding="unicode") + "\n"


def _add_axes(robot: ET.Element, joint: int, offset: np.ndarray, limits: np.ndarray) -> None:
    """The three revolute joints between a link and its parent, and the links between them."""
    parent, name = JOINT_NAMES[PARENTS[joint]], JOINT_NAMES[joint]
    for k, axis in enumerate(JOINT_AXES[joint - 1]):
        angle = JOINT_ANGLE_NAMES[3 * joint - 3 + k]
        child = name if k == 2 else f"{angle}_link"
        element = ET.SubElement(robot, "joint", name=angle, type="revolute")
        ET.SubElement(element, "origin", xyz=_numbers(offset if k == 0 else np.zeros(3)), rpy="0 0 0")
        ET.SubElement(element, "parent", link=parent)
        ET.SubElement(element, "child", link=child)
        ET.SubElement(element, "axis", xyz=" ".join("1" if axis == a else "0" for a in "xyz"))
        ET.SubElement(
            element, "limit", lower=f"{limits[k, 0]:.6g}", upper=f"{limits[k, 1]:.6g}",
            effort=f"{EFFORT[joint_kind(joint)]:g}", velocity=f"{VELOCITY:g}",
        )  # fmt: skip
        if k < 2:
            _add_link(robot, child, AXIS_LINK_MASS, np.zeros(3), np.eye(3) * AXIS_LINK_INERTIA, None)
        parent = child


def _add_link(
    robot: ET.Element, name: str, mass: float, centre: np.ndarray, inertia: np.ndarray, mesh: str | None
) -> None:
    link = ET.SubElement(robot, "link", name=name)
    inertial = ET.SubElement(link, "inertial")
    ET.SubElement(inertial, "origin", xyz=_numbers(centre), rpy="0 0 0")
    ET.SubElement(inertial, "mass", value=f"{mass:.6g}")
    entries = {f"i{'xyz'[i]}{'xyz'[j]}": f"{inertia[i, j]:.6g}" for i in range(3) for j in range(i, 3)}
    ET.SubElement(inertial, "inertia", entries)
    if mesh is not None:
        visual = ET.SubElement(link, "visual")
        ET.SubElement(visual, "origin", xyz="0 0 0", rpy="0 0 0")
        ET.SubElement(ET.SubElement(visual, "geometry"), "mesh", filename=mesh)
        ET.SubElement(visual, "material", name="skin")


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{x + 0.0:.7g}" for x in np.round(values, 7))  # + 0.0 turns -0 into 0


def read_urdf(path: str | Path | None = None, resolve_meshes: bool = False) -> str:
    """Text of the shipped URDF (or of the one at ``path``).

    ``resolve_meshes`` puts absolute file names in place of ``package://`` ones, for programs without ROS
    such as PyBullet.

    Raises:
        ModelFileError: there is no such file.
    """
    path = share_path("models", "human.urdf") if path is None else Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelFileError(
            f"cannot read the URDF {path}: {error.strerror}; python -m diffmocap.body.urdf writes it"
        ) from error
    return text.replace(ROS_MESH_ROOT, str((path.parent / "meshes").resolve())) if resolve_meshes else text


def write_urdf(body: BodyModel, folder: str | Path, betas: torch.Tensor | None = None) -> Path:
    """Write ``human.urdf`` and ``meshes/<link>.stl`` into ``folder``; returns the path of the URDF."""
    folder = Path(folder)
    (folder / "meshes").mkdir(parents=True, exist_ok=True)
    for name, triangles in link_meshes(body, betas).items():
        write_stl(folder / "meshes" / f"{name}.stl", triangles)
    names = {name: f"{ROS_MESH_ROOT}/{name}.stl" for name in JOINT_NAMES}
    path = folder / "human.urdf"
    path.write_text(build_urdf(body, betas, names), encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: ``python -m diffmocap.body.urdf``."""
    parser = argparse.ArgumentParser(prog="python -m diffmocap.body.urdf", description=__doc__.split("\n\n")[0])
    parser.add_argument("--body", default=None, help="body model as .npz in SMPL's layout (default: the shipped one)")
    parser.add_argument("--out", default=None, help="folder for human.urdf and meshes/ (default: models/)")
    args = parser.parse_args(argv)
    path = write_urdf(BodyModel.load(args.body), args.out or share_path("models"))
    meshes = sum(f.stat().st_size for f in (path.parent / "meshes").glob("*.stl"))
    print(f"{path}: {NUM_JOINTS} links, {len(JOINT_ANGLE_NAMES)} revolute joints, meshes {meshes / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
