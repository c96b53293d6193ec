"""What the correction of poses must keep to: laws of the estimate, and what it does to the shipped network's poses."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.lifting.correction import gauss_newton
from diffmocap.lifting.correction.error_covariance import KINDS, ErrorCovariances
from diffmocap.lifting.correction.keypoint_jacobian import MID_HIP, keypoint_body, pose
from diffmocap.lifting.correction.keypoint_noise import CANDIDATES
from diffmocap.lifting.correction.observation import Observation, pack
from diffmocap.lifting.correction.pose_correction import CorrectedPoses, PoseCorrection
from diffmocap.lifting.correction.records import workspace

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
def of_arrays(body, detector) -> PoseCorrection:
    return PoseCorrection(body, detector.numpy())


@pytest.fixture(scope="module")
def correction(of_arrays) -> Callable[..., CorrectedPoses]:
    """Of poses [n, 24, 3, 3] of n images as tensors, under one covariance; results are tensors [n, ...] too."""

    def call(rotations, pelvis, observation, covariance, steps=2) -> CorrectedPoses:
        each = covariance.expand(len(rotations), 72, 72).numpy()
        found = of_arrays(rotations[:, None].numpy(), pelvis[:, None].numpy(), observation, each, steps)
        return CorrectedPoses(*(torch.from_numpy(x[:, 0]) for x in found))

    return call


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
    return observed(rays, half_size, confidence, relative if depth else None, torch.ones_like(confidence))


def observed(*tensors: torch.Tensor | None) -> Observation:
    """:meth:`Observation.of` of tensors."""
    return Observation.of(*(None if x is None else x.numpy() for x in tensors))


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
    wild = observed(rays, torch.from_numpy(clean.half_size), confidence)
    a, b = (correction(start, pelvis, o, errors_of(8.0)).rotations for o in (clean, wild))
    assert torch.equal(a, b)
    everything = correction(start, pelvis, look(body, truth, pelvis, False), errors_of(8.0)).rotations
    assert float(angle(a, everything).max()) > 1.0


def test_a_wrong_keypoint_does_not_throw_its_limb(body, correction):
    """A wrist far away moves the arm by little more than no wrist does, and other limbs not at all."""
    truth, pelvis, start = scene(8, 6.0, seed=3)
    clean = look(body, truth, pelvis, True)
    values = clean.values.copy()
    values[:, WRIST] += 0.5  # over the half-size: nearly half a metre
    wild = clean._replace(values=values)
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
    half_size = torch.from_numpy(whole.half_size)
    mixed = observed(points[..., :2] / points[..., 2:], half_size, torch.ones(4, 25), depth, known)
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
        drawn = noise * torch.randn(exact.values.shape, generator=g, dtype=torch.float64)
        seen = exact._replace(values=exact.values + drawn.numpy())
        level = correction(start, pelvis, seen, errors_of(6.0))
        found = level.independent.sqrt().median(0).values
        assert float(level.factors[:, 0].median()) < 0.05
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
    truth, pelvis, _ = scene(1, 0.0)
    constants = keypoint_body(body)
    work = workspace(len(constants.joint), CANDIDATES, 1)
    pose(constants, truth[0].numpy(), work.posed)
    depths = work.posed.points[:, 2]
    nearest = int(depths.argmin())
    depth_m = 0.05 - depths[nearest]
    pack(look(body, truth, pelvis, True).seen[0], work.posed, depth_m, work.packed)
    used = work.packed.used.reshape(3, 25)
    assert not used[:, nearest].any()
    assert (used == (depths + depth_m > 0.1)).all() and used.any()
    images, deep = work.packed.counts
    rows = np.flatnonzero(used.ravel())
    assert images == deep == used[0].sum() and (work.packed.row[: len(rows)] == rows).all()
    assert (work.packed.keypoint[: len(rows)] == rows % 25).all()


def test_poses_that_are_no_numbers_are_left_alone(body, correction):
    truth, pelvis, start = scene(2, 5.0)
    start[0, 5] = math.nan
    found = correction(start, pelvis, look(body, truth, pelvis, True), errors_of(5.0))
    assert not found.changed[0] and found.changed[1]
    assert found.rotations[1].isfinite().all()
    assert float(distances(body, found.rotations[1:], truth[1:]).mean()) < 0.02


@pytest.mark.parametrize("mean_first", [False, True])
def test_a_joint_that_no_keypoint_sees_is_no_number_and_its_pose_stays(body, of_arrays, mean_first):
    """A hand moves no keypoint, so that nothing else of the pose would be NaN."""
    truth, pelvis, start = scene(3, 5.0)
    samples, places = start[None].numpy().copy(), pelvis[None].contiguous().numpy()
    seen = look(body, truth[:1], pelvis[:1], True)
    whole = of_arrays(samples, places, seen, errors_of(5.0).numpy(), 2, mean_first)
    samples[0, 2, 22] = math.nan
    found = of_arrays(samples, places, seen, errors_of(5.0).numpy(), 2, mean_first)
    assert whole.changed[0, 2] and not found.changed[0, 2]
    np.testing.assert_array_equal(found.rotations[0, 2], samples[0, 2])
    np.testing.assert_array_equal(found.pelvis[0, 2], places[0, 2])
    np.testing.assert_array_equal(found.rotations[0, :2], whole.rotations[0, :2])


def test_a_pose_that_explains_everything_stays(body, correction):
    truth, pelvis, _ = scene(3, 0.0)
    found = correction(truth, pelvis, look(body, truth, pelvis, True), errors_of(10.0))
    assert float(angle(found.rotations, truth).max()) < 0.1


def test_of_the_steps_the_best_is_kept():
    """The posterior decides: residuals in units of their noise, the prior's cost, and what is seen but not used."""
    work, rows = workspace(27, CANDIDATES, 3), np.ones(75, bool)
    work.packed.counts[:], work.packed.row[:4], work.packed.used[:] = (2, 0), (0, 1, 25, 26), False
    work.packed.used[[0, 1, 25, 26]] = True

    def best(
        residuals: list[list[float]], prior: list[float] = (0, 0, 0, 0), unused: list[float] = (0, 0, 0, 0)
    ) -> int:
        tried = work.tried
        tried.residual[:], tried.step[:], tried.information[:] = 0.0, 1.0, np.array(prior)[:, None] / 75
        tried.residual[:, [0, 1, 25, 26]], tried.residual[:, 9] = residuals, unused
        work.covariances.whitening[:4, :4] = np.diag([1.0, 1.0, 1.0, 100.0])
        return gauss_newton.best_tried(rows, 3, work.packed, work.covariances.whitening, tried)

    assert best([[3, 0, 0, 0], [2, 0, 0, 0], [0, 1, 0, 0], [2, 2, 0, 0]]) == 2
    assert best([[3, 0, 0, 0], [0, 0, 0, 9], [0, 1, 0, 0], [2, 2, 0, 0]]) == 1  # its noise is ten times as large
    assert best([[3, 0, 0, 0]] + [[0, 0, 0, 0]] * 3, prior=(0, 10, 8, 10)) == 2
    assert best([[3, 0, 0, 0]] + [[0, 0, 0, 0]] * 3, unused=(0, 4, 4, 2)) == 3
    assert best([[3, 0, 0, 0], [4, 0, 0, 0], [math.nan, 0, 0, 0], [3, 0, 0, 0]]) == 0
    assert best([[math.nan, 0, 0, 0]] * 4) == 0


def test_no_joint_turns_too_far_in_one_step():
    change = np.zeros(75)
    change[6:9], change[30:33], change[72:] = (0.0, 3.0, 4.0), 0.1, 50.0
    assert gauss_newton.largest_share(change) == pytest.approx(0.2)
    assert gauss_newton.largest_share(0.1 * change) == 1.0


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
def test_poses_near_one_that_was_corrected_are_corrected_by_its_gain(body, correction, of_arrays, depth):
    """One step brings them most of the way to their keypoints that a whole correction would, and never farther."""
    truth, pelvis, off = scene(1, 6.0)
    observation = look(body, truth, pelvis, depth)
    g = torch.Generator().manual_seed(3)
    near = off @ roma.rotvec_to_rotmat(0.05 * torch.randn(8, 24, 3, generator=g, dtype=torch.float64))
    samples, places = torch.cat([off, near])[None].numpy(), pelvis.expand(1, 9, 3).numpy()
    found = of_arrays(samples, places, observation, errors_of(6.0).numpy(), 2, mean_first=True)
    alone = correction(off, pelvis, observation, errors_of(6.0), 2)
    assert (found.rotations[0, 0] == alone.rotations[0].numpy()).all()
    by_gain, changed = torch.from_numpy(found.rotations[0, 1:]), torch.from_numpy(found.changed[0, 1:])
    rows = Observation(*(np.repeat(x, 8, 0) for x in observation))
    places = pelvis.expand(8, 3)
    whole = correction(near, places, rows, errors_of(6.0), 2)

    def left(rotations: torch.Tensor) -> torch.Tensor:
        points = body.keypoints(rotations.float(), places.float()).double()
        seen = body.keypoints(truth.float(), pelvis.float()).double()
        rays, true_rays = (x[..., :2] / x[..., 2:] for x in (points, seen))
        return (rays - true_rays).norm(dim=-1).mean(1)

    before, after, best = left(near), left(by_gain), left(whole.rotations)
    assert int(changed.sum()) >= 5 and (after[changed] < before[changed]).all()
    assert torch.equal(by_gain[~changed], near[~changed])
    assert float((before - after)[changed].mean()) > 0.6 * float((before - best)[changed].mean())


def test_a_gain_that_brings_nothing_changes_nothing(body, of_arrays):
    """One that leads the other way, and one that is NaN."""
    truth, pelvis, off = scene(1, 6.0)
    observation, covariance = look(body, truth, pelvis, False), errors_of(6.0).numpy()
    starts, places = off.numpy(), pelvis.numpy()
    of_arrays(starts[:, None], places[:, None], observation, covariance, 2)
    work, (kept, places_kept, better) = of_arrays._own.work, (np.empty_like(starts), np.empty((1, 3)), np.ones(1, bool))

    def step() -> bool:
        gauss_newton.correct_by_gain(
            of_arrays._body, observation.values[0], observation.half_size[0], starts, places, covariance[0], work, kept,
            places_kept, better,
        )  # fmt: skip
        return bool(better[0])

    assert step() and (kept != starts).any()
    for spoil in (-1.0, math.nan):
        work.derivatives.by_joints[:] *= spoil
        work.derivatives.by_place[:] *= spoil
        assert not step() and (kept == starts).all() and (places_kept == places).all()


def test_threads_do_not_disturb_each_other(body, of_arrays):
    """One correction serves two threads at once, whatever each asks for."""
    scenes = [scene(40, 8.0, seed) for seed in (0, 1)]
    calls = [
        (start[:, None].numpy(), pelvis[:, None].contiguous().numpy(), look(body, truth, pelvis, depth),
         errors_of(8.0).expand(40, 72, 72).numpy(), steps)
        for (truth, pelvis, start), depth, steps in zip(scenes, (False, True), (2, 3))
    ]  # fmt: skip
    wanted = [of_arrays(*call).rotations for call in calls]
    found: list[np.ndarray | None] = [None, None]

    def work(i: int) -> None:
        found[i] = of_arrays(*calls[i]).rotations

    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((a == b).all() for a, b in zip(wanted, found))
