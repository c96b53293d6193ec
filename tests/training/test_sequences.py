"""Examples with a past: what is told is true, to the errors that are meant, and what is not told is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d
from diffmocap.body.skeleton import KEYPOINT_MIRROR
from diffmocap.lifting.network.condition import PAST_LAGS_S, root_from_network, root_to_network
from training.motions.poses import PoseSampler, load_frames
from training.views.detector_noise import DetectorNoise
from training.views.sequences import NARROW_M2, PAST_LAGS, SequenceConfig, SequenceSampler, across_trunk
from training.views.simulated_detector import MEASURED_NOISE

EXACT = SequenceConfig(
    paper_share=0.0, exact_share=1.0, measured_share=0.0, depth_share=1.0, made_share=0.0, up_share=1.0,
    up_error_deg=0.0, past_share=1.0, lag_share=1.0, previous_share=1.0, previous_error=0.0, previous_wrong=0.0,
    partial_share=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def captured(mocap_dir):
    return load_frames([mocap_dir / "cmu_smpl30_val.npz"])


def sampler(body, captured, config, made=None, detector=None, seed=0) -> SequenceSampler:
    g = torch.Generator().manual_seed(seed)
    poses = PoseSampler(body, captured[0], g, clips=captured[1])
    made = torch.zeros(0, 24, 3, 3) if made is None else made
    return SequenceSampler(body, poses, made, detector, g, config)


def test_lags_are_those_of_the_condition():
    assert PAST_LAGS == tuple(round(30 * lag) for lag in PAST_LAGS_S) == (1, 3, 7, 15)


def test_exact_examples_are_the_mean_bodys_keypoints(body, captured):
    example = sampler(body, captured, EXACT)(64)
    c = example.condition
    points = body.keypoints(example.rotations, example.pelvis)
    assert torch.allclose(points, example.points, atol=1e-5)
    seen = (c.confidence > 0) & (points[..., 2] > 0.5)
    crop = points @ c.R_camera_crop
    rays = crop[..., :2] / crop[..., 2:]
    assert torch.allclose(c.rays[seen], rays[seen], atol=1e-4)
    assert torch.allclose(c.depth[seen], (crop[..., 2] - crop[:, 8, None, 2])[seen], atol=1e-3)
    assert (c.noise == 0).all() and (c.view[:, 3] == 0).all()


def test_up_and_the_previous_pose_are_true_where_they_are_told_without_errors(body, captured):
    level = replace(EXACT, steep_share=0.0, rolled_share=0.0, turned_share=0.0)
    level = replace(level, view=replace(level.view, pitch_std_deg=0.0, roll_std_deg=0.0))
    example = sampler(body, captured, level)(32)
    c = example.condition
    up = (c.R_camera_crop @ c.up[..., None])[..., 0]
    assert torch.allclose(up, torch.tensor([0.0, -1.0, 0.0]).expand_as(up), atol=1e-5)
    previous = root_from_network(matrix_from_6d(c.previous), c.R_camera_crop)
    assert torch.allclose(previous, example.previous, atol=1e-4)
    assert torch.allclose(
        root_to_network(previous, c.R_camera_crop)[:, 0], root_to_network(example.previous, c.R_camera_crop)[:, 0],
        atol=1e-4,
    )  # fmt: skip
    assert not torch.allclose(example.previous, example.rotations, atol=1e-3)


def test_tilted_cameras_keep_up_a_unit_vector_that_looks_up(body, captured):
    c = sampler(body, captured, EXACT)(256).condition
    up = (c.R_camera_crop @ c.up[..., None])[..., 0]
    assert torch.allclose(up.norm(dim=-1), torch.ones(256), atol=1e-5)
    # Cameras look down rather than up: up then leans away from the viewer's axis, towards the camera.
    assert up[:, 1].max() < 0.2 and up[:, 2].mean() < -0.05


def test_the_past_of_a_person_who_stands_still_shows_no_displacement(body, captured):
    still = (captured[0][:1].repeat(40, 1, 1, 1), torch.zeros(40, dtype=torch.long))
    example = sampler(body, still, replace(EXACT, speed_m_s=0.0))(64)
    past = example.condition.past
    known = past[..., 3] > 0
    assert known.float().mean() > 0.4 and past[..., :3][known].abs().max() < 1e-3


def test_a_person_who_moves_is_seen_nearer_or_farther_before_and_the_way_itself_is_left_out(body, captured):
    still = (captured[0][:1].repeat(40, 1, 1, 1), torch.zeros(40, dtype=torch.long))
    past = sampler(body, still, replace(EXACT, speed_m_s=2.0))(64).condition.past
    known = past[..., 3].sum(-1, keepdim=True) >= 20
    size = past[..., :2].abs().amax((2, 3))
    assert size[known[..., 0]].max() > 0.03  # the picture of the body changes
    change = (past[..., :2].sum(2) / past[..., 3].sum(-1, keepdim=True).clamp_min(1))[known[..., 0]]
    assert change.abs().max() < 1e-3  # its middle does not move


def detector_without_errors(detector: DetectorNoise) -> DetectorNoise:
    return replace(
        detector, offset=torch.zeros_like(detector.offset), depth_error=torch.zeros_like(detector.depth_error),
        confidence=torch.ones_like(detector.confidence),
    )  # fmt: skip


MEASURED = replace(
    EXACT, exact_share=0.0, measured_share=1.0, measured_depth_share=1.0, exchanged_share=0.0, limb_std=0.0,
    offset_std=0.0, view=replace(EXACT.view, beta_std=0.0), depth_shrink=0.0, turn_shrink=0.0, depth_tilt=0.0,
    other_noise_share=0.0,
)  # fmt: skip


@pytest.mark.parametrize(("shrink", "tilt"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.2)], ids=["neither", "shrunk", "tilted"])
def test_guessed_depths_are_shrunk_and_tilted_as_the_configuration_says(body, captured, shrink, tilt):
    config = replace(MEASURED, depth_shrink=shrink, depth_tilt=tilt)
    example = sampler(body, captured, config, detector=detector_without_errors(DetectorNoise.load()))(256)
    c = example.condition
    crop = example.points @ c.R_camera_crop
    about = crop - crop[:, 8, None]
    usable = (c.depth_known > 0) & (crop[..., 2] > 0.5)
    rows = usable.sum(1) > 12
    error = (c.depth - about[..., 2]) * usable
    # What least squares make of each image's errors: a share of the depth, and a slope in x and in y.
    A = about[..., [2, 0, 1]] * usable[..., None]
    found = torch.linalg.lstsq(A[rows], error[rows][..., None]).solution[..., 0]
    assert (A[rows] @ found[..., None] - error[rows][..., None]).abs().max() < 2e-3
    assert found[:, 0].max() < 1e-3 and found[:, 0].min() > -shrink - 1e-3
    assert float(found[:, 0].mean()) == pytest.approx(-shrink / 2, abs=0.03)
    assert float(found[:, 1:].std()) == pytest.approx(tilt, abs=0.03)


def test_guessed_depths_are_turned_to_the_camera(body, captured):
    config = replace(MEASURED, turn_shrink=0.8)
    example = sampler(body, captured, config, detector=detector_without_errors(DetectorNoise.load()))(256)
    c = example.condition
    crop = example.points @ c.R_camera_crop
    about = crop - crop[:, 8, None]
    usable = (c.depth_known > 0) & (crop[..., 2] > 0.5)
    rows = usable.all(1)
    error = (c.depth - about[..., 2])[rows]
    across = across_trunk(about[..., :2])[rows]
    # One slope across the trunk explains each image's errors, and it is opposed to that of the true depths.
    slope = (error * across).sum(1) / across.square().sum(1)
    assert (error - slope[:, None] * across).abs().max() < 2e-3
    true = (about[rows][..., 2] * across).sum(1) / (across.square().sum(1) + NARROW_M2)
    share = -slope / true
    clear = true.abs() > 0.1
    assert share[clear].min() > -1e-2 and share[clear].max() < 0.8 + 1e-2
    assert float(share[clear].mean()) == pytest.approx(0.4, abs=0.05)


def test_some_are_told_depths_of_a_part_of_their_keypoints(body, captured):
    c = sampler(body, captured, replace(EXACT, partial_share=1.0, missing_depths=0.3))(256).condition
    seen = c.confidence > 0
    assert float((c.depth_known[seen] > 0).float().mean()) == pytest.approx(0.7, abs=0.03)


def test_measured_errors_are_told_another_noise_than_the_usual_in_their_share(body, captured):
    config = replace(MEASURED, other_noise_share=0.5, other_noise=0.5)
    told = sampler(body, captured, config, detector=detector_without_errors(DetectorNoise.load()))(512).condition.noise
    ratio = (told[:, 0] / MEASURED_NOISE).log()
    other = ratio.abs() > 1e-4
    assert float(other.float().mean()) == pytest.approx(0.5, abs=0.07)
    assert float(ratio[other].std()) == pytest.approx(0.5, abs=0.1)


def test_nothing_of_the_past_is_told_where_its_share_is_zero(body, captured):
    example = sampler(body, captured, replace(EXACT, past_share=0.0, up_share=0.0, previous_share=0.0))(16)
    c = example.condition
    assert (c.past == 0).all() and (c.up == 0).all() and (c.previous_known == 0).all()


def test_independent_noise_is_as_large_as_it_is_told(body, captured):
    noisy = replace(
        EXACT, exact_share=0.0, outlier_share=0.0, limb_std=0.0, offset_std=0.0,
        view=replace(EXACT.view, beta_std=0.0),
    )  # fmt: skip
    example = sampler(body, captured, noisy)(512)
    c = example.condition
    crop = example.points @ c.R_camera_crop
    error = (c.rays - crop[..., :2] / crop[..., 2:].clamp_min(0.2)) / c.half_size[:, None, None]
    seen = (c.confidence > 0) & (crop[..., 2] > 0.5)
    told = (c.noise.square() - 0.01**2).clamp_min(0).sqrt()
    usable = seen & (told > 0.005)
    ratio = error[usable] / told[usable][:, None]
    assert ratio.std() == pytest.approx(1.0, abs=0.1)


def test_other_bodies_are_told_to_be_inexact(body, captured):
    c = sampler(body, captured, replace(EXACT, exact_share=0.0))(64).condition
    assert (c.noise >= 0.0099).all()


def test_some_films_exchange_the_sides_in_some_images(body, captured):
    """With the detector's offsets taken out, exchanged keypoints lie where their counterparts should."""
    detector = DetectorNoise.load()
    silent = replace(detector, offset=torch.zeros_like(detector.offset))
    config = replace(
        EXACT, exact_share=0.0, measured_share=1.0, exchanged_share=1.0, exchange_s=1.6, torn_parts=0.0, limb_std=0.0,
        offset_std=0.0, view=replace(EXACT.view, beta_std=0.0),
    )  # fmt: skip
    example = sampler(body, captured, config, detector=silent)(256)
    c = example.condition
    crop = example.points @ c.R_camera_crop
    rays = crop[..., :2] / crop[..., 2:].clamp_min(0.2)
    mirrored = rays[:, list(KEYPOINT_MIRROR)]
    seen = (c.confidence > 0)[..., None] & (crop[..., 2:] > 0.5)
    own, other = (((c.rays - r) * seen).norm(dim=-1).mean(1) for r in (rays, mirrored))
    exchanged = (other < 1e-4).float().mean()
    # Seen from the other side, what was nearer is deeper.
    told = (c.depth_known > 0) & (other < 1e-4)[:, None]
    true = (crop[..., 2] - crop[:, 8, None, 2])[:, list(KEYPOINT_MIRROR)]
    opposite = ((c.depth + true).abs() < (c.depth - true).abs())[told & (true.abs() > 0.3)].float().mean()
    assert 0.5 < opposite < 0.9
    assert 0.2 < exchanged < 0.8 and (torch.minimum(own, other) < 1e-3).float().mean() > 0.95


def test_made_poses_take_part_and_move(body, captured):
    made = torch.eye(3).repeat(1, 24, 1, 1)
    made[:, 4] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # a knee bent by a right angle
    example = sampler(body, captured, replace(EXACT, made_share=1.0, turned_share=0.0), made=made)(32)
    assert torch.allclose(example.rotations[:, 1:], made[:, 1:].expand(32, -1, -1, -1), atol=1e-5)
    assert not torch.allclose(example.previous[:, 1:], example.rotations[:, 1:], atol=1e-4)


def test_draws_are_seeded(body, captured):
    config = SequenceConfig()
    a, b = (sampler(body, captured, config, detector=DetectorNoise.load(), seed=3)(16) for _ in range(2))
    assert torch.equal(a.rotations, b.rotations) and torch.equal(a.condition.past, b.condition.past)


def test_a_detectors_history_is_of_one_film(body):
    detector = DetectorNoise.load()
    yaw = torch.linspace(-3, 3, 200)
    draw, there = detector.draw_history(yaw, (1, 15), torch.Generator().manual_seed(0), scale=(1.0, 1.0))
    assert 0.3 < there[:, 1].float().mean() < 0.9 and there[:, 0].float().mean() > 0.9
    # Errors a frame apart resemble each other more than those of different films do.
    one = (draw.offset[:, 0] - draw.offset[:, 1])[there[:, 0]].abs().mean()
    other = (draw.offset[:, 0] - draw.offset[:, 0].roll(50, 0)).abs().mean()
    assert one < 0.6 * other
