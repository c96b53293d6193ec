from __future__ import annotations

import numpy as np
import pytest

from diffmocap.camera.image_times import ImageTimes


def times(positions_s, period_s=0.1, **settings) -> list[float]:
    made = ImageTimes(period_s, positions_s[0], **settings)
    return [0.0, *(made.next(position) for position in positions_s[1:])]


@pytest.mark.parametrize("start_s", [0.0, 3.0, 1e6])
def test_distances_are_those_of_the_container(start_s):
    shown = np.array([0.0, 0.1, 0.3, 0.35, 2.0, 2.1])
    assert np.allclose(times(shown + start_s), shown, atol=1e-9)


def test_images_without_a_time_follow_at_the_usual_distance():
    assert np.allclose(times([0.5, 0.54, 0.58, 0.0, 0.66, 0.0, 0.0]), np.arange(7) * 0.04)


def test_a_file_without_times_has_a_constant_rate():
    assert np.allclose(times([0.0] * 6, period_s=0.05), np.arange(6) * 0.05)


def test_the_containers_tables_stand_in_for_a_backend_without_times():
    known = np.array([0.0, 0.1, 0.4, 0.5])
    assert np.allclose(times([0.0] * 5, known_s=known), [*known, 0.6])


def test_a_slip_rises_a_little_and_the_true_times_catch_up():
    made = times([0.0, 0.04, 0.08, 0.05, 0.16, 0.2])
    assert 0.08 < made[3] < 0.16 and np.allclose([made[i] for i in (2, 4, 5)], [0.08, 0.16, 0.2])


def test_a_recording_behind_another_goes_on():
    made = times([0.0, 0.04, 5.0, 5.04, 0.02, 0.06, 0.1])
    assert np.allclose(np.diff(made)[-3:], 0.04)
