"""Laws of the published covariances: what they measure, in which axes, and how they shrink."""

from __future__ import annotations

import json

import pytest
import roma
import torch

from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from diffmocap.errors import ModelFileError
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.refinement.filter.pose_covariance import (
    PoseErrors,
    joint_visibility,
    position_scatter,
    rotation_scatter,
    shrunk,
)
from diffmocap.types import PoseHypotheses

ALL_SEEN = torch.ones(25)


def random_spd(n: int, seed: int) -> torch.Tensor:
    a = torch.randn(n, 3, 3, generator=torch.Generator().manual_seed(seed))
    return 0.02 * (a @ a.mT + 0.1 * torch.eye(3))


@pytest.fixture
def errors() -> PoseErrors:
    return PoseErrors(random_spd(24, 1), 4 * random_spd(24, 1), (0.01, 0.05), (0.02, 0.1), 4.0, 1.0)


def hypotheses(count: int, seed: int = 0, spread: float = 0.1) -> TrackedPoses:
    g = torch.Generator().manual_seed(seed)
    centre = roma.random_rotmat(24)
    rotations = centre @ roma.rotvec_to_rotmat(spread * torch.randn(count, 24, 3, generator=g))
    pelvis = torch.tensor([0.3, -0.2, 3.0]) + spread * torch.randn(count, 3, generator=g)
    weights = torch.rand(count, generator=g).softmax(0)
    return TrackedPoses(PoseHypotheses(rotations, pelvis, torch.zeros(count)), weights, 0)


def without(*names: str) -> torch.Tensor:
    confidence = torch.ones(25)
    confidence[[KEYPOINT_NAMES.index(name) for name in names]] = 0.0
    return confidence


def covariances(errors: PoseErrors, tracked: TrackedPoses, confidence: torch.Tensor = ALL_SEEN):
    return errors.covariances(tracked, tracked.poses.rotations[0], tracked.poses.pelvis[0], confidence)


def test_scatter_is_the_covariance_of_a_tangent_gaussian():
    truth = random_spd(24, 2)
    g = torch.Generator().manual_seed(3)
    v = torch.einsum("jab,njb->nja", torch.linalg.cholesky(0.25 * truth), torch.randn(20_000, 24, 3, generator=g))
    estimate = roma.random_rotmat(24)
    found = rotation_scatter(estimate @ roma.rotvec_to_rotmat(v), torch.full((20_000,), 1 / 20_000), estimate)
    assert ((found - 0.25 * truth).flatten(1).norm(dim=1) < 0.05 * (0.25 * truth).flatten(1).norm(dim=1)).all()


def test_scatter_is_told_in_the_axes_of_the_joint_itself():
    """Turning the world on the left leaves it alone; other joint axes on the right turn it along."""
    tracked, turn = hypotheses(6), roma.random_rotmat()
    rotations, w = tracked.poses.rotations, tracked.weights
    found = rotation_scatter(rotations, w, rotations[0])
    assert torch.allclose(rotation_scatter(turn @ rotations, w, turn @ rotations[0]), found, atol=1e-5)
    turned = rotation_scatter(rotations @ turn, w, rotations[0] @ turn)
    assert torch.allclose(turned, turn.mT @ found @ turn, atol=1e-5)


def test_position_scatter_turns_with_the_frame():
    tracked, turn = hypotheses(6), roma.random_rotmat()
    p, w = tracked.poses.pelvis, tracked.weights
    assert torch.allclose(
        position_scatter(p @ turn.mT, w, turn @ p[0]), turn @ position_scatter(p, w, p[0]) @ turn.mT, atol=1e-5
    )


@pytest.mark.parametrize("count", [1, 2, 8])
def test_covariances_are_symmetric_and_positive_definite(errors, count):
    for confidence in (ALL_SEEN, without("LElbow", "LWrist"), torch.zeros(25)):
        rotation, pelvis = covariances(errors, hypotheses(count), confidence)
        assert rotation.shape == (24, 3, 3) and pelvis.shape == (3, 3)
        for c in (rotation, pelvis[None]):
            assert torch.equal(c, c.mT)
            assert (torch.linalg.eigvalsh(c) > 0).all()


def test_order_of_the_hypotheses_does_not_matter(errors):
    tracked, order = hypotheses(6), torch.tensor([3, 1, 5, 0, 2, 4])
    poses = tracked.poses
    shuffled = TrackedPoses(
        PoseHypotheses(poses.rotations[order], poses.pelvis[order], poses.score[order]), tracked.weights[order], 3
    )
    found = [errors.covariances(t, poses.rotations[0], poses.pelvis[0], ALL_SEEN) for t in (tracked, shuffled)]
    assert torch.allclose(found[0][0], found[1][0], atol=1e-7) and torch.allclose(found[0][1], found[1][1], atol=1e-7)


def test_one_hypothesis_has_the_tables_covariance_and_hypotheses_without_weight_count_for_nothing(errors):
    alone = covariances(errors, hypotheses(1))
    assert torch.allclose(alone[0], errors.visible, atol=2e-6)
    many = hypotheses(8)
    many.weights[:] = torch.eye(8)[0]
    assert torch.allclose(covariances(errors, many)[0], alone[0], atol=2e-6)


def test_many_hypotheses_outweigh_the_tables():
    prior, scatter = random_spd(24, 1), random_spd(24, 2)
    few, many = (shrunk(prior, scatter, torch.tensor(float(n)), 4.0) for n in (2, 10_000))
    assert torch.allclose(few, (4 * prior + scatter) / 5)
    assert torch.allclose(many, scatter, atol=1e-3)


def test_a_hidden_arm_widens_its_own_joints_alone(errors):
    tracked = hypotheses(1)
    seen, hidden = covariances(errors, tracked)[0], covariances(errors, tracked, without("LElbow", "LWrist"))[0]
    wider = (torch.linalg.eigvalsh(hidden - seen) > 0).all(1)
    expected = {"left_collar", "left_shoulder", "left_elbow", "left_wrist", "left_hand"}
    assert {name for name, w in zip(JOINT_NAMES, wider.tolist()) if w} == expected
    others = [i for i, name in enumerate(JOINT_NAMES) if name not in expected]
    assert torch.equal(hidden[others], seen[others])


def test_every_joint_is_shown_by_keypoints_of_its_own_side():
    left = torch.tensor([float(name[0] == "L" and name != "Neck") for name in KEYPOINT_NAMES])
    seen = joint_visibility(left)
    for name, share in zip(JOINT_NAMES, seen.tolist()):
        expected = {"left": (1.0,), "right": (0.0,)}.get(name.split("_")[0], (1 / 3, 0.5))
        assert any(share == pytest.approx(e) for e in expected), name
    assert torch.allclose(joint_visibility(ALL_SEEN), torch.ones(24))


def test_depth_is_the_weak_direction_and_grows_with_distance(errors):
    near, far = (errors.pelvis_prior(ALL_SEEN, d * torch.tensor([0.6, 0.0, 0.8])) for d in (2.0, 4.0))
    assert torch.allclose(far, 4 * near)
    sight = torch.tensor([0.6, 0.0, 0.8])
    assert (sight @ near @ sight).sqrt() == pytest.approx(2.0 * 0.05, rel=1e-5)
    side = torch.tensor([0.8, 0.0, -0.6])
    assert (side @ near @ side).sqrt() == pytest.approx(2.0 * 0.01, rel=1e-5)


def test_shipped_errors_load_and_are_larger_for_what_is_hidden():
    errors = PoseErrors.load()
    size = [table.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt() for table in (errors.visible, errors.hidden)]
    assert size[1].mean() > size[0].mean()
    assert 0.05 < size[0].mean() < 1.0, "radians"
    assert errors.pelvis_visible[1] > errors.pelvis_visible[0]


def test_bad_files_are_refused(tmp_path, errors):
    good = {
        "visible": errors.visible.tolist(), "hidden": errors.hidden.tolist(), "pelvis_visible": [0.1, 0.1],
        "pelvis_hidden": [0.1, 0.1], "prior_samples": 4.0, "spread_scale": 1.0,
    }  # fmt: skip
    indefinite = (-errors.visible).tolist()
    path = tmp_path / "errors.json"
    path.write_text(json.dumps(good))
    assert PoseErrors.load(path).prior_samples == 4.0
    bad = ("{", "[]", *(json.dumps({**good, **c}) for c in (
        {"visible": indefinite}, {"hidden": [1.0]}, {"prior_samples": 0}, {"spread_scale": None}, {"pelvis_hidden": []},
    )))  # fmt: skip
    for text in bad:
        path.write_text(text)
        with pytest.raises(ModelFileError):
            PoseErrors.load(path)
    with pytest.raises(ModelFileError):
        PoseErrors.load(tmp_path / "nothing.json")
