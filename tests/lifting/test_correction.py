"""What the correction of poses must keep to: laws of the estimate, and what it does to the shipped network's poses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.lifting.correction.error_covariance import KINDS, ErrorCovariances
from diffmocap.lifting.correction.observation import MID_HIP, Observation
from diffmocap.lifting.correction.pose_correction import PoseCorrection

WRIST = KEYPOINT_NAMES.index("LWrist")
EXACT = 1e-6


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def detector() -> torch.Tensor:
    """Whole bodies shifted in x, y or depth, and a little noise."""
    deviation = torch.tensor([0.04] * 50 + [0.1] * 25, dtype=torch.float64)
    together = torch.block_diag(*(torch.ones(25, 25),) * 3).double()
    return deviation * deviation[:, None] * (0.99 * together + 0.01 * torch.eye(75, dtype=torch.float64))


@pytest.fixture(scope="module")
def correction(body, detector) -> PoseCorrection:
    return PoseCorrection(body, detector)


def errors_of(degrees: float) -> torch.Tensor:
    """[1, 72, 72] of independent errors."""
    return math.radians(degrees) ** 2 * torch.eye(72, dtype=torch.float64)[None]


def scene(n: int, degrees: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """True poses [n, 24, 3, 3], pelvis [n, 3], and poses that are off by as many degrees in each direction."""
    g = torch.Generator().manual_seed(seed)
    upright = torch.tensor([1.0, -1, -1], dtype=torch.float64).diag()
    truth = roma.rotvec_to_rotmat(0.25 * torch.randn(n, 24, 3, generator=g, dtype=torch.float64))
    truth[:, 0] = upright @ truth[:, 0]
    pelvis = torch.tensor([[0.1, 0.0, 3.5]], dtype=torch.float64).expand(n, 3)
    off = math.radians(degrees) * torch.randn(n, 24, 3, generator=g, dtype=torch.float64)
    return truth, pelvis, truth @ roma.rotvec_to_rotmat(off).mT


def look(
    body: BodyModel, truth: torch.Tensor, pelvis: torch.Tensor, depth: bool, confidence: torch.Tensor | None = None
) -> Observation:
    points = body.keypoints(truth.float(), pelvis.float()).double()
    rays = points[..., :2] / points[..., 2:]
    half_size = 0.5 * (rays.amax(1) - rays.amin(1)).amax(-1)
    confidence = torch.ones_like(rays[..., 0]) if confidence is None else confidence
    relative = points[..., 2] - points[:, MID_HIP, None, 2]
    return Observation.of(rays, half_size, confidence, relative if depth else None, torch.ones_like(confidence))


def angle(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[..., ] degrees between rotations."""
    return torch.rad2deg(roma.rotmat_geodesic_distance(a, b))


def distances(body: BodyModel, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[B, 25] m between keypoints about the pelvis."""
    nothing = torch.zeros(len(a), 3)
    return (body.keypoints(a.float(), nothing) - body.keypoints(b.float(), nothing)).norm(dim=-1)


def test_exact_input_gives_the_exact_pose_back(body, correction):
    """With depths and a loose prior: 17 degrees off everywhere, keypoints end within millimetres. (The body's shape is
    unknown to the correction, which leaves some.)"""
    truth, pelvis, start = scene(6, 10.0)
    found = correction(start, pelvis + 0.1, look(body, truth, pelvis, True), errors_of(10.0), 6)
    assert float(distances(body, start, truth).mean()) > 0.08
    assert float(distances(body, found.rotations, truth).mean()) < 0.007
    assert found.changed.all() and float((found.pelvis - pelvis).norm(dim=-1).max()) < 0.15


def test_a_certain_prior_is_kept(body, correction):
    truth, pelvis, start = scene(3, 10.0)
    found = correction(start, pelvis, look(body, truth, pelvis, True), errors_of(0.0))
    assert float(angle(found.rotations, start).max()) < EXACT
    tight = correction(start, pelvis, look(body, truth, pelvis, True), errors_of(1e-4))
    assert float(angle(tight.rotations, start).max()) < 0.01


def test_nothing_seen_changes_nothing(body, correction):
    truth, pelvis, start = scene(2, 10.0)
    blind = look(body, truth, pelvis, True, torch.zeros(2, 25))
    found = correction(start, pelvis, blind, errors_of(10.0))
    assert float(angle(found.rotations, start).max()) < EXACT


def test_missing_keypoints_say_nothing_wherever_they_lie(body, correction):
    truth, pelvis, start = scene(2, 8.0)
    confidence = torch.ones(2, 25)
    confidence[:, WRIST] = 0.0
    clean = look(body, truth, pelvis, False, confidence)
    points = body.keypoints(truth.float(), pelvis.float()).double()
    rays = points[..., :2] / points[..., 2:]
    rays[:, WRIST] = 1e6
    wild = Observation.of(rays, clean.half_size[:, 0], confidence)
    a, b = (correction(start, pelvis, o, errors_of(8.0)).rotations for o in (clean, wild))
    assert torch.equal(a, b)
    everything = correction(start, pelvis, look(body, truth, pelvis, False), errors_of(8.0)).rotations
    assert float(angle(a, everything).max()) > 1.0


def test_a_wrong_keypoint_does_not_throw_its_limb(body, correction):
    """A wrist far away moves the arm by little more than no wrist does, and other limbs not at all."""
    truth, pelvis, start = scene(8, 6.0, seed=3)
    clean = look(body, truth, pelvis, True)
    values = clean.values.clone()
    values[:, WRIST] += 0.5  # over the half-size: nearly half a metre
    wild = Observation(values, clean.seen, clean.half_size, clean.relative_noise)
    found = correction(start, pelvis, wild, errors_of(6.0), 3)
    assert float(found.wrong[:, WRIST].min()) > 0.9
    others = [k for k in range(25) if k not in (WRIST, KEYPOINT_NAMES.index("LElbow"))]
    assert float(found.wrong[:, others].max()) < 0.5
    distance = distances(body, found.rotations, truth)
    assert float(distance[:, others].mean()) < 0.01 and float(distance[:, WRIST].mean()) < 0.1


def test_rows_do_not_see_each_other(body, correction):
    truth, pelvis, start = scene(4, 10.0)
    whole = look(body, truth, pelvis, True)
    known = torch.ones(4, 25)
    known[2] = 0.0  # one without depths among others
    points = body.keypoints(truth.float(), pelvis.float()).double()
    depth = points[..., 2] - points[:, MID_HIP, None, 2]
    mixed = Observation.of(points[..., :2] / points[..., 2:], whole.half_size[:, 0], torch.ones(4, 25), depth, known)
    together = correction(start, pelvis, mixed, errors_of(10.0)).rotations
    for i in range(4):
        rows = slice(i, i + 1)
        alone = look(body, truth[rows], pelvis[rows], i != 2)
        found = correction(start[rows], pelvis[rows], alone, errors_of(10.0)).rotations
        assert float(angle(found, together[rows]).max()) < 1e-3


def test_the_noise_is_found(body, correction):
    """Levels lie within a factor of two of what was drawn, and depths are judged apart from the image."""
    truth, pelvis, start = scene(24, 6.0, seed=5)
    g = torch.Generator().manual_seed(0)
    exact = look(body, truth, pelvis, True)
    for image, depth in ((0.0, 0.0), (0.02, 0.06), (0.0, 0.06)):
        noise = torch.tensor([image] * 50 + [depth] * 25, dtype=torch.float64)
        values = exact.values + noise * torch.randn(exact.values.shape, generator=g, dtype=torch.float64)
        seen = Observation(values, exact.seen, exact.half_size, exact.relative_noise)
        level = correction(start, pelvis, seen, errors_of(6.0)).level
        found = level.independent.sqrt().median(0).values
        assert float(level.detector.median()) < 0.05
        for rows, drawn in ((found[:50].mean(), image), (found[50:].mean(), depth)):
            assert float(rows) < 0.007 if drawn == 0.0 else 0.5 * drawn < float(rows) < 2 * drawn


@pytest.mark.parametrize("depth_m", [0.3, 0.02, -1.0])
def test_bodies_at_and_behind_the_camera_give_finite_poses(body, correction, depth_m):
    truth, pelvis, start = scene(3, 10.0)
    here = pelvis * torch.tensor([1.0, 1.0, 0.0]) + torch.tensor([0.0, 0.0, depth_m])
    found = correction(start, here, look(body, truth, pelvis, False), errors_of(10.0), 3)
    assert found.rotations.isfinite().all() and found.pelvis.isfinite().all()
    identity = found.rotations @ found.rotations.mT
    assert torch.allclose(identity, torch.eye(3, dtype=torch.float64).expand_as(identity), atol=1e-6)


def test_what_is_not_before_the_camera_is_not_used(body):
    """A foot that reaches behind the camera: its rows in the image and its depth."""
    from diffmocap.lifting.correction.keypoint_jacobian import KeypointKinematics

    truth, pelvis, _ = scene(1, 0.0)
    posed = KeypointKinematics(body)(truth)
    nearest = int(posed.points[0, :, 2].argmin())
    here = torch.tensor([[0.0, 0.0, 0.05]], dtype=torch.float64) - posed.points[:, nearest] * torch.tensor([0, 0, 1])
    used = look(body, truth, pelvis, True).usable(posed, here)[0].view(3, 25)
    assert not used[:, nearest].any()
    assert torch.equal(used[0], posed.points[0, :, 2] + here[0, 2] > 0.1) and used.any()


def test_poses_that_are_no_numbers_are_left_alone(body, correction):
    truth, pelvis, start = scene(2, 5.0)
    start[0, 5] = math.nan
    found = correction(start, pelvis, look(body, truth, pelvis, True), errors_of(5.0))
    assert not found.changed[0] and found.changed[1]
    assert found.rotations[1].isfinite().all()
    assert float(distances(body, found.rotations[1:], truth[1:]).mean()) < 0.02


def test_a_pose_that_explains_everything_stays(body, correction):
    truth, pelvis, _ = scene(3, 0.0)
    found = correction(truth, pelvis, look(body, truth, pelvis, True), errors_of(10.0))
    assert float(angle(found.rotations, truth).max()) < 0.1


def test_of_the_steps_the_best_is_kept(body, correction, monkeypatch):
    """Steps that overshoot wildly raise the objective, and the pose stays as it was."""
    from diffmocap.lifting.correction import pose_correction

    truth, pelvis, start = scene(3, 3.0)
    seen = look(body, truth, pelvis, True)
    assert correction(start, pelvis, seen, errors_of(3.0)).changed.all()
    monkeypatch.setattr(pose_correction, "_share", lambda change: torch.full_like(change[:, :1], -20.0))
    found = correction(start, pelvis, seen, errors_of(3.0), 1)
    assert not found.changed.any() and torch.equal(found.rotations, start)


def test_the_conditions_kind_decides_the_prior():
    """At the corners each kind alone, in between both, whatever the row."""
    from diffmocap.lifting.network.condition import condition_from_rays

    poses = torch.stack([(i + 1.0) * torch.eye(72, dtype=torch.float64) for i in range(len(KINDS))])
    covariances = ErrorCovariances(poses, torch.eye(75, dtype=torch.float64))
    rays = 0.1 * torch.randn(1, 25, 2, generator=torch.Generator().manual_seed(0))

    def kind(noise: float, depth: bool, seen: int = 25) -> float:
        confidence = (torch.arange(25) < seen).float()[None]
        told = torch.zeros(1, 25) if depth else None
        return float(covariances.of(condition_from_rays(rays, confidence, noise, told))[0, 3, 3])

    corners = [kind(0.0, False), kind(0.0, True), kind(0.02, False), kind(0.05, True)]
    assert corners == pytest.approx([1.0, 2.0, 3.0, 4.0], abs=1e-6)
    assert kind(0.0, False, 15) == kind(0.0, True, 10) == 5.0 and kind(0.05, False, 10) == 3.0
    assert kind(0.01, False) == pytest.approx(2.0, abs=1e-6) and 1.0 < kind(0.0, False, 23) < 5.0


@pytest.mark.parametrize("depth", [False, True])
def test_poses_near_one_that_was_corrected_are_corrected_by_its_gain(body, correction, depth):
    """One step brings them most of the way to their keypoints that a whole correction would, and never farther."""
    truth, pelvis, off = scene(1, 6.0)
    observation = look(body, truth, pelvis, depth)
    found = correction(off, pelvis, observation, errors_of(6.0), 2)
    g = torch.Generator().manual_seed(3)
    near = off @ roma.rotvec_to_rotmat(0.05 * torch.randn(8, 24, 3, generator=g, dtype=torch.float64))
    places, rows = pelvis.expand(8, 3), observation.repeat(8)
    by_gain, changed = correction.by_gain(near, places, rows, found.gain.repeat(8))
    whole = correction(near, places, rows, errors_of(6.0).expand(8, 72, 72), 2)

    def left(rotations: torch.Tensor) -> torch.Tensor:
        points = body.keypoints(rotations.float(), places.float()).double()
        seen = body.keypoints(truth.float(), pelvis.float()).double()
        rays, true_rays = (x[..., :2] / x[..., 2:] for x in (points, seen))
        return (rays - true_rays).norm(dim=-1).mean(1)

    before, after, best = left(near), left(by_gain), left(whole.rotations)
    assert int(changed.sum()) >= 5 and (after[changed] < before[changed]).all()
    assert torch.equal(by_gain[~changed], near[~changed])
    assert float((before - after)[changed].mean()) > 0.6 * float((before - best)[changed].mean())


def test_a_gain_that_brings_nothing_changes_nothing(body, correction):
    truth, pelvis, off = scene(1, 6.0)
    observation = look(body, truth, pelvis, False)
    gain = correction(off, pelvis, observation, errors_of(6.0), 2).gain
    backwards = replace(gain, rows=-gain.rows)
    kept, changed = correction.by_gain(off, pelvis, observation, backwards)
    assert not changed.any() and torch.equal(kept, off)
