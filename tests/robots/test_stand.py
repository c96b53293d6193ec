"""What a stand tells: tilts, leans, floors and headings that are known come out as they were put in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.robots.live.engagement_settings import EngagementSettings
from diffmocap.robots.live.stand import StandWatch, stand_of
from tests.robots.standing_person import Person, moved

SETTINGS = EngagementSettings()
ANKLES = [JOINT_NAMES.index("left_ankle"), JOINT_NAMES.index("right_ankle")]
NATURAL = math.atan2(0.0396, 0.4672)  #: of the shipped body in the zero pose
NECK, PELVIS = JOINT_NAMES.index("neck"), JOINT_NAMES.index("pelvis")


@pytest.fixture(scope="module")
def person() -> Person:
    return Person()


def watched(frames, step_s: float = 1 / 30, settings: EngagementSettings = SETTINGS) -> StandWatch:
    watch = StandWatch(settings)
    for n, frame in enumerate(frames):
        watch.observe(frame, n * step_s)
    return watch


def upright(frame) -> float:
    """Angle of the torso to the vertical beyond that of somebody who stands [rad]."""
    torso = frame.positions[NECK] - frame.positions[PELVIS]
    return math.acos(torso[2] / np.linalg.norm(torso)) - NATURAL


def leaning(frame) -> float:
    """Angle of the pelvis' upward axis to the vertical [rad]."""
    return math.acos(frame.rotations[PELVIS][2, 1])


def test_two_seconds_make_a_stand(person) -> None:
    assert watched([person.frame()] * 60).stand is None
    assert watched([person.frame()] * 62).stand is not None


def test_a_changed_setting_counts_at_once(person) -> None:
    watch = StandWatch(replace(SETTINGS, stand_time=0.5))
    watch.settings = replace(SETTINGS, stand_time=3.0)
    for n in range(60):
        watch.observe(person.frame(), n / 30)
    assert watch.stand is None and "of 3 s" in watch.wrong


def test_the_stage_begins_where_the_person_stood_whatever_the_camera(person) -> None:
    """A tilted camera, some heading, some place, a floor that is not z = 0: the stage is the same."""
    expected = watched([person.frame()] * 62).stand.corrected(person.frame())
    rotation = Rotation.from_euler("zyx", (2.0, 0.3, -0.2)).as_matrix()
    seen = moved(person.frame(yaw=0.7, place=(1.0, 2.0)), rotation, np.array([0.4, 3.0, 1.1]))
    stand = watched([seen] * 62).stand
    found = stand.corrected(seen)
    assert np.allclose(found.positions, expected.positions, atol=1e-6)
    assert np.allclose(found.rotations, expected.rotations, atol=1e-6)
    assert stand.tilt == pytest.approx(math.acos(rotation[2, 2]), abs=2e-3)
    # x forward, floor at z = 0, origin below the pelvis.
    assert found.positions[ANKLES, 2] == pytest.approx([0.0726] * 2, abs=2e-3)
    assert np.allclose(found.positions[PELVIS, :2], 0.0, atol=1e-9)
    assert found.rotations[PELVIS][:, 2] @ [1.0, 0.0, 0.0] > 0.99


@pytest.mark.parametrize("lean", [-0.15, 0.1, 0.3])
def test_a_torso_that_leans_in_the_stand_is_upright_then_and_bends_as_the_person_does(person, lean) -> None:
    """The camera's model leans all poses by the same: what is left is what the person does beyond it."""
    settings = EngagementSettings(stand_lean=0.6)

    def posed(bend: float, yaw: float = 0.4):
        # A pelvis that leans with its torso, over legs that stand.
        turned = {"pelvis": (lean + bend, 0.0, 0.0)}
        legs = {f"{side}_hip": (-lean - bend, 0.0, 0.0) for side in ("left", "right")}
        return person.frame(turned | legs, yaw)

    straight = watched([person.frame(yaw=0.4)] * 62, settings=settings).stand.corrected(person.frame(yaw=0.4))
    stand = watched([posed(0.0)] * 62, settings=settings).stand
    standing = stand.corrected(posed(0.0))
    assert abs(upright(standing)) < 1e-3 and leaning(standing) < 2e-3
    assert np.allclose(standing.positions[NECK], straight.positions[NECK], atol=0.03)
    assert stand.lean == pytest.approx(lean, abs=2e-3)
    for bend, yaw in ((0.5, 0.4), (0.5, 1.5), (-0.2, -2.0)):
        bent = stand.corrected(posed(bend, yaw))
        assert leaning(bent) == pytest.approx(abs(bend), abs=2e-3)
    assert np.allclose(bent.rotations[NECK] @ bent.rotations[NECK].T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize(
    "turns, words",
    [
        ({"left_knee": (1.2, 0.0, 0.0)}, "a knee is bent"),
        ({"pelvis": (0.9, 0.0, 0.0), "left_hip": (-0.9, 0, 0), "right_hip": (-0.9, 0, 0)}, "torso leans by"),
        ({"pelvis": (0.7, 0.0, 0.0)}, "legs lean by"),
    ],
)
def test_who_does_not_stand_upright_is_told(person, turns, words) -> None:
    watch = watched([person.frame(turns)] * 70)
    assert watch.stand is None and words in watch.wrong


def test_who_moves_begins_anew(person) -> None:
    still, waving = person.frame(), person.frame({"left_elbow": (0.0, -0.8, 0.0)})
    watch = watched([still] * 55 + [waving])
    assert "left wrist moved" in watch.wrong and watch.share == 0.0
    assert watched([still] * 55 + [waving] + [still] * 55).stand is None
    walked = [person.frame(place=(0.01 * n, 0.0)) for n in range(62)]
    assert watched(walked).stand is None
    assert watched([still] * 30 + walked[:10]).stand is None


def test_noise_of_a_stand_is_averaged(person) -> None:
    """Depth of one view trembles by centimetres: the mean of two seconds does not."""
    g = np.random.default_rng(7)
    clean = person.frame()
    frames = [moved(clean, np.eye(3), g.normal(0.0, 0.02, 3)) for _ in range(62)]
    stand, exact = stand_of(frames), stand_of([clean])
    assert np.linalg.norm(stand.translation - exact.translation) < 0.01
    assert np.allclose(stand.rotation, exact.rotation, atol=1e-9)
