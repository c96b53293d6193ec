"""The URDF against the body model, with PyBullet as the independent reader."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pybullet
import pytest
import roma
import torch

from diffmocap.body.inertia import segment_inertias
from diffmocap.body.joint_angles import (
    JOINT_ANGLE_NAMES,
    URDF_FROM_SMPL,
    angle_limits,
    angles_from_rotations,
    rotations_from_angles,
)
from diffmocap.body.link_capsules import smallest_capsule
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES, PARENTS
from diffmocap.body.urdf import ROS_MESH_ROOT, build_urdf, main, read_urdf, write_urdf
from diffmocap.errors import ModelFileError


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def robot():
    return ET.fromstring(read_urdf())


class Simulated:
    """The URDF in a PyBullet of its own."""

    def __init__(self, path, fixed=True):
        self.client = pybullet.connect(pybullet.DIRECT)
        # Without the flag cylinders become meshes of 32 corners.
        self.robot = pybullet.loadURDF(
            str(path), useFixedBase=fixed, flags=pybullet.URDF_USE_IMPLICIT_CYLINDER, physicsClientId=self.client
        )
        count = pybullet.getNumJoints(self.robot, physicsClientId=self.client)
        self.info = [pybullet.getJointInfo(self.robot, i, physicsClientId=self.client) for i in range(count)]
        self.joint = {info[1].decode(): info[0] for info in self.info}
        self.link = {info[12].decode(): info[0] for info in self.info}
        self.base = pybullet.getBodyInfo(self.robot, physicsClientId=self.client)[0].decode()

    def frames(self, angles):
        """Rotations [24, 3, 3] and positions [24, 3] of the named links relative to the root link."""
        for name, value in zip(JOINT_ANGLE_NAMES, angles.tolist(), strict=True):
            pybullet.resetJointState(self.robot, self.joint[name], value, physicsClientId=self.client)
        # PyBullet keeps bodies at their centre of mass: step back to the root link's origin.
        base = pybullet.getBasePositionAndOrientation(self.robot, physicsClientId=self.client)
        inertial = pybullet.getDynamicsInfo(self.robot, -1, physicsClientId=self.client)[3:5]
        root = pybullet.multiplyTransforms(*base, *pybullet.invertTransform(*inertial))
        to_root = pybullet.invertTransform(*root)
        rotations, positions = [], []
        for name in JOINT_NAMES:
            state = pybullet.getLinkState(
                self.robot, self.link[name], computeForwardKinematics=True, physicsClientId=self.client
            )
            position, quaternion = pybullet.multiplyTransforms(*to_root, *state[4:6])
            rotations.append(np.array(pybullet.getMatrixFromQuaternion(quaternion)).reshape(3, 3))
            positions.append(np.array(position))
        return np.stack(rotations), np.stack(positions)

    def close(self):
        pybullet.disconnect(self.client)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    path = tmp_path_factory.mktemp("urdf") / "human.urdf"
    path.write_text(read_urdf(resolve_meshes=True))
    simulation = Simulated(path)
    yield simulation
    simulation.close()


def test_pybullet_sees_69_revolute_joints_below_a_massless_root(simulated):
    assert simulated.base == "human"
    (fixed,) = (info for info in simulated.info if info[2] == pybullet.JOINT_FIXED)
    assert (fixed[1], fixed[12], fixed[14], fixed[15], fixed[16]) == (
        b"human_to_pelvis", b"pelvis", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), -1
    )  # fmt: skip
    revolute = [info for info in simulated.info if info[2] == pybullet.JOINT_REVOLUTE]
    assert len(revolute) == len(simulated.info) - 1 == 69
    assert {info[1].decode() for info in revolute} == set(JOINT_ANGLE_NAMES)
    limits = angle_limits().numpy()
    for info in revolute:
        low, high = limits[JOINT_ANGLE_NAMES.index(info[1].decode())]
        assert info[8] == pytest.approx(low, abs=1e-5) and info[9] == pytest.approx(high, abs=1e-5)
        assert info[10] > 0 and info[11] > 0
    assert len(pybullet.getVisualShapeData(simulated.robot, physicsClientId=simulated.client)) == 24


@pytest.mark.parametrize("seed", range(5))
def test_links_stand_where_the_body_model_puts_its_joints(simulated, body, seed):
    """Random rotations through the joint angles into PyBullet, against forward kinematics."""
    torch.manual_seed(seed)
    rotations = roma.random_rotmat(24)
    rotations[0] = torch.eye(3)
    angles = angles_from_rotations(rotations)
    seen_rotations, seen_positions = simulated.frames(angles)
    expected_rotations, expected_positions = body.forward_kinematics(rotations[None], torch.zeros(1, 3))
    m = URDF_FROM_SMPL
    np.testing.assert_allclose(seen_positions, (expected_positions[0] @ m.T).numpy(), atol=1e-5)
    np.testing.assert_allclose(seen_rotations, (m @ expected_rotations[0] @ m.T).numpy(), atol=1e-5)


def test_angles_within_limits_and_branches_agree(simulated, body):
    """Both solutions of a joint, and whole turns, pose the robot alike."""
    torch.manual_seed(9)
    limits = angle_limits()
    angles = limits[:, 0] + torch.rand(69) * (limits[:, 1] - limits[:, 0])
    local = torch.cat([torch.eye(3)[None], rotations_from_angles(angles)])
    other = angles_from_rotations(local, previous=angles + 2 * torch.pi)
    for a, b in zip(simulated.frames(angles), simulated.frames(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_zero_pose_has_ros_axes(simulated):
    rotations, positions = simulated.frames(torch.zeros(69))
    np.testing.assert_allclose(rotations, np.broadcast_to(np.eye(3), (24, 3, 3)), atol=1e-6)
    place = dict(zip(JOINT_NAMES, positions, strict=True))
    assert place["left_wrist"][1] > 0.5 and place["right_wrist"][1] < -0.5, "y is left"
    assert place["head"][2] > 0.4 and place["left_ankle"][2] < -0.7, "z is up"
    assert place["left_foot"][0] > place["left_ankle"][0], "x is forward"


def test_it_is_one_tree(robot):
    """What check_urdf looks at: unique names, one root, every link reached once."""
    links = [link.get("name") for link in robot.findall("link")]
    assert len(links) == len(set(links)) == 1 + 24 + 46 and set(JOINT_NAMES) <= set(links)
    joints = robot.findall("joint")
    assert [j.get("name") for j in joints] == ["human_to_pelvis", *JOINT_ANGLE_NAMES]
    parent = {j.find("child").get("link"): j.find("parent").get("link") for j in joints}
    assert len(parent) == len(joints) == 70 and set(links) - set(parent) == {"human"} and parent["pelvis"] == "human"
    assert not len(robot.find("link[@name='human']")), "KDL has no root with a mass"
    for k, name in enumerate(JOINT_NAMES[1:], start=1):
        real = parent[name]
        while real not in JOINT_NAMES:
            real = parent[real]
        assert real == JOINT_NAMES[PARENTS[k]]


def test_every_link_has_valid_inertia(robot, body):
    segments = dict(zip(JOINT_NAMES, segment_inertias(body), strict=True))
    total = 0.0
    for link in robot.findall("link"):
        if link.get("name") == "human":
            continue
        inertial = link.find("inertial")
        mass = float(inertial.find("mass").get("value"))
        i = {k: float(v) for k, v in inertial.find("inertia").attrib.items()}
        matrix = np.array(
            [[i["ixx"], i["ixy"], i["ixz"]], [i["ixy"], i["iyy"], i["iyz"]], [i["ixz"], i["iyz"], i["izz"]]]
        )
        moments = np.linalg.eigvalsh(matrix)
        assert mass > 0 and moments[0] > 0 and moments[2] <= (moments[0] + moments[1]) * (1 + 1e-4)
        total += mass
        if link.get("name") in segments:
            segment = segments[link.get("name")]
            assert mass == pytest.approx(segment.mass, rel=1e-4), "the shipped file is the current body's"
            np.testing.assert_allclose(moments, np.linalg.eigvalsh(segment.inertia), rtol=1e-3)
    assert total == pytest.approx(sum(s.mass for s in segments.values()), abs=0.06)


def test_meshes_are_there_small_and_closed_over_the_body(robot, body):
    import trimesh

    from diffmocap.resources import share_path

    files = [m.get("filename") for m in robot.iter("mesh")]
    assert len(files) == 24 and all(f.startswith(ROS_MESH_ROOT + "/") for f in files)
    paths = [share_path("models", "meshes", f.rsplit("/", 1)[1]) for f in files]
    assert sum(p.stat().st_size for p in paths) < 3e6
    area = sum(trimesh.load(p, process=False).area for p in paths)
    skin = trimesh.Trimesh(body.template.numpy(), body.faces.numpy(), process=False).area
    assert skin * 0.9 < area < skin * 1.6, "together the pieces cover the skin, with some overlap"


def capsule(shapes):
    """(ends [2, 3], radius) of one link's collision shapes as PyBullet has them, in the link's frame [m]."""
    # PyBullet tells them in the frame of the link's centre of mass.
    turn = [np.array(pybullet.getMatrixFromQuaternion(shape[6])).reshape(3, 3) for shape in shapes]
    kinds = [shape[2] for shape in shapes]
    assert sorted(kinds) == sorted([pybullet.GEOM_CYLINDER, pybullet.GEOM_SPHERE, pybullet.GEOM_SPHERE])
    at = kinds.index(pybullet.GEOM_CYLINDER)
    length, radius = shapes[at][3][:2]
    half = 0.5 * length * turn[at][:, 2]
    ends = np.array(shapes[at][5]) + np.array([half, -half])
    spheres = [shape for shape in shapes if shape[2] == pybullet.GEOM_SPHERE]
    for sphere in spheres:
        assert sphere[3][0] == pytest.approx(radius, abs=1e-6), "the ends are as wide as the cylinder"
        assert np.linalg.norm(ends - sphere[5], axis=1).min() < 1e-5, "and sit on it"
    assert np.linalg.norm(np.subtract(spheres[0][5], spheres[1][5])) == pytest.approx(length, abs=1e-5)
    return ends, radius


def distances(points, ends):
    """[N] m from points [N, 3] to a segment: from its line, or from the nearer end where the foot lies beyond."""
    length = np.linalg.norm(ends[1] - ends[0])
    along = (ends[1] - ends[0]) / length
    foot = (points - ends[0]) @ along
    line = np.linalg.norm(np.cross(points - ends[0], along), axis=1)
    nearer = np.minimum(*(np.linalg.norm(points - end, axis=1) for end in ends))
    return np.where((foot > 0) & (foot < length), line, nearer)


def test_every_segment_collides_as_a_capsule_around_its_skin(simulated, body):
    """As PyBullet read it, against the skin of the zero pose: each vertex belongs to the link that moves it most.

    (Capsules were fitted in a relaxed pose, in which the skin around the joints lies otherwise.)
    """
    client, found = simulated.client, {}
    for name in ("human", *JOINT_NAMES):
        index = -1 if name == "human" else simulated.link[name]
        shapes = pybullet.getCollisionShapeData(simulated.robot, index, physicsClientId=client)
        inertial = pybullet.getDynamicsInfo(simulated.robot, index, physicsClientId=client)[3:5]
        shapes = [(*s[:5], *pybullet.multiplyTransforms(*inertial, *s[5:7])) for s in shapes]
        if name == "human":
            assert not shapes
        else:
            found[name] = capsule(shapes)
    everywhere, owner = body.template.numpy(), body.skin_weights.numpy().argmax(1)
    rest, axes = body.rest_joints()[0].numpy(), URDF_FROM_SMPL.numpy()
    inside = np.zeros(len(everywhere), bool)
    for joint, name in enumerate(JOINT_NAMES):
        (ends, radius), skin = found[name], (everywhere - rest[joint]) @ axes.T
        own = skin[owner == joint]
        assert (distances(own, ends) < radius + 0.003).mean() > 0.88, name
        # No larger than the skin asks for: it reaches the surface on all sides, and beyond it somewhere.
        assert distances(own, ends).max() > radius, name
        assert radius < 0.5 * np.linalg.norm(np.ptp(own, axis=0)), name
        inside |= distances(skin, ends) < radius
        mirrored, width = found[JOINT_NAMES[JOINT_MIRROR[joint]]]
        assert width == radius
        mirrored = mirrored * [1, -1, 1]
        assert min(np.abs(mirrored - ends).max(), np.abs(mirrored[::-1] - ends).max()) < 1e-5, name
    assert inside.mean() > 0.95, "what one capsule leaves out is in its neighbour's"


def test_the_smallest_capsule_around_a_capsule_is_that_capsule():
    rng = np.random.default_rng(0)
    start, end, radius = np.array([0.1, -0.2, 0.3]), np.array([0.3, 0.2, -0.1]), 0.07
    along = (end - start) / np.linalg.norm(end - start)
    out = rng.normal(size=(4000, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    side = out @ along
    # Even over the surface: the side's share of the area, the rest on the two round ends.
    round_end = rng.uniform(size=4000) < 2 * radius / (2 * radius + np.linalg.norm(end - start))
    flat = out - side[:, None] * along
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    on_side = start + rng.uniform(size=(4000, 1)) * (end - start) + radius * flat
    points = np.where(round_end[:, None], np.where(side[:, None] > 0, end, start) + radius * out, on_side)
    found = smallest_capsule(points, enclosed=1.0)
    ends = np.stack([found.start, found.end])
    assert min(np.abs(ends - [start, end]).max(), np.abs(ends - [end, start]).max()) < 0.004
    assert found.radius == pytest.approx(radius, abs=0.002)
    assert found.outside(points).max() < 1e-9
    assert found.volume == pytest.approx(np.pi * radius**2 * (0.6 + 4 / 3 * radius), rel=0.02)


def test_without_the_massless_root_engines_have_the_persons_mass(body, tmp_path):
    """PyBullet would give that link 1 kg."""
    path = tmp_path / "human.urdf"
    path.write_text(read_urdf(resolve_meshes=True, massless_root=False))
    simulation = Simulated(path, fixed=False)
    try:
        assert simulation.base == "pelvis" and len(simulation.info) == 69
        links = range(-1, 69)
        mass = sum(pybullet.getDynamicsInfo(simulation.robot, i, physicsClientId=simulation.client)[0] for i in links)
        assert mass == pytest.approx(sum(s.mass for s in segment_inertias(body)), abs=0.06)
    finally:
        simulation.close()


def collisions(elements: list[ET.Element]) -> list[list[float]]:
    """Each link's capsule: place, radius and length of the cylinder, then places and radii of the ends, in the order of
    their places along the axis in which they are farthest apart: which comes first is a matter of rounding."""
    found = []
    for link in (e for e in elements if e.tag == "link"):
        parts = [
            [*map(float, part.find("origin").get("xyz").split()), float(shape.get("radius"))]
            + [float(shape.get("length", 0.0))]
            for part in link.findall("collision")
            for shape in part.find("geometry")
        ]
        middle = [part for part in parts if part[-1] > 0.0]
        ends = np.array([part for part in parts if part[-1] == 0.0])
        if len(ends):
            ends = ends[np.argsort(ends[:, np.abs(ends[0] - ends[1]).argmax()])]
        found.append([*np.ravel(middle), *ends.ravel()])
    return found


def test_command_writes_a_loadable_folder(tmp_path, capsys, body):
    main(["--out", str(tmp_path)])
    assert "69 revolute joints" in capsys.readouterr().out
    written, shipped = (list(ET.fromstring(t).iter()) for t in ((tmp_path / "human.urdf").read_text(), read_urdf()))
    assert [(e.tag, e.get("name")) for e in written] == [(e.tag, e.get("name")) for e in shipped]
    capsules = {e for collision in written if collision.tag == "collision" for e in collision.iter()}
    for a, b in zip(written, shipped, strict=True):
        for key in ({"xyz", "lower", "upper", "radius", "length"} & set(a.attrib)) if a not in capsules else ():
            found, expected = (np.array(e.get(key).split(), float) for e in (a, b))
            np.testing.assert_allclose(found, expected, atol=1e-4)
    for a, b in zip(*(collisions(tree) for tree in (written, shipped)), strict=True):
        # Capsules are searched for, and the search may end elsewhere by rounding.
        np.testing.assert_allclose(a, b, atol=5e-3)
    text = read_urdf(tmp_path / "human.urdf", resolve_meshes=True)
    assert "package://" not in text and str(tmp_path) in text


def test_another_shape_gives_another_urdf(tmp_path, body):
    betas = torch.zeros(1, 10)
    betas[0, 0] = 2.0
    path = write_urdf(body, tmp_path, betas)
    robot = ET.fromstring(path.read_text())
    knee = next(j for j in robot.findall("joint") if j.get("name") == "left_knee_y")
    rest = body.rest_joints(betas)[0]
    expected = URDF_FROM_SMPL @ (rest[4] - rest[1])
    found = [float(x) for x in knee.find("origin").get("xyz").split()]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_without_meshes_and_without_file(body, tmp_path):
    bare = ET.fromstring(build_urdf(body))
    assert not [*bare.iter("visual"), *bare.iter("collision")]
    with pytest.raises(ModelFileError, match="cannot read the URDF"):
        read_urdf(tmp_path / "none.urdf")
