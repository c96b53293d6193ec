"""What the browser is told of the body: bones that make the skin that the body model makes, in an upright world."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.viewer.body import Skin, global_rotations
from diffmocap.viewer.feet_level import POSES, FeetLevel
from diffmocap.viewer.world import World


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def skin() -> Skin:
    return Skin.load()


@pytest.fixture
def local(request) -> torch.Tensor:
    """[24, 3, 3] of a pose that turns every joint."""
    generator = torch.Generator().manual_seed(7)
    return roma.rotvec_to_rotmat(0.7 * torch.randn(24, 3, generator=generator, dtype=torch.float64))


def test_bones_are_turned_as_the_kinematics_turn_them(body, local):
    expected, _ = body.forward_kinematics(local[None].float(), torch.zeros(1, 3))
    xyzw = roma.rotmat_to_unitquat(local).numpy()
    found = roma.unitquat_to_rotmat(torch.from_numpy(global_rotations(3.0 * xyzw)))
    assert torch.allclose(found.float(), expected[0], atol=1e-5), "also of quaternions that are not of length one"


def test_the_skin_that_a_browser_makes_of_the_bones_is_that_of_the_body_model(body, skin, local):
    """Linear blend skinning as three.js does it: four weights, bones relative to the rest pose.

    A few vertices of the body follow more joints than four, and lie a little elsewhere in a pose as bent as this one.
    """
    pelvis = torch.tensor([[0.2, -0.1, 3.0]])
    expected = body.vertices(local[None].float(), pelvis)[0].numpy()
    _, joints = body.forward_kinematics(local[None].float(), pelvis)
    bones = roma.unitquat_to_rotmat(torch.from_numpy(global_rotations(roma.rotmat_to_unitquat(local).numpy()))).numpy()
    strongest = np.argsort(skin.weights, axis=1)[:, -4:]
    weights = np.take_along_axis(skin.weights, strongest, 1)
    rest = skin.vertices_m[:, None] - skin.joints_m[strongest]
    placed = np.einsum("vkab,vkb->vka", bones[strongest], rest) + joints[0].numpy()[strongest]
    found = (weights[..., None] * placed).sum(1)
    distance_m = np.linalg.norm(found - expected, axis=1)
    assert np.quantile(distance_m, 0.98) < 1e-3 and distance_m.max() < 0.05


@pytest.mark.parametrize("pitch", [0.0, 0.4, -0.3])
@pytest.mark.parametrize("roll", [0.0, 0.5])
def test_the_world_is_upright_whatever_the_camera_does(pitch, roll):
    """A point of the floor is at z = 0, one a metre above it at 1, and the camera looks towards x."""
    c, s = np.cos(roll), np.sin(roll)
    level = np.array([[1.0, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    up = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) @ level @ [0.0, -1.0, 0.0]
    world = World.from_floor(up, -1.4, "given")
    on_floor = -1.4 * up + np.cross(up, [0.3, 0.2, 0.9])
    assert np.allclose(world.points(np.stack([on_floor, on_floor + up]))[:, 2], [0.0, 1.0])
    assert world.height_m == 1.4 and np.isclose(np.linalg.det(world.R_world_optical), 1.0)
    ahead = world.R_world_optical @ [0.0, 0.0, 1.0]
    assert ahead[0] > 0.9 and abs(ahead[1]) < 1e-9
    rotation = roma.unitquat_to_rotmat(torch.from_numpy(np.roll(world.wxyz, -1)))
    assert np.allclose(rotation.numpy(), world.R_world_optical)


def test_a_camera_that_looks_straight_down_has_its_upper_side_ahead():
    world = World.from_floor(np.array([0.0, 0.0, -1.0]), -2.5, "given")
    assert np.allclose(world.R_world_optical @ [0.0, -1.0, 0.0], [1.0, 0.0, 0.0])


def test_small_changes_of_the_floor_are_not_shown():
    world, up = World.guessed(), np.array([0.0, -1.0, 0.0])
    assert not World.from_floor(up, -1.005, world.source).differs(world)
    assert World.from_floor(up, -1.02, world.source).differs(world)
    tilted = np.array([np.sin(0.02), -np.cos(0.02), 0.0])
    assert World.from_floor(tilted, -1.0, world.source).differs(world)


def test_a_floor_that_nobody_knows_lies_below_the_feet_of_the_last_seconds():
    skin = Skin.load()
    turn = np.diag([1.0, -1.0, -1.0])
    joints = (skin.joints_m - skin.joints_m[0]) @ turn.T + [0.0, 0.2, 3.0]
    sole_y = ((skin.vertices_m - skin.joints_m[0]) @ turn.T)[:, 1].max() + 0.2
    level, guess = FeetLevel(skin), World.guessed()
    for _ in range(20):
        world = level.world(guess, joints)
    assert world.height_m == pytest.approx(sole_y, abs=0.02) and "below the feet" in world.source
    # Jumps leave it, small changes are not followed, another height is.
    for _ in range(20):
        assert level.world(guess, joints - [0.0, 0.4, 0.0]).height_m == world.height_m
    for _ in range(POSES):
        assert level.world(guess, joints + [0.0, 0.01, 0.0]).height_m == world.height_m
    for _ in range(POSES):
        lower = level.world(guess, joints + [0.0, 0.2, 0.0])
    assert lower.height_m == pytest.approx(world.height_m + 0.2, abs=1e-6)
    # Who stands on their hands, or lies, has the floor below what is lowest.
    upside_down = (joints - [0.0, 0.2, 3.0]) * [1.0, -1.0, 1.0] + [0.0, 0.2, 3.0]
    other = FeetLevel(skin)
    for _ in range(5):
        on_hands = other.world(guess, upside_down)
    assert (on_hands.points(upside_down)[:, 2]).min() == pytest.approx(0.06, abs=0.01)
    # Gravity is the guess's, and another one begins anew; a pose without numbers changes nothing.
    assert level.world(guess, np.full((24, 3), np.nan)).height_m == lower.height_m
    tilted = World.from_floor(np.array([0.0, -np.cos(0.2), -np.sin(0.2)]), -1.0, "tilted")
    found = level.world(tilted, joints)
    assert np.allclose(found.R_world_optical, tilted.R_world_optical)
    assert (found.points(joints)[[10, 11], 2]).min() == pytest.approx(sole_y - joints[10, 1], abs=0.02)


def test_the_viewer_never_loads_torch():
    """It would be most of the process."""
    pytest.importorskip("rclpy", reason="viewer_node needs ROS 2: run `make test`")
    script = (
        "import sys, diffmocap.nodes.viewer_node as node; node.Skin.load(); "
        "print('torch' in sys.modules, 'cv2' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
