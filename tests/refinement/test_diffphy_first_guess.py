"""The first guess of DiffPhy's controls: what holds up an arm, what fits turns, what goes on from window to window."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.physics.ground import Ground, find_ground
from diffmocap.physics.joint_drives import JointDrives
from diffmocap.physics.simulation import Simulator
from diffmocap.physics.tree import ancestor_matrix, global_poses
from diffmocap.physics.wrench import STANDARD_GRAVITY
from diffmocap.reconstruct.physics.simulated_motion import FLOOR, SimulatedBody
from diffmocap.refinement.diffphy.controls import JOINT_SETS, ControlTrajectory
from diffmocap.refinement.diffphy.feedforward import first_knots, leading_turns
from diffmocap.refinement.diffphy.horizon import HorizonSimulator
from diffmocap.refinement.diffphy.observation import SeenKeypoints
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.diffphy.task import DiffphyTask

DT = 1 / 30
UP = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
FLOOR_AT_0 = Ground(UP, torch.zeros((), dtype=torch.float64))


@pytest.fixture(scope="module")
def walk(body, simulated_body, mocap_dir) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """20 frames of a walk on the floor at 0, and which soles touch it."""
    clip = retarget(next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_01"), body)
    rotations, pelvis = clip.rotations[5:25].double(), clip.pelvis[5:25].double()
    turned, joints = global_poses(rotations, pelvis, simulated_body.articulated.segments.offsets)
    points = simulated_body.articulated.points
    soles = points.centres(turned, joints)[:, points.feet]
    pelvis = pelvis - find_ground(soles, DT, UP).height * UP
    centres = points.centres(turned, joints - joints[:, :1] + pelvis[:, None])
    return rotations, pelvis, centres @ UP - points.radius < 0.03


def feet(simulated_body: SimulatedBody, frames: int) -> torch.Tensor:
    touching = torch.zeros(frames, len(simulated_body.articulated.points.names), dtype=torch.bool)
    touching[:, simulated_body.articulated.points.feet] = True
    return touching


def test_targets_lead_by_what_holds_up_the_arms(simulated_body):
    """In the T-pose a shoulder bears the arm's weight at its lever, about the axis that points ahead."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(5, NUM_JOINTS, 1, 1)
    pelvis, segments = (
        torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).repeat(5, 1),
        simulated_body.articulated.segments,
    )
    drives = JointDrives.of_body(simulated_body.articulated)
    touching, points = feet(simulated_body, 5), simulated_body.points
    turns = leading_turns(rotations, pelvis, DT, FLOOR_AT_0, touching, points, drives)
    _, joints = global_poses(rotations[0], pelvis[0], segments.offsets)
    for side, ahead in (("left", 1.0), ("right", -1.0)):
        shoulder = JOINT_NAMES.index(f"{side}_shoulder")
        carried = ancestor_matrix(joints.device, joints.dtype)[:, shoulder]
        lever = (carried * segments.mass * (joints + segments.centre - joints[shoulder])[:, 0]).sum()
        torque = STANDARD_GRAVITY * float(lever)  # x times y is z
        share = abs(torque) / float(drives.strength[shoulder])
        wanted = torque / (1 - share**2) ** 0.5 / float(drives.stiffness[shoulder])
        assert wanted * ahead > 0.01
        assert turns[:, shoulder - 1, 2].tolist() == pytest.approx([wanted] * 5, rel=0.02)


def test_a_walk_begins_nearer_to_what_it_is_to_follow(simulated_body, walk):
    rotations, pelvis, touching = walk
    simulator = Simulator(simulated_body.articulated, FLOOR_AT_0, contact=FLOOR)
    controls = ControlTrajectory.every(20, 3, JOINT_SETS["all"])
    task = DiffphyTask(simulator, rotations[None], pelvis[None], DT, controls)
    leading = leading_turns(rotations, pelvis, DT, FLOOR_AT_0, touching, simulated_body.points, simulator.drives)
    guess = first_knots(controls, leading, torch.zeros(0, controls.shape[1]).double())
    assert float(task.loss(guess)) < 0.7 * float(task.loss(torch.zeros_like(guess)))


def test_knots_fit_turns_beside_held_ones_and_go_on_from_found_ones():
    generator = torch.Generator().manual_seed(0)
    turns = 0.1 * torch.randn(1, 23, 3, generator=generator, dtype=torch.float64).expand(20, 23, 3)
    joints = ("left_knee", "spine1")
    place = torch.tensor([JOINT_NAMES.index(name) for name in joints]) - 1
    whole = ControlTrajectory.every(20, 3, joints)
    fitted = whole.fitted(turns)
    torch.testing.assert_close(whole.turns(fitted)[0], turns[:, place], rtol=0, atol=0.02)
    knots = turns[:1, place].flatten(1)
    after = ControlTrajectory.every(20, 3, joints, knots.expand(3, 6))
    torch.testing.assert_close(after.turns(after.fitted(turns))[0], turns[:, place], rtol=0, atol=0.02)
    found = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    goes_on = first_knots(whole, turns, found).view(whole.shape)
    torch.testing.assert_close(goes_on[:3], found[:3])
    torch.testing.assert_close(goes_on[3:], fitted.view(whole.shape)[3:])
    alone = first_knots(whole, None, found).view(whole.shape)
    torch.testing.assert_close(alone, torch.cat([found, found[-1:].expand(len(alone) - 5, 6)]))
    assert float(first_knots(whole, None, found[:0]).abs().max()) == 0.0


def test_keypoints_draw_a_simulated_walk_to_the_person(body, simulated_body, walk):
    """The motion that is followed stands 5 cm off to the side of what the camera saw."""
    rotations, pelvis, touching = (x[:14] for x in walk)
    turn = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    rotations, pelvis = rotations.clone(), pelvis @ turn + torch.tensor([0.0, 0.0, 4.0]).double()
    rotations[:, 0] = turn @ rotations[:, 0]
    K = torch.tensor([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]], dtype=torch.float64)
    image = body.keypoints(rotations.float(), pelvis.float()).double() @ K.T
    seen = SeenKeypoints.of_one(image[..., :2] / image[..., 2:], torch.full((14, 25), 0.9).double(), K)
    simulator = Simulator(simulated_body.articulated, Ground(-UP, FLOOR_AT_0.height), contact=FLOOR)
    settings = SimulationSettings(window_s=0.6, overlap_s=0.3, evaluations=10, solver="lbfgs")
    off = pelvis + torch.tensor([0.05, 0.0, 0.0]).double()
    away = []
    for given in (None, seen):
        horizon = HorizonSimulator(
            simulator, Lbfgs(), settings, points=simulated_body.points, self_contact=simulated_body.self_contact
        )
        found = horizon.simulate(rotations, off, touching, DT, seen=given)
        assert found.simulated.all()
        away.append(float((found.pelvis - pelvis)[:, 0].mean()))
    assert away[1] < away[0] - 0.01
