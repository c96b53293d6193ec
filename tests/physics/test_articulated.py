"""Forward dynamics: laws of mechanics, the package's own inverse dynamics, and PyBullet's mass matrix."""

from __future__ import annotations

import numpy as np
import pybullet
import pytest
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, URDF_FROM_SMPL, rotations_from_angles
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.body.urdf import read_urdf
from diffmocap.physics.articulated import ArticulatedBody, SolvePositive
from diffmocap.physics.revolute_torques import revolute_torques
from diffmocap.physics.tree import global_poses
from tests.physics.mechanics import energy, forward_dynamics
from tests.physics.newton_euler import joint_loads, momentum
from tests.physics.segment_motion import SegmentMotion, segment_motion

GRAVITY = torch.tensor([1.0, -9.0, 2.0], dtype=torch.float64)
BATCH = 4


@pytest.fixture(scope="module")
def articulated(segments, points) -> ArticulatedBody:
    return ArticulatedBody(segments, points)


@pytest.fixture
def state(articulated) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Global rotations, pelvis and velocities of random poses."""
    g = torch.Generator().manual_seed(3)
    vectors = torch.randn(BATCH, NUM_JOINTS, 3, generator=g, dtype=torch.float64)
    pelvis = torch.randn(BATCH, 3, generator=g, dtype=torch.float64)
    return roma.rotvec_to_rotmat(vectors), pelvis, torch.randn(BATCH, 25, 3, generator=g, dtype=torch.float64)


def local(body: ArticulatedBody, rotations: torch.Tensor) -> torch.Tensor:
    parents = rotations.index_select(-3, body.parents)
    return torch.cat([rotations[..., :1, :, :], (parents.transpose(-1, -2) @ rotations)[..., 1:, :, :]], -3)


def around(articulated, state, rate: torch.Tensor, dt: float = 1e-4) -> SegmentMotion:
    """The motion with the state's velocities and the accelerations ``rate`` [B, 25, 3], from three frames."""
    rotations, pelvis, u = state
    t = torch.tensor([-dt, 0.0, dt], dtype=torch.float64)[:, None]

    def along(v, a):
        return v[:, None] * t + 0.5 * a[:, None] * t**2

    turned = torch.stack(
        [roma.rotvec_to_rotmat(u[:, 1:] * s + 0.5 * rate[:, 1:] * s**2) @ rotations for s in (-dt, 0.0, dt)], 1
    )
    moved = pelvis[:, None] + along(u[:, 0], rate[:, 0])
    return segment_motion(local(articulated, turned), moved, dt, articulated.segments)


def test_positions_are_those_of_the_kinematics(articulated, state):
    rotations, pelvis, _ = state
    turned, joints = global_poses(local(articulated, rotations), pelvis, articulated.segments.offsets)
    at = articulated.configuration(rotations, pelvis)
    torch.testing.assert_close(turned, rotations)
    torch.testing.assert_close(at.positions[:, :NUM_JOINTS], joints)
    torch.testing.assert_close(at.positions[:, NUM_JOINTS:], articulated.points.centres(turned, joints))


def test_the_jacobian_is_the_positions_rate(articulated, state):
    rotations, pelvis, u = state
    at, h = articulated.configuration(rotations, pelvis), 1e-6
    after, before = (
        articulated.configuration(articulated.turn(rotations, u[:, 1:], s), pelvis + s * u[:, 0]).positions
        for s in (h, -h)
    )
    rate = (at.jacobian.flatten(1, 2) @ u.flatten(1)[..., None]).view_as(after)
    torch.testing.assert_close(rate, (after - before) / (2 * h), rtol=1e-6, atol=1e-7)


def test_the_mass_matrix_gives_the_kinetic_energy(articulated, state):
    u = state[2].flatten(1)
    matrix = articulated.mass_matrix(articulated.configuration(*state[:2]))
    kinetic, _ = energy(around(articulated, state, torch.zeros_like(state[2])), articulated.segments, GRAVITY)
    ours = 0.5 * torch.einsum("bi,bij,bj->b", u, matrix, u)
    torch.testing.assert_close(ours, kinetic[:, 0], rtol=1e-6, atol=1e-6)
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0


def test_forward_dynamics_undoes_inverse_dynamics(articulated, state):
    """Random torques give accelerations, from which the package's inverse dynamics finds the torques, and no
    force on the pelvis."""
    rotations, pelvis, u = state
    torque = 20 * torch.randn(BATCH, NUM_JOINTS, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    # In proportion to what they turn, or hands would reach rates within a step that second differences do not see.
    at = articulated.configuration(rotations, pelvis)
    torque = torque * at.inertia.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None]
    torque[:, 0] = 0
    rate = forward_dynamics(articulated, at, u, torque, GRAVITY)
    loads = joint_loads(around(articulated, state, rate), articulated.segments, GRAVITY)
    torch.testing.assert_close(loads.torque[:, 0, 1:], torque[:, 1:], rtol=1e-4, atol=1e-3)
    assert float(loads.force[:, 0, 0].norm(dim=-1).max()) < 0.01
    assert float(loads.torque[:, 0, 0].norm(dim=-1).max()) < 0.01


def test_the_mass_matrix_is_pybullets(articulated, segments, tmp_path):
    """With its pelvis held, in the URDF's 69 angles."""
    path = tmp_path / "human.urdf"
    text = read_urdf(resolve_meshes=True, massless_root=False)
    path.write_text(text.replace('mass value="0.001"', 'mass value="1e-9"').replace('"1e-06"', '"1e-12"'))
    angles = 0.5 * torch.randn(69, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    client = pybullet.connect(pybullet.DIRECT)
    try:
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        robot = pybullet.loadURDF(str(path), useFixedBase=True, flags=flags, physicsClientId=client)
        numbers = {pybullet.getJointInfo(robot, i, physicsClientId=client)[1].decode(): i for i in range(69)}
        place = [numbers[name] for name in JOINT_ANGLE_NAMES]
        q = np.zeros(69)
        q[place] = angles.numpy()
        theirs = np.array(pybullet.calculateMassMatrix(robot, list(q), physicsClientId=client))[np.ix_(place, place)]
    finally:
        pybullet.disconnect(client)
    # The pelvis link has the URDF's axes.
    rotations = torch.cat([URDF_FROM_SMPL.double()[None], rotations_from_angles(angles)])[None]
    turned, _ = global_poses(rotations, torch.zeros(1, 3, dtype=torch.float64), segments.offsets)
    # A^T, angles from torques, column by column: relative rates are A q', absolute ones their sums along the tree.
    units = torch.eye(72, dtype=torch.float64).view(72, 24, 3)
    axes = revolute_torques(units, turned.expand(72, -1, -1, -1), angles.expand(72, 69)).view(24, 3, 69)
    rates = torch.einsum("kj,jcq->kcq", torch.linalg.inv(articulated.relative), axes).reshape(72, 69)
    ours = articulated.mass_matrix(articulated.configuration(turned, torch.zeros(1, 3, dtype=torch.float64)))[0, 3:, 3:]
    ours = rates.T @ ours @ rates
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4 * np.abs(theirs).max())


def fly(body, state, steps: int, dt: float) -> tuple[torch.Tensor, ...]:
    rotations, pelvis, u = state
    still = torch.zeros(BATCH, NUM_JOINTS, 3, dtype=torch.float64)
    for _ in range(steps):
        u = u + dt * forward_dynamics(body, body.configuration(rotations, pelvis), u, still, GRAVITY)
        rotations, pelvis = body.turn(rotations, u[:, 1:], dt), pelvis + dt * u[:, 0]
    return rotations, pelvis, u


def test_free_flight_keeps_momentum_and_energy(articulated, state):
    """What the steps lose falls with their length, as it must at first order: limbs swing freely and fast."""
    zero, errors = torch.zeros_like(state[2]), []
    start = around(articulated, state, zero)
    linear, angular = (x[:, 0] for x in momentum(start, articulated.segments))
    total = sum(energy(start, articulated.segments, GRAVITY))[:, 0]
    for steps in (50, 100):
        end = around(articulated, fly(articulated, state, steps, 0.1 / steps), zero)
        now_linear, now_angular = (x[:, 0] for x in momentum(end, articulated.segments))
        fallen = 0.1 * articulated.segments.total_mass * GRAVITY
        torch.testing.assert_close(now_linear, linear + fallen, rtol=0, atol=0.4)
        now = sum(energy(end, articulated.segments, GRAVITY))[:, 0]
        errors.append(torch.stack([(now_angular - angular).norm(dim=-1).max(), (now - total).abs().max()]))
    assert bool((errors[1] < 0.65 * errors[0]).all()), errors
    assert float(errors[1][0]) < 0.02 * float(angular.norm(dim=-1).max())
    assert float(errors[1][1]) < 0.02 * float(total.abs().max())


def test_turning_is_orthogonal_and_right_to_the_fifth_order(articulated, state):
    rotations, _, u = state
    errors = []
    for dt in (0.1, 0.05):
        turned = articulated.turn(rotations, u[:, 1:], dt)
        eye = torch.eye(3, dtype=torch.float64).expand_as(turned)
        torch.testing.assert_close(turned @ turned.transpose(-1, -2), eye, rtol=0, atol=1e-12)
        errors.append(float((turned - roma.rotvec_to_rotmat(dt * u[:, 1:]) @ rotations).abs().max()))
    assert errors[0] < 1e-4 and errors[1] < errors[0] / 30
    torch.testing.assert_close(articulated.turn(rotations, 0 * u[:, 1:], 0.1), rotations)


def test_the_solver_has_its_gradient():
    root = torch.randn(2, 5, 5, dtype=torch.float64)
    a = (root @ root.transpose(1, 2) + torch.eye(5)).requires_grad_()
    y = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    # Only symmetric changes of A stay in the solver's domain.
    torch.autograd.gradcheck(lambda a, y: SolvePositive.apply(0.5 * (a + a.transpose(1, 2)), y), (a, y))
