"""Single keypoints that leap for one image count as missing; motion, cuts and what stays do not."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.errors import SettingsError
from diffmocap.keypoints.keypoint_outliers import KeypointOutliers, KeypointOutlierSettings
from diffmocap.types import Keypoints2D

WRIST = 4
SETTINGS = KeypointOutlierSettings()


def person(i: int, leap_px: float = 0.0, of=(WRIST,), rate_hz: float = 30.0) -> Keypoints2D:
    """300 px high, walking to the right at 200 px/s, a wrist that swings fast."""
    points = np.random.default_rng(0).uniform(100.0, 400.0, (25, 2))
    points[:, 0] += 200.0 * i / rate_hz
    points[WRIST, 1] += 60.0 * np.sin(12.0 * i / rate_hz)
    points[list(of), 0] += leap_px
    return Keypoints2D(points.astype(np.float32), np.ones(25, np.float32), 640, 480, round(i * 1e9 / rate_hz))


def missing(images, settings=SETTINGS) -> list[list[int]]:
    outliers = KeypointOutliers()
    return [np.flatnonzero(outliers.without(k, settings).confidence == 0).tolist() for k in images]


def test_a_slip_of_one_image_is_left_out_alone():
    found = missing([person(i, 120.0 if i == 6 else 0.0) for i in range(12)])
    assert found == [[WRIST] if i == 6 else [] for i in range(12)]


def test_what_stays_is_believed_one_image_later():
    assert missing([person(i, 120.0 if i >= 6 else 0.0) for i in range(12)]) == [
        [WRIST] if i == 6 else [] for i in range(12)
    ]


@pytest.mark.parametrize("rate_hz", [15.0, 30.0, 60.0])
def test_motion_loses_nothing(rate_hz):
    assert not any(missing([person(i, rate_hz=rate_hz) for i in range(40)]))


def test_who_leaps_as_a_whole_is_believed():
    """A cut, or an exchange of sides: that is not one keypoint's slip."""
    assert not any(missing([person(i, 300.0 if i == 6 else 0.0, range(25)) for i in range(12)]))
    assert not any(missing([person(i, 300.0 if i == 6 else 0.0, range(5)) for i in range(12)]))
    assert not any(missing([person(i, 300.0 if i == 6 else 0.0, (WRIST, 7)) for i in range(12)]))


def test_it_can_be_turned_off_and_forgets():
    images = [person(i, 120.0 if i == 6 else 0.0) for i in range(12)]
    assert not any(missing(images, KeypointOutlierSettings(0.0)))
    outliers = KeypointOutliers()
    outliers.without(images[5], SETTINGS)
    outliers.reset()
    assert outliers.without(images[6], SETTINGS) is images[6]
    with pytest.raises(SettingsError):
        KeypointOutlierSettings(-1.0)
