"""The human URDF: 24 links with mass, inertia and a capsule to collide, 69 revolute joints, meshes cut from the skin.

Every link has x forward, y left, z up at zero pose (the T-pose), origin at its SMPL joint. A joint's three revolute
axes are chained through two nearly massless links. The root link ``human`` has no mass, since KDL takes none of a root,
and ``pelvis`` is fixed to it without an offset. A capsule is a cylinder with a sphere at each end, as URDF knows none.
Run ``python -m diffmocap.body.urdf`` to write ``models/human.urdf`` and ``models/meshes/``.
"""

from __future__ import annotations

import argparse
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from diffmocap.body.inertia import SegmentInertia, segment_inertias
from diffmocap.body.joint_angles import AXES, JOINT_ANGLE_NAMES, URDF_FROM_SMPL, angle_limits, joint_kind
from diffmocap.body.link_capsules import Capsule, link_capsules
from diffmocap.body.link_meshes import link_meshes, write_stl
from diffmocap.body.link_tree import LINK_JOINTS, LinkJoint, link_origins
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS, ROOT_LINK
from diffmocap.errors import ModelFileError
from diffmocap.resources import share_path

#: Where ROS finds the meshes once the package is installed.
ROS_MESH_ROOT = "package://diffmocap/models/meshes"

ROOT_JOINT = f"{ROOT_LINK}_to_{JOINT_NAMES[0]}"

#: Strongest torque of a joint about each of its axes [N m]: the order of magnitude that a strong adult reaches.
EFFORT = {
    "hip": 300.0, "knee": 300.0, "ankle": 200.0, "foot": 40.0, "spine1": 350.0, "spine2": 350.0, "spine3": 300.0,
    "neck": 60.0, "head": 50.0, "collar": 150.0, "shoulder": 130.0, "elbow": 100.0, "wrist": 30.0, "hand": 15.0,
}  # fmt: skip
#: Fastest turn about one axis [rad/s]; running and throwing stay below.
VELOCITY = 35.0
#: Mass [kg] and inertia [kg m^2] of the links between the axes of one joint: small, yet valid for physics engines.
AXIS_LINK_MASS, AXIS_LINK_INERTIA = 1e-3, 1e-6


def effort_limits() -> np.ndarray:
    """Strongest torque [69] N m of each joint's motor."""
    return np.array([EFFORT[joint_kind(joint.segment)] for joint in LINK_JOINTS])


def build_urdf(
    body: BodyModel,
    betas: torch.Tensor | None = None,
    mesh_files: Mapping[str, str] | None = None,
    inertias: Sequence[SegmentInertia] | None = None,
    capsules: Mapping[str, Capsule] | None = None,
) -> str:
    """The URDF as text.

    Args:
        body: gives lengths, and masses where ``inertias`` are not given.
        betas: [1, 10] shape; None is the mean shape.
        mesh_files: link name -> file name of its visual mesh in link axes [m]; None: no visuals.
        capsules: link name -> its collision shape; None: no collisions.
    """
    inertias = segment_inertias(body, betas) if inertias is None else inertias
    origins = link_origins(body.rest_joints(betas)[0])
    m = URDF_FROM_SMPL.numpy().astype(float)
    limits = angle_limits().numpy()
    robot = ET.Element("robot", name="human")
    ET.SubElement(ET.SubElement(robot, "material", name="skin"), "color", rgba="0.80 0.68 0.60 1.0")
    _add_root(robot)
    for joint, name in enumerate(JOINT_NAMES):
        for k in range(3 * joint - 3, 3 * joint) if joint else ():
            _add_axis(robot, LINK_JOINTS[k], origins[k], limits[k])
        segment = inertias[joint]
        mesh = None if mesh_files is None else mesh_files.get(name)
        _add_link(robot, name, segment.mass, m @ segment.centre, m @ segment.inertia @ m.T, mesh)
        if capsules is not None:
            _add_collision(robot[-1], capsules[name])
    return _document(robot)


def _document(robot: ET.Element) -> str:
    ET.indent(robot)
    return '<?xml version="1.0"?>\n' + ET.tostring(robot, encoding="unicode") + "\n"


def _add_root(robot: ET.Element) -> None:
    ET.SubElement(robot, "link", name=ROOT_LINK)
    fixed = ET.SubElement(robot, "joint", name=ROOT_JOINT, type="fixed")
    ET.SubElement(fixed, "origin", xyz="0 0 0", rpy="0 0 0")
    ET.SubElement(fixed, "parent", link=ROOT_LINK)
    ET.SubElement(fixed, "child", link=JOINT_NAMES[0])


def _add_axis(robot: ET.Element, joint: LinkJoint, origin: np.ndarray, limits: np.ndarray) -> None:
    """A revolute joint, and where it is not the last axis of an SMPL joint the link that it turns."""
    element = ET.SubElement(robot, "joint", name=joint.name, type="revolute")
    ET.SubElement(element, "origin", xyz=_numbers(origin), rpy="0 0 0")
    ET.SubElement(element, "parent", link=joint.parent)
    ET.SubElement(element, "child", link=joint.child)
    ET.SubElement(element, "axis", xyz=" ".join("1" if joint.axis == a else "0" for a in AXES))
    ET.SubElement(
        element, "limit", lower=f"{limits[0]:.6g}", upper=f"{limits[1]:.6g}",
        effort=f"{EFFORT[joint_kind(joint.segment)]:g}", velocity=f"{VELOCITY:g}",
    )  # fmt: skip
    if joint.child not in JOINT_NAMES:
        _add_link(robot, joint.child, AXIS_LINK_MASS, np.zeros(3), np.eye(3) * AXIS_LINK_INERTIA, None)


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


def _add_collision(link: ET.Element, capsule: Capsule) -> None:
    radius, (x, y, z) = f"{capsule.radius:.6g}", capsule.end - capsule.start
    # The cylinder's axis is z: pitch tilts it towards x, then yaw turns it about the vertical.
    rpy = f"0 {math.atan2(math.hypot(x, y), z):.7g} {math.atan2(y, x):.7g}"
    shapes = (
        (capsule.centre, rpy, "cylinder", {"radius": radius, "length": f"{capsule.length:.6g}"}),
        (capsule.start, "0 0 0", "sphere", {"radius": radius}),
        (capsule.end, "0 0 0", "sphere", {"radius": radius}),
    )
    for place, turn, kind, size in shapes:
        collision = ET.SubElement(link, "collision")
        ET.SubElement(collision, "origin", xyz=_numbers(place), rpy=turn)
        ET.SubElement(ET.SubElement(collision, "geometry"), kind, size)


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{x + 0.0:.7g}" for x in np.round(values, 7))  # + 0.0 turns -0 into 0


def read_urdf(path: str | Path | None = None, resolve_meshes: bool = False, massless_root: bool = True) -> str:
    """Text of the shipped URDF (or of the one at ``path``).

    Args:
        path: of a URDF that this module wrote.
        resolve_meshes: put absolute file names in place of ``package://`` ones, for programs without ROS.
        massless_root: False leaves the link ``human`` out, and ``pelvis`` is the root: for engines that give a link
            without inertia one of their own, such as PyBullet, which makes it 1 kg and 1 kg m^2.

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
    if resolve_meshes:
        text = text.replace(ROS_MESH_ROOT, str((path.parent / "meshes").resolve()))
    return text if massless_root else _without_root(text)


def _without_root(text: str) -> str:
    robot = ET.fromstring(text)
    for part in [*robot.findall(f"link[@name='{ROOT_LINK}']"), *robot.findall(f"joint[@name='{ROOT_JOINT}']")]:
        robot.remove(part)
    return _document(robot)


def write_urdf(body: BodyModel, folder: str | Path, betas: torch.Tensor | None = None) -> Path:
    """Write ``human.urdf`` and ``meshes/<link>.stl`` into ``folder``; returns the path of the URDF."""
    folder = Path(folder)
    (folder / "meshes").mkdir(parents=True, exist_ok=True)
    for name, triangles in link_meshes(body, betas).items():
        write_stl(folder / "meshes" / f"{name}.stl", triangles)
    names = {name: f"{ROS_MESH_ROOT}/{name}.stl" for name in JOINT_NAMES}
    path = folder / "human.urdf"
    path.write_text(build_urdf(body, betas, names, capsules=link_capsules(body, betas)), encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: ``python -m diffmocap.body.urdf``."""
    parser = argparse.ArgumentParser(prog="python -m diffmocap.body.urdf", description=__doc__.split("\n\n")[0])
    parser.add_argument("--body", default=None, help="body model as .npz in SMPL's layout (default: the shipped one)")
    parser.add_argument("--out", default=None, help="folder for human.urdf and meshes/ (default: models/)")
    args = parser.parse_args(argv)
    path = write_urdf(BodyModel.load(args.body), args.out or share_path("models"))
    meshes = sum(f.stat().st_size for f in (path.parent / "meshes").glob("*.stl"))
    print(f"{path}: {NUM_JOINTS} links, {len(JOINT_ANGLE_NAMES)} revolute joints; meshes {meshes / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
