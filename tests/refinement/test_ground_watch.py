"""The ground of a stream, from windows in which feet rest on a plane."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.refinement.stream.ground_watch import NOT_KNOWN, GroundWatch, fitted_plane, level_prior, rested
from diffmocap.refinement.stream.known_ground import KnownGround

FRAMES, DT_S = 24, 1 / 30
#: Heel, both ends of the ball and toe, in metres to the person's left and to the front.
FOOT = torch.tensor([[0.0, -0.08], [0.04, 0.08], [-0.04, 0.08], [0.0, 0.14]])


def camera_up(pitch: float, roll: float = 0.0) -> torch.Tensor:
    """Against gravity in the frame of a camera that looks down by ``pitch``, rolled clockwise about its axis [rad]."""
    return torch.tensor(KnownGround.from_camera(None, pitch, roll).up)


def window(
    place: Sequence[float], up: torch.Tensor, height: float, g: torch.Generator, tilt: float = 0.2, lean: float = 0.1,
    noise: float = 0.02,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Soles [T, 8, 3] and joints [T, 24, 3] of somebody who stands at ``place`` (right of the camera, before it) [m].

    Each foot is ``noise`` off the plane and tilted by ``tilt`` rad; the trunk leans by ``lean`` rad.
    """
    right = torch.nn.functional.normalize(torch.linalg.cross(up, torch.tensor([0.0, 0.0, 1.0])), dim=0)
    ahead = torch.linalg.cross(right, up)
    feet = []
    for side in (0.1, -0.1):
        centre = (place[0] + side) * right + place[1] * ahead + (height + noise * torch.randn((), generator=g)) * up
        slope = tilt * torch.randn(2, generator=g)
        feet.append(centre + FOOT[:, :1] * right + FOOT[:, 1:] * ahead + (FOOT @ slope)[:, None] * up)
    trunk = torch.nn.functional.normalize(up + lean * torch.randn(3, generator=g), dim=0)
    joints = torch.zeros(FRAMES, 24, 3) + torch.stack(feet).mean((0, 1)) + 0.9 * up
    joints[:, 12] += 0.5 * trunk
    return torch.cat(feet).expand(FRAMES, -1, -1), joints


def degrees(a: torch.Tensor, b: torch.Tensor) -> float:
    return math.degrees(math.acos(min(1.0, float(a @ b))))


@pytest.mark.parametrize("pitch, roll", [(0.0, 0.0), (0.3, 0.0), (-0.2, 0.02), (0.15, math.pi / 2)])
def test_a_person_who_walks_shows_the_plane(pitch, roll):
    g, up, watch = torch.Generator().manual_seed(0), camera_up(pitch, roll), GroundWatch()
    for k in range(12):
        watch.observe(*window((0.3 * math.sin(k), 2.5 + 0.2 * k), up, -1.4, g), DT_S)
    assert degrees(watch.ground.up, up) < 3.0
    soles, _ = window((0.0, 3.5), up, -1.4, g, tilt=0.0, noise=0.0)
    assert float((soles[0] @ watch.ground.up - watch.ground.height).abs().max()) < 0.03
    assert "rested" in watch.source


@pytest.mark.parametrize("pitch, roll", [(0.15, 0.1), (0.15, 0.2), (0.15, 0.3), (0.15, -0.4), (1.3, math.pi / 2)])
def test_a_camera_that_is_not_level_is_not_taken_for_one(pitch, roll):
    """Who comes straight towards it, hardly to the side, does not show the roll: unknown is better than wrong."""
    g, up, watch = torch.Generator().manual_seed(0), camera_up(pitch, roll), GroundWatch()
    worst = 0.0
    for k in range(40):
        side = 0.05 if k < 20 else 0.6
        watch.observe(*window((side * math.sin(2.0 * k), 2.0 + 0.1 * (k % 20)), up, -1.4, g, noise=0.01), DT_S)
        worst = max(worst, 0.0 if watch.ground is None else degrees(watch.ground.up, up))
    assert worst < 7.0
    assert degrees(watch.ground.up, up) < 2.5


def test_a_level_camera_and_the_trunk_are_weighed():
    """Near each other the camera decides, far apart the trunk."""
    for roll, share in ((0.02, (0.85, 1.0)), (0.3, (0.0, 0.55)), (math.pi / 2, (0.0, 0.1))):
        rough = camera_up(0.2, roll).double()
        axes, lean, spread = level_prior(rough)
        torch.testing.assert_close(axes @ torch.cat([rough[None], axes]).T, torch.eye(3)[1:].double())
        turned = torch.nn.functional.normalize(rough + lean @ axes, dim=0)
        left = math.atan2(-float(turned[0]), -float(turned[1])) / roll
        assert share[0] <= 1.0 - left <= share[1]
        assert float(spread[0]) <= float(spread[1])
    axes, lean, spread = level_prior(torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64))  # straight down
    assert not bool(lean.any()) and float(spread[0]) == pytest.approx(float(spread[1]))


def test_who_stays_in_place_does_not_show_which_way_is_up_but_how_high_the_floor_is():
    g, up = torch.Generator().manual_seed(0), camera_up(0.2)
    watch, told = GroundWatch(), GroundWatch(up)
    for _ in range(15):
        seen = window((0.0, 3.0), up, -1.2, g)
        watch.observe(*seen, DT_S)
        told.observe(*seen, DT_S)
    assert watch.ground is None and watch.source == NOT_KNOWN
    torch.testing.assert_close(told.ground.up, up, atol=1e-4, rtol=0)
    assert float(told.ground.height) == pytest.approx(-1.2, abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_standing_for_long_is_not_much_evidence(seed):
    """The same errors in every window, one foot 30 cm before the other."""
    g, up, watch = torch.Generator().manual_seed(seed), camera_up(0.15), GroundWatch()
    soles, joints = window((0.0, 3.0), up, -1.4, g, noise=0.03)
    soles = soles.clone()
    soles[:, :4] += torch.tensor([0.0, 0.0, 0.3]) - 0.3 * up[2] * up
    for _ in range(60):
        watch.observe(soles + 0.005 * torch.randn(3, generator=g), joints, DT_S)
    assert watch.ground is None


def test_what_was_found_walking_is_not_lost_sitting():
    g, up, watch = torch.Generator().manual_seed(5), camera_up(0.2), GroundWatch()
    for k in range(12):
        watch.observe(*window((0.4 * math.sin(k), 3.0 + math.cos(0.7 * k)), up, -1.4, g), DT_S)
    before = degrees(watch.ground.up, up)
    for _ in range(150):
        soles, joints = window((0.0, 3.0), up, -1.4, g)
        joints[:, 12] = joints[:, 1] + 0.5 * torch.nn.functional.normalize(up + torch.tensor([0.0, 0.0, 1.5]), dim=0)
        watch.observe(soles, joints, DT_S)
    assert degrees(watch.ground.up, up) < before + 1.0


def test_frames_without_a_pose_do_not_rest():
    g, up = torch.Generator().manual_seed(6), camera_up(0.1)
    soles, _ = window((0.0, 3.0), up, -1.4, g)
    going = soles + torch.linspace(0.0, 2.0, FRAMES)[:, None, None] * torch.tensor([1.0, 0.0, 0.0])
    going[8:18] = going[8]  # held where nothing was seen
    seen = torch.ones(FRAMES, dtype=torch.bool)
    seen[9:18] = False
    assert len(rested(going, DT_S, up)) == 2 and len(rested(going, DT_S, up, seen)) == 0
    assert len(rested(soles, DT_S, up, seen)) == 2


def test_more_windows_make_it_better_and_what_is_known_no_longer_changes():
    g, up, watch = torch.Generator().manual_seed(1), camera_up(0.2), GroundWatch()
    errors, news = [], []
    for k in range(40):
        news.append(watch.observe(*window((0.5 * math.sin(2.0 * k), 3.0 + math.cos(k)), up, -1.4, g), DT_S))
        errors.append(math.inf if watch.ground is None else degrees(watch.ground.up, up))
    assert errors[-1] < 1.0 and errors[-1] < min(e for e in errors if e < math.inf) + 0.5
    assert 1 <= sum(news) < 15 and sum(news[20:]) < 5


def test_feet_in_the_air_and_odd_windows_do_no_harm():
    g, up, watch = torch.Generator().manual_seed(2), camera_up(0.1), GroundWatch()
    for k in range(20):
        soles, joints = window((0.3 * math.sin(k), 2.5 + 0.1 * k), up, -1.4, g)
        if k % 5 == 4:  # a foot that rests on a chair, the other one moving
            soles = soles.clone()
            soles[:, :4] += 0.45 * up
            soles[:, 4:] += torch.linspace(0, 1, FRAMES)[:, None, None] * up
        watch.observe(soles, joints, DT_S)
    assert degrees(watch.ground.up, up) < 3.0
    moving = soles + torch.linspace(0, 2, FRAMES)[:, None, None]
    before = watch.ground
    assert not watch.observe(moving, joints, DT_S) and watch.ground is before
    assert not watch.observe(moving * float("nan"), joints, DT_S) and not watch.observe(soles[:2], joints[:2], DT_S)


def test_another_floor_is_found_anew_and_one_that_was_given_is_contradicted():
    g, up = torch.Generator().manual_seed(3), camera_up(0.1)
    watch, given = GroundWatch(), GroundWatch(up, -1.4)
    for k in range(30):
        seen = window((0.4 * math.sin(k), 3.0 + math.cos(0.7 * k)), up, -1.4 if k < 15 else -1.0, g)
        watch.observe(*seen, DT_S)
        assert not given.observe(*seen, DT_S)
        if k == 14:
            assert given.source == "given" and not given.contradiction_m
            assert not watch.contradiction_m
    assert float(watch.ground.up @ (-1.0 * up)) == pytest.approx(float(watch.ground.height), abs=0.05)
    assert float(given.ground.height) == pytest.approx(-1.4)
    assert given.contradiction_m == pytest.approx(0.4, abs=0.05)


def test_another_floor_is_noticed_by_who_stays_there():
    g, up, watch = torch.Generator().manual_seed(7), camera_up(0.1), GroundWatch()
    for k in range(12):
        watch.observe(*window((0.4 * math.sin(k), 3.0 + math.cos(0.7 * k)), up, -1.4, g), DT_S)
    for _ in range(8):
        soles, joints = window((0.0, 3.0), up, -1.1, g)
        watch.observe(soles, joints, DT_S)
    assert float((soles[0] @ watch.ground.up - watch.ground.height).median()) == pytest.approx(0.0, abs=0.06)
    assert degrees(watch.ground.up, up) < 3.0 and not watch.contradiction_m


def test_a_ground_needs_a_direction_and_is_kept_when_given():
    with pytest.raises(SettingsError):
        GroundWatch(height=1.0)
    with pytest.raises(SettingsError, match="length"):
        GroundWatch(torch.zeros(3))
    watch = GroundWatch(torch.tensor([0.0, -2.0, 0.0]), -1.2)
    assert watch.source == "given" and float(watch.ground.height) == pytest.approx(-1.2)
    torch.testing.assert_close(watch.ground.up, torch.tensor([0.0, -1.0, 0.0]))
    watch.forget()
    assert watch.ground is not None


def test_the_plane_is_least_squares_where_nothing_is_odd():
    """Against numpy's, with priors that say nothing; and the doubt is what the scatter of such fits is."""
    g, up = torch.Generator().manual_seed(4), camera_up(0.3).double()
    turned = []
    for _ in range(200):
        points = torch.randn(40, 3, generator=g, dtype=torch.float64)
        heights = -1.3 + 0.01 * torch.randn(40, 1, generator=g, dtype=torch.float64)
        points += (heights - (points @ up)[:, None]) * up
        rough = torch.nn.functional.normalize(up + 0.05 * torch.randn(3, generator=g, dtype=torch.float64), dim=0)
        axes, _, _ = level_prior(rough)
        lean, priors = torch.zeros(2).double(), torch.full((2,), 1e3).double()
        plane, doubt, residual = fitted_plane(points, rough, axes, lean, priors)
        turned.append(degrees(plane[:3], up))
        assert float(plane[3]) == pytest.approx(-1.3, abs=0.02) and float(residual.abs().median()) < 0.015
    design = torch.cat([points[:, [0, 2]], torch.ones(40, 1).double()], 1)
    line = torch.linalg.lstsq(design, points[:, 1:2]).solution[:, 0]  # y = a x + b z + c
    normal = torch.nn.functional.normalize(torch.stack([line[0], -torch.ones(()).double(), line[1]]), dim=0)
    assert degrees(plane[:3], normal) < 0.05
    assert max(turned) < 4 * math.degrees(doubt)


def test_who_walks_all_over_a_room_is_followed_on_and_old_places_are_forgotten():
    """Feet rest at more places than are remembered, and come back to the first of them on the way."""
    g, up, watch = torch.Generator().manual_seed(0), camera_up(0.1), GroundWatch()
    for k in range(120):
        watch.observe(*window((0.0, 2.0), up, -1.4, g), DT_S)
        watch.observe(*window((0.35 * (k % 10) - 1.6, 2.5 + 0.35 * (k // 10)), up, -1.4, g), DT_S)
    assert degrees(watch.ground.up, up) < 3.0
    soles, _ = window((0.0, 4.0), up, -1.4, g, tilt=0.0, noise=0.0)
    assert float((soles[0] @ watch.ground.up - watch.ground.height).abs().max()) < 0.05
