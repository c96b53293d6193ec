"""Simulation of the driven body on the ground."""

from __future__ import annotations

import pytest
import roma
import torch

from diffmocap import compiler
from diffmocap.errors import SettingsError
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.ground import Ground
from diffmocap.physics.ground_contact import GroundContact
from diffmocap.physics.joint_drives import JointDrives, chord
from diffmocap.physics.simulation import BodyMotionState, SimulatedMotion, Simulator
from diffmocap.physics.wrench import STANDARD_GRAVITY
from tests.physics.fall_points import with_fall_points

DT = 1 / 30
UP = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def articulated(body, segments, points) -> ArticulatedBody:
    return ArticulatedBody(segments, with_fall_points(points, body))


@pytest.fixture(scope="module")
def simulator(articulated) -> Simulator:
    return Simulator(articulated, Ground(UP, torch.tensor(0.0)))


def resting(body: ArticulatedBody, turn: torch.Tensor, height: float, count: int = 1) -> BodyMotionState:
    """The T-pose turned by a rotation vector [3], its lowest point ``height`` above the ground, at rest."""
    rotations = roma.rotvec_to_rotmat(turn.to(UP)).expand(count, 24, 3, 3).contiguous()
    at = body.configuration(rotations, torch.zeros(count, 3, dtype=torch.float64))
    low = (at.positions[:, 24:] @ UP - body.points.radius).amin(1)
    return BodyMotionState(rotations, (height - low)[:, None] * UP, torch.zeros(count, 25, 3, dtype=torch.float64))


def own_pose(frames: int, count: int = 1) -> torch.Tensor:
    return torch.eye(3, dtype=torch.float64).expand(count, frames, 23, 3, 3)


def gaps(simulator: Simulator, motion: SimulatedMotion) -> torch.Tensor:
    return motion.positions[:, :, 24:] @ UP - simulator.body.points.radius


def test_a_standing_body_stays_standing(simulator):
    state = resting(simulator.body, torch.zeros(3), 0.0)
    motion = simulator.simulate(state, own_pose(31), DT)
    assert float((motion.pelvis - state.pelvis[:, None]).norm(dim=-1).max()) < 0.03
    weight = float(simulator.body.segments.total_mass) * STANDARD_GRAVITY
    carried = motion.contact_force.sum(2)[0, 15:] @ UP
    assert float((carried / weight - 1).abs().max()) < 0.02
    assert float(gaps(simulator, motion).min()) > -0.01


@pytest.mark.parametrize("turn", [torch.tensor([torch.pi / 2, 0, 0]), torch.tensor([-torch.pi / 2, 0, 0])])
def test_a_dropped_body_comes_to_rest_on_the_ground(simulator, turn):
    """From 30 cm, prone and supine."""
    state = resting(simulator.body, turn, 0.3)
    motion = simulator.simulate(state, own_pose(61), DT)
    assert float(gaps(simulator, motion)[:, -10:].min()) > -0.012
    assert float(gaps(simulator, motion).min()) > -0.04  # it landed with 2.4 m/s
    assert float(motion.velocity[:, -1, 0].norm(dim=-1).max()) < 0.05
    assert float(motion.velocity[:, -1, 1:].norm(dim=-1).max()) < 0.3


def test_forces_stay_in_the_friction_cone_and_never_pull():
    law = GroundContact(friction=0.7)
    g = torch.Generator().manual_seed(0)
    gap = 0.01 * torch.randn(500, 6, generator=g, dtype=torch.float64)
    velocity = torch.randn(500, 6, 3, generator=g, dtype=torch.float64)
    force, resistance, drag = law.forces(gap, velocity, UP, torch.tensor(3e4).double())
    normal = force @ UP
    along = force - normal[..., None] * UP
    assert bool((normal >= 0).all()) and bool((resistance >= 0).all()) and bool((drag >= 0).all())
    assert bool((along.norm(dim=-1) <= 0.7 * normal).all())
    assert bool(((along * velocity).sum(-1) <= 0).all())  # it takes energy
    fast = (velocity - (velocity @ UP)[..., None] * UP).norm(dim=-1) > 0.3
    torch.testing.assert_close(along.norm(dim=-1)[fast], 0.7 * normal[fast], rtol=1e-2, atol=1e-9)


def test_resistances_are_the_forces_derivatives():
    law = GroundContact()
    velocity = torch.tensor([[[0.05, -0.1, 0.02]]], dtype=torch.float64, requires_grad=True)
    force, resistance, _ = law.forces(torch.tensor([[0.001]]).double(), velocity, UP, torch.tensor(3e4).double(), 0.01)
    (gradient,) = torch.autograd.grad(force[0, 0, 1], velocity)
    assert float(gradient[0, 0, 1]) == pytest.approx(-float(resistance.detach()), rel=1e-9)


def test_a_sliding_body_is_braked_by_friction(simulator):
    """A prone body at 3 m/s loses mu g of it a second, the more exactly the shorter the steps (7 % off at 120 Hz)."""
    simulator = Simulator(simulator.body, Ground(UP, torch.tensor(0.0)), step_rate_hz=480)
    state = resting(simulator.body, torch.tensor([torch.pi / 2, 0, 0]), -0.003)
    speed = torch.zeros_like(state.velocity)
    speed[:, 0, 0] = 3.0
    motion = simulator.simulate(BodyMotionState(state.rotations, state.pelvis, speed), own_pose(10), DT)
    # Speed of the centre of mass, by the contact forces' own impulse.
    at = simulator.body.configuration(motion.rotations[0], motion.pelvis[0])
    mass = simulator.body.mass_matrix(at)
    moment = (mass[:, :3] @ motion.velocity[0].flatten(1)[..., None])[..., 0] / simulator.body.segments.total_mass
    braking = -(moment[-1, 0] - moment[3, 0]) / (6 * DT)
    upwards = STANDARD_GRAVITY + (moment[-1, 1] - moment[3, 1]) / (6 * DT)
    assert float(braking / upwards) == pytest.approx(simulator.contact.friction, rel=0.03)


def test_drives_do_not_push_the_body_as_a_whole(articulated):
    """In the air the centre of mass falls like a stone and the angular momentum stays zero, whatever the limbs do."""
    simulator = Simulator(articulated, Ground(UP, torch.tensor(-100.0)), step_rate_hz=1920)
    g = torch.Generator().manual_seed(2)
    swing = 0.4 * torch.randn(1, 1, 23, 3, generator=g, dtype=torch.float64)
    targets = roma.rotvec_to_rotmat(swing * torch.linspace(0, 1, 7, dtype=torch.float64)[:, None, None])
    state = resting(articulated, torch.zeros(3), 0.0)
    motion = simulator.simulate(state, targets, DT)
    at = articulated.configuration(motion.rotations[0], motion.pelvis[0])
    momentum = (articulated.mass_matrix(at) @ motion.velocity[0].flatten(1)[..., None])[..., 0]
    limbs = momentum[-1, 3:].view(24, 3)
    assert float(limbs.norm(dim=-1).max()) > 0.5  # they do move
    mass = articulated.segments.total_mass
    fallen = -mass * STANDARD_GRAVITY * 6 * DT * UP
    torch.testing.assert_close(momentum[-1, :3], fallen, rtol=0, atol=0.01 * float(fallen.norm()))
    # About the pelvis: the segments' generalised momenta, and what each joint's place adds, less that of the centre.
    total = limbs.sum(0)
    arm = at.moment[-1].sum(0) / mass
    spin = total - torch.linalg.cross(arm, momentum[-1, :3])
    assert float(spin.norm()) < 0.03 * float(limbs.norm(dim=-1).max())


def test_a_drive_is_a_damped_spring_of_limited_strength(articulated):
    drives = JointDrives.of_body(articulated)
    rotations = torch.eye(3, dtype=torch.float64).expand(200, 24, 3, 3)
    g = torch.Generator().manual_seed(0)
    vectors = 2 * torch.randn(200, 23, 3, generator=g, dtype=torch.float64)
    rate, wanted = (30 * torch.randn(200, 24, 3, generator=g, dtype=torch.float64) for _ in range(2))
    error = drives.error(rotations, roma.rotvec_to_rotmat(vectors), articulated)
    torque, _ = drives.torque(error, wanted, rate)
    assert bool((torque.norm(dim=-1) <= drives.strength + 1e-9).all())
    assert float(torque[:, 0].abs().max()) == 0
    small = drives.error(rotations, roma.rotvec_to_rotmat(1e-4 * vectors), articulated)
    torque, resistance = drives.torque(small, 1e-4 * wanted, 1e-4 * rate)
    expected = drives.stiffness[1:, None] * 1e-4 * vectors + drives.damping[1:, None] * 1e-4 * (wanted - rate)[:, 1:]
    torch.testing.assert_close(torque[:, 1:], expected, rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(resistance, drives.damping.expand(200, -1), rtol=1e-3, atol=0)


def test_the_chord_is_smooth_up_to_the_half_turn():
    angles = torch.linspace(0, torch.pi, 200, dtype=torch.float64)
    axis = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64), dim=0)
    vectors = (angles[:, None] * axis).requires_grad_()
    found = chord(roma.rotvec_to_rotmat(vectors))
    expected = 2 * torch.sin(angles / 2)
    near = angles < 2.9
    torch.testing.assert_close((found @ axis)[near], expected[near], rtol=0, atol=1e-9)
    found.sum().backward()
    assert bool(torch.isfinite(vectors.grad).all())


@pytest.fixture(scope="module")
def jump(simulator) -> tuple[BodyMotionState, torch.Tensor]:
    """Two bodies on their feet with moving targets."""
    state = resting(simulator.body, torch.zeros(3), 0.002, 2)
    g = torch.Generator().manual_seed(5)
    vectors = 0.2 * torch.randn(2, 4, 23, 3, generator=g, dtype=torch.float64).cumsum(1)
    return state, vectors


def test_the_gradient_is_that_of_finite_differences(simulator, jump):
    state, vectors = jump
    weight = torch.randn(2, 4, 24, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)

    def value(x: torch.Tensor) -> torch.Tensor:
        motion = simulator.simulate(state, roma.rotvec_to_rotmat(x), DT)
        return (weight * motion.joints).sum() + 1e-3 * motion.contact_force[:, -1].sum()

    x = vectors.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(x), x)
    for seed in range(4):
        way = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        with torch.no_grad():
            slope = (value(vectors + 1e-6 * way) - value(vectors - 1e-6 * way)) / 2e-6
        assert float((gradient * way).sum()) == pytest.approx(float(slope), rel=1e-5, abs=1e-6)


def test_checkpoints_change_nothing_but_memory(simulator, jump, monkeypatch):
    """In torch: machine code keeps nothing but states anyway."""
    monkeypatch.setattr(compiler, "available", lambda: False)
    state, vectors = jump
    lean = Simulator(simulator.body, Ground(UP, torch.tensor(0.0)), checkpoint=True)
    gradients = []
    for which in (simulator, lean):
        x = vectors.clone().requires_grad_()
        motion = which.simulate(state, roma.rotvec_to_rotmat(x), DT)
        gradients.append(torch.autograd.grad(motion.joints.square().sum(), x)[0])
    torch.testing.assert_close(*gradients)


def test_bodies_of_a_batch_do_not_know_each_other(simulator, jump):
    state, vectors = jump
    targets = roma.rotvec_to_rotmat(vectors)
    both = simulator.simulate(state, targets, DT)
    second = BodyMotionState(state.rotations[1:], state.pelvis[1:], state.velocity[1:])
    alone = simulator.simulate(second, targets[1:], DT)
    torch.testing.assert_close(both.joints[1:], alone.joints, rtol=0, atol=1e-9)


def test_single_precision_does(simulator, jump, segments, body, points):
    state, vectors = jump
    exact = simulator.simulate(state, roma.rotvec_to_rotmat(vectors), DT)
    single = ArticulatedBody(segments.to(dtype=torch.float32), with_fall_points(points, body).to(dtype=torch.float32))
    coarse = Simulator(single, Ground(UP.float(), torch.tensor(0.0)))
    start = BodyMotionState(state.rotations.float(), state.pelvis.float(), state.velocity.float())
    motion = coarse.simulate(start, roma.rotvec_to_rotmat(vectors).float(), DT)
    torch.testing.assert_close(motion.joints.double(), exact.joints, rtol=0, atol=2e-4)


def test_absurd_targets_give_numbers(simulator):
    """Other random rotations every frame: a fit, but neither infinite speeds nor a gradient without numbers."""
    state = resting(simulator.body, torch.zeros(3), 0.0, 8)
    vectors = 3 * torch.randn(8, 16, 23, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = roma.rotvec_to_rotmat(vectors).requires_grad_()
    motion = simulator.simulate(state, targets, DT)
    (gradient,) = torch.autograd.grad(motion.joints.sum(), targets)
    assert bool(torch.isfinite(motion.joints).all()) and bool(torch.isfinite(gradient).all())
    assert float(motion.velocity.detach()[..., 1:, :].norm(dim=-1).max()) < 300
    assert float(motion.pelvis.detach().norm(dim=-1).max()) < 5


def test_settings_are_checked(simulator, articulated):
    state = resting(articulated, torch.zeros(3), 0.0)
    with pytest.raises(SettingsError, match="targets must be"):
        simulator.simulate(state, own_pose(5, 2), DT)
    with pytest.raises(SettingsError, match="positive"):
        GroundContact(slip_m_s=0.0)
    with pytest.raises(SettingsError, match="rate of steps"):
        Simulator(articulated, Ground(UP, torch.tensor(0.0)), step_rate_hz=0)
