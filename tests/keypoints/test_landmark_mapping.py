"""The mapping's laws: affine equivariance, left and right alike, a fallback, and what it says of depth."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.errors import ModelFileError
from diffmocap.keypoints.body25 import LANDMARK_NAMES, PLAIN, body25_from_landmarks
from diffmocap.keypoints.landmark_mapping import LandmarkMapping, keypoints_from_landmarks
from diffmocap.resources import manifest

MIRROR = [
    LANDMARK_NAMES.index(n.replace("left", "right") if "left" in n else n.replace("right", "left"))
    for n in LANDMARK_NAMES
]
SMALL_TOES = [KEYPOINT_NAMES.index(name) for name in ("LSmallToe", "RSmallToe")]
REST = [k for k in range(25) if k not in SMALL_TOES]


@pytest.fixture(scope="module")
def mapping() -> LandmarkMapping:
    return LandmarkMapping.load()


@pytest.fixture()
def landmarks() -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 400, (33, 2))


SURE = np.full(33, 0.9, np.float32)


def test_rows_sum_to_one_and_stay_near_the_landmark_of_the_name(mapping):
    assert np.allclose(mapping.points[REST].sum(1), 1.0, atol=1e-5) and not mapping.points[SMALL_TOES].any()
    assert ((mapping.points * (PLAIN > 0)).sum(1)[REST] > 0.7).all()
    assert np.abs(mapping.points).sum(1).max() < 2.0  # noise of the landmarks is not blown up


def test_keypoints_follow_any_affine_transform_of_the_image(mapping, landmarks):
    A, b = np.array([[0.7, -1.1], [0.4, 0.9]]), np.array([300.0, -50.0])
    points, _ = mapping.keypoints(landmarks, SURE)
    moved, _ = mapping.keypoints(landmarks @ A.T + b, SURE)
    assert np.allclose(moved[REST], points[REST] @ A.T + b, atol=1e-2)


def test_left_and_right_are_treated_alike(mapping):
    for matrix in (mapping.points, mapping.depth):
        assert np.allclose(matrix[list(KEYPOINT_MIRROR)][:, MIRROR], matrix, atol=1e-6)
    assert np.allclose(mapping.depth_offset[list(KEYPOINT_MIRROR)], mapping.depth_offset)


def test_without_a_landmark_keypoints_fall_back_to_the_plain_selection(mapping, landmarks):
    confidence = SURE.copy()
    confidence[LANDMARK_NAMES.index("left_hip")] = 0.0
    landmarks[LANDMARK_NAMES.index("left_hip")] = np.nan
    points, certainty = mapping.keypoints(landmarks, confidence)
    plain, plain_certainty = body25_from_landmarks(landmarks, confidence)
    assert np.isfinite(points).all() and (certainty == plain_certainty).all()
    assert {KEYPOINT_NAMES[k] for k in np.flatnonzero(certainty == 0)} == {"LHip", "MidHip", "LSmallToe", "RSmallToe"}
    leans_on_it = mapping.points[:, LANDMARK_NAMES.index("left_hip")] != 0
    assert leans_on_it.sum() > 2
    assert (points[leans_on_it] == plain[leans_on_it]).all()
    full, _ = mapping.keypoints(np.nan_to_num(landmarks), SURE)
    assert np.allclose(points[~leans_on_it], full[~leans_on_it])


def test_confidence_is_that_of_the_landmark_of_the_name(mapping, landmarks):
    confidence = np.random.default_rng(1).uniform(0.1, 1.0, 33).astype(np.float32)
    assert (mapping.keypoints(landmarks, confidence)[1] == body25_from_landmarks(landmarks, confidence)[1]).all()


def test_depths_are_relative_to_the_mid_hip_and_grow_with_distance(mapping):
    rng = np.random.default_rng(2)
    world = rng.normal(0, 0.3, (33, 3))
    depths = mapping.depths(world)
    assert depths.dtype == np.float32 and depths[KEYPOINT_NAMES.index("MidHip")] == 0.0
    assert np.allclose(mapping.depths(world + [0.5, -0.2, 3.0]), depths, atol=1e-5)
    for name in REST:
        own = np.flatnonzero(PLAIN[name])
        if KEYPOINT_NAMES[name] == "MidHip":
            continue
        farther = world.copy()
        farther[:, 2] += 0.1 * PLAIN[name] * len(own)
        assert mapping.depths(farther)[name] > depths[name], KEYPOINT_NAMES[name]


def test_plain_mapping_is_the_plain_selection(landmarks):
    points, confidence = LandmarkMapping.plain().keypoints(landmarks, SURE)
    expected, expected_confidence = body25_from_landmarks(landmarks, SURE)
    assert np.allclose(points, expected, atol=1e-4) and (confidence == expected_confidence).all()


def test_another_shape_is_refused_and_the_file_is_in_the_manifest():
    with pytest.raises(ModelFileError, match=r"\[25, 33\]"):
        LandmarkMapping(PLAIN[:, :32], PLAIN, np.zeros(25))
    entry = manifest()["files"]["landmark_mapping.npz"]
    assert entry["licence"] == "Apache-2.0" and "mocap.cs.cmu.edu" in entry["data"]["acknowledgement"]


def test_the_detector_loads_without_torch():
    code = (
        "import sys, diffmocap.keypoints.mediapipe_detector as m;"
        "m.LandmarkMapping.load(); print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False"]


def test_keypoints_of_an_image_carry_depths_where_they_are_seen(mapping, landmarks):
    world = np.random.default_rng(3).normal(0, 0.3, (33, 3))
    visibility = SURE.copy()
    visibility[LANDMARK_NAMES.index("right_knee")] = 0.05
    found = keypoints_from_landmarks(landmarks, visibility, 640, 480, 7, 0.1, world, mapping)
    missing = [KEYPOINT_NAMES.index(name) for name in ("RKnee", "LSmallToe", "RSmallToe")]
    assert found.depth_m.dtype == np.float32 and np.flatnonzero(np.isnan(found.depth_m)).tolist() == sorted(missing)
    known = ~np.isnan(found.depth_m)
    assert np.allclose(found.depth_m[known], mapping.depths(world)[known])
    assert keypoints_from_landmarks(landmarks, visibility, 640, 480).depth_m is None
