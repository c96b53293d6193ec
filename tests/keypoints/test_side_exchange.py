"""Left stays left where the detector exchanges the sides for a moment, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.errors import SettingsError
from diffmocap.keypoints.settings import SideSettings
from diffmocap.keypoints.side_exchange import SideKeeper, reordered
from diffmocap.types import Keypoints2D

FRAME_NS = 33_333_333
MIRROR = np.array(KEYPOINT_MIRROR)
LEGS = np.array([name[1:] in ("Hip", "Knee", "Ankle", "BigToe", "SmallToe", "Heel") for name in KEYPOINT_NAMES])
SETTINGS = SideSettings(enabled=True)


def somebody(frame: int, turn_rad: float = 0.0, width: float = 60.0) -> Keypoints2D:
    """Keypoints of a stick figure 400 px tall that faces the camera and is turned about the vertical."""
    points = np.zeros((25, 2))
    heights = {"Eye": 20, "Ear": 22, "Shoulder": 80, "Elbow": 140, "Wrist": 190, "Hip": 200, "Knee": 300, "Ankle": 390,
               "BigToe": 400, "SmallToe": 400, "Heel": 395, "Nose": 25, "Neck": 80, "MidHip": 200}  # fmt: skip
    for i, name in enumerate(KEYPOINT_NAMES):
        side = {"L": 1.0, "R": -1.0}.get(name[0], 0.0) if name not in ("Neck", "MidHip", "Nose") else 0.0
        part = name if side == 0.0 else name[1:]
        out = {"Eye": 0.3, "Ear": 0.4, "Elbow": 1.4, "Wrist": 1.6}.get(part, 1.0)
        points[i] = 320 + side * out * width * np.cos(turn_rad), 50 + heights[part]
    noise = np.random.default_rng(frame).normal(0, 2, points.shape)
    confidence = np.full(25, 0.9, np.float32)
    return Keypoints2D((points + noise).astype(np.float32), confidence, 640, 480, frame * FRAME_NS)


def test_a_moments_exchange_is_undone():
    keeper = SideKeeper()
    for frame in range(40):
        seen = somebody(frame)
        given = reordered(seen, MIRROR) if 10 <= frame < 15 or frame == 30 else seen
        kept = keeper.keep(given, SETTINGS)
        assert np.allclose(kept.points_px, seen.points_px), frame


def test_parts_of_the_body_are_exchanged_on_their_own():
    keeper = SideKeeper()
    for frame in range(10):
        seen = somebody(frame)
        given = reordered(seen, np.where(LEGS, MIRROR, np.arange(25))) if frame == 9 else seen
        kept = keeper.keep(given, SETTINGS)
    assert np.allclose(kept.points_px, seen.points_px)


@pytest.mark.parametrize("frames", [15, 60])
def test_somebody_who_turns_round_is_left_alone(frames):
    """The sides do change place in the image, on their way through each other."""
    keeper = SideKeeper()
    for frame in range(frames):
        seen = somebody(frame, turn_rad=np.pi * frame / frames)
        assert keeper.keep(seen, SETTINGS) is seen, frame


def exchanged_for(agreed: int, insists: int) -> list[bool]:
    """Whether each of ``insists`` images, exchanged after ``agreed`` that are not, is put right."""
    keeper = SideKeeper()
    for frame in range(agreed):
        keeper.keep(somebody(frame), SETTINGS)
    kept = []
    for frame in range(agreed, agreed + insists):
        given = reordered(somebody(frame), MIRROR)
        kept.append(keeper.keep(given, SETTINGS) is not given)
    return kept


def test_a_detector_that_insists_is_believed_after_the_time_that_is_set():
    """Which takes as long as half of an endless past needs to fade."""
    kept = exchanged_for(agreed=300, insists=60)
    held = SETTINGS.hold_s / (FRAME_NS * 1e-9)
    assert kept.index(False) == pytest.approx(held, abs=2) and not any(kept[kept.index(False) :])


def test_what_the_detector_said_for_longer_is_believed():
    """A first second that was wrong for a few images is put right soon, one that was right is kept for long."""
    assert exchanged_for(agreed=4, insists=12).index(False) <= 5
    assert all(exchanged_for(agreed=30, insists=16))


def test_what_is_not_seen_agrees_with_nothing():
    """Legs that come into view exchanged are put right as soon as the detector has said otherwise for as long."""
    keeper = SideKeeper()
    for frame in range(100):
        seen = given = somebody(frame)
        if frame < 60:
            given = replace(seen, confidence=np.where(LEGS, 0.0, seen.confidence).astype(np.float32))
        elif frame < 66:
            given = reordered(seen, np.where(LEGS, MIRROR, np.arange(25)))
        kept = keeper.keep(given, SETTINGS)
        if frame >= 75:
            assert np.allclose(kept.points_px, seen.points_px), frame


def torn(seen: Keypoints2D, share: float) -> Keypoints2D:
    """Keypoints a ``share`` of the way to their counterparts."""
    points = (1 - share) * seen.points_px + share * seen.points_px[MIRROR]
    return replace(seen, points_px=points.astype(np.float32))


def test_parts_between_both_sides_stay_where_they_were_until_the_detector_has_decided():
    """As it does at 60 Hz before a man who is seen from the front."""
    keeper = SideKeeper()
    shares = [0.0] * 20 + [0.5, 0.3, 1.0, 0.6, 0.4, 1.0, 0.7, 1.0, 0.5, 0.0, 0.35, 0.0]
    for frame, share in enumerate(shares):
        seen = replace(somebody(frame), depth_m=np.ones(25, np.float32), stamp_ns=frame * FRAME_NS // 2)
        kept = keeper.keep(torn(seen, share), SETTINGS)
        assert np.allclose(kept.points_px, seen.points_px, atol=20.0), frame  # of 190 px from wrist to wrist
        between = 0.0 < share < 1.0
        assert (kept.confidence[LEGS] == (0.45 if between else 0.9)).all() or share == 1.0
        assert np.isnan(kept.depth_m[LEGS]).all() == (share > 0.0)


def test_images_between_both_sides_speak_for_neither():
    keeper = SideKeeper()
    for frame in range(10):
        keeper.keep(somebody(frame), SETTINGS)
    for frame in range(10, 14):
        keeper.keep(torn(somebody(frame), 0.5), SETTINGS)
    kept = []
    for frame in range(14, 40):
        given = torn(somebody(frame), 1.0)
        kept.append(keeper.keep(given, SETTINGS) is not given)
    assert 6 <= kept.index(False) <= 7  # as long as the detector had said otherwise


def test_a_camera_that_shakes_puts_nothing_between_the_sides():
    keeper = SideKeeper()
    for frame in range(20):
        seen = somebody(frame)
        seen = replace(seen, points_px=seen.points_px + np.float32([0.0, 35.0 * (frame % 2)]))
        assert keeper.keep(seen, SETTINGS) is seen, frame


def test_another_person_is_believed_at_once():
    """The middle between both sides has moved, too."""
    keeper = SideKeeper()
    for frame in range(10):
        keeper.keep(somebody(frame), SETTINGS)
    other = somebody(10, turn_rad=0.9)
    other = replace(other, points_px=other.points_px + np.float32([150.0, 0.0]))
    assert keeper.keep(other, SETTINGS) is other


def test_the_detector_is_believed_of_arms_and_legs_at_once():
    """Though the legs came into view later."""
    keeper = SideKeeper()
    both = []
    for frame in range(120):
        seen = somebody(frame)
        if frame < 30:
            seen = replace(seen, confidence=np.where(LEGS, 0.0, seen.confidence).astype(np.float32))
        given = reordered(seen, MIRROR) if frame >= 40 else seen
        kept = keeper.keep(given, SETTINGS)
        swapped = ~np.isclose(kept.points_px, given.points_px).all(1)
        both.append(bool(swapped[LEGS].all()) == bool(swapped[KEYPOINT_NAMES.index("LWrist")]))
    assert all(both) and not swapped.any()


def test_depths_of_other_parts_stay_where_one_part_is_exchanged():
    keeper = SideKeeper()
    for frame in range(6):
        keeper.keep(somebody(frame), SETTINGS)
    given = replace(reordered(somebody(6), np.where(LEGS, MIRROR, np.arange(25))), depth_m=np.ones(25, np.float32))
    kept = keeper.keep(given, SETTINGS)
    assert np.isnan(kept.depth_m[LEGS]).all() and (kept.depth_m[~LEGS] == 1).all()


def test_confidences_go_with_their_keypoints_and_depths_are_dropped():
    seen = somebody(6)
    confidence = np.linspace(0.5, 0.9, 25).astype(np.float32)
    depth_m = np.linspace(-1, 1, 25).astype(np.float32)
    seen = Keypoints2D(seen.points_px, confidence, 640, 480, seen.stamp_ns, depth_m)
    keeper = SideKeeper()
    for frame in range(6):
        keeper.keep(somebody(frame), SETTINGS)
    kept = keeper.keep(reordered(seen, MIRROR), SETTINGS)
    assert np.allclose(kept.confidence, confidence)
    assert np.isnan(kept.depth_m).all()


def test_what_was_seen_long_ago_says_nothing():
    keeper = SideKeeper()
    keeper.keep(somebody(0), SETTINGS)
    given = reordered(somebody(30), MIRROR)
    assert keeper.keep(given, SETTINGS) is given


def test_it_can_be_turned_off():
    keeper = SideKeeper()
    keeper.keep(somebody(0), SETTINGS)
    given = reordered(somebody(1), MIRROR)
    assert keeper.keep(given, SideSettings(enabled=False)) is given


@pytest.mark.parametrize("bad", [{"gain": 0.0}, {"hold_s": -1.0}, {"hold_s": float("nan")}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(SettingsError, match=next(iter(bad))):
        SideSettings(**bad)
