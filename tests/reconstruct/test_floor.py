"""Gravity and floor of whole motions, and the world frame made of them."""

from __future__ import annotations

import math

import pytest
import torch

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.physics.ground import Ground
from diffmocap.reconstruct.floor import floor_of, world_from_optical
from diffmocap.refinement.physics_refiner import points_of
from diffmocap.refinement.stream.known_ground import KnownGround

PITCH = math.radians(15)


@pytest.fixture(scope="module")
def walk(mocap_dir):
    """A walk before a camera 1.4 m above the floor that looks down by 15 degrees: rotations, pelvis, up."""
    clip = max(load_split(mocap_dir / "cmu_smpl30_train.npz"), key=len)
    R_optical_world = torch.tensor([
        [1.0, 0.0, 0.0], [0.0, -math.cos(PITCH), math.sin(PITCH)], [0.0, -math.sin(PITCH), -math.cos(PITCH)],
    ])  # fmt: skip
    place = clip.pelvis - torch.tensor([float(clip.pelvis[0, 0]), 1.4, float(clip.pelvis[0, 2]) + 5.0])
    rotations = clip.rotations.clone()
    rotations[:, 0] = R_optical_world @ rotations[:, 0]
    return rotations, place @ R_optical_world.T, R_optical_world @ torch.tensor([0.0, 1.0, 0.0])


def test_a_floor_that_was_given_is_taken(walk):
    points = points_of(BodyModel.load()).to(dtype=torch.float32)
    seen = torch.ones(len(walk[0]), dtype=torch.bool)
    floor = floor_of(points, walk[0], walk[1], seen, 1 / 30, KnownGround.from_camera(1.4, PITCH))
    assert floor.trusted and torch.allclose(floor.ground.up, walk[2], atol=1e-5)
    assert float(floor.ground.height) == pytest.approx(-1.4, abs=1e-5)


def test_with_gravity_given_the_floor_lies_under_the_feet(walk):
    points = points_of(BodyModel.load()).to(dtype=torch.float32)
    seen = torch.ones(len(walk[0]), dtype=torch.bool)
    floor = floor_of(points, walk[0], walk[1], seen, 1 / 30, KnownGround.from_camera(None, PITCH))
    assert float(floor.ground.height) == pytest.approx(-1.4, abs=0.06)


def test_without_anything_given_up_is_found_to_some_degrees(walk):
    points = points_of(BodyModel.load()).to(dtype=torch.float32)
    seen = torch.ones(len(walk[0]), dtype=torch.bool)
    floor = floor_of(points, walk[0], walk[1], seen, 1 / 30, KnownGround())
    assert math.degrees(math.acos(float(floor.ground.up @ walk[2]))) < 8


def test_world_has_z_up_zero_on_the_floor_and_its_origin_below_the_person():
    up = torch.nn.functional.normalize(torch.tensor([0.1, -0.9, -0.3]), dim=0)
    origin = torch.tensor([0.4, 0.2, 4.0])
    R, t = world_from_optical(Ground(up, torch.tensor(-1.2)), origin)
    assert torch.allclose(R @ R.T, torch.eye(3), atol=1e-5) and float(torch.det(R)) == pytest.approx(1.0, abs=1e-5)
    assert torch.allclose(R @ up, torch.tensor([0.0, 0.0, 1.0]), atol=1e-5)
    below = origin - (origin @ up + 1.2) * up
    assert torch.allclose(R @ below + t, torch.zeros(3), atol=1e-5)
    ahead = R @ torch.tensor([0.0, 0.0, 1.0])
    assert float(ahead[0]) == pytest.approx(0.0, abs=1e-6) and float(ahead[1]) > 0.5


def test_a_camera_that_looks_straight_down_has_a_world_too():
    R, _ = world_from_optical(Ground(torch.tensor([0.0, 0.0, -1.0]), torch.tensor(-2.0)), torch.zeros(3))
    assert torch.isfinite(R).all() and float(torch.det(R)) == pytest.approx(1.0, abs=1e-5)
