"""Contact points, the ground, contact states and contact forces."""

from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.physics.contact_forces import ground_axes
from diffmocap.physics.contact_state import ContactLevels, touching
from diffmocap.physics.ground import Ground, find_ground
from diffmocap.physics.tree import global_poses
from diffmocap.physics.wrench import Wrench
from tests.physics.contact_forces import activity, contact_forces
from tests.physics.friction_cone import project

UP = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
WEIGHT = 60.0 * 9.80665


def vector(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


# --- points ------------------------------------------------------------------------------------------------------


def test_points_lie_where_their_names_say(body, points, segments):
    """In the rest pose the soles are level with the lowest skin, heels behind toes, left at the left."""
    rotations = torch.eye(3, dtype=torch.float64).expand(NUM_JOINTS, 3, 3)
    pelvis = body.rest_joints()[0, 0].double()
    at = dict(zip(points.names, points.centres(*global_poses(rotations, pelvis, segments.offsets)), strict=True))
    floor = float(body.template[:, 1].min())
    assert len(at) == 12 and [points.names[i].split("_")[0] for i in points.feet] == ["left"] * 4 + ["right"] * 4
    for name in ("heel", "ball_inner", "ball_outer", "toe"):
        left, right = at[f"left_{name}"], at[f"right_{name}"]
        assert abs(float(left[1]) - floor) < 0.006
        torch.testing.assert_close(left * vector(-1, 1, 1), right, rtol=0, atol=2e-3)
    assert at["left_heel"][2] < at["left_ball_inner"][2] < at["left_toe"][2]
    assert 0 < at["left_ball_inner"][0] < at["left_ball_outer"][0]
    radius = dict(zip(points.names, points.radius.tolist(), strict=True))
    assert 0.03 < radius["left_knee"] < 0.09 and 0.002 < radius["right_hand"] < 0.03 and radius["left_toe"] == 0


# --- ground ------------------------------------------------------------------------------------------------------


def feet_of(clip, points, segments) -> tuple[torch.Tensor, torch.Tensor]:
    rotations, joints = global_poses(clip.rotations.double(), clip.pelvis.double(), segments.offsets)
    return points.centres(rotations, joints)[:, points.feet], joints


def test_ground_height_is_found(clips, points, segments):
    """Takes were put onto y = 0 by another method, which takes the whole outline of the soles."""
    for clip in clips[:: len(clips) // 10]:
        ground = find_ground(feet_of(clip, points, segments)[0], 1 / clip.fps, up=UP)
        assert abs(float(ground.height)) < 0.03, (clip.name, ground)
        assert ground.source.startswith("up given, height from")


def test_up_is_found_in_a_tilted_frame(clips, points, segments):
    """The camera's pitch and roll need not be known where feet rest on the floor."""
    tilt = roma.rotvec_to_rotmat(vector(0.4, 0.3, -0.2))
    errors = []
    for clip in clips[:: len(clips) // 10]:
        soles, joints = feet_of(clip, points, segments)
        ground = find_ground(soles @ tilt.T, 1 / clip.fps, joints=joints @ tilt.T)
        errors.append(math.degrees(math.acos(min(1.0, float(ground.up @ (tilt @ UP))))))
        assert "resting" in ground.source
    errors.sort()
    assert errors[len(errors) // 2] < 3.0 and errors[-1] < 8.0, errors


def test_what_is_given_is_kept_and_a_runner_still_gets_a_floor():
    torch.manual_seed(0)
    flying = torch.randn(50, 8, 3, dtype=torch.float64) + vector(0, 5, 0)
    ground = find_ground(flying, 1 / 30, up=2 * UP, height=1.5)
    assert ground.source == "given" and float(ground.height) == 1.5
    torch.testing.assert_close(ground.up, UP)
    torch.testing.assert_close(ground.gravity, vector(0, -9.80665, 0)[None])
    ground = find_ground(flying, 1 / 30, up=UP)
    assert "no foot rests" in ground.source and bool(torch.isfinite(ground.height))
    assert float((flying[..., 1].amin(1) > ground.height).double().mean()) == pytest.approx(0.95, abs=0.03)


def test_ground_without_enough_to_go_by_is_refused():
    soles = torch.zeros(4, 8, 3)
    with pytest.raises(SettingsError, match="give `up`"):
        find_ground(soles, 1 / 30)
    with pytest.raises(SettingsError, match="direction `up`"):
        find_ground(soles, 1 / 30, height=0.0)
    with pytest.raises(SettingsError, match="finite"):
        find_ground(soles * float("nan"), 1 / 30, up=UP)


# --- states ------------------------------------------------------------------------------------------------------


def test_hysteresis_against_a_state_machine():
    """The running maximum is the loop that it stands for."""
    g = torch.Generator().manual_seed(4)
    gap, speed = 0.08 * torch.rand(3, 200, 5, generator=g), 0.9 * torch.rand(3, 200, 5, generator=g)
    levels = ContactLevels()
    state, expected = torch.zeros(3, 5, dtype=torch.bool), []
    for t in range(200):
        on = (gap[:, t] < levels.touch_height_m) & (speed[:, t] < levels.touch_speed_m_s)
        off = (gap[:, t] > levels.leave_height_m) | (speed[:, t] > levels.leave_speed_m_s)
        state = on | (state & ~off)
        expected.append(state)
    found = touching(gap, speed, levels)
    assert torch.equal(found, torch.stack(expected, 1)) and 0.05 < float(found.float().mean()) < 0.95


def test_a_wobble_between_the_levels_changes_nothing():
    gap = torch.tensor([0.0, 0.02, 0.04, 0.02, 0.05, 0.07, 0.05, 0.04, 0.02])[:, None]
    assert touching(gap, torch.zeros_like(gap))[:, 0].tolist() == [True] * 5 + [False] * 3 + [True]


def test_activity_fades_with_distance_and_speed():
    gap = torch.linspace(-0.02, 0.1, 50)
    fading = activity(gap, torch.zeros(50))
    assert bool((fading.diff() <= 0).all()) and float(fading[0]) == 1.0 and float(fading[-1]) < 1e-6
    assert float(activity(torch.zeros(1), torch.tensor([2.0]))) < 1e-6


def test_levels_in_the_wrong_order_are_refused():
    with pytest.raises(SettingsError, match="levels"):
        ContactLevels(touch_height_m=0.1, leave_height_m=0.05)


# --- friction cone -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("friction", [0.0, 0.3, 0.8, 2.0])
def test_projection_is_the_nearest_point_of_the_cone(friction):
    g = torch.Generator().manual_seed(5)
    up = torch.nn.functional.normalize(vector(0.2, 1, -0.1), dim=0)
    v = torch.randn(300, 3, generator=g, dtype=torch.float64)
    p = project(v, up, friction)
    normal = p @ up
    assert float(((p - normal[:, None] * up).norm(dim=1) - friction * normal).max()) < 1e-12
    torch.testing.assert_close(project(p, up, friction), p, rtol=0, atol=1e-12)
    # Moreau: what is taken away is square to what is left, and no force of the cone has a part along it.
    assert float(((v - p) * p).sum(1).abs().max()) < 1e-12
    others = project(torch.randn(300, 3, generator=g, dtype=torch.float64), up, friction)
    assert float(((v - p) @ others.T).max()) < 1e-12


@pytest.mark.parametrize("friction", [0.0, 0.6])
def test_the_compiled_projection_is_the_projection_and_its_derivative(friction):
    """On a tilted ground, as the compiled solver takes it."""
    from diffmocap.physics.compiled import friction_cone

    g = torch.Generator().manual_seed(6)
    axes = torch.from_numpy(ground_axes(torch.nn.functional.normalize(vector(0.2, 1, -0.1), dim=0).numpy()))
    torch.testing.assert_close(axes @ axes.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-12)
    v = torch.randn(200, 3, generator=g, dtype=torch.float64)
    expected = project(v, axes[0], friction)
    automatic = torch.func.vmap(torch.func.jacrev(lambda x: project(x, axes[0], friction)))(v)
    nearest, jacobian = np.empty(3), np.empty((3, 3))
    for force, wanted, slope in zip(v.numpy(), expected, automatic, strict=True):
        square = friction_cone.project(force, axes.numpy(), friction, nearest)
        torch.testing.assert_close(torch.from_numpy(nearest), wanted, rtol=0, atol=1e-12)
        assert square == pytest.approx(float(wanted.square().sum()), abs=1e-12)
        friction_cone.derivative(force, axes.numpy(), friction, jacobian)
        torch.testing.assert_close(torch.from_numpy(jacobian), slope, rtol=1e-8, atol=1e-8)


# --- forces ------------------------------------------------------------------------------------------------------


def stance() -> torch.Tensor:
    """Two feet of three points each under a centre of mass at the origin, 1 m up."""
    foot = torch.stack([vector(0, -1, -0.1), vector(-0.04, -1, 0.12), vector(0.04, -1, 0.12)])
    return torch.cat([foot + vector(0.1, 0, 0), foot - vector(0.1, 0, 0)])


def wrench(force, moment=(0.0, 0.0, 0.0)) -> Wrench:
    force, moment = vector(*force), vector(*moment)
    return Wrench(force, moment, torch.zeros(3, dtype=torch.float64))


def test_standing_is_explained_and_shared_by_both_feet():
    result = contact_forces(wrench((0, WEIGHT, 0)), stance(), torch.ones(6, dtype=torch.float64), UP, 60.0)
    assert float(result.residual.force.norm()) < 0.01 * WEIGHT and float(result.residual.moment.norm()) < 2.0
    assert float(result.force[:3].sum(0)[1]) == pytest.approx(WEIGHT / 2, rel=0.01)
    assert float(result.force[:, 1].min()) > 0


def test_no_contact_is_no_force_and_all_residual():
    needed = wrench((3, WEIGHT, -8), (4, 5, 6))
    result = contact_forces(needed, stance(), torch.zeros(6, dtype=torch.float64), UP, 60.0)
    assert float(result.force.abs().max()) == 0.0
    assert torch.equal(result.residual.force, needed.force) and torch.equal(result.residual.moment, needed.moment)


def test_the_ground_does_not_pull_and_slides_beyond_friction():
    ones = torch.ones(6, dtype=torch.float64)
    assert float(contact_forces(wrench((0, -WEIGHT, 0)), stance(), ones, UP, 60.0).force.abs().max()) < 1e-6
    sideways = contact_forces(wrench((2 * WEIGHT, WEIGHT, 0)), stance(), ones, UP, 60.0, friction=0.5)
    horizontal, vertical = sideways.force[:, [0, 2]].norm(dim=1), sideways.force[:, 1]
    assert float((horizontal - 0.5 * vertical).max()) < 1e-9 * WEIGHT and float(sideways.residual.force[0]) > WEIGHT / 4


def random_problems(count: int = 40) -> tuple[Wrench, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    needed = Wrench(WEIGHT * (UP + 0.5 * draw(count, 3)), 60 * draw(count, 3), draw(count, 3))
    positions = needed.centre[:, None] - UP + draw(count, 8, 3) * vector(0.3, 0.02, 0.3)
    return needed, positions, torch.rand(count, 8, generator=g, dtype=torch.float64)


def test_forces_are_the_optimum_of_the_stated_problem():
    """Projected gradient with many small steps on the forces themselves comes to the same."""
    needed, positions, active = random_problems(12)
    found = contact_forces(needed, positions, active, UP, 60.0).force
    arm = (positions - needed.centre[:, None]) / 0.5
    target = torch.cat([needed.force, needed.moment / 0.5], -1) / WEIGHT

    def cost(force):
        made = torch.cat([force.sum(1), torch.linalg.cross(arm, force).sum(1)], -1)
        return 0.5 * (target - made).square().sum(-1) + 0.5e-3 * (force / active[..., None]).square().sum((-1, -2))

    # In u = f / a the problem is better scaled.
    u = torch.zeros(12, 8, 3, dtype=torch.float64)
    previous, momentum = u, 1.0
    for _ in range(6000):  # FISTA
        ahead = (momentum - 1) / (0.5 * (1 + math.sqrt(1 + 4 * momentum**2)))
        y = (u + ahead * (u - previous)).requires_grad_()
        momentum = 0.5 * (1 + math.sqrt(1 + 4 * momentum**2))
        (slope,) = torch.autograd.grad(cost(active[..., None] * y).sum(), y)
        previous, u = u, project((y - 0.06 * slope).detach(), UP, 0.8)
    best = active[..., None] * u
    ours = cost(found / WEIGHT)
    assert float((ours - cost(best)).max()) < 1e-7
    torch.testing.assert_close(found / WEIGHT, best, rtol=0, atol=2e-2)


def test_newton_converges_and_forces_are_in_the_cone():
    needed, positions, active = random_problems(400)
    active[::3, ::2] = 0.0
    result, more = (contact_forces(needed, positions, active, UP, 60.0, iterations=n) for n in (40, 200))
    torch.testing.assert_close(result.force, more.force, rtol=0, atol=0.01)
    normal = result.force @ UP
    size = (result.force - normal[..., None] * UP).norm(dim=-1)
    assert float((size - 0.8 * normal).max()) < 1e-9 * WEIGHT and float(result.force[active == 0].abs().max()) == 0
    # Newton's third law: what the ground does and what is left is what was needed.
    arm = positions - needed.centre[:, None]
    torch.testing.assert_close(result.force.sum(1) + result.residual.force, needed.force)
    made = torch.linalg.cross(arm, result.force).sum(1)
    torch.testing.assert_close(made + result.residual.moment, needed.moment)


def test_gradients_through_the_solver_are_finite_differences():
    needed, positions, active = random_problems(3)
    inputs = tuple(x.clone().requires_grad_() for x in (needed.force, needed.moment, positions, active + 0.1))

    def value(force, moment, positions, active):
        result = contact_forces(Wrench(force, moment, needed.centre), positions, active, UP, 60.0, iterations=100)
        return torch.cat([result.force.flatten(), result.residual.force.flatten(), result.residual.moment.flatten()])

    assert torch.autograd.gradcheck(value, inputs, eps=1e-6, rtol=1e-3, atol=1e-2)


def test_float32_and_batches():
    needed, positions, active = random_problems(6)
    expected = contact_forces(needed, positions, active, UP, 60.0).force
    single = Wrench(*(x.float().unflatten(0, (2, 3)) for x in (needed.force, needed.moment, needed.centre)))
    found = contact_forces(single, positions.float().unflatten(0, (2, 3)), active.float().unflatten(0, (2, 3)),
                           UP.float(), 60.0).force  # fmt: skip
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.flatten(0, 1).double(), expected, rtol=1e-3, atol=0.05)


def test_ground_of_a_batch():
    up = torch.stack([UP, vector(1, 0, 0)])
    ground = Ground(up, vector(0.0, 2.0))
    gap = ground.gap(torch.ones(2, 5, 4, 3, dtype=torch.float64))
    assert gap.shape == (2, 5, 4) and float(gap[0, 0, 0]) == 1.0 and float(gap[1, 0, 0]) == -1.0
