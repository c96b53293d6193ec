"""A robot's kinematics in MuJoCo, made of its URDF or MJCF: without meshes to compute with, with them to be drawn.

Points of the description become sites, so that all that is asked of a robot is asked of a site.
"""

from __future__ import annotations

import fnmatch
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from diffmocap.errors import RobotError
from diffmocap.robots.description import Point, RobotDescription
from diffmocap.robots.fit import check_fit
from diffmocap.robots.frames import SIDES

#: Larger files are no robots.
MAX_MODEL_BYTES = 20_000_000
#: Links of a chain that so many joints or fewer connect are neighbours: a hip or a wrist has three.
NEIGHBOURS = 3
#: Meshes that MuJoCo reads.
_MESHES = (".stl", ".obj", ".msh")


@dataclass(frozen=True)
class RobotModel:
    """What a description and its model say together.

    Attributes:
        model: MuJoCo's; its configuration is the base's position and unit quaternion w, x, y, z where the robot floats,
            and then a value for each joint.
        joint_names: [N] in the model's order. first: where they begin in the configuration; first_dof: in velocities.
        low, high: [N] range of each joint, the margin taken off [rad or m].
        velocity, acceleration: [N] limits of each joint.
        effort: [N] strongest torque or force of each joint, as the model has it; infinite where it has none.
        sites: by name, such as ``left_wrist``, ``left_sole``, ``pelvis``, ``chest``: index of the site.
        capsules: [C] geoms that must not touch, and pairs: [P, 2] of them that are guarded.
        rest, t_pose: configurations; the base is where the soles stand on the floor below the origin.
    """

    description: RobotDescription
    model: mujoco.MjModel
    joint_names: tuple[str, ...]
    first: int
    first_dof: int
    low: np.ndarray
    high: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    effort: np.ndarray
    sites: dict[str, int]
    capsules: np.ndarray
    pairs: np.ndarray
    rest: np.ndarray
    t_pose: np.ndarray


def load_model(description: RobotDescription, drawn: bool = False) -> RobotModel:
    """Reads a robot's model.

    Args:
        drawn: keep what is to be seen, and put a floor and lights around it.

    Raises:
        RobotError: the model cannot be read, has no link or joint that the description names, or does not fit it.
    """
    path = description.model
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise RobotError(f"{path} is larger than {MAX_MODEL_BYTES / 1e6:.0f} MB; expected a URDF or MJCF")
    try:
        root = ET.parse(path).getroot()
        if root.tag == "robot":
            spec, of_urdf = _spec_of_urdf(root, description, drawn)
        elif root.tag == "mujoco":
            spec, of_urdf = _spec_of_mjcf(description, drawn), {}
        else:
            raise RobotError(f"{path} is neither a URDF nor an MJCF: it begins with <{root.tag}>")
    except (ET.ParseError, ValueError) as error:
        raise RobotError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    _check_links(spec, description)
    for name, point in _points(description).items():
        spec.body(point.link).add_site(name=name, pos=point.at)
    for capsule in description.capsules:
        spec.body(capsule.link).add_geom(
            name=f"capsule_{capsule.name}", type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[capsule.radius, 0, 0],
            fromto=[*capsule.start, *capsule.end], contype=int(not drawn), conaffinity=int(not drawn), mass=0,
            group=5, rgba=[0.9, 0.3, 0.2, 0.3],
        )  # fmt: skip
    if drawn:
        _add_room(spec)
    try:
        model = spec.compile()
    except ValueError as error:
        raise RobotError(f"{path} cannot be used: {' '.join(str(error).split())}") from error
    robot = _assembled(description, model, of_urdf)
    check_fit(robot)
    return robot


def joints_between(robot: RobotModel, site: int, ancestor: int) -> np.ndarray:
    """Velocities [J] of the model that move a site against a link above it."""
    model = robot.model
    body, dofs = model.site_bodyid[site], []
    while body not in (0, ancestor):
        first = model.body_dofadr[body]
        dofs += range(first, first + model.body_dofnum[body])
        body = model.body_parentid[body]
    return np.array(sorted(dofs), dtype=int)


def _points(description: RobotDescription) -> dict[str, Point]:
    points = {"pelvis": description.pelvis, "chest": description.chest, "head": description.head}
    made = {name: Point(link) for name, link in points.items() if link is not None}
    for limb in (description.arms, description.legs):
        for key, pair in limb.items():
            made |= {f"{side}_{key}": point for side, point in zip(SIDES, pair, strict=True)}
    return made


def _spec_of_urdf(root: ET.Element, description: RobotDescription, drawn: bool) -> tuple[mujoco.MjSpec, dict]:
    """The spec, and velocity and effort of each joint, which MuJoCo does not read."""
    limits = {}
    for joint in root.findall("joint"):
        name = joint.get("name", "")
        if joint.find("mimic") is not None or _is_held(name, description):
            joint.set("type", "fixed")
        limit = joint.find("limit")
        if limit is not None and joint.get("type") != "fixed":
            limits[name] = tuple(float(limit.get(key, "inf")) for key in ("velocity", "effort"))
    for link in root.findall("link"):
        for part in ("collision", *(() if drawn else ("visual",))):
            for element in link.findall(part):
                link.remove(element)
        for visual in link.findall("visual"):
            mesh = visual.find("geometry/mesh")
            if mesh is not None and (file := _mesh_file(mesh.get("filename", ""), description.model)) is None:
                link.remove(visual)
            elif mesh is not None:
                mesh.set("filename", str(file))
    for extra in ("gazebo", "transmission", "sensor", "mujoco"):
        for element in root.findall(extra):
            root.remove(element)
    compiler = ET.SubElement(ET.SubElement(root, "mujoco"), "compiler")
    for key, value in {
        "fusestatic": "false", "discardvisual": "false", "strippath": "false", "boundmass": "1e-4",
        "boundinertia": "1e-7", "balanceinertia": "true",
    }.items():  # fmt: skip
        compiler.set(key, value)
    spec = mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))
    if description.floating:
        spec.worldbody.first_body().add_freejoint()
    return spec, limits


def _spec_of_mjcf(description: RobotDescription, drawn: bool) -> mujoco.MjSpec:
    spec = mujoco.MjSpec.from_file(str(description.model))
    spec.compiler.boundmass, spec.compiler.boundinertia = 1e-4, 1e-7  # of links that have none, as in a URDF
    if not drawn:
        _keep_inertia(spec)
        for kind in (spec.geoms, spec.sensors, spec.actuators, spec.equalities, spec.tendons, spec.keys, spec.lights,
                     spec.cameras):  # fmt: skip
            for element in list(kind):
                spec.delete(element)
    for joint in list(spec.joints):
        if joint.name and _is_held(joint.name, description):
            spec.delete(joint)
    free = [joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_FREE]
    if description.floating and not free:
        spec.worldbody.first_body().add_freejoint()
    if not description.floating:
        for joint in free:
            spec.delete(joint)
    return spec


def _keep_inertia(spec: mujoco.MjSpec) -> None:
    """Writes down what links weigh: an MJCF may leave it to the shapes of their geoms."""
    model = spec.compile()
    for body in spec.bodies[1:]:
        i = body.id
        body.mass, body.ipos, body.iquat = model.body_mass[i], model.body_ipos[i], model.body_iquat[i]
        body.inertia, body.fullinertia = model.body_inertia[i], [np.nan, 0.0, 0.0, 0.0, 0.0, 0.0]
        body.explicitinertial = True


def _is_held(name: str, description: RobotDescription) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in description.held)


def _mesh_file(name: str, model: Path) -> Path | None:
    """The file of a mesh: an address of ``package://`` is looked for in the folders above the model."""
    if Path(name).suffix.lower() not in _MESHES:
        return None
    relative = name.removeprefix("package://").removeprefix("file://")
    for folder in (model.parent, *model.parents):
        path = folder / relative
        if path.is_file():
            return path.resolve()
    return None


def _check_links(spec: mujoco.MjSpec, description: RobotDescription) -> None:
    links = {body.name for body in spec.bodies}
    named = {point.link for point in _points(description).values()} | {c.link for c in description.capsules}
    if missing := sorted(named - links):
        raise RobotError(
            f"{description.model} has no link {missing[0]!r}; it has: {', '.join(sorted(links - {'world'}))}"
        )


def _assembled(description: RobotDescription, model: mujoco.MjModel, of_urdf: dict) -> RobotModel:
    free = int(description.floating)
    kinds = model.jnt_type[free:]
    if (free and model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE) or np.isin(kinds, (0, 1)).any():
        raise RobotError(
            f"{description.model} has a ball joint, or a second floating one; expected hinges and slides, and the free "
            "joint of a floating robot first"
        )
    names = tuple(model.joint(i).name for i in range(free, model.njnt))
    for where, given in {
        "rest": description.rest, "t_pose": description.t_pose, "limits.joints": description.joint_limits,
    }.items():  # fmt: skip
        if missing := sorted(set(given) - set(names)):
            raise RobotError(
                f"{where} of {description.name} names the joint {missing[0]!r}; {description.model} has: "
                f"{', '.join(names)}"
            )
    limited = model.jnt_limited[free:].astype(bool)
    low, high = (
        np.where(limited, model.jnt_range[free:, 0], -np.inf),
        np.where(limited, model.jnt_range[free:, 1], np.inf),
    )
    count = len(names)
    velocity = np.full(count, description.velocity)
    acceleration = np.full(count, description.acceleration)
    effort = np.full(count, np.inf)
    for i, name in enumerate(names):
        fastest, strongest = of_urdf.get(name, (np.inf, np.inf))
        if fastest > 0:
            velocity[i] = min(velocity[i], fastest)
        if strongest > 0:
            effort[i] = strongest
        own = description.joint_limits.get(name)
        if own is None:
            continue
        low[i] = low[i] if own.low is None else max(low[i], own.low)
        high[i] = high[i] if own.high is None else min(high[i], own.high)
        velocity[i] = velocity[i] if own.velocity is None else min(own.velocity, fastest or np.inf)
        acceleration[i] = acceleration[i] if own.acceleration is None else own.acceleration
    low, high = low + description.range_margin, high - description.range_margin
    if (low >= high).any():
        raise RobotError(f"the joint {names[int((low >= high).argmax())]!r} of {description.name} has no range left")
    sites = {model.site(i).name: i for i in range(model.nsite) if model.site(i).name in _points(description)}
    capsules = np.array([model.geom(f"capsule_{c.name}").id for c in description.capsules], dtype=int)
    first = 7 * free
    poses = [
        _standing(model, first, np.clip([pose.get(name, 0.0) for name in names], low, high), sites, description)
        for pose in (description.rest, description.t_pose)
    ]
    return RobotModel(
        description, model, names, first, 6 * free, low, high, velocity, acceleration, effort, sites, capsules,
        _guarded(model, capsules, poses, description.collision_distance), *poses,
    )  # fmt: skip


def _standing(model: mujoco.MjModel, first: int, joints: np.ndarray, sites: dict, description: RobotDescription):
    """The configuration of joint positions [N], a floating robot on the floor with its soles below the origin."""
    configuration = model.qpos0.copy()
    configuration[first:] = joints
    if not description.floating:
        return configuration
    configuration[:7] = 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
    data = mujoco.MjData(model)
    data.qpos = configuration
    mujoco.mj_kinematics(model, data)
    soles = data.site_xpos[[sites[f"{side}_sole"] for side in SIDES]]
    configuration[:3] = *-soles[:, :2].mean(0), -soles[:, 2].min()
    return configuration


def _guarded(model: mujoco.MjModel, capsules: np.ndarray, poses: list[np.ndarray], distance: float) -> np.ndarray:
    """Pairs of capsules [P, 2] that keep their distance: all but neighbours, which few joints connect or which are
    nearer in both poses."""
    data = mujoco.MjData(model)
    apart = np.zeros((len(capsules), len(capsules)), dtype=bool)
    for pose in poses:
        data.qpos = pose
        mujoco.mj_kinematics(model, data)
        for i in range(len(capsules)):
            for j in range(i):
                gap = mujoco.mj_geomDistance(model, data, int(capsules[i]), int(capsules[j]), 1.0, None)
                apart[i, j] |= gap > distance
    bodies = model.body_weldid[model.geom_bodyid[capsules]]
    joined = np.array([[b in _chain(model, a) or a in _chain(model, b) for b in bodies] for a in bodies], dtype=bool)
    joined = joined.reshape(apart.shape)  # also where there is none
    return np.array([(capsules[j], capsules[i]) for i, j in np.argwhere(apart & ~joined)], dtype=int).reshape(-1, 2)


def _chain(model: mujoco.MjModel, body: int) -> list[int]:
    """A link, and those that ``NEIGHBOURS`` joints or fewer lead to on the way to the root."""
    links = [body]
    while body and len(links) <= NEIGHBOURS:
        body = model.body_weldid[model.body_parentid[body]]
        links.append(body)
    return links


def _add_room(spec: mujoco.MjSpec) -> None:
    """A floor, two lights, and a sky, so that a picture can be made."""
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1080
    spec.visual.quality.offsamples, spec.visual.quality.shadowsize = 0, 1024  # drawn by the CPU on many machines
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.4, 0.4, 0.4]
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.75, 0.82, 0.9], rgb2=[0.95, 0.96, 0.98], width=256, height=256,
    )  # fmt: skip
    spec.add_texture(
        name="floor", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.78, 0.8, 0.83], rgb2=[0.7, 0.72, 0.76], width=256, height=256,
    )  # fmt: skip
    material = spec.add_material(name="floor", texrepeat=[2, 2], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.worldbody.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.1], material="floor", contype=1, conaffinity=1
    )
    spec.worldbody.add_light(pos=[2, -2, 5], dir=[-0.35, 0.35, -0.9], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
