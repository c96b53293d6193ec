"""Angles inside limits: a pose's own, or those of the nearest pose that is inside; never by turns."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, angle_limits, angles_from_rotations, rotations_from_angles
from diffmocap.output.inside_limits import MARGIN, InsideLimits

LOW, HIGH = angle_limits().double().numpy().T


def pose(angles: np.ndarray) -> torch.Tensor:
    return torch.cat([torch.eye(3, dtype=torch.float64)[None], rotations_from_angles(torch.from_numpy(angles))])


@pytest.mark.parametrize("turns", [0.0, 2 * np.pi, -4 * np.pi])
def test_a_pose_inside_has_its_own_angles_however_they_are_wound(turns):
    angles = LOW + (HIGH - LOW) * np.random.default_rng(0).uniform(0.01, 0.99, 69)
    rotations = pose(angles + turns)
    for before in (None, np.zeros(69), LOW + MARGIN):
        found, free = InsideLimits().angles(rotations, before)
        np.testing.assert_allclose(found, angles, atol=1e-9)
        np.testing.assert_allclose(free, angles, atol=1e-9)


def test_no_pose_inside_is_nearer():
    """Against many poses drawn inside, joint by joint; and what was found is inside."""
    rng = np.random.default_rng(1)
    drawn = torch.from_numpy(LOW + (HIGH - LOW) * rng.random((4000, 69)))
    inside = rotations_from_angles(drawn)
    for _ in range(4):
        rotations = roma.random_rotmat((24,), dtype=torch.float64)
        found, _ = InsideLimits().angles(rotations, None)
        assert ((found >= LOW) & (found <= HIGH)).all()
        trace = torch.einsum("njab,jab->nj", inside, rotations[1:]).amax(0)
        nearest = torch.arccos((0.5 * (trace - 1)).clamp(-1, 1))
        distance = roma.rotmat_geodesic_distance(rotations_from_angles(torch.from_numpy(found)), rotations[1:])
        assert (distance <= nearest + 5e-3).all()


def test_just_outside_is_clamped_and_the_others_stay():
    """A knee bent by 175 degrees is published with 155, and its other angles as they are."""
    angles = np.zeros(69)
    knee = JOINT_ANGLE_NAMES.index("left_knee_y")
    angles[knee], angles[0] = np.radians(175.0), -0.5
    found, free = InsideLimits().angles(pose(angles), None)
    assert np.degrees(found[knee]) == pytest.approx(155.0, abs=0.01) and np.degrees(free[knee]) == pytest.approx(175.0)
    angles[knee] = found[knee]
    np.testing.assert_allclose(found, angles, atol=1e-6)


def test_an_exchanged_frame_winds_nothing():
    """An ankle that is seen turned half round for a while has its old angles again afterwards."""
    ankle = JOINT_ANGLE_NAMES.index("left_ankle_z")
    inside, before = InsideLimits(), None
    angles = np.zeros(69)
    for turn in (0.0, 1.5, 3.0, 4.5, 6.0, 2 * np.pi, 8.0, 4 * np.pi):
        angles[ankle] = turn
        before, _ = inside.angles(pose(angles), before)
        assert ((before >= LOW) & (before <= HIGH)).all()
    np.testing.assert_allclose(before, 0.0, atol=1e-6)


def test_of_two_that_are_as_near_it_stays():
    """Half a turn of a hinge lies between both ends: little noise does not throw it from one to the other."""
    inside = InsideLimits()
    knee = JOINT_ANGLE_NAMES.index("left_knee_y")
    rng = np.random.default_rng(2)
    middle = 0.5 * (LOW[knee] + HIGH[knee]) + np.pi
    for side in (-1.0, 1.0):
        angles = np.zeros(69)
        angles[knee] = middle + 0.4 * side
        before, _ = inside.angles(pose(angles), None)
        first = before[knee]
        for _ in range(20):
            angles[knee] = middle + rng.uniform(-0.04, 0.04)
            before, _ = inside.angles(pose(angles), before)
            assert abs(before[knee] - first) < 0.1


def test_the_urdf_says_the_same_limits(repo_root):
    """What the file prints is inside of what is kept."""
    import xml.etree.ElementTree as ET

    limits = {
        joint.get("name"): joint.find("limit") for joint in ET.parse(repo_root / "models/human.urdf").iter("joint")
    }
    inside = InsideLimits()
    for name, low, high in zip(JOINT_ANGLE_NAMES, inside.low, inside.high, strict=True):
        assert float(limits[name].get("lower")) < low < high < float(limits[name].get("upper"))
    assert angles_from_rotations(torch.eye(3).repeat(24, 1, 1)).abs().max() == 0
