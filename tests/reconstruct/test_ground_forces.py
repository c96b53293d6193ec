"""Forces of the ground carry the body, move it as it moves, and stay where feet touch."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.feet import ground_height, sole_points
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.cli.motions.export import path_of
from diffmocap.errors import MotionFileError, SettingsError
from diffmocap.motion.export.formats import export_motion, options_for
from diffmocap.motion.motion import Motion
from diffmocap.physics.contact_forces import FRICTION
from diffmocap.physics.tree import global_poses
from diffmocap.reconstruct.ground_forces import ground_forces
from diffmocap.refinement.physics_refiner import points_of

GRAVITY = 9.80665


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def walk(mocap_dir, body) -> Motion:
    """Motion capture, on the floor."""
    clip = load_split(mocap_dir / "cmu_smpl30_val.npz")[0]
    motion = Motion(clip.fps, clip.rotations[:150], clip.pelvis[:150], torch.zeros(10), "y_up")
    floor = float(ground_height(motion.clip(body), sole_points(body)))
    return replace(motion, pelvis=motion.pelvis - torch.tensor([0.0, floor, 0.0]))


@pytest.fixture(scope="module")
def found(walk, body):
    return ground_forces(walk, body)


def standing(body: BodyModel, betas: torch.Tensor, aside_m: float = 0.0, frames: int = 12) -> Motion:
    """Both feet on the floor, arms spread; the trunk ``aside_m`` beside where it was, over still feet."""
    rest = body.template + body.shape_dirs @ betas
    rotations = torch.eye(3).repeat(frames, 24, 1, 1)
    if aside_m:
        leg = float(body.rest_joints(betas[None])[0, 1, 1] - body.rest_joints(betas[None])[0, 7, 1])
        lean = torch.asin(torch.tensor(aside_m / leg))
        turn = torch.eye(3)
        turn[:2, :2] = torch.tensor([[lean.cos(), -lean.sin()], [lean.sin(), lean.cos()]])
        for joint, R in ((0, torch.eye(3)), (1, turn), (2, turn), (7, turn.T), (8, turn.T)):
            rotations[:, joint] = R
    pelvis = body.rest_joints(betas[None])[0, 0] - torch.tensor([0.0, float(rest[:, 1].min()), 0.0])
    return Motion(30.0, rotations, pelvis.expand(frames, 3).clone(), betas, "y_up")


def test_who_stands_is_carried_evenly_between_the_feet(body):
    forces = ground_forces(standing(body, torch.zeros(10)), body)
    weight = forces.mass_kg * GRAVITY
    assert 45.0 < forces.mass_kg < 90.0
    assert forces.force[:, :, 1].sum(1) == pytest.approx(weight, rel=0.01)
    assert forces.force[:, 0, 1] == pytest.approx(forces.force[:, 1, 1], rel=0.1)
    assert np.abs(forces.force[..., [0, 2]].sum(1)).max() < 0.02 * weight
    left, right = forces.centre[0]
    assert left[0] > 0.05 and right[0] < -0.05 and (forces.centre[..., 1] == 0).all()


def test_who_leans_to_a_side_stands_on_that_foot(body):
    forces = ground_forces(standing(body, torch.zeros(10), aside_m=0.06), body)
    side = np.sign(forces.force[:, 0, 1] - forces.force[:, 1, 1])
    other = ground_forces(standing(body, torch.zeros(10), aside_m=-0.06), body)
    assert (side == side[0]).all() and side[0] == -np.sign(other.force[0, 0, 1] - other.force[0, 1, 1])
    share = forces.force[:, :, 1].max(1) / forces.force[:, :, 1].sum(1)
    assert share.min() > 0.6


def test_forces_of_who_stands_act_below_the_centre_of_mass_and_turn_nothing(body):
    motion = standing(body, torch.zeros(10), aside_m=0.04)
    forces = ground_forces(motion, body)
    points = points_of(body).to(dtype=torch.float64)
    turned, _ = global_poses(motion.rotations.double(), motion.pelvis.double(), points.bones)
    masses = points.positions(turned).split(points.sizes, -1)[1]
    centre = (masses @ points.mass / points.mass.sum() + motion.pelvis.double()).numpy()
    vertical = forces.force[..., 1:2]
    pressed = (forces.centre * vertical).sum(1) / vertical.sum(1)
    assert np.abs(pressed - centre)[:, [0, 2]].max() < 0.01
    arm = forces.centre - centre[:, None]
    about_up = forces.moment + arm[..., 2] * forces.force[..., 0] - arm[..., 0] * forces.force[..., 2]
    assert np.abs(about_up.sum(1)).max() < 0.5


def test_a_twist_of_the_trunk_is_a_moment_of_the_feet(body):
    """Newton-Euler about the vertical: the moment is how the angular momentum changes."""
    motion = standing(body, torch.zeros(10), frames=40)
    angle = 0.4 * torch.sin(torch.arange(40) / 30.0 * 6.0)
    motion.rotations[:, 3] = roma.rotvec_to_rotmat(torch.stack([0 * angle, angle, 0 * angle], -1))
    forces = ground_forces(motion, body)
    points = points_of(body).to(dtype=torch.float64)
    turned, _ = global_poses(motion.rotations.double(), motion.pelvis.double(), points.bones)
    places = points.positions(turned).split(points.sizes, -1)[1] + motion.pelvis.double()[..., None]
    velocity = torch.gradient(places, spacing=1 / 30.0, dim=0)[0]
    spin = (places[:, 2] * velocity[:, 0] - places[:, 0] * velocity[:, 2]) @ points.mass
    needed = torch.gradient(spin, spacing=1 / 30.0)[0].numpy()
    force, centre = forces.force, forces.centre
    given = (forces.moment + centre[..., 2] * force[..., 0] - centre[..., 0] * force[..., 2]).sum(1)
    assert np.abs(needed).max() > 5.0
    assert np.abs(given - needed)[4:-4].max() < 0.15 * np.abs(needed).max()


def test_a_heavier_body_is_carried_by_more(body):
    light = ground_forces(standing(body, torch.zeros(10)), body)
    betas = torch.zeros(10)
    betas[1] = 2.0 if standing_volume(body, 2.0) > standing_volume(body, -2.0) else -2.0
    heavy = ground_forces(standing(body, betas), body)
    assert heavy.mass_kg > 1.02 * light.mass_kg
    assert heavy.force[:, :, 1].sum(1) == pytest.approx(heavy.mass_kg * GRAVITY, rel=0.02)


def standing_volume(body: BodyModel, second: float) -> float:
    betas = torch.zeros(10)
    betas[1] = second
    corners = (body.template + body.shape_dirs @ betas)[body.faces]
    return abs(float((corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum())) / 6


def test_over_a_walk_the_ground_carries_the_weight_and_moves_the_body(walk, found, body):
    weight = found.mass_kg * GRAVITY
    total = found.force.sum(1)
    assert total[:, 1].mean() == pytest.approx(weight, rel=0.06)
    # Newton's law for the centre of mass, here of the joints' mean, over stretches of a second.
    joints = body.forward_kinematics(walk.rotations, walk.pelvis)[1].numpy().mean(1)
    velocity = np.gradient(joints, 1 / walk.fps, axis=0)
    second = round(walk.fps)
    for start in range(10, len(walk) - second - 10, second):
        part = slice(start, start + second)
        impulse = (total[part, 1].mean() - weight) * 1.0
        assert impulse == pytest.approx(found.mass_kg * (velocity[part][-1, 1] - velocity[start, 1]), abs=0.15 * weight)
    flat = np.linalg.norm(found.force[..., [0, 2]], axis=-1)
    assert (flat <= FRICTION * found.force[..., 1] + 1e-6).all() and (found.force[..., 1] >= 0).all()


def test_a_foot_in_the_air_carries_nothing(body):
    one_leg = standing(body, torch.zeros(10))
    for joint, angle in ((1, -0.9), (4, 1.6)):
        turn = torch.tensor(angle)
        one_leg.rotations[:, joint, 1:, 1:] = torch.tensor([[turn.cos(), -turn.sin()], [turn.sin(), turn.cos()]])
    forces = ground_forces(one_leg, body)
    assert np.abs(forces.force[:, 0]).max() < 1e-6
    assert forces.force[:, 1, 1] == pytest.approx(forces.mass_kg * GRAVITY, rel=0.1)


def test_what_has_no_floor_or_no_way_is_refused(walk, body, tmp_path):
    with pytest.raises(MotionFileError, match="--camera-height"):
        ground_forces(replace(walk, contacts=torch.zeros(len(walk), 8, dtype=torch.bool)), body)
    with pytest.raises(MotionFileError, match="y up"):
        ground_forces(walk.in_frame("world"), body)
    with pytest.raises(MotionFileError, match="at least 3 frames"):
        ground_forces(replace(walk, rotations=walk.rotations[:2], pelvis=walk.pelvis[:2]), body)
    for asked, why in (({"in_place": True}, "way through the room"), ({"fps": 60.0}, "at 30 Hz")):
        with pytest.raises(SettingsError, match=why):
            export_motion(walk, body, tmp_path / "walk.grf.mot", "grf", options_for("grf", None, asked))
    with pytest.raises(SettingsError, match="--frame world"):
        export_motion(walk.in_frame("optical"), body, tmp_path / "walk.grf.mot", "grf", options_for("grf", None, {}))
    hovering = replace(walk, pelvis=walk.pelvis + torch.tensor([0.0, 0.2, 0.0]))
    with pytest.raises(MotionFileError, match="carry 0 % of the person"):
        ground_forces(hovering, body)


def test_the_file_has_the_names_of_opensim_and_its_axes(walk, found, body, tmp_path):
    path = path_of(tmp_path / "walk.npz", None, ".grf.mot", 1)
    assert path.name == "walk.grf.mot" and path_of(path, path, ".grf.mot", 1) == path
    export_motion(walk.in_frame("world"), body, path, "grf", options_for("grf", None, {}), forces=ground_forces)
    head, _, table = path.read_text().partition("endheader\n")
    assert f"nRows={len(walk)}\nnColumns=19" in head and f"{found.mass_kg:.1f} kg; not measured" in head
    names = table.split("\n", 1)[0].split("\t")
    rows = dict(zip(names, np.loadtxt(io.StringIO(table), skiprows=1).T))
    assert np.allclose(rows["ground_force_vy"], found.force[:, 1, 1], atol=0.5)
    assert np.allclose(rows["1_ground_force_vx"], found.force[:, 0, 2], atol=0.5)
    assert np.allclose(rows["1_ground_force_pz"], -found.centre[:, 0, 0], atol=1e-3)
    assert np.allclose(rows["1_ground_torque_y"], found.moment[:, 0], atol=0.1) and not rows["ground_torque_x"].any()
