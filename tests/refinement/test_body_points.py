"""Points of the body as one matrix, and mass points in the place of rigid segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.compiler import array
from diffmocap.errors import ModelFileError
from diffmocap.physics.contact_forces import MOMENT_ARM, ground_axes
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.kernels.records import Given
from diffmocap.refinement.window.body_points import MASSES_PER_SEGMENT, BodyPoints
from tests.physics.newton_euler import joint_loads, needed_wrench
from tests.physics.segment_motion import segment_motion

GRAVITY = torch.tensor([[[0.0, -9.80665, 0.0]]], dtype=torch.float64)


def swinging(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations [1, T, 24, 3, 3] and pelvis [1, T, 3] at times [T]: every joint at its own pace."""
    g = torch.Generator().manual_seed(3)
    axis, phase = 0.6 * torch.randn(24, 3, generator=g).double(), 3 * torch.randn(24, generator=g).double()
    pace = 2 + torch.randn(24, generator=g).double().abs()
    turns = torch.sin(pace * times[:, None] + phase)[..., None] * axis
    pelvis = torch.stack([times, 1 + 0.2 * torch.sin(3 * times), 0.3 * times**2], -1)
    return roma.rotvec_to_rotmat(turns)[None], pelvis[None]


def split(points: BodyPoints, rotations: torch.Tensor) -> tuple[torch.Tensor, ...]:
    turned, _ = global_poses(rotations, torch.zeros(*rotations.shape[:2], 3).double(), points.bones)
    return points.positions(turned).split(points.sizes, -1)


def test_points_are_those_of_the_body_model_and_the_contacts(points, body, segments, contacts):
    rotations, pelvis = swinging(torch.linspace(0, 2, 5, dtype=torch.float64))
    joints, _, touching, keypoints = (x[0].transpose(-1, -2) + pelvis[0, :, None] for x in split(points, rotations))
    expected, expected_keypoints = body.joints_and_keypoints(rotations[0].float(), pelvis[0].float())
    torch.testing.assert_close(joints.float(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(keypoints.float(), expected_keypoints, atol=1e-5, rtol=0)
    turned, places = global_poses(rotations[0], pelvis[0], segments.offsets.double())
    torch.testing.assert_close(touching, contacts.to(dtype=torch.float64).centres(turned, places))


def test_points_of_local_rotations_are_those_of_global_ones_and_turn_with_them(points):
    """Gradients along rotations: those of products along the tree."""
    from diffmocap.refinement.kernels.kinematics import place, place_vjp

    rotations, matrix = swinging(torch.linspace(0, 2, 3, dtype=torch.float64))[0], points.constants.matrix
    columns, relative = place(array(rotations[0]), matrix)
    wanted = torch.cat(split(points, rotations), -1)[0]
    torch.testing.assert_close(torch.from_numpy(relative).view_as(wanted), wanted)
    g = torch.Generator().manual_seed(4)
    turns = torch.zeros(1, 3, 24, 3, dtype=torch.float64, requires_grad=True)
    above = torch.randn(wanted.shape, generator=g, dtype=torch.float64)
    moved = roma.rotvec_to_rotmat(turns) @ rotations  # in the parent's axes
    (expected,) = torch.autograd.grad((torch.cat(split(points, moved), -1)[0] * above).sum(), turns)
    found = np.zeros((3, 24, 3))
    place_vjp(array(above), matrix, columns, found)
    torch.testing.assert_close(torch.from_numpy(found), expected[0])


def test_mass_points_have_mass_centre_and_inertia_of_their_segments(points, segments):
    rotations = torch.eye(3, dtype=torch.float64).expand(1, 1, 24, 3, 3)
    joints, masses, *_ = (x[0, 0].T for x in split(points, rotations))
    own = (masses - joints.repeat_interleave(MASSES_PER_SEGMENT, 0)).unflatten(0, (24, -1))
    weight = points.mass.unflatten(0, (24, -1))
    torch.testing.assert_close(weight.sum(1), segments.mass.double())
    centre = (weight[..., None] * own).sum(1) / weight.sum(1, keepdim=True)
    torch.testing.assert_close(centre, segments.centre.double(), atol=1e-9, rtol=0)
    arm = own - centre[:, None]
    second = torch.einsum("sp,spi,spj->sij", weight, arm, arm)
    inertia = second.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] * torch.eye(3).double() - second
    torch.testing.assert_close(inertia, segments.inertia.double(), atol=1e-9, rtol=1e-6)


def forces_of(points: BodyPoints, rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, gravity: torch.Tensor):
    """:class:`diffmocap.refinement.kernels.records.Forces` of a motion whose contacts may all push, wherever they are,
    on a floor square to gravity."""
    from diffmocap.refinement.kernels.forces import forces_in
    from diffmocap.refinement.kernels.motion import motion_of

    frames, count = pelvis.shape[1], len(points.radius)
    up = -gravity.flatten() / gravity.norm()
    none = {name: np.zeros(1) for name in Given._fields}
    given = Given(**none)._replace(
        dt_s=dt_s, height=0.0, up=array(up), gravity=array(gravity.flatten()), axes=ground_axes(array(up)),
        may_push=np.ones((frames - 2, count), bool), activity_rates=np.zeros(2), camera=np.zeros((3, 4)),
        observed=np.zeros((1, 2, 25)), confidence=np.zeros((1, 25)), target=np.zeros((1, 1, 216)),
        places=np.zeros((1, 1, 3)), precision=np.zeros((1, 3, 3)), log_weights=np.zeros((1, 1)),
        held=np.zeros((1, count)), held_steps=np.zeros((1, count)),
    )  # fmt: skip
    motion = motion_of(array(rotations[0]), array(pelvis[0]), points.constants, given)
    return forces_in(motion, points.constants, given, 30)


def needed_of(found, points: BodyPoints) -> np.ndarray:
    """[F, 6] N and N m about the centre of mass that the motion needs, of :class:`Forces`."""
    weight = float(points.total_mass * GRAVITY.norm())
    return found.contacts.wrench * weight * np.array([1.0] * 3 + [MOMENT_ARM] * 3)


def test_dynamics_come_to_newton_euler_as_frames_get_denser(points, segments):
    """Two discretisations of one motion: their difference falls with the square of the time between frames."""
    segments, errors = segments.to(dtype=torch.float64), []
    for dt in (1 / 60, 1 / 240):
        rotations, pelvis = swinging(0.5 + dt * torch.arange(5, dtype=torch.float64))
        motion = segment_motion(rotations, pelvis, dt, segments)
        found = forces_of(points, rotations, pelvis, dt, GRAVITY)
        needed = needed_wrench(motion, segments, GRAVITY[:, 0])
        whole, moment = torch.from_numpy(needed_of(found, points)).split(3, -1)
        torch.testing.assert_close(whole, needed.force[0], rtol=1e-2, atol=0.1)
        force = torch.from_numpy(found.forces).mT
        assert float(force.norm(dim=-1).max()) > 50.0
        at = torch.from_numpy(found.places).mT
        expected = joint_loads(motion, segments, GRAVITY[:, 0], force[None], at[None], points.contact_segment).torque
        torque = torch.from_numpy(found.torques).mT
        errors.append(
            [float((a - b).abs().max()) for a, b in ((moment, needed.moment[0]), (torque, expected[0, :, 1:]))]
        )
    coarse, fine = torch.tensor(errors)
    assert bool((fine < coarse / 10).all()) and bool((fine < 0.05).all()), errors


def test_contacts_and_what_they_leave_make_up_what_is_needed(points):
    """Newton's third law."""
    rotations, pelvis = swinging(0.5 + torch.arange(5, dtype=torch.float64) / 60)
    found = forces_of(points, rotations, pelvis, 1 / 60, GRAVITY)
    arms = found.places - found.centre[..., None]
    made = found.forces.sum(-1), np.cross(arms, found.forces, axis=1).sum(-1)
    np.testing.assert_allclose(np.concatenate(made, -1) + found.left, needed_of(found, points), atol=1e-6)


def test_a_body_in_free_fall_needs_nothing(points):
    """Thrown and spinning about a principal axis: the parabola is exact at any rate, as are sums over the points."""
    dt, t = 1 / 30, torch.arange(8, dtype=torch.float64) / 30
    still = torch.eye(3, dtype=torch.float64).expand(1, 8, 24, 3, 3)
    pelvis = torch.stack([t, 3 * t - 0.5 * 9.80665 * t**2, 0 * t], -1)[None]
    found = forces_of(points, still, pelvis, dt, GRAVITY)
    for part in (needed_of(found, points), found.load, found.forces, found.torques):
        assert part.shape[0] == 6 and np.abs(part).max() < 1e-7


def test_other_bones_and_impossible_inertia_are_refused(body, segments, contacts):
    with pytest.raises(ModelFileError, match="bones"):
        BodyPoints.from_body(body, replace(segments, offsets=1.1 * segments.offsets), contacts)
    inertia = segments.inertia.clone()
    inertia[3] = torch.diag(torch.tensor([1.0, 0.1, 0.1]))
    with pytest.raises(ModelFileError, match="inertia"):
        BodyPoints.from_body(body, replace(segments, inertia=inertia), contacts)
