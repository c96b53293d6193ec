"""DiffPhy's terms of image, ground and body, and its initial state: known values, and gradients term by term."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.physics.ground import Ground
from diffmocap.physics.simulation import BodyMotionState, SimulatedMotion, Simulator
from diffmocap.reconstruct.physics.simulated_motion import SimulatedBody
from diffmocap.refinement.diffphy.controls import JOINT_SETS, ControlTrajectory
from diffmocap.refinement.diffphy.initial_state import PELVIS_UNIT_M, StateChange
from diffmocap.refinement.diffphy.observation import SeenKeypoints
from diffmocap.refinement.diffphy.task import DiffphyTask, DiffphyWeights

DT, FRAMES, FOCAL = 1 / 30, 6, 600.0
UP = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def walks(body, mocap_dir) -> tuple[torch.Tensor, torch.Tensor]:
    """Six frames each of a walk, twice, in the frame of a level camera: [2, 6, 24, 3, 3] and [2, 6, 3]; the lowest
    soles are near the height -1 along ``UP``."""
    clip = retarget(next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_01"), body)
    parts = [slice(first, first + FRAMES) for first in (5, 20)]
    rotations = torch.stack([clip.rotations[part] for part in parts]).double()
    pelvis = torch.stack([clip.pelvis[part] - clip.pelvis[part.start] for part in parts]).double()
    turn = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    rotations[:, :, 0] = turn @ rotations[:, :, 0]
    return rotations, pelvis @ turn + torch.tensor([0.0, 0.0, 4.0])


@pytest.fixture(scope="module")
def seen(body, walks) -> SeenKeypoints:
    """Where the image has the walks, 4 cm off to the side; the nose of the first one was not seen."""
    rotations, pelvis = (x.flatten(0, 1).float() for x in walks)
    at = body.keypoints(rotations, pelvis + torch.tensor([0.04, 0.0, 0.0])).double().unflatten(0, (2, FRAMES))
    K = torch.tensor([[FOCAL, 0, 320], [0, FOCAL, 240], [0, 0, 1]], dtype=torch.float64)
    image = at @ K.T
    confidence = torch.full((2, FRAMES, 25), 0.8, dtype=torch.float64)
    confidence[0, :, 0] = 0.0
    points_px = image[..., :2] / image[..., 2:]
    points_px[0, :, 0] = torch.nan
    return SeenKeypoints(points_px, confidence, K.expand(2, 3, 3))


def task_of(simulated_body: SimulatedBody, walks, seen: SeenKeypoints | None, **options) -> DiffphyTask:
    """Both walks, on a ground that their feet touch; all joints driven, and the initial state free."""
    rotations, pelvis = walks
    simulator = Simulator(simulated_body.articulated, Ground(UP, torch.tensor(-0.9, dtype=torch.float64)))
    touching = torch.zeros(2, FRAMES, len(simulated_body.articulated.points.names), dtype=torch.bool)
    touching[:, :, simulated_body.articulated.points.feet[:4]] = True
    controls = ControlTrajectory.over(FRAMES, DT, JOINT_SETS["all"])
    given = {
        "points": simulated_body.points,
        "seen": seen,
        "self_contact": simulated_body.self_contact,
        "free_start": True,
    } | options
    return DiffphyTask(simulator, rotations, pelvis, DT, controls, touching=touching, **given)


@pytest.fixture(scope="module")
def task(simulated_body, walks, seen) -> DiffphyTask:
    return task_of(simulated_body, walks, seen)


def still(task: DiffphyTask, moved: torch.Tensor | None = None) -> SimulatedMotion:
    """The observed motion as if it were simulated, moved by [T, 3] m."""
    moved = torch.zeros(FRAMES, 3).double() if moved is None else moved
    joints, points = task.joints + moved[:, None], task.simulator.body.points
    positions = torch.cat([joints, points.centres(task.turned, joints)], 2)
    none = torch.zeros(2, FRAMES, 1)
    return SimulatedMotion(task.turned, task.pelvis + moved, none, positions, none, none)


def test_every_terms_gradient_is_that_of_finite_differences(task):
    """By controls and by the initial state alone: what comes back through the simulation hides neither."""
    generator = torch.Generator().manual_seed(2)
    x = 0.1 * torch.randn(2, task.dimension, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    terms, first = task.terms(x), task.knots(x).shape[1]
    assert {"reprojection", "slip", "penetration", "self_contact", "start_turn", "start_rate"} < set(terms)
    ways = torch.randn(2, *x.shape, generator=generator, dtype=torch.float64)
    ways[0, :, first:] = 0.0
    ways[1, :, :first] = 0.0
    with torch.no_grad():
        beside = [(task.terms(x + 1e-6 * way), task.terms(x - 1e-6 * way)) for way in ways]
    for name, term in terms.items():
        (gradient,) = torch.autograd.grad(term.sum(), x, retain_graph=True)
        for (after, before), way in zip(beside, ways, strict=True):
            slope = (after[name] - before[name]) / 2e-6
            size = 1e-5 * float(gradient.norm() * way.norm())
            torch.testing.assert_close((gradient * way).sum(1), slope, rtol=1e-4, atol=size, msg=name)
    moving = torch.autograd.grad(terms["reprojection"].sum() + terms["slip"].sum(), x)[0][:, first:]
    assert float(moving[:, :150].abs().amin(1).max()) > 0.0  # every number of the state counts
    assert float(moving[:, 150:].abs().max()) == 0.0


def test_keypoints_cost_their_distance_at_the_persons_distance(task):
    """All are about 4 cm off, at the pelvis's distance or a little beside it."""
    w = DiffphyWeights()
    found = task.terms(task.init(2).double(), still(task))["reprojection"]
    once = 0.8 * w.keypoint_saturation_m**2 * math.log1p((0.04 / w.keypoint_saturation_m) ** 2) / w.reprojection_m**2
    assert float(found[1]) == pytest.approx(once, rel=0.05)
    assert float(found[0]) == pytest.approx(once * 24 / 25, rel=0.05)
    there = torch.tensor([0.04, 0.0, 0.0]).double().expand(FRAMES, 3)
    assert float(task.terms(task.init(2).double(), still(task, there))["reprojection"].max()) < 0.01 * once


def test_feet_that_touch_cost_their_speed_along_the_ground(simulated_body, walks):
    """Motions that stand still and are pushed."""
    rotations, pelvis = (x[:, :1].expand_as(x) for x in walks)
    task, w = task_of(simulated_body, (rotations, pelvis), None), DiffphyWeights()
    push = torch.arange(FRAMES)[:, None] * DT * torch.tensor([0.3, 0.0, 0.4]).double()
    rise = torch.arange(FRAMES)[:, None] * DT * torch.tensor([0.0, -0.5, 0.0]).double()
    x = task.init(2).double()
    assert "reprojection" not in task.terms(x, still(task))
    assert float(task.terms(x, still(task))["slip"].max()) < 1e-12
    # 0.5 m/s, a little less than its square (pseudo-Huber).
    wanted = 2 * w.saturation_m_s**2 * (math.sqrt(1 + (0.5 / w.saturation_m_s) ** 2) - 1) / w.slip_m_s**2
    found = task.terms(x, still(task, push + rise))["slip"]
    torch.testing.assert_close(found, torch.full((2,), wanted, dtype=torch.float64))


def test_points_below_the_ground_cost_their_depth_summed(task):
    gap = (task.simulator.body.points.centres(task.turned, task.joints) @ UP) + 0.9
    gap = gap - task.simulator.body.points.radius
    deep = torch.tensor([0.0, 1.0, 0.0]).double() * (gap.min() + 0.01)
    below = (gap - gap.min() - 0.01).clamp_max(0.0)
    wanted = below.square().sum(-1).mean(1) / DiffphyWeights().penetration_m ** 2
    # Captured rotations are rounded to single precision, and points are placed in another order.
    found = task.terms(task.init(2).double(), still(task, deep.expand(FRAMES, 3)))["penetration"]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=0)
    assert float(found.max()) > 1e-3


def test_an_initial_state_in_the_ground_costs_its_depth_undivided_by_frames(task):
    """A fifth of a window's frames that are as deep cost a fifth; where the state is given, nothing is to be found."""
    lowest = (task.simulator.body.points.centres(task.turned, task.joints) @ UP + 0.9)[:, 0]
    depth = (task.simulator.body.points.radius - lowest + 0.02).clamp_min(0.0)  # 2 cm lower than observed
    moved = torch.zeros(FRAMES, 3).double()
    moved[0] = -0.02 * UP
    found = task.terms(task.init(2).double(), still(task, moved))["start_penetration"]
    torch.testing.assert_close(found, depth.square().sum(1) / DiffphyWeights().penetration_m ** 2)
    assert float(found.min()) > 0.5
    given = task_without(task)
    assert "start_penetration" not in given.terms(given.init(2).double(), still(task, moved))


def test_a_folded_arm_costs_what_the_capsules_say(task):
    motion = still(task)
    turned = motion.rotations.clone()
    arm = [JOINT_NAMES.index(f"left_{name}") for name in ("shoulder", "elbow", "wrist", "hand")]
    turned[:, :, arm] = turned[:, :, arm] @ roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, -1.0])).double()
    folded = replace(motion, rotations=turned)
    found = task.terms(task.init(2).double(), folded)["self_contact"]
    wanted = task.self_contact.squares(turned, motion.joints) / DiffphyWeights().self_contact_m ** 2
    torch.testing.assert_close(found, wanted)
    assert "self_contact" not in task_without(task).terms(task.knots(task.init(2)).double(), folded)


def task_without(task: DiffphyTask) -> DiffphyTask:
    """The old problem: nothing but the 3D motion, the state given."""
    return DiffphyTask(task.simulator, task.rotations, task.pelvis, DT, task.controls, start=task.start)


def test_no_change_is_the_observed_state_and_a_turned_joint_takes_along_what_it_carries(task):
    observed, articulated = task.start, task.simulator.body
    same = StateChange.of(torch.zeros(2, 150).double()).of_state(observed, articulated)
    for name in ("rotations", "pelvis", "velocity"):
        torch.testing.assert_close(getattr(same, name), getattr(observed, name), rtol=0, atol=2e-6)
    hip, knee, spine = (JOINT_NAMES.index(name) for name in ("left_hip", "left_knee", "spine1"))
    change = StateChange(*(torch.zeros(2, *size).double() for size in ((NUM_JOINTS, 3), (NUM_JOINTS, 3), (3,), (3,))))
    change.turns[:, hip, 0], change.rates[:, hip, 1], change.velocity[:, 2] = 0.4, 2.0, 0.7
    found = change.of_state(observed, articulated)
    for joint in (hip, knee):
        angle = roma.rotmat_geodesic_distance(found.rotations[:, joint], observed.rotations[:, joint])
        torch.testing.assert_close(angle, torch.full((2,), 0.4).double())
        spin = found.velocity[:, 1 + joint] - observed.velocity[:, 1 + joint]
        torch.testing.assert_close(spin, 2.0 * found.rotations[:, hip, :, 1])
    torch.testing.assert_close(found.rotations[:, spine], observed.rotations[:, spine], rtol=0, atol=2e-6)
    torch.testing.assert_close(found.velocity[:, 0] - observed.velocity[:, 0], change.velocity)


def test_differing_from_the_observed_state_costs_its_share(task):
    w, x = DiffphyWeights(), task.init(2).double()
    first = task.knots(x).shape[1]
    x[:, first : first + 72] = 0.1  # every joint about all its axes
    x[:, first + 144] = 1.0
    terms = task.terms(x, still(task))
    torch.testing.assert_close(terms["start_turn"], torch.full((2,), 0.03 / w.start_turn_rad**2).double())
    moved = torch.full((2,), (PELVIS_UNIT_M / w.start_pelvis_m) ** 2, dtype=torch.float64)
    torch.testing.assert_close(terms["start_pelvis"], moved)
    assert float(terms["start_rate"].max()) == float(terms["start_velocity"].max()) == 0.0


def test_a_wrong_observed_velocity_is_made_good(simulated_body, walks):
    """The state is said to stand still while the motion walks on."""
    rotations, pelvis = (x[:1] for x in walks)
    simulator = Simulator(simulated_body.articulated, Ground(UP, torch.tensor(-0.9, dtype=torch.float64)))
    own = BodyMotionState.of_motion(rotations, pelvis, DT, simulated_body.articulated)
    start = replace(own, velocity=torch.zeros_like(own.velocity))
    found = {}
    for free in (False, True):
        task = DiffphyTask(simulator, rotations, pelvis, DT, start=start, free_start=free)
        found[free] = Lbfgs().minimize(task, task.init(1), Budget(evaluations=20)).loss
    assert float(found[True]) < 0.7 * float(found[False])


def test_rows_and_beginnings_keep_all_that_is_known(task):
    x = 0.05 * torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    terms, alone = task.terms(x), task.row(1).terms(x[1:])
    assert set(alone) == set(terms)
    for name, term in alone.items():
        torch.testing.assert_close(term, terms[name][1:], rtol=1e-9, atol=1e-12, msg=name)
    part = task.beginning(3)
    assert part.shape == task.shape and set(part.terms(x)) == set(terms)
    torch.testing.assert_close(part.simulate(x).joints, task.simulate(x).joints[:, :3])


def test_what_is_missing_is_told(simulated_body, walks, seen):
    with pytest.raises(SettingsError, match="need the body's points"):
        task_of(simulated_body, walks, seen, points=None)
    with pytest.raises(SettingsError, match=r"confidence must be|points_px must be"):
        SeenKeypoints(seen.points_px[:, 1:], seen.confidence, seen.K)
