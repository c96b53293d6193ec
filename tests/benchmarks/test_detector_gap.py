"""The fit finds a known mapping, its figures find known errors, and the bank holds what is left."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.detector.alteration import LANDMARK_MIRROR
from benchmarks.detector.crop import CropView, folds
from benchmarks.detector.mapping_fit import SUPPORT, fit_mapping, held_out, robust_ridge
from benchmarks.detector.measure import (
    Estimate,
    by_confidence,
    by_keypoint,
    correlations,
    depth_by_keypoint,
    direction_groups,
    error_correlation,
    point_errors,
    summary,
    swapped,
)
from benchmarks.detector.noise_bank import noise_bank
from benchmarks.detector.world_baseline import HIPS, LIMB_LANDMARKS, apply_world_map, fit_world_map, load_world_map
from benchmarks.synthetic.breakdown import action_group, pelvis_yaw, view_groups
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.keypoints.body25 import LANDMARK_NAMES, PLAIN
from diffmocap.keypoints.landmark_mapping import LandmarkMapping

REST = [k for k, name in enumerate(KEYPOINT_NAMES) if "SmallToe" not in name]


def true_mapping() -> LandmarkMapping:
    """Hips and shoulders a little nearer to each other than MediaPipe's; depths 1.2 times longer."""
    points, i = PLAIN.copy(), LANDMARK_NAMES.index
    for side, k_shoulder, k_hip in (("left", 5, 12), ("right", 2, 9)):
        shoulder, hip = i(f"{side}_shoulder"), i(f"{side}_hip")
        points[k_shoulder, [shoulder, hip]] = points[k_hip, [hip, shoulder]] = 0.9, 0.1
    depth = 1.2 * PLAIN
    depth[8] = 0.0
    return LandmarkMapping(points, depth, np.where(PLAIN.any(1), 0.02, 0.0) * (np.arange(25) != 8))


def crop_view_of(mapping: LandmarkMapping, frames: int = 400, noise: float = 0.0, seed: int = 0) -> CropView:
    rng = np.random.default_rng(seed)
    landmarks, z = rng.uniform(-1, 1, (frames, 33, 2)), rng.normal(0, 0.3, (frames, 33))
    z -= z[:, [23, 24]].mean(1, keepdims=True)
    confidence = np.where(PLAIN.any(1), 0.9, 0.0)[None].repeat(frames, 0)
    truth = np.einsum("kj,njd->nkd", mapping.points, landmarks) + noise * rng.normal(size=(frames, 25, 2))
    return CropView(
        np.arange(frames), landmarks, np.full((frames, 33), 0.9), confidence, z, truth,
        z @ mapping.depth.T + mapping.depth_offset, rng.uniform(-np.pi, np.pi, frames),
        np.eye(3)[None].repeat(frames, 0), np.ones(frames), rng.integers(0, 8, frames),
    )  # fmt: skip


def test_the_fit_finds_a_known_mapping_despite_failures():
    true = true_mapping()
    view = crop_view_of(true, noise=0.01)
    view.truth[:20] += 0.7  # frames in which the detector failed
    found = fit_mapping(view)
    assert np.abs(found.points - true.points)[REST].max() < 0.02
    assert np.abs(found.depth - true.depth)[REST].max() < 0.03
    assert np.allclose(found.depth_offset, true.depth_offset, atol=0.005)


def test_the_fit_is_affine_symmetric_and_local():
    found = fit_mapping(crop_view_of(true_mapping(), noise=0.05))
    assert np.allclose(found.points[REST].sum(1), 1.0)
    for matrix in (found.points, found.depth):
        assert np.allclose(matrix[list(KEYPOINT_MIRROR)][:, LANDMARK_MIRROR], matrix)
    used = {LANDMARK_NAMES[j] for j in np.flatnonzero(found.points[KEYPOINT_NAMES.index("LElbow")])}
    assert used == set(SUPPORT["LElbow"])


def test_a_subject_is_measured_by_a_mapping_that_never_saw_it():
    view = crop_view_of(true_mapping())
    strange = view.group == 3
    view.truth[strange] += 0.5 * view.landmarks[strange].mean(1, keepdims=True)  # an affine map does not explain that
    points, _ = held_out(view)
    fold = folds(view.group)
    same = strange | (fold == fold[strange][0])
    assert all(len(np.unique(fold[view.group == g])) == 1 for g in range(8))
    expected = np.einsum("kj,njd->nkd", fit_mapping(view, ~same).points, view.landmarks[strange])
    assert np.allclose(points[strange], expected)


def test_robust_ridge_is_least_squares_where_nothing_is_far_off():
    rng = np.random.default_rng(0)
    a, v = rng.normal(size=(200, 3)), np.array([0.3, -0.2, 0.5])
    assert np.allclose(robust_ridge(a, a @ v, np.full(3, 1e-9), huber=1.0), v, atol=1e-6)
    assert np.abs(robust_ridge(a, a @ v, np.full(3, 1e6), huber=1.0)).max() < 1e-5


def test_figures_of_known_errors():
    view = crop_view_of(true_mapping())
    view.confidence[:, 4] = np.where(np.arange(400) < 200, 0.2, 0.6)  # right wrist
    exact = Estimate(view.truth.copy(), view.depth.copy())
    off = Estimate(view.truth + [0.0, 0.03], view.depth + 0.1)
    rows = np.ones(400, bool)
    assert summary(view, exact, rows)["mean"] == 0 and summary(view, exact, rows)["depth_r2"] == 1
    figures = summary(view, off, rows)
    assert figures["median"] == pytest.approx(0.03) and figures["depth_rmse_mm"] == pytest.approx(100)
    assert np.isnan(point_errors(view, off)[:200, 4]).all() and np.isfinite(point_errors(view, off)[200:, 4]).all()
    table = by_keypoint(view, off, exact)
    assert "LWrist" not in table and table["Wrist"]["down_before"] == pytest.approx(0.03)
    assert table["Wrist"]["mean_after"] == 0 and 0.6 < table["Wrist"]["seen_front"] < 0.9
    (low, high, count, median, _), *_ = by_confidence(view, off)
    assert (low, high, count) == (0.1, 0.3, 200) and median == pytest.approx(0.03)


def test_the_line_of_the_depths_and_what_is_left_by_direction():
    view = crop_view_of(true_mapping())
    plain = Estimate(view.truth, view.landmark_z @ PLAIN.T)
    rear = direction_groups(view)["rear"]
    left = Estimate(view.truth + 0.01, view.depth + 0.05 * rear[:, None])
    figures = depth_by_keypoint(view, plain, left)["Knee"]
    assert figures["gain"] == pytest.approx(1.2) and figures["offset_mm"] == pytest.approx(20)
    assert figures["rmse_mm_rear"] == pytest.approx(50) and figures["rmse_mm_front"] == pytest.approx(0, abs=1e-9)
    assert figures["r2_front"] == pytest.approx(1) and 0.9 < figures["r2_rear"] < 1
    points = view.truth + 0.1 * np.abs(left.depth - view.depth)[..., None]
    assert error_correlation(view, Estimate(points, left.depth)) == pytest.approx(1)


def test_exchanged_sides_are_counted():
    view = crop_view_of(true_mapping())
    points = view.truth.copy()
    points[:100] = points[:100][:, KEYPOINT_MIRROR]
    shares = swapped(view, Estimate(points, view.depth), np.ones(400, bool))
    assert all(share == pytest.approx(0.25, abs=0.03) for share in shares.values())
    assert sum(rows.sum() for rows in direction_groups(view).values()) == 400


def test_correlation_over_time_is_that_of_an_ar1_process():
    view = crop_view_of(true_mapping(), frames=600)
    rng = np.random.default_rng(1)
    offset = np.zeros((600, 25, 2))
    for t in range(1, 600):
        offset[t] = 0.8 * offset[t - 1] + 0.02 * rng.normal(size=(25, 2))
    frame = np.arange(600)
    points, _ = correlations(view, Estimate(view.truth + offset, view.depth + offset[..., 0]), 0 * frame, frame)
    for lag in (1, 2, 4):
        assert points[lag] == pytest.approx(0.8**lag, abs=0.04)


def test_the_bank_holds_what_the_mapping_leaves_over():
    view = crop_view_of(true_mapping(), frames=50)
    view.confidence[:, 7] = 0.0
    points = view.truth + [0.02, -0.01]
    points[0] += 0.4  # a failure
    points[1, 4] += 3.0  # one keypoint far away
    d = SimpleNamespace(film=np.repeat([0, 1], 25), frame=np.tile(np.arange(25), 2))
    bank = noise_bank(d, view, points, view.depth + 0.05)
    assert len(bank["yaw"]) == 49 and bank["offset"].dtype == np.float16
    assert np.allclose(bank["offset"][5, 2], [0.02, -0.01], atol=1e-4) and not bank["offset"][:, 7].any()
    assert np.linalg.norm(bank["offset"][0, 4].astype(float)) == pytest.approx(0.5, abs=1e-3)
    assert np.allclose(bank["depth_error"][:, 2], 0.05, atol=1e-4) and (bank["frame"][:3] == [1, 2, 3]).all()


def test_mirrored_view_twice_is_the_view():
    view = crop_view_of(true_mapping(), frames=5)
    twice = view.mirrored().mirrored()
    for key in ("landmarks", "landmark_z", "truth", "depth", "yaw", "confidence"):
        assert np.allclose(getattr(twice, key), getattr(view, key))
    assert np.allclose(view.mirrored().yaw, -view.yaw)


def test_the_linear_world_map_takes_out_a_linear_difference_and_no_more():
    rng = np.random.default_rng(2)
    world = rng.normal(0, 0.3, (500, 33, 3))
    joints = world[:, LIMB_LANDMARKS] * [1.0, 1.0, 1.3]
    joints[:, HIPS[0]], joints[:, HIPS[1]] = (  # hips nearer to each other
        0.8 * joints[:, HIPS[0]] + 0.2 * joints[:, HIPS[1]], 0.2 * joints[:, HIPS[0]] + 0.8 * joints[:, HIPS[1]],
    )  # fmt: skip
    mapped = apply_world_map(fit_world_map(world, joints), world)
    centred = joints - joints[:, HIPS].mean(1, keepdims=True)
    assert np.abs(mapped - centred).max() < 0.05 and np.abs(mapped - centred).mean() < 0.01
    turn = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    weights = load_world_map()
    assert np.allclose(apply_world_map(weights, world @ turn.T), apply_world_map(weights, world) @ turn.T)


@pytest.mark.parametrize("description, subject, kind", [
    ("walk", "07", "walk"), ("run/jog", "16", "run"), ("Unknown", "94", "dance"), ("salsa dance", "60", "dance"),
    ("soccer - kick ball", "10", "sport"), ("cartwheel", "49", "acrobatics"), ("Run Jump Over", "127", "acrobatics"),
    ("jumping jacks, side twists, squats, jog", "13", "sport"), ("mop floor", "14", "everyday"),
    ("Range of Motion", "127", "everyday"),
])  # fmt: skip
def test_kinds_of_action(description, subject, kind):
    assert action_group(description, subject) == kind


def test_direction_and_size_of_people_before_a_camera():
    body = BodyModel.load()
    upright = np.diag([1.0, -1.0, -1.0])
    a = np.deg2rad([0.0, 80.0, 170.0])
    turns = np.stack([[[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]] for y in a])
    root = upright @ turns
    identity = np.eye(3)[None].repeat(3, 0)
    assert np.allclose(pelvis_yaw(root, identity), a, atol=1e-6)
    rotations = torch.eye(3).repeat(3, 24, 1, 1)
    rotations[:, 0] = torch.from_numpy(root).float()
    pelvis = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, 4.0], [0.0, 0.0, 8.0]])
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])[None].repeat(3, 0)
    direction, size = view_groups(body.keypoints(rotations, pelvis).numpy(), root, K)
    assert direction.tolist() == ["front", "side", "rear"] and size.tolist() == ["near", "middle", "far"]
