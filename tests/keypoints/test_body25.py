from __future__ import annotations

import numpy as np
import pytest

from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.keypoints.body25 import LANDMARK_NAMES, PLAIN, body25_from_landmarks, no_keypoints
from diffmocap.keypoints.landmark_mapping import keypoints_from_landmarks

SMALL_TOES = [KEYPOINT_NAMES.index(name) for name in ("LSmallToe", "RSmallToe")]


def other_side(name: str) -> str:
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


LANDMARK_MIRROR = [LANDMARK_NAMES.index(other_side(name)) for name in LANDMARK_NAMES]


@pytest.fixture()
def landmarks():
    rng = np.random.default_rng(0)
    return rng.uniform(1, 400, (33, 2)).astype(np.float32), rng.uniform(0.2, 1, 33).astype(np.float32)


def keypoint(points, name):
    return points[KEYPOINT_NAMES.index(name)]


def test_every_keypoint_but_the_small_toes_has_a_source(landmarks):
    points, confidence = body25_from_landmarks(*landmarks)
    assert points.dtype == confidence.dtype == np.float32
    assert np.flatnonzero(confidence == 0).tolist() == sorted(SMALL_TOES)
    assert (points[SMALL_TOES] == 0).all()


def test_known_places(landmarks):
    points, _ = body25_from_landmarks(*landmarks)
    px = landmarks[0]
    # Numbers of MediaPipe's documentation.
    for name, number in {"Nose": 0, "LEye": 2, "REar": 8, "RShoulder": 12, "LWrist": 15, "RHip": 24, "LKnee": 25,
                         "RAnkle": 28, "LHeel": 29, "RBigToe": 32}.items():  # fmt: skip
        assert (keypoint(points, name) == px[number]).all(), name


def test_neck_and_mid_hip_are_midpoints_and_no_surer_than_their_ends(landmarks):
    points, confidence = body25_from_landmarks(*landmarks)
    for middle, ends in (("Neck", ("LShoulder", "RShoulder")), ("MidHip", ("LHip", "RHip"))):
        a, b = (keypoint(points, name) for name in ends)
        assert np.allclose(keypoint(points, middle), (a + b) / 2)
        assert keypoint(confidence, middle) == min(keypoint(confidence, name) for name in ends)


def test_mirroring_landmarks_mirrors_keypoints(landmarks):
    px, visibility = landmarks
    width = 400
    flipped = (np.array([width, 0]) + np.array([-1, 1]) * px)[LANDMARK_MIRROR]
    points, confidence = body25_from_landmarks(flipped, visibility[LANDMARK_MIRROR])
    expected, expected_confidence = body25_from_landmarks(px, visibility)
    expected[expected_confidence > 0, 0] = width - expected[expected_confidence > 0, 0]
    mirror = list(KEYPOINT_MIRROR)
    assert np.allclose(points, expected[mirror], atol=1e-4)
    assert np.allclose(confidence, expected_confidence[mirror])


def test_the_matrix_says_the_same(landmarks):
    points, confidence = body25_from_landmarks(*landmarks)
    assert np.allclose((PLAIN @ landmarks[0])[confidence > 0], points[confidence > 0], atol=1e-4)
    assert PLAIN.sum(1).tolist() == [0.0 if k in SMALL_TOES else 1.0 for k in range(25)]


def test_three_dimensions_work_as_well():
    rng = np.random.default_rng(1)
    world = rng.normal(size=(33, 3))
    points, _ = body25_from_landmarks(world, np.ones(33))
    assert np.allclose(keypoint(points, "MidHip"), (world[23] + world[24]) / 2, atol=1e-6)


def test_what_lies_outside_the_image_or_is_unsure_is_missing(landmarks):
    px, visibility = landmarks[0].copy(), landmarks[1].copy()
    px[11] = [-0.1, 50]  # left shoulder
    px[26] = [500, 50]  # right knee; the image ends at 500
    px[15] = [np.nan, 3]
    visibility[27] = 0.05  # left ankle
    visibility[0] = 1.5
    made = keypoints_from_landmarks(px, visibility, 500, 500, stamp_ns=9, min_visibility=0.1)
    gone = {"LShoulder", "Neck", "RKnee", "LWrist", "LAnkle", "LSmallToe", "RSmallToe"}
    assert {KEYPOINT_NAMES[i] for i in np.flatnonzero(made.confidence == 0)} == gone
    assert (made.points_px[made.confidence == 0] == 0).all()
    assert keypoint(made.confidence, "Nose") == 1.0
    assert (made.width, made.height, made.stamp_ns) == (500, 500, 9)


def test_nobody():
    assert no_keypoints(640, 480, 3).visible == 0


def test_another_number_of_landmarks_is_refused():
    with pytest.raises(ValueError, match="33"):
        body25_from_landmarks(np.zeros((17, 2)), np.zeros(17))
