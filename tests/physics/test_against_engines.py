"""Inverse dynamics against pinocchio's and PyBullet's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pybullet
import pytest
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, URDF_FROM_SMPL, rotations_from_angles
from diffmocap.body.urdf import read_urdf
from diffmocap.physics.revolute_torques import revolute_torques
from diffmocap.physics.segments import BodySegments
from tests.physics.newton_euler import JointLoads, joint_loads
from tests.physics.segment_motion import SegmentMotion, segment_motion

REFERENCE = Path(__file__).with_name("pinocchio_reference.npz")
#: Rates and accelerations are put into three frames this far apart [s]; second differences are then good to 1e-6.
DT = 1e-4
M = URDF_FROM_SMPL.double()


def loads_of_states(state: dict[str, torch.Tensor], segments: BodySegments) -> tuple[SegmentMotion, JointLoads]:
    """Loads [N, 1, 24, 3] at states given by angles, root pose, and their first and second derivatives."""
    t = torch.tensor([-DT, 0.0, DT], dtype=torch.float64)[:, None]

    def along(x, v, a):
        return x[:, None] + v[:, None] * t + 0.5 * a[:, None] * t**2

    limbs = rotations_from_angles(along(state["angles"], state["rates"], state["accelerations"]))
    turn = roma.rotvec_to_rotmat(along(torch.zeros_like(state["omega"]), state["omega"], state["alpha"]))
    # The pelvis link has the URDF's axes, the root rotation turns SMPL's.
    root = turn @ roma.unitquat_to_rotmat(state["quaternion_xyzw"])[:, None] @ M
    pelvis = along(state["position"], state["velocity"], state["acceleration"])
    motion = segment_motion(torch.cat([root[..., None, :, :], limbs], -3), pelvis, DT, segments)
    return motion, joint_loads(motion, segments, state["gravity"])


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    with np.load(REFERENCE) as file:
        assert tuple(file["names"]) == JOINT_ANGLE_NAMES
        return {k: torch.from_numpy(file[k]) for k in file.files if file[k].dtype == np.float64}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference over the largest value, the worst of all states."""
    return float(((a - b).abs().amax(-1) / b.abs().amax(-1)).max())


def test_torques_and_root_wrench_are_pinocchios(reference, segments):
    """24 random states, and frames of as many takes of motion capture; pinocchio 4.1.0, by recursion."""
    motion, loads = loads_of_states(reference, segments)
    torques = revolute_torques(loads.torque, motion.rotations, reference["angles"][:, None])[:, 0]
    assert len(torques) > 40
    assert relative(torques, reference["torques"]) < 1e-5
    root = torch.cat([loads.force[:, 0, 0], loads.torque[:, 0, 0]], -1)
    assert relative(root, reference["pelvis_wrench"]) < 1e-5


def test_every_torque_of_a_small_joint_too(reference, segments):
    """Relative to each joint's own size, so that the hips do not hide the hands."""
    motion, loads = loads_of_states(reference, segments)
    torques = revolute_torques(loads.torque, motion.rotations, reference["angles"][:, None])[:, 0]
    off = (torques - reference["torques"]).unflatten(-1, (23, 3)).norm(dim=-1)
    assert float((off / reference["torques"].unflatten(-1, (23, 3)).norm(dim=-1)).max()) < 1e-3


def test_either_branch_of_the_angles_gives_the_same_power(reference, segments):
    """(a, b, c) and (a + pi, pi - b, c + pi) are one rotation: torque times rate does not care which describes it."""
    motion, loads = loads_of_states(reference, segments)
    angles, rates = (reference[k].unflatten(-1, (23, 3)) for k in ("angles", "rates"))
    mirror = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    powers = []
    for a, v in ((angles, rates), (angles * mirror + torch.pi, rates * mirror)):
        torques = revolute_torques(loads.torque[:, 0], motion.rotations[:, 0], a.flatten(-2))
        powers.append((torques.unflatten(-1, (23, 3)) * v).sum(-1))
    torch.testing.assert_close(powers[0], powers[1], rtol=1e-9, atol=1e-9)


def test_torques_are_pybullets(reference, segments, tmp_path):
    """The URDF with its pelvis held, gravity from the side, which a live engine takes as it stands."""
    path = tmp_path / "human.urdf"
    text = read_urdf(resolve_meshes=True, massless_root=False)
    path.write_text(text.replace('mass value="0.001"', 'mass value="1e-9"').replace('"1e-06"', '"1e-12"'))
    client = pybullet.connect(pybullet.DIRECT)
    try:
        gravity = (3.0, -4.0, -8.0)
        pybullet.setGravity(*gravity, physicsClientId=client)
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        robot = pybullet.loadURDF(str(path), useFixedBase=True, flags=flags, physicsClientId=client)
        numbers = {pybullet.getJointInfo(robot, i, physicsClientId=client)[1].decode(): i for i in range(69)}
        place = [numbers[name] for name in JOINT_ANGLE_NAMES]
        limbs = ("angles", "rates", "accelerations")
        state = {k: v if k in limbs else torch.zeros_like(v) for k, v in reference.items()}
        state["quaternion_xyzw"] = torch.tensor([0.0, 0, 0, 1], dtype=torch.float64).expand(len(state["angles"]), 4)
        state["gravity"] = torch.tensor(gravity, dtype=torch.float64)
        motion, loads = loads_of_states(state, segments)
        ours = revolute_torques(loads.torque, motion.rotations, state["angles"][:, None])[:, 0]
        theirs = torch.zeros_like(ours)
        for i in range(len(ours)):
            q, v, a = (np.zeros(69) for _ in range(3))
            q[place], v[place], a[place] = (state[k][i].numpy() for k in limbs)
            tau = pybullet.calculateInverseDynamics(robot, list(q), list(v), list(a), physicsClientId=client)
            theirs[i] = torch.tensor(tau, dtype=torch.float64)[place]
    finally:
        pybullet.disconnect(client)
    assert relative(ours, theirs) < 1e-3
