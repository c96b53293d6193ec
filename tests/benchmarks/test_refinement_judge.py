"""The independent judge: known bodies on and above the ground, and pinocchio's root wrench."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from benchmarks.refinement.judge import ARM, FRICTION, GRAVITY, RootJudge, friction_edges
from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, URDF_FROM_SMPL, rotations_from_angles
from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.physics.contact_points import ContactPoints

UP = np.array([0.0, 1.0, 0.0])
DT = 1 / 30
REFERENCE = Path(__file__).parents[1] / "physics" / "pinocchio_reference.npz"


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def judge(body: BodyModel) -> RootJudge:
    return RootJudge(read_urdf(), ContactPoints.from_body(body))


def still(judge: RootJudge, frames: int = 6, above: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A T-pose whose soles are ``above`` the floor at 0."""
    rotations = np.broadcast_to(np.eye(3), (frames, 24, 3, 3))
    lowest = judge.contact_positions(rotations[:1], np.zeros((1, 3)), UP)[..., 1].min()
    return rotations, np.broadcast_to([0.0, above - lowest, 0.0], (frames, 3))


def test_standing_needs_nothing_but_the_ground(judge):
    motion = still(judge)
    contacts = judge.contacts(*motion, DT, UP, 0.0)
    feet = np.array([not name.endswith(("hand", "knee")) for name in judge.point_names])
    assert (contacts == feet).all()
    assert judge.unexplained(*motion, DT, UP, contacts).combined_pct.max() < 1e-6


def test_who_hangs_in_the_air_owes_his_weight(judge):
    motion = still(judge, above=0.5)
    contacts = judge.contacts(*motion, DT, UP, 0.0)
    assert not contacts.any()
    left = judge.unexplained(*motion, DT, UP, contacts)
    np.testing.assert_allclose(left.force_pct, 100.0, rtol=1e-9)
    np.testing.assert_allclose(left.combined_pct, 100.0, rtol=1e-9)
    assert left.moment_nm.max() < 1e-6


def test_who_falls_freely_owes_nothing(judge):
    rotations, pelvis = still(judge, above=2.0)
    spin = Rotation.from_rotvec(np.outer(np.arange(6) * DT, [0.0, 2.0, 0.0])).as_matrix()  # about a principal axis
    turned = np.array(rotations)
    turned[:, 0] = spin
    places = judge.poses(rotations, 0 * pelvis)[1][0] + judge.centre
    centre = judge.mass @ places / judge.mass.sum()
    fallen = pelvis - 0.5 * GRAVITY * (np.arange(6)[:, None] * DT) ** 2 * UP + centre - spin @ centre
    left = judge.unexplained(turned, fallen, DT, UP, np.zeros((6, 12), bool))
    assert left.force_pct.max() < 1e-8
    # Left and right of the shipped body differ by grams: the vertical is nearly a principal axis.
    assert left.moment_nm.max() < 5.0
    assert judge.unexplained(rotations, fallen, DT, UP, np.zeros((6, 12), bool)).moment_nm.max() < 1e-6


def test_one_foot_cannot_hold_who_stands_on_two(judge):
    """With the right foot's labels alone the weight tips over; friction can turn part of that into a push aside."""
    motion = still(judge)
    right = np.broadcast_to([name in ("right_heel", "right_toe") for name in judge.point_names], (6, 12))
    left = judge.unexplained(*motion, DT, UP, right)
    assert left.combined_pct.min() > 8.0
    np.testing.assert_allclose(
        left.combined_pct, np.hypot(left.force_pct, 100 * left.moment_nm / (ARM * judge.weight)), rtol=1e-9
    )


def test_sliding_harder_than_friction_is_left_over(judge):
    """Forward at the gravity's acceleration, of which the cone gives 0.8 at most."""
    rotations, pelvis = still(judge)
    pushed = pelvis + 0.5 * GRAVITY * (np.arange(6)[:, None] * DT) ** 2 * np.array([0.0, 0.0, 1.0])
    contacts = np.broadcast_to([not n.endswith(("hand", "knee")) for n in judge.point_names], (6, 12))
    assert judge.unexplained(rotations, pushed, DT, UP, contacts).combined_pct.min() > 10.0
    edges = friction_edges(np.array([0.0, 0.6, 0.8]))
    np.testing.assert_allclose(edges @ [0.0, 0.6, 0.8], 1 / np.hypot(1, FRICTION))


def test_the_wrench_is_pinocchios(judge):
    """Random states and frames of motion capture, put into three frames a tenth of a millisecond apart."""
    with np.load(REFERENCE) as file:
        assert tuple(file["names"]) == JOINT_ANGLE_NAMES
        state = {k: torch.from_numpy(file[k]) for k in file.files if file[k].dtype == np.float64}
    dt = 1e-4
    t = torch.tensor([-dt, 0.0, dt], dtype=torch.float64)[:, None]

    def along(x, v, a):
        return x[:, None] + v[:, None] * t + 0.5 * a[:, None] * t**2

    limbs = rotations_from_angles(along(state["angles"], state["rates"], state["accelerations"])).numpy()
    turn = along(torch.zeros_like(state["omega"]), state["omega"], state["alpha"]).numpy()
    pelvis = along(state["position"], state["velocity"], state["acceleration"]).numpy()
    axes = URDF_FROM_SMPL.double().numpy()
    for i in range(len(pelvis)):
        root = Rotation.from_rotvec(turn[i]).as_matrix() @ Rotation.from_quat(state["quaternion_xyzw"][i]).as_matrix()
        rotations = np.concatenate([(root @ axes)[:, None], limbs[i]], 1)
        found = judge.wrench(rotations, pelvis[i], dt, -state["gravity"].numpy() / np.linalg.norm(state["gravity"]))
        # Pinocchio's gravity is 9.81; its moments are about the pelvis.
        gravity = judge.mass.sum() * (GRAVITY - 9.81) * np.array([0.0, 0.0, 1.0])
        force = found.force[0] - gravity
        moment = found.moment[0] + np.cross(found.centre[0] - pelvis[i, 1], force)
        theirs = state["pelvis_wrench"][i].numpy()
        np.testing.assert_allclose(np.concatenate([force, moment]), theirs, atol=1e-5 * np.abs(theirs).max())


def test_motion_capture_is_nearly_explained(judge, body, mocap_dir):
    """A walk's residual is small on the labels of its own feet, and large when it is lifted off the floor's labels."""
    clip = next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_01")
    clip = retarget(clip, body)
    motion = clip.rotations.double().numpy(), clip.pelvis.double().numpy()
    contacts = judge.contacts(*motion, DT, UP, 0.0)
    assert contacts.any(1).mean() > 0.95
    assert np.median(judge.unexplained(*motion, DT, UP, contacts).combined_pct) < 12.0
    assert np.median(judge.unexplained(*motion, DT, UP, np.zeros_like(contacts)).combined_pct) > 80.0
