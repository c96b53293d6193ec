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
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, PARENTS
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

    def __init__(self, path):
        self.client = pybullet.connect(pybullet.DIRECT)
        self.robot = pybullet.loadURDF(str(path), useFixedBase=True, physicsClientId=self.client)
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
        rotations, positions = [np.eye(3)], [np.zeros(3)]
        for name in JOINT_NAMES[1:]:
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


def test_pybullet_sees_69_revolute_joints(simulated):
    assert simulated.base == "pelvis"
    revolute = [info for info in simulated.info if info[2] == pybullet.JOINT_REVOLUTE]
    assert len(revolute) == len(simulated.info) == 69
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
    assert len(links) == len(set(links)) == 24 + 46 and set(JOINT_NAMES) <= set(links)
    joints = robot.findall("joint")
    assert [j.get("name") for j in joints] == list(JOINT_ANGLE_NAMES)
    parent = {j.find("child").get("link"): j.find("parent").get("link") for j in joints}
    assert len(parent) == len(joints) == 69 and set(links) - set(parent) == {"pelvis"}
    for k, name in enumerate(JOINT_NAMES[1:], start=1):
        real = parent[name]
        while real not in JOINT_NAMES:
            real = parent[real]
        assert real == JOINT_NAMES[PARENTS[k]]


def test_every_link_has_valid_inertia(robot, body):
    segments = dict(zip(JOINT_NAMES, segment_inertias(body), strict=True))
    total = 0.0
    for link in robot.findall("link"):
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


def test_command_writes_a_loadable_folder(tmp_path, capsys, body):
    main(["--out", str(tmp_path)])
    assert "69 revolute joints" in capsys.readouterr().out
    written, shipped = (list(ET.fromstring(t).iter()) for t in ((tmp_path / "human.urdf").read_text(), read_urdf()))
    assert [(e.tag, e.get("name")) for e in written] == [(e.tag, e.get("name")) for e in shipped]
    for a, b in zip(written, shipped, strict=True):
        for key in {"xyz", "lower", "upper"} & set(a.attrib):
            found, expected = (np.array(e.get(key).split(), float) for e in (a, b))
            np.testing.assert_allclose(found, expected, atol=1e-4)
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
    assert not list(ET.fromstring(build_urdf(body)).iter("visual"))
    with pytest.raises(ModelFileError, match="cannot read the URDF"):
        read_urdf(tmp_path / "none.urdf")
