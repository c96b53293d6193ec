"""Locked feet stay in their place and above the floor, legs keep their lengths, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.feet import ANKLES, TOES
from diffmocap.body.model import BodyModel
from diffmocap.physics.ground import Ground
from diffmocap.physics.tree import global_poses
from diffmocap.reconstruct.floor import Floor
from diffmocap.reconstruct.foot_lock import lock_feet, reach, solve_moves
from diffmocap.refinement.physics_refiner import points_of

DT_S, FRAMES = 1 / 30, 60
UP = torch.tensor([0.0, -1.0, 0.0])


@pytest.fixture(scope="module")
def points():
    return points_of(BodyModel.load()).to(dtype=torch.float32)


@pytest.fixture(scope="module")
def sliding(points):
    """A person with flexed knees, upright in the optical frame, whose whole body drifts away by 5 cm/s."""
    rotations = torch.eye(3).repeat(FRAMES, 24, 1, 1)
    rotations[:, 0] = roma.rotvec_to_rotmat(torch.tensor([torch.pi, 0.0, 0.0]))
    for joint, angle in ((1, -0.5), (2, -0.4), (4, 0.9), (5, 0.8), (7, -0.4), (8, -0.4)):
        rotations[:, joint] = roma.rotvec_to_rotmat(torch.tensor([angle, 0.0, 0.0]))
    pelvis = torch.tensor([0.1, 0.0, 3.0]).repeat(FRAMES, 1)
    pelvis[:, 2] += 0.05 * torch.arange(FRAMES) * DT_S
    return rotations, pelvis


def floor_below(points, motion, deeper_m: float) -> Floor:
    """A floor, known, that lies ``deeper_m`` below the lowest sole of a motion."""
    turned, _ = global_poses(*motion, points.bones)
    lowest = (points.soles(turned, motion[1]) @ UP).min()
    return Floor(Ground(UP, lowest - deeper_m), True)


def toes_of(points, motion) -> torch.Tensor:
    return global_poses(*motion, points.bones)[1][:, TOES]


def test_a_standing_foot_keeps_its_place_and_the_other_its_motion(points, sliding):
    floor = Floor(Ground(UP, torch.tensor(-1.0)), False)
    standing = np.zeros((FRAMES, 2), bool)
    standing[10:50, 0] = True
    locked = lock_feet(*sliding, standing, points, floor, DT_S)
    before, after = toes_of(points, sliding), toes_of(points, locked)
    assert float(torch.pdist(before[10:50, 0]).max()) > 0.06
    assert float(torch.pdist(after[10:50, 0]).max()) < 0.003
    moved = (after - before)[:, 1].norm(dim=-1)
    assert float(moved.max()) < 0.015
    # The foot keeps its direction, and what no leg moves stays as it was.
    turned = [global_poses(*motion, points.bones)[0] for motion in (sliding, locked)]
    assert torch.allclose(turned[0][:, list(ANKLES)], turned[1][:, list(ANKLES)], atol=1e-5)
    others = [j for j in range(24) if j not in (1, 2, 4, 5, 7, 8)]
    assert torch.equal(sliding[0][:, others], locked[0][:, others])


def test_the_moves_are_smooth(points, sliding):
    floor = Floor(Ground(UP, torch.tensor(-1.0)), False)
    standing = np.zeros((FRAMES, 2), bool)
    standing[10:50, 0] = True
    after = toes_of(points, lock_feet(*sliding, standing, points, floor, DT_S))
    acceleration = after.diff(2, dim=0).norm(dim=-1) / DT_S**2
    assert float(acceleration.max()) < 5.0


@pytest.mark.parametrize("deeper_m", [-0.06, 0.02])
def test_feet_stand_on_a_floor_that_is_known_and_no_sole_is_below_it(points, sliding, deeper_m):
    floor = floor_below(points, sliding, deeper_m)
    standing = np.zeros((FRAMES, 2), bool)
    standing[5:25, 0] = standing[30:55, 1] = True
    locked = lock_feet(*sliding, standing, points, floor, DT_S)
    turned, _ = global_poses(*locked, points.bones)
    gap = (points.soles(turned, locked[1]) @ UP - floor.ground.height).unflatten(1, (2, 4)).amin(-1)
    assert float(gap.min()) > -0.004
    assert float(gap[torch.from_numpy(standing)].abs().max()) < 0.015
    guess = Floor(floor.ground, False)
    free = lock_feet(*sliding, standing, points, guess, DT_S)
    turned, _ = global_poses(*free, points.bones)
    gap = points.soles(turned, free[1]) @ UP - guess.ground.height
    assert float(gap.min()) == pytest.approx(deeper_m, abs=0.01)


@pytest.mark.parametrize("pitch", [0.0, 0.3])
def test_a_floor_far_above_all_soles_moves_the_body_and_folds_no_leg(points, sliding, pitch):
    rotations, pelvis = sliding
    turn = roma.rotvec_to_rotmat(torch.tensor([-pitch, 0.0, 0.0]))  # of a camera that looks down
    rotations, pelvis, up = rotations.clone(), (pelvis + torch.tensor([0.0, pitch, 0.0])) @ turn.T, turn @ UP
    rotations[:, 0] = turn @ rotations[:, 0]
    turned, _ = global_poses(rotations, pelvis, points.bones)
    lowest = (points.soles(turned, pelvis) @ up).min()
    floor, standing = Floor(Ground(up, lowest + 0.2), True), np.ones((FRAMES, 2), bool)
    locked = lock_feet(rotations, pelvis, standing, points, floor, DT_S)
    turned, _ = global_poses(*locked, points.bones)
    heights = points.soles(turned, locked[1]) @ up - floor.ground.height
    assert float(heights.min()) > -0.01 and float(heights.min(1).values.median()) < 0.02
    for knee in (4, 5):
        before, after = (roma.rotmat_to_rotvec(m[:, knee]).norm(dim=-1) for m in (rotations, locked[0]))
        assert float((after - before).abs().max()) < 0.3
    # By the way that the distance takes, where that leads up or down at all.
    moved = (locked[1] - pelvis).mean(0)
    sight = torch.nn.functional.normalize(pelvis.mean(0), dim=0)
    assert (float((moved @ sight).abs() / moved.norm()) > 0.5) == (pitch > 0.0)


def test_a_foot_that_is_held_in_the_air_stays_there(points, sliding):
    """On one leg, or with legs crossed: it stands still, but on nothing."""
    rotations, pelvis = sliding[0].clone(), sliding[1].clone()
    rotations[:, 1] = roma.rotvec_to_rotmat(torch.tensor([-1.4, 0.0, 0.0]))
    rotations[:, 4] = roma.rotvec_to_rotmat(torch.tensor([1.9, 0.0, 0.0]))
    floor = floor_below(points, (rotations, pelvis), 0.0)
    standing = np.ones((FRAMES, 2), bool)
    locked = lock_feet(rotations, pelvis, standing, points, floor, DT_S)
    before, after = toes_of(points, (rotations, pelvis)), toes_of(points, locked)
    assert float(((before - after) @ UP)[:, 0].abs().max()) < 0.02
    assert float(torch.pdist(after[:, 0]).max()) < 0.005


@pytest.mark.parametrize("frames", [12, 60])
def test_the_floor_holds_long_stances_as_it_holds_short_ones(points, sliding, frames):
    motion = sliding[0][:frames], sliding[1][:1].repeat(frames, 1)
    floor = floor_below(points, motion, 0.05)
    locked = lock_feet(*motion, np.ones((frames, 2), bool), points, floor, DT_S)
    turned, _ = global_poses(*locked, points.bones)
    gap = points.soles(turned, locked[1]) @ UP - floor.ground.height
    assert float(gap.amin(1).abs().max()) < 0.012


def test_a_stance_that_legs_cannot_reach_takes_the_pelvis_along(points, sliding):
    """Straight legs over a body that drifts by 15 cm in two seconds."""
    rotations, pelvis = sliding[0].clone(), sliding[1].clone()
    rotations[:, [1, 2, 4, 5, 7, 8]] = torch.eye(3)
    pelvis[:, 2] += 0.025 * torch.arange(FRAMES) * DT_S
    standing = np.zeros((FRAMES, 2), bool)
    standing[5:55, 0] = True
    floor = Floor(Ground(UP, torch.tensor(-1.0)), False)
    after = toes_of(points, lock_feet(rotations, pelvis, standing, points, floor, DT_S))
    assert float(torch.pdist(after[5:55, 0]).max()) < 0.008


def test_a_motion_without_stance_and_floor_stays(points, sliding):
    floor = Floor(Ground(UP, torch.tensor(-1.0)), False)
    locked = lock_feet(*sliding, np.zeros((FRAMES, 2), bool), points, floor, DT_S)
    assert torch.equal(locked[0], sliding[0]) and torch.equal(locked[1], sliding[1])


def test_legs_reach_what_they_can(points):
    generator = torch.Generator().manual_seed(3)
    local = roma.rotvec_to_rotmat(0.3 * torch.randn(40, 24, 3, generator=generator, dtype=torch.float64))
    local[:, 4:6] = roma.rotvec_to_rotmat(torch.tensor([0.7, 0.0, 0.0], dtype=torch.float64))
    local[:5, 4:6] = torch.eye(3, dtype=torch.float64)  # straight
    bones = points.bones.double()
    turned, joints = global_poses(local, torch.zeros(40, 3, dtype=torch.float64), bones)
    hips, ankles = joints[:, [1, 2]], joints[:, list(ANKLES)]
    wanted = ankles + 0.05 * torch.randn(40, 2, 3, generator=generator, dtype=torch.float64)
    found = reach(turned, joints, wanted)
    assert torch.allclose(found.mT @ found, torch.eye(3, dtype=torch.float64).expand_as(found), atol=1e-6)
    knee = hips + (found[:, [1, 2]] @ bones[[4, 5]][..., None])[..., 0]
    ankle = knee + (found[:, [4, 5]] @ bones[[7, 8]][..., None])[..., 0]
    longest = bones[[4, 5]].norm(dim=-1) + bones[[7, 8]].norm(dim=-1)
    within = (wanted - hips).norm(dim=-1) < 0.998 * longest
    assert within.float().mean() > 0.8 and not bool(within.all())
    assert float((ankle - wanted)[within].norm(dim=-1).max()) < 1e-6
    # Beyond its reach a leg points at the place.
    line = torch.nn.functional.cosine_similarity(ankle - hips, wanted - hips, dim=-1)
    assert float(line[~within].min()) > 1.0 - 1e-9
    # A knee that is flexed stays so to its own side.
    axis = turned[:, [1, 2], :, 0]
    flexed = torch.linalg.cross(knee - hips, ankle - knee)
    new_axis = found[:, [1, 2], :, 0]
    assert float((flexed * new_axis).sum(-1)[5:].min()) > 0.0
    assert float((axis * new_axis).sum(-1).min()) > 0.9


def test_the_moves_are_the_least_that_solve_the_problem():
    """One stance over all frames and a rigid drift along the viewing direction: the place is the mean one."""
    toes = np.zeros((40, 2, 3))
    toes[..., 2] = 3.0
    toes[:, 0, 0] = np.linspace(-0.02, 0.02, 40)
    pelvis = toes[:, 0] * [0, 0, 1]
    standing = np.zeros((40, 2), bool)
    standing[:, 0] = True
    moves = solve_moves(toes, pelvis, standing, DT_S)
    place = toes[:, 0] + moves.pelvis + moves.feet[:, 0]
    assert np.allclose(place, place.mean(0), atol=1e-3)
    assert np.allclose(place.mean(0), [0, 0, 3], atol=1e-6)
    assert np.allclose(moves.feet[:, 1], 0.0, atol=1e-12)
