"""The judge: PyBullet's character is the body of the simulation, and its rollouts say what happened."""

from __future__ import annotations

import pytest
import roma
import torch

from benchmarks.refinement.pybullet_rollout import PybulletCharacter
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.body.urdf import read_urdf
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground
from diffmocap.physics.ground_contact import GroundContact
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.simulation import BodyMotionState, Simulator
from tests.physics.mechanics import forward_dynamics

UP = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
DT = 1 / 30


@pytest.fixture(scope="module")
def articulated() -> ArticulatedBody:
    points = ContactPoints.from_body(BodyModel.load()).to(dtype=torch.float64)
    return ArticulatedBody(BodySegments.from_urdf(read_urdf()).to(dtype=torch.float64), points)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_character_moves_as_the_forward_dynamics_says(articulated):
    """A random state comes back as it was put, and random torques accelerate it as ours do, high above the ground."""
    rotations, pelvis, u = roma.rotvec_to_rotmat(0.7 * draw(1, 24, 3)), draw(1, 3), draw(1, 25, 3, seed=1)
    at, rate = articulated.configuration(rotations, pelvis), 48_000
    torque = 5 * draw(1, 24, 3, seed=2) * at.inertia.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None]
    torque[:, 0] = 0
    with PybulletCharacter(articulated, Ground(UP, torch.tensor(-50.0)), rate_hz=rate) as character:
        character.set_state(BodyMotionState(rotations, pelvis, u))
        back = character.state()
        torch.testing.assert_close(back.rotations, rotations, rtol=0, atol=1e-6)
        torch.testing.assert_close(back.pelvis, pelvis, rtol=0, atol=1e-6)
        torch.testing.assert_close(back.velocity, u, rtol=0, atol=1e-6)
        character.step(torque[0], rotations[0])
        theirs = (character.state().velocity - u) * rate
    ours = forward_dynamics(articulated, at, u, torque, -9.80665 * UP)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=2e-3 * float(ours.abs().max()))


def standing(body: ArticulatedBody) -> BodyMotionState:
    rotations = torch.eye(3, dtype=torch.float64).expand(1, 24, 3, 3)
    low = (body.configuration(rotations, torch.zeros(1, 3, dtype=torch.float64)).positions[:, 24:] @ UP).min()
    return BodyMotionState(rotations, -low * UP[None], torch.zeros(1, 25, 3, dtype=torch.float64))


def test_who_stands_is_censored_and_who_is_off_is_not(articulated):
    state, frames = standing(articulated), 12
    pose = torch.eye(3, dtype=torch.float64).expand(frames, 23, 3, 3)
    reference = state.pelvis.expand(frames, 3)
    with PybulletCharacter(articulated, Ground(UP, torch.tensor(0.0))) as character:
        stood = character.rollout(state, pose, reference, DT)
        # A reference that walks away at 1 m/s is 0.3 m off in the tenth frame.
        away = reference + torch.arange(frames)[:, None] * DT * torch.tensor([1.0, 0.0, 0.0])
        left = character.rollout(state, pose, away, DT)
        with pytest.raises(ValueError, match="whole number of steps"):
            character.rollout(state, pose, reference, 1 / 31)
    assert stood.censored and stood.seconds == pytest.approx(11 * DT)
    sway = abs(stood.pelvis - state.pelvis.numpy())
    assert sway[:, 1].max() < 0.01 and sway.max() < 0.08  # soles are not quite flat: it first tips onto its balls
    assert not left.censored and left.seconds == pytest.approx(10 * DT, abs=1.5 * DT)


def test_toes_press_on_the_ground_as_in_the_simulation(articulated):
    """Toes told to press 0.3 rad into the ground lift the foot as fast in both engines: light segments hold."""
    ground, state = Ground(UP, torch.tensor(0.0)), standing(articulated)
    foot, toes = JOINT_NAMES.index("left_ankle"), JOINT_NAMES.index("left_foot")
    targets = torch.eye(3, dtype=torch.float64).repeat(1, 7, 23, 1, 1)
    targets[:, :, [toes - 1, toes]] = roma.rotvec_to_rotmat(torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64))

    def short(rotations: torch.Tensor) -> float:
        """Angle that the left toes are short of their target [rad]."""
        turned = rotations[:, foot].transpose(-1, -2) @ rotations[:, toes]
        return float(roma.rotmat_geodesic_distance(turned, targets[:, 0, toes - 1]))

    hard = GroundContact(sink_m=0.001, softening_m=0.0005, slip_m_s=0.005)
    with torch.no_grad():
        ours = Simulator(articulated, ground, contact=hard, step_rate_hz=480).simulate(state, targets, DT)
        with PybulletCharacter(articulated, ground) as character:
            character.rollout(state, targets[0], state.pelvis.expand(7, 3), DT)
            theirs = character.state()
    assert 0.02 < short(ours.last.rotations) < 0.2
    assert short(theirs.rotations) == pytest.approx(short(ours.last.rotations), abs=0.03)


def test_who_begins_in_the_ground_is_lifted_and_not_thrown(articulated):
    state = standing(articulated)
    sunk = BodyMotionState(state.rotations, state.pelvis - 0.02 * UP, state.velocity)
    pose = torch.eye(3, dtype=torch.float64).expand(7, 23, 3, 3)
    with PybulletCharacter(articulated, Ground(UP, torch.tensor(0.0))) as character:
        path = character.rollout(sunk, pose, sunk.pelvis.expand(7, 3), DT).pelvis[:, 1]
    rise = path[1:] - path[:-1]
    assert rise.max() < 0.3 * DT and 0.01 < path[-1] - path[0] < 0.025
