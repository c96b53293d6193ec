"""The links' frames against the body model, and against PyBullet's reading of the URDF."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import roma
import torch

pytest.importorskip("geometry_msgs", reason="needs ROS 2: run `make test`, or source a ROS 2 install")

from builtin_interfaces.msg import Time  # noqa: E402

from diffmocap.body.joint_angles import (  # noqa: E402
    JOINT_ANGLE_NAMES,
    URDF_FROM_SMPL,
    angle_limits,
    angles_from_rotations,
)
from diffmocap.body.kinematics import forward_kinematics  # noqa: E402
from diffmocap.body.model import BodyModel  # noqa: E402
from diffmocap.body.skeleton import JOINT_NAMES  # noqa: E402
from diffmocap.body.urdf import read_urdf  # noqa: E402
from diffmocap.nodes.pose.link_frames import LinkFrames  # noqa: E402


@pytest.fixture(scope="module")
def rest():
    return BodyModel.load().rest_joints()[0]


def composed(transforms) -> dict[str, np.ndarray]:
    """``T_root_link`` [4, 4] of every link, as a listener to /tf puts them together."""
    found = {transforms[0].header.frame_id: np.eye(4)}
    for transform in transforms:
        q, t = transform.transform.rotation, transform.transform.translation
        step = np.eye(4)
        step[:3, :3] = roma.unitquat_to_rotmat(torch.tensor([q.x, q.y, q.z, q.w], dtype=torch.float64)).numpy()
        step[:3, 3] = t.x, t.y, t.z
        found[transform.child_frame_id] = found[transform.header.frame_id] @ step
    return found


@pytest.mark.parametrize("seed", range(4))
def test_links_are_where_the_body_model_has_its_joints(rest, seed):
    """To much less than a micrometre, for any rotations, and for angles that a stream has wound up over time."""
    torch.manual_seed(seed)
    rotations = roma.random_rotmat(24, dtype=torch.float64)
    angles = angles_from_rotations(rotations, previous=40.0 * torch.randn(69, dtype=torch.float64))
    assert angles.abs().max() > torch.pi
    root = rotations[0] @ URDF_FROM_SMPL.double().T  # as pose_node publishes it
    pelvis = torch.tensor([0.3, -0.2, 3.0], dtype=torch.float64)
    turned, joints = forward_kinematics(rotations[None], pelvis[None], rest.double()[None])
    found = composed(LinkFrames(rest, "").transforms(angles.numpy(), Time()))
    for joint, name in enumerate(JOINT_NAMES):
        place = pelvis.numpy() + root.numpy() @ found[name][:3, 3]
        np.testing.assert_allclose(place, joints[0, joint].numpy(), atol=1e-9, err_msg=name)
        axes = root.numpy() @ found[name][:3, :3]
        np.testing.assert_allclose(axes, (turned[0, joint] @ URDF_FROM_SMPL.double().T).numpy(), atol=1e-9)


def test_they_are_all_links_of_the_urdf_where_pybullet_has_them(rest, tmp_path):
    pybullet = pytest.importorskip("pybullet")
    path = tmp_path / "human.urdf"
    path.write_text(read_urdf(resolve_meshes=True))
    torch.manual_seed(1)
    limits = angle_limits().numpy()
    angles = limits[:, 0] + np.random.default_rng(1).random(69) * (limits[:, 1] - limits[:, 0])
    found = composed(LinkFrames(rest, "").transforms(angles, Time()))
    client = pybullet.connect(pybullet.DIRECT)
    try:
        robot = pybullet.loadURDF(str(path), useFixedBase=True, physicsClientId=client)
        count = pybullet.getNumJoints(robot, physicsClientId=client)
        info = [pybullet.getJointInfo(robot, i, physicsClientId=client) for i in range(count)]
        for i, joint in enumerate(info):
            if joint[2] == pybullet.JOINT_REVOLUTE:
                angle = angles[JOINT_ANGLE_NAMES.index(joint[1].decode())]
                pybullet.resetJointState(robot, i, angle, physicsClientId=client)
        links = pybullet.getLinkStates(robot, range(count), computeForwardKinematics=True, physicsClientId=client)
    finally:
        pybullet.disconnect(client)
    assert set(found) == {"human"} | {joint[12].decode() for joint in info}
    for joint, link in zip(info, links, strict=True):
        T = found[joint[12].decode()]
        np.testing.assert_allclose(T[:3, 3], link[4], atol=1e-6, err_msg=joint[12].decode())
        rotation = np.array(pybullet.getMatrixFromQuaternion(link[5])).reshape(3, 3)
        np.testing.assert_allclose(T[:3, :3], rotation, atol=1e-6)


def test_names_and_parents_are_the_urdfs_with_the_prefix(rest):
    frames = LinkFrames(rest, "alice/")
    transforms = frames.transforms(np.zeros(69), Time(sec=3, nanosec=4))
    joints = ET.fromstring(read_urdf()).findall("joint")
    parents = {f"alice/{j.find('child').get('link')}": f"alice/{j.find('parent').get('link')}" for j in joints}
    assert len(transforms) == len(parents) == 70
    assert {t.child_frame_id: t.header.frame_id for t in transforms} == parents
    for transform in frames.transforms(np.zeros(69), Time(sec=5, nanosec=6)):
        assert (transform.header.stamp.sec, transform.header.stamp.nanosec) == (5, 6)
