"""Laws of mechanics: free fall, momentum, energy, reaction, invariance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import roma
import torch

from diffmocap.body.kinematics import forward_kinematics
from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.errors import SettingsError
from diffmocap.physics import revolute_torques as revolute_torques_module
from diffmocap.physics import tree
from diffmocap.physics.tree import global_poses
from tests.physics.mechanics import energy
from tests.physics.newton_euler import (
    carry_inwards,
    centre_of_mass,
    joint_loads,
    momentum,
    momentum_rates,
    needed_wrench,
)
from tests.physics.segment_motion import segment_motion

GRAVITY = torch.tensor([0.0, -9.81, 0.0], dtype=torch.float64)
DOWN = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)


def times(count: int, dt: float) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float64) * dt


def at(motion, count: int, dt: float, segments):
    return segment_motion(*motion(times(count, dt)), dt, segments)


def test_fast_kinematics_are_the_slow_ones(segments):
    torch.manual_seed(0)
    rotations = roma.random_rotmat((2, 3, NUM_JOINTS), dtype=torch.float64)
    pelvis = torch.randn(2, 3, 3, dtype=torch.float64)
    rest = segments.offsets.clone()
    for joint in range(1, NUM_JOINTS):
        rest[joint] += rest[PARENTS[joint]]
    expected = forward_kinematics(rotations.flatten(0, 1), pelvis.flatten(0, 1), rest[None])
    with torch.no_grad():
        by_machine_code = global_poses(rotations, pelvis, segments.offsets)
    for poses in (global_poses(rotations, pelvis, segments.offsets), by_machine_code):
        for found, truth in zip(poses, expected, strict=True):
            torch.testing.assert_close(found.flatten(0, 1), truth)


def test_derivatives_converge_with_the_square_of_the_step(motion, segments):
    """Central differences: a tenth of the step, a hundredth of the error; the truth is a far finer step."""
    errors = []
    for dt in (1e-2, 1e-3):
        window = torch.tensor([-dt, 0, dt], dtype=torch.float64) + 0.4
        found = segment_motion(*motion(window), dt, segments)
        fine = torch.tensor([-1e-4, 0, 1e-4], dtype=torch.float64) + 0.4
        truth = segment_motion(*motion(fine), 1e-4, segments)
        names = ("velocity", "acceleration", "angular_velocity", "angular_acceleration")
        errors.append([float((getattr(found, n) - getattr(truth, n)).abs().max()) for n in names])
    assert all(coarse / fine > 70 for coarse, fine in zip(*errors, strict=True))


def test_segment_axes(motion, segments):
    moving = at(motion, 5, 1e-3, segments)
    turned = (moving.rotations @ moving.in_segment_axes(moving.angular_velocity)[..., None])[..., 0]
    torch.testing.assert_close(turned, moving.angular_velocity)


@pytest.mark.parametrize("dt", [1 / 30, 1 / 240])
def test_free_fall_needs_no_force(segments, dt):
    """A stiff body turning about a principal axis while its centre of mass falls, at any rate."""
    torch.manual_seed(5)
    pose = roma.random_rotmat(NUM_JOINTS, dtype=torch.float64)
    pose[0] = torch.eye(3)
    turned, joints = global_poses(pose, torch.zeros(3, dtype=torch.float64), segments.offsets)
    centres = joints + (turned @ segments.centre[..., None])[..., 0]
    com = centre_of_mass(centres, segments)
    arm = centres - com
    inertia = turned @ segments.inertia @ turned.transpose(-1, -2)
    steiner = arm.square().sum(-1)[:, None, None] * torch.eye(3) - arm[:, :, None] * arm[:, None, :]
    _, axes = torch.linalg.eigh((inertia + segments.mass[:, None, None] * steiner).sum(0))
    t = times(12, dt)
    turn = roma.rotvec_to_rotmat(3.0 * t[:, None] * axes[:, 1])
    falling = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64) * t[:, None] + 0.5 * GRAVITY * t[:, None] ** 2
    rotations = pose.repeat(len(t), 1, 1, 1)
    rotations[:, 0] = turn @ pose[0]
    pelvis = falling - (turn @ com)
    moving = segment_motion(rotations, pelvis, dt, segments)
    wrench = needed_wrench(moving, segments, GRAVITY)
    weight = float(segments.total_mass) * 9.81
    assert float(wrench.force.norm(dim=-1).max()) < 1e-8 * weight
    # Centres run along chords, so their share of the angular momentum is short by (3 rad/s dt)^2 / 6.
    linear, angular = momentum(moving, segments)
    size = float(angular[0].norm())
    assert float(wrench.moment.norm(dim=-1).max()) < 10 * dt**2 * size
    assert float((angular - angular[0]).norm(dim=-1).max()) < dt**2 * size
    torch.testing.assert_close(linear.diff(dim=0) / dt, segments.total_mass * GRAVITY.expand(9, 3), rtol=0, atol=1e-8)


def test_needed_wrench_is_the_rate_of_momentum(motion, segments):
    dt = 1e-3
    moving = at(motion, 5, dt, segments)
    linear, angular = momentum(moving, segments)
    wrench = needed_wrench(moving, segments, GRAVITY)
    weight = segments.total_mass * GRAVITY
    torch.testing.assert_close((linear[2] - linear[0]) / (2 * dt), wrench.force[1] + weight, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close((angular[2] - angular[0]) / (2 * dt), wrench.moment[1], rtol=1e-5, atol=1e-3)


def test_rest_needs_the_weight(segments):
    rotations = torch.eye(3, dtype=torch.float64).expand(4, NUM_JOINTS, 3, 3)
    moving = segment_motion(rotations, torch.ones(4, 3, dtype=torch.float64), 0.03, segments)
    wrench = needed_wrench(moving, segments, GRAVITY)
    torch.testing.assert_close(wrench.force, (-segments.total_mass * GRAVITY).expand(2, 3))
    assert float(wrench.moment.abs().max()) < 1e-9


def in_child_axes(torque: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Torques [..., 24, 3] in the axes of segments with global ``rotations`` [..., 24, 3, 3]."""
    return (torque[..., None, :] @ rotations)[..., 0, :]


def test_torques_do_not_care_where_the_world_begins(motion, segments):
    """Yaw and shift of the frame: child-axes torques stay; a turned frame with turned gravity too."""
    torch.manual_seed(6)
    rotations, pelvis = motion(times(6, 0.03))
    moving = segment_motion(rotations, pelvis, 0.03, segments)
    expected = in_child_axes(joint_loads(moving, segments, GRAVITY).torque, moving.rotations)
    yaw = roma.rotvec_to_rotmat(torch.tensor([0.0, 1.1, 0.0], dtype=torch.float64))
    any_turn = roma.random_rotmat(dtype=torch.float64)
    for turn, gravity in ((yaw, GRAVITY), (any_turn, any_turn @ GRAVITY)):
        other = rotations.clone()
        other[:, 0] = turn @ rotations[:, 0]
        moved = segment_motion(other, pelvis @ turn.T + torch.tensor([5.0, 0.3, -7.0]), 0.03, segments)
        found = in_child_axes(joint_loads(moved, segments, gravity).torque, moved.rotations)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_float32_agrees_far_from_the_origin(motion, segments):
    rotations, pelvis = motion(times(32, 1 / 30))
    far = pelvis + torch.tensor([6.0, 0.0, -4.0])
    moving = segment_motion(rotations, far, 1 / 30, segments)
    expected = joint_loads(moving, segments, GRAVITY).torque
    single = segments.to(dtype=torch.float32)
    moving = segment_motion(rotations.float(), far.float(), 1 / 30, single)
    found = joint_loads(moving, single, GRAVITY.float()).torque
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-3


def test_action_and_reaction(motion, segments):
    """Each segment alone obeys Newton and Euler under the loads of its own joint and the opposite of its children's."""
    moving = at(motion, 5, 1e-2, segments)
    loads = joint_loads(moving, segments, GRAVITY)
    force, moment = momentum_rates(moving, segments, GRAVITY)
    for j in range(NUM_JOINTS):
        children = [k for k in range(NUM_JOINTS) if PARENTS[k] == j]
        received = loads.force[:, j] - loads.force[:, children].sum(1)
        torch.testing.assert_close(received, force[:, j])
        about = loads.torque[:, j] + torch.linalg.cross(moving.joints[:, j] - moving.centres[:, j], loads.force[:, j])
        for k in children:
            arm = moving.joints[:, k] - moving.centres[:, j]
            about = about - loads.torque[:, k] - torch.linalg.cross(arm, loads.force[:, k])
        torch.testing.assert_close(about, moment[:, j], rtol=1e-7, atol=1e-7)


def test_the_root_load_is_the_needed_wrench_until_contacts_supply_it(motion, segments):
    moving = at(motion, 4, 1e-2, segments)
    wrench = needed_wrench(moving, segments, GRAVITY)
    loads = joint_loads(moving, segments, GRAVITY)
    torch.testing.assert_close(loads.force[:, 0], wrench.force)
    torch.testing.assert_close(loads.torque[:, 0], wrench.about(moving.joints[:, 0]), rtol=1e-7, atol=1e-7)
    # Three points that push the whole wrench: a force in the centre of mass and a couple.
    centre, couple = wrench.centre, wrench.moment
    side = torch.nn.functional.normalize(torch.linalg.cross(couple, DOWN.expand_as(couple)), dim=-1)
    push = torch.linalg.cross(couple, side)  # r x f = couple for r = side, f = couple x r
    position = torch.stack([centre, centre + 0.5 * side, centre - 0.5 * side], 1)
    force = torch.stack([wrench.force, push, -push], 1)
    held = joint_loads(moving, segments, GRAVITY, force, position, torch.tensor([7, 8, 20]))
    assert float(held.force[:, 0].abs().max()) < 1e-9 and float(held.torque[:, 0].abs().max()) < 1e-9
    # Limbs that nothing touches carry what they carried.
    torch.testing.assert_close(held.torque[:, [15, 19]], loads.torque[:, [15, 19]])


def test_work_of_the_torques_is_the_change_of_energy(motion, segments):
    """A body whose pelvis is held: what the joints and the pelvis's holder do is what kinetic and potential gain."""

    def error(dt: float) -> float:
        count = round(0.6 / dt) + 1
        rotations, _ = motion(times(count, dt))
        rotations[:, 0] = torch.eye(3)
        moving = segment_motion(rotations, torch.zeros(count, 3, dtype=torch.float64), dt, segments)
        loads = joint_loads(moving, segments, GRAVITY)
        parents = torch.tensor(PARENTS[1:])
        relative = moving.angular_velocity[:, 1:] - moving.angular_velocity[:, parents]
        power = (loads.torque[:, 1:] * relative).sum((-1, -2))
        work = torch.trapezoid(power, dx=dt)
        total = sum(energy(moving, segments, GRAVITY))
        return float((work - (total[-1] - total[0])).abs() / (total.max() - total.min()))

    assert error(1e-3) < 1e-4 and error(1e-2) / error(1e-3) > 30


def test_a_free_pendulum_needs_no_torque(segments):
    """A stiff arm swings about the shoulder's axis as the pendulum equation says: no torque about that axis."""
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    arm = [16, 18, 20, 22]
    stiff = torch.eye(3, dtype=torch.float64).repeat(NUM_JOINTS, 1, 1)
    turned, joints = global_poses(stiff, torch.zeros(3, dtype=torch.float64), segments.offsets)
    centres = joints + segments.centre - joints[16]
    mass, inertia = segments.mass[arm], segments.inertia[arm][:, 2, 2]
    moment = float((inertia + mass * centres[arm][:, :2].square().sum(-1)).sum())
    lever = (mass[:, None] * centres[arm]).sum(0)
    dt, angle, rate, angles = 2e-4, 0.2, 0.0, []
    for _ in range(2000):  # Verlet, of the same order as the differences below
        angles.append(angle)
        x = float(lever[0] * torch.cos(torch.tensor(angle)) - lever[1] * torch.sin(torch.tensor(angle)))
        rate += dt * (-9.81 * x / moment)
        angle += dt * rate
    rotations = stiff.repeat(len(angles), 1, 1, 1)
    rotations[:, 16] = roma.rotvec_to_rotmat(torch.tensor(angles, dtype=torch.float64)[:, None] * axis)
    moving = segment_motion(rotations, torch.zeros(len(angles), 3, dtype=torch.float64), dt, segments)
    torque = joint_loads(moving, segments, GRAVITY).torque[:, 16] @ axis
    assert float(torque.abs().max()) < 1e-5 * float(lever.norm()) * 9.81


def test_gradients_are_finite_differences(motion, segments):
    rotations, pelvis = motion(times(3, 0.05))
    twist = torch.zeros(3, NUM_JOINTS, 3, dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    weights = torch.randn(1, NUM_JOINTS, 6, dtype=torch.float64)

    def value(twist, shift):
        moving = segment_motion(rotations @ roma.rotvec_to_rotmat(twist), pelvis + shift, 0.05, segments)
        loads = joint_loads(moving, segments, GRAVITY)
        return (torch.cat([loads.force, loads.torque], -1) * weights).sum()

    assert torch.autograd.gradcheck(value, (twist, shift), eps=1e-5, rtol=1e-4, atol=1e-2)


def test_a_first_call_without_gradients_leaves_later_ones_theirs(motion, segments):
    """What is kept between calls may have been made where no gradients are recorded."""
    tree.ancestor_matrix.cache_clear(), tree.subtree_matrix.cache_clear(), tree._indices.cache_clear()
    revolute_torques_module._axes.cache_clear()
    rotations, pelvis = motion(times(3, 0.03))
    angles = torch.zeros(1, 69, dtype=torch.float64)

    def value(rotations):
        moving = segment_motion(rotations, pelvis, 0.03, segments)
        torque = joint_loads(moving, segments, GRAVITY).torque
        return revolute_torques_module.revolute_torques(torque, moving.rotations, angles).sum()

    with torch.inference_mode():
        value(rotations)
    rotations.requires_grad_()
    value(rotations).backward()
    assert float(rotations.grad.abs().max()) > 0


def test_batches_are_their_rows(segments, motion):
    rotations, pelvis = motion(times(8, 0.03))
    both = segment_motion(torch.stack([rotations[:4], rotations[4:]]), torch.stack([pelvis[:4], pelvis[4:]]), 0.03,
                          segments)  # fmt: skip
    second = segment_motion(rotations[4:], pelvis[4:], 0.03, segments)
    torch.testing.assert_close(
        joint_loads(both, segments, GRAVITY).torque[1], joint_loads(second, segments, GRAVITY).torque
    )


def test_too_few_frames_and_no_time_are_refused(motion, segments):
    rotations, pelvis = motion(times(3, 0.03))
    with pytest.raises(SettingsError, match="at least 3 frames, got 2"):
        segment_motion(rotations[:2], pelvis[:2], 0.03, segments)
    with pytest.raises(SettingsError, match="positive"):
        segment_motion(rotations, pelvis, 0.0, segments)


def test_heavier_is_heavier(motion, segments):
    moving = at(motion, 4, 0.03, segments)
    double = replace(segments, mass=2 * segments.mass, inertia=2 * segments.inertia)
    torch.testing.assert_close(
        joint_loads(moving, double, GRAVITY).torque, 2 * joint_loads(moving, segments, GRAVITY).torque
    )
    assert carry_inwards(segments.mass[:, None])[0, 0] == pytest.approx(float(segments.total_mass))
