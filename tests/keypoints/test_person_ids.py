"""Numbers of people who are found one after the other."""

from __future__ import annotations

import numpy as np

from diffmocap.keypoints.body25 import no_keypoints
from diffmocap.keypoints.person_ids import PersonIds
from diffmocap.types import Keypoints2D

SHAPE = np.random.default_rng(2).uniform(0.0, 100.0, (25, 2)).astype(np.float32)


def person(left_px: float, stamp_s: float) -> Keypoints2D:
    return Keypoints2D(SHAPE + (left_px, 50.0), np.ones(25, np.float32), 640, 480, round(stamp_s * 1e9))


def nobody(stamp_s: float) -> Keypoints2D:
    return no_keypoints(640, 480, round(stamp_s * 1e9))


def test_a_number_lasts_while_the_person_does():
    ids = PersonIds()
    images = [
        (nobody(0.0), 0), (person(100, 0.1), 1), (person(300, 0.2), 1),  # followed, however fast
        (nobody(0.3), 0), (person(310, 0.4), 1),  # missed in one image
        (nobody(0.5), 0), (person(450, 0.6), 2),  # found where the last one was not
        (nobody(0.7), 0), (person(450, 1.2), 3),  # too late to be known again
        (person(450, 9.0), 3),
    ]  # fmt: skip
    assert [ids.numbered(keypoints).person_id for keypoints, _ in images] == [number for _, number in images]


def test_nothing_else_is_changed():
    given = person(100, 0.1)
    numbered = PersonIds().numbered(given)
    assert numbered.points_px is given.points_px and numbered.stamp_ns == given.stamp_ns
