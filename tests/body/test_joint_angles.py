"""Joint angles against scipy, and over time on captured motion."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from diffmocap.body.joint_angles import (
    AXES,
    JOINT_ANGLE_NAMES,
    JOINT_AXES,
    NUM_ANGLES,
    angle_limits,
    angle_trajectory,
    angles_from_rotations,
    joint_kind,
    limit_excess,
    rotations_from_angles,
)
from diffmocap.body.mocap import load_split
from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES

#: Columns of a rotation seen in the URDF axes: x is SMPL's z, y its x, z its y.
URDF = [2, 0, 1]


def random_rotations(*shape: int, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return roma.random_rotmat((*shape, 24))


@pytest.fixture(scope="module")
def train_clips(mocap_dir):
    return load_split(mocap_dir / "cmu_smpl30_train.npz")


@pytest.fixture(scope="module")
def test_clips(mocap_dir):
    return load_split(mocap_dir / "cmu_smpl30_test.npz")


def test_names_say_joint_and_axis():
    assert NUM_ANGLES == len(set(JOINT_ANGLE_NAMES)) == 69
    assert JOINT_ANGLE_NAMES[9:12] == ("left_knee_y", "left_knee_z", "left_knee_x")
    assert all(sorted(order) == list(AXES) for order in JOINT_AXES)


both_ways = pytest.mark.parametrize("with_gradients", [False, True], ids=["machine code", "torch"])


@both_ways
def test_angles_equal_scipy(with_gradients):
    rotations = random_rotations(50)
    with torch.set_grad_enabled(with_gradients):
        angles = angles_from_rotations(rotations).unflatten(-1, (23, 3))
    seen = rotations[:, :, URDF][:, :, :, URDF].double().numpy()
    for j, order in enumerate(JOINT_AXES, start=1):
        expected = Rotation.from_matrix(seen[:, j]).as_euler(order.upper())
        np.testing.assert_allclose(angles[:, j - 1], expected, atol=2e-4, err_msg=JOINT_NAMES[j])


@both_ways
def test_round_trip_and_zero_is_the_rest_pose(with_gradients):
    rotations = random_rotations(100, seed=1)
    angles = angles_from_rotations(rotations)
    with torch.set_grad_enabled(with_gradients):
        back = rotations_from_angles(angles)
        assert rotations_from_angles(angles[0].double()).dtype == torch.float64
    torch.testing.assert_close(back, rotations[:, 1:], atol=3e-6, rtol=0)
    assert angles_from_rotations(torch.eye(3).expand(24, 3, 3)).abs().max() == 0
    assert rotations_from_angles(torch.zeros(2, 69)).shape == (2, 23, 3, 3)


def test_anatomical_signs():
    """Flexed hip, knee and left elbow, raised left arm: signs as the URDF's axes say."""
    angles = torch.zeros(69)
    named = {name: i for i, name in enumerate(JOINT_ANGLE_NAMES)}
    angles[named["left_hip_y"]], angles[named["left_knee_y"]] = -1.0, 1.2
    angles[named["left_elbow_z"]], angles[named["left_shoulder_x"]] = -0.9, 0.5
    rotations = rotations_from_angles(angles)
    down, left = torch.tensor([0.0, -1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    hip, knee, elbow, shoulder = (
        rotations[JOINT_NAMES.index(f"left_{name}") - 1] for name in ("hip", "knee", "elbow", "shoulder")
    )
    assert (hip @ down)[2] > 0.8, "the thigh swings forward"
    assert (hip @ knee @ down)[2] < 0, "the shank swings back"
    assert (elbow @ left)[2] > 0.7, "the forearm swings forward"
    assert (shoulder @ left)[1] > 0.4, "the arm goes up"


@both_ways
@pytest.mark.parametrize("middle", [math.pi / 2, -math.pi / 2])
def test_gimbal_lock_still_gives_the_rotation(middle, with_gradients):
    torch.manual_seed(2)
    angles = torch.rand(23, 3) * 2 - 1
    angles[:, 1] = middle
    rotations = torch.cat([torch.eye(3)[None], rotations_from_angles(angles.flatten())])
    previous = (angles + 0.01 * torch.randn(23, 3)).flatten()
    for last in (None, previous):
        with torch.set_grad_enabled(with_gradients):
            found = angles_from_rotations(rotations, last)
        torch.testing.assert_close(rotations_from_angles(found), rotations[1:], atol=1e-4, rtol=0)
    assert (found - previous).abs().max() < 0.3, "in lock the angles stay near the frame before"


def test_a_whole_turn_is_followed():
    """Each axis in turn goes round twice; the angle keeps counting and the others stay."""
    steps = torch.linspace(0, 4 * math.pi, 200)
    for axis in (0, 2):
        angles = torch.zeros(200, 23, 3)
        angles[..., axis] = steps[:, None]
        local = rotations_from_angles(angles.flatten(1))
        rotations = torch.cat([torch.eye(3).expand(200, 1, 3, 3), local], dim=1)
        torch.testing.assert_close(angle_trajectory(rotations), angles.flatten(1), atol=1e-4, rtol=0)


def test_middle_angle_passes_through_lock():
    """A middle angle of 0 to 170 degrees stays continuous on the other branch."""
    angles = torch.zeros(100, 23, 3)
    angles[..., 1] = torch.linspace(0, math.radians(170), 100)[:, None]
    angles[..., 0] = 0.3
    local = rotations_from_angles(angles.flatten(1))
    rotations = torch.cat([torch.eye(3).expand(100, 1, 3, 3), local], dim=1)
    torch.testing.assert_close(angle_trajectory(rotations), angles.flatten(1), atol=2e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_machine_code_takes_the_nearest_of_all_solutions_as_torch_does(dtype):
    """Far from the last angles, where it is the one beyond 90 degrees as often as not."""
    rotations = random_rotations(60, seed=3).to(dtype)
    previous = 3.0 * torch.randn(60, 69, generator=torch.Generator().manual_seed(4), dtype=dtype)
    by_torch = angles_from_rotations(rotations, previous)
    with torch.no_grad():
        compiled = angles_from_rotations(rotations, previous)
    beyond = (compiled.unflatten(-1, (23, 3))[..., 1].cos() < 0).float().mean()
    assert 0.3 < float(beyond) < 0.7
    torch.testing.assert_close(compiled, by_torch, atol=1e-3 if dtype is torch.float32 else 1e-9, rtol=0)


@both_ways
def test_sequence_equals_frame_by_frame(test_clips, with_gradients):
    clip = test_clips[0]
    start = angles_from_rotations(clip.rotations[0]) + 2 * math.pi * torch.randint(-1, 2, (69,))
    for first in (None, start):
        previous, frames = first, []
        for rotation in clip.rotations:
            with torch.set_grad_enabled(with_gradients):
                previous = angles_from_rotations(rotation, previous)
            frames.append(previous)
        torch.testing.assert_close(angle_trajectory(clip.rotations, first), torch.stack(frames), atol=1e-4, rtol=0)


def gimbal_margin(rotations: torch.Tensor) -> torch.Tensor:
    """cos(middle angle) [..., 23]: 0 in gimbal lock, 1 furthest from it."""
    return angles_from_rotations(rotations).unflatten(-1, (23, 3))[..., 1].cos().abs()


def test_captured_motion_is_continuous(test_clips):
    """No joint angle moves more between frames than the rotation's own change explains.

    d(angles)/d(rotation) is bounded by 1 / cos(middle angle); the rotation between frames stays below
    what the smaller margin of both frames allows.
    """
    for clip in test_clips:
        angles = angle_trajectory(clip.rotations)
        change = roma.rotmat_geodesic_distance(clip.rotations[1:, 1:], clip.rotations[:-1, 1:])
        margin = gimbal_margin(clip.rotations)
        bound = 1.5 * change / torch.minimum(margin[1:], margin[:-1]) + 0.02
        jump = torch.diff(angles, dim=0).unflatten(-1, (23, 3)).abs().amax(-1)
        assert (jump <= bound.clamp(max=math.pi)).all(), clip.name
        torch.testing.assert_close(rotations_from_angles(angles), clip.rotations[:, 1:], atol=1e-4, rtol=0)


def test_axis_orders_keep_training_motion_away_from_lock(shared_dir):
    """The chosen orders are the best of all six for the whole training split, and the middle axis is never a hinge's
    flexion."""
    clips = load_split(shared_dir / "data" / "cmu_smpl30_train.npz")
    rotations = torch.cat([clip.rotations for clip in clips])
    seen = rotations[:, :, URDF][:, :, :, URDF]
    margin = gimbal_margin(rotations).numpy()
    for j in range(1, 24):
        if JOINT_MIRROR[j] < j:
            continue
        sides = {j, JOINT_MIRROR[j]}
        best = 0.0
        for a, _, c in itertools.permutations(range(3)):
            cosine = [(1 - seen[:, s, a, c].clamp(-1, 1) ** 2).sqrt().numpy() for s in sides]
            best = max(best, min(np.quantile(x, 0.001) for x in cosine))
        chosen = min(np.quantile(margin[:, s - 1], 0.001) for s in sides)
        assert chosen >= best - 0.01, f"{JOINT_NAMES[j]}: {chosen:.3f}, best {best:.3f}"
    assert np.quantile(margin, 0.001, axis=0).min() > 0.15
    for kind, axis in (("knee", "y"), ("elbow", "z")):
        assert all(o[1] != axis for j, o in enumerate(JOINT_AXES, 1) if joint_kind(j) == kind)


def test_limits_hold_training_motion(train_clips):
    limits = angle_limits()
    assert limits.shape == (69, 2) and (limits[:, 0] < 0).all() and (limits[:, 1] > 0).all()
    for i, name in enumerate(JOINT_ANGLE_NAMES):  # mirror symmetry
        if name.startswith("left_"):
            k = JOINT_ANGLE_NAMES.index(name.replace("left_", "right_"))
            expected = limits[i] if name.endswith("y") else -limits[i].flip(0)
            assert torch.equal(limits[k], expected)
    angles = angles_from_rotations(torch.cat([clip.rotations for clip in train_clips]))
    inside = ((angles >= limits[:, 0]) & (angles <= limits[:, 1])).float().mean(0)
    for name, share in zip(JOINT_ANGLE_NAMES, inside.tolist(), strict=True):
        assert share >= (0.995 if "ankle" in name else 0.999), f"{name}: {share:.4f}"


def test_excess_is_what_an_angle_lacks_to_its_limit():
    """A knee bent by 170 degrees is 15 beyond its 155, on either side; rest and limits themselves are inside."""
    pose = torch.eye(3).repeat(3, 24, 1, 1)
    names = [n for n in JOINT_ANGLE_NAMES if n.endswith("_knee_y")]
    for row, bend_deg in enumerate((0.0, 154.9, 170.0)):
        angles = torch.zeros(69)
        angles[[JOINT_ANGLE_NAMES.index(n) for n in names]] = math.radians(bend_deg)
        pose[row, 1:] = rotations_from_angles(angles)
    excess = torch.rad2deg(limit_excess(pose))
    assert not excess[:2].any()
    beyond = {JOINT_ANGLE_NAMES[i]: float(excess[2, i]) for i in excess[2].nonzero().flatten()}
    assert beyond == pytest.approx({"left_knee_y": 15.0, "right_knee_y": 15.0}, abs=1e-3)
