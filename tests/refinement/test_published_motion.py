"""Published frames continue each other: nothing lags where windows agree, changes of mind fade, what stands stays."""

from __future__ import annotations

import math

import pytest
import torch

from diffmocap.body.rotations import rotation_matrix, rotation_vector
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.stream.published_motion import PublishedMotion, Standing

UP = torch.tensor([0.0, -1.0, 0.0])
DT_S, SETTLE_S = 1 / 30, 0.05
FADES = math.exp(-DT_S / SETTLE_S)
FRAMES = 8


@pytest.fixture
def live_points(points):
    return points.to(dtype=torch.float32)


def motion(frames: int, offset_m: float = 0.0, turn: float = 0.0):
    """A body that walks along x and turns its joints evenly, shifted and turned by so much."""
    time = torch.arange(float(frames))
    axes = torch.nn.functional.normalize(torch.randn(24, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    rotations = rotation_matrix(0.02 * time[:, None, None] * axes + turn * axes)
    pelvis = torch.stack([0.03 * time + offset_m, 0.0 * time, 4.0 + 0.0 * time], 1)
    return rotations, pelvis


def window(rotations, pelvis, end: int):
    return rotations[end - FRAMES : end], pelvis[end - FRAMES : end]


def nowhere(points) -> torch.Tensor:
    return torch.zeros(FRAMES, len(points.radius), dtype=torch.bool)


def free(points) -> Standing:
    return Standing(nowhere(points), nowhere(points), UP)


@pytest.mark.parametrize("lag", [0, 3])
def test_windows_that_agree_are_published_as_they_are(live_points, lag):
    published, (rotations, pelvis) = PublishedMotion(live_points, FRAMES), motion(20)
    index = FRAMES - 1 - lag
    for end in range(FRAMES, 20):
        part, standing = window(rotations, pelvis, end), free(live_points)
        whole = published.continued(part, index, DT_S, SETTLE_S, 3.0, standing)
        torch.testing.assert_close(whole[0], part[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(whole[1], part[1], atol=1e-5, rtol=0)
        published.append(whole[0][index], whole[1][index], DT_S, standing, index)


@pytest.mark.parametrize("lag", [0, 3])
def test_a_change_of_mind_fades_and_the_past_stays(live_points, lag):
    published, standing = PublishedMotion(live_points, FRAMES), free(live_points)
    index, told = FRAMES - 1 - lag, []
    for end in range(FRAMES, 30):
        shifted = end >= 15
        part = window(*motion(30, 0.2 * shifted, 0.3 * shifted), end)
        whole = published.continued(part, index, DT_S, SETTLE_S)
        if told:
            known = min(len(told), index)
            torch.testing.assert_close(whole[1][index - known : index], torch.stack(told[-known:]))
        told.append(whole[1][index])
        if shifted:
            left = FADES ** (end - 14)
            assert float(part[1][index, 0] - whole[1][index, 0]) == pytest.approx(0.2 * left, abs=1e-5)
            turn = rotation_vector(part[0][index].transpose(-1, -2) @ whole[0][index])
            torch.testing.assert_close(turn.norm(dim=-1), torch.full((24,), 0.3 * left), atol=1e-4, rtol=1e-3)
            if lag:  # the frames to come are on the way, too
                assert float(part[1][-1, 0] - whole[1][-1, 0]) == pytest.approx(0.2 * left * FADES**lag, abs=1e-5)
        published.append(whole[0][index], whole[1][index], DT_S, standing, index)
    assert len(published) == FRAMES


def slide(points, stance: float, up, still: bool = False, step=(0.01, 0.0, 0.0), frames: int = 25) -> torch.Tensor:
    """Ways [m] of a foot that stands, from frame to frame, while its body drifts by a ``step`` [m] a frame."""
    published, places = PublishedMotion(points, FRAMES), []
    foot = points.contact_names.index("left_heel")
    on = nowhere(points)
    on[:, foot] = True
    standing = Standing(nowhere(points), on, up) if still else Standing(on, nowhere(points), up)
    upright = torch.eye(3).repeat(FRAMES, 24, 1, 1)
    upright[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    for t in range(frames):
        pelvis = torch.tensor([0.0, 0.0, 4.0]) + torch.tensor(step) * (t + torch.arange(FRAMES)[:, None])
        whole = published.continued((upright, pelvis), FRAMES - 1, DT_S, SETTLE_S, stance, standing)
        published.append(whole[0][-1], whole[1][-1], DT_S, standing, FRAMES - 1)
        turned, _ = global_poses(whole[0][-1:], whole[1][-1:], points.bones)
        places.append(points.positions(turned).split(points.sizes, -1)[2][0, :, foot] + whole[1][-1])
    return torch.stack(places).diff(dim=0).norm(dim=-1)


def test_what_stands_is_held_and_creeps_to_where_it_belongs(live_points):
    loose, held = slide(live_points, 0.0, UP), slide(live_points, 10.0, UP)
    torch.testing.assert_close(loose, torch.full_like(loose, 0.01), atol=1e-4, rtol=0)
    assert float(held[2:5].max()) < 0.0075  # it has taken hold, and is not yet far behind
    assert float(held[-1]) == pytest.approx(0.01, abs=2e-3)  # nothing is held for good
    torch.testing.assert_close(slide(live_points, 10.0, None), loose)


@pytest.mark.parametrize("up", [None, UP])
def test_what_is_still_in_the_image_is_held_along_the_view_without_a_ground(live_points, up):
    """Depth is what the windows do not know: a body that drifts off at 0.3 m/s leaves its foot where it is."""
    held = slide(live_points, 10.0, up, still=True, step=(0.0, 0.0, 0.01))
    assert float(held[2:12].mean()) < 0.005
    assert float(held.max()) < 0.0101


def test_what_is_still_is_let_go_where_the_solution_leaves_across_the_view(live_points):
    held = slide(live_points, 10.0, None, still=True)
    assert float(held[2:4].max()) < 0.006
    assert float(held[-5:].mean()) == pytest.approx(0.01, abs=2e-3)  # held no more: it goes where its body goes


def test_a_still_foot_stays_although_its_leg_is_straight(live_points):
    """The body's distance jumps by 10 cm: the whole sole stays, which a single linear step of a straight leg misses."""
    published, places = PublishedMotion(live_points, FRAMES), []
    on = nowhere(live_points)
    on[:, live_points.feet[:4]] = True
    standing = Standing(nowhere(live_points), on)
    upright = torch.eye(3).repeat(FRAMES, 24, 1, 1)
    upright[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    for t in range(40):
        pelvis = torch.tensor([0.0, 0.0, 4.0 + 0.1 * (t > 8)]).repeat(FRAMES, 1)
        whole = published.continued((upright, pelvis), FRAMES - 1, DT_S, SETTLE_S, 3.0, standing)
        published.append(whole[0][-1], whole[1][-1], DT_S, standing, FRAMES - 1)
        places.append(global_poses(whole[0][-1:], whole[1][-1:], live_points.bones)[1][0, 7])
    places = torch.stack(places)
    assert float((places[:, 1] - places[0, 1]).abs().max()) < 0.01
    assert float(places.diff(dim=0).norm(dim=-1).max()) < 0.0095


def test_forgetting_begins_anew(live_points):
    published, standing = PublishedMotion(live_points, FRAMES), free(live_points)
    first, other = window(*motion(20), 10), window(*motion(20, 1.0, 0.5), 10)
    published.append(first[0][-1], first[1][-1], DT_S, standing, FRAMES - 1)
    assert not torch.allclose(published.continued(other, 7, DT_S, SETTLE_S, 3.0, standing)[1], other[1])
    published.forget()
    assert len(published) == 0
    torch.testing.assert_close(published.continued(other, 7, DT_S, SETTLE_S, 3.0, standing)[1], other[1])
