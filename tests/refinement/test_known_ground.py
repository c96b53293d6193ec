"""Gravity and floor as somebody gave them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch

from diffmocap.errors import SettingsError
from diffmocap.refinement.stream.known_ground import CameraPlacement, KnownGround

#: REP-103: points of the optical frame (x right, y down, z forward) in the camera's link (x forward, y left, z up).
R_LINK_OPTICAL = torch.tensor([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], dtype=torch.float64)


def T_optical_map(height_m: float, pitch_rad: float, roll_rad: float) -> torch.Tensor:
    """[4, 4] of a camera that tf places by roll and then pitch about the fixed x and y of a frame on the floor."""
    angles = torch.tensor([roll_rad, pitch_rad, 0.0], dtype=torch.float64)
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = roma.euler_to_rotmat("xyz", angles) @ R_LINK_OPTICAL
    T[2, 3] = height_m
    return torch.linalg.inv(T)


@pytest.mark.parametrize(
    ("pitch", "roll"),
    [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (0.3, 0.4), (-0.2, -2.5), (0.5, math.pi / 2), (0.2, math.pi)],
)
def test_angles_and_the_transform_of_the_same_camera_say_the_same(pitch, roll):
    given = KnownGround.from_camera(1.4, pitch, roll)
    found = KnownGround.from_transform(T_optical_map(1.4, pitch, roll), "map on /tf_static", with_height=True)
    assert np.allclose(found.up, given.up, atol=1e-12)
    assert found.height_m == pytest.approx(-1.4) and given.height_m == -1.4
    assert KnownGround.from_transform(T_optical_map(1.4, pitch, roll), "", with_height=False).height_m is None


def test_a_camera_turned_clockwise_sees_a_plumb_line_turned_counterclockwise():
    """As seen from behind it; on its right side it has the sky at the picture's left, and upside down at the bottom."""
    right, down = np.eye(3)[:2]
    up = np.array(KnownGround.from_camera(None, 0.0, 0.1).up)
    assert up @ right == pytest.approx(-math.sin(0.1)) and up @ down == pytest.approx(-math.cos(0.1))
    assert np.allclose(KnownGround.from_camera(None, 0.0, math.pi / 2).up, -right)
    assert np.allclose(KnownGround.from_camera(None, 0.0, math.pi).up, down)


def test_a_roll_turns_the_camera_about_its_viewing_direction():
    """What lies along the axis stays there, at any pitch, and a roll that is not given is none."""
    for pitch in (-0.4, 0.0, 0.7):
        ups = np.array([KnownGround.from_camera(None, pitch, roll).up for roll in np.linspace(-math.pi, math.pi, 9)])
        assert np.allclose(ups[:, 2], -math.sin(pitch)) and np.allclose(np.linalg.norm(ups, axis=1), 1.0)
        assert KnownGround.from_camera(1.0, pitch) == KnownGround.from_camera(1.0, pitch, 0.0)
    assert KnownGround.from_camera(None, 0.0).up == (0.0, -1.0, 0.0)


@pytest.mark.parametrize(
    ("height", "roll", "said"),
    [
        (1.0, 0.0, "camera height and pitch given"),
        (None, 0.0, "camera pitch given"),
        (None, 0.1, "camera pitch and roll given"),
        (1.0, -0.1, "camera height, pitch and roll given"),
    ],
)
def test_the_log_hears_what_was_given(height, roll, said):
    assert KnownGround.from_camera(height, 0.2, roll).source == said


def test_what_is_no_ground_is_refused():
    for wrong in ({"height_m": 1.0}, {"up": (0.0, 2.0, 0.0)}, {"up": (0.0, 1.0, 0.0), "height_m": float("nan")}):
        with pytest.raises(SettingsError):
            KnownGround(**wrong)
    with pytest.raises(SettingsError):
        KnownGround.from_transform(2 * torch.eye(4), "", True)


def test_angles_that_no_camera_needs_are_refused():
    CameraPlacement(1.0, -0.5 * math.pi, math.pi)
    for wrong in ({"roll_rad": 3.2}, {"roll_rad": -90.0}, {"pitch_rad": 1.6}, {"roll_rad": float("nan")}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            CameraPlacement(**wrong)
