"""Images that never came are counted by their stamps, and late ones are not taken for missing."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.camera.missing_images import RECENT_S, MissingImages


def count(times_s: np.ndarray) -> MissingImages:
    images = MissingImages()
    for time_s in times_s:
        images.see(round(time_s * 1e9))
    return images


def regular(images: int, rate_hz: float) -> np.ndarray:
    return 1_700_000_000.0 + np.arange(images) / rate_hz


@pytest.mark.parametrize("rate_hz", [1.0, 14.985, 30.0, 120.0])
def test_nothing_is_missing_in_a_regular_stream(rate_hz: float) -> None:
    assert count(regular(600, rate_hz)).total == 0


@pytest.mark.parametrize("rate_hz, lost_share", [(30.0, 0.01), (30.0, 0.2), (60.0, 0.5), (30.0, 0.84)])
def test_lost_images_are_counted(rate_hz: float, lost_share: float) -> None:
    random = np.random.default_rng(3)
    kept = random.random(1500) >= lost_share
    kept[:20] = kept[-20:] = True
    found = count(regular(1500, rate_hz)[kept]).total
    assert found == pytest.approx(np.sum(~kept), rel=0.05, abs=1)


def test_lost_images_are_counted_where_a_busy_machine_stamps_them() -> None:
    random = np.random.default_rng(7)
    times_s = regular(1500, 30.0) + random.exponential(0.003, 1500)
    kept = random.random(1500) >= 0.7
    assert count(np.sort(times_s[kept])).total == pytest.approx(np.sum(~kept), rel=0.2)


def test_jitter_and_images_that_come_late_are_not_missing() -> None:
    random = np.random.default_rng(4)
    times_s = regular(1500, 30.0) + random.normal(0.0, 0.002, 1500)
    times_s[random.random(1500) < 0.03] += 0.04  # a busy machine read these late, and the next ones in time
    assert count(np.sort(times_s)).total == 0


def test_a_camera_that_drops_to_half_its_rate_is_one_with_half_the_rate() -> None:
    times_s = np.concatenate([regular(300, 30.0), regular(300, 30.0)[-1] + np.arange(1, 301) / 15.0])
    images = MissingImages()
    counts = [images.see(round(t * 1e9)) for t in times_s]
    assert sum(counts[:300]) == 0 and sum(counts[-150:]) == 0


def test_a_variable_rate_and_stamps_without_a_clock_are_not_judged() -> None:
    gaps_s = np.random.default_rng(5).uniform(0.01, 0.1, 500)
    assert count(1e9 + np.cumsum(gaps_s)).total == 0
    assert count(np.zeros(100)).total == 0


def test_a_pause_and_a_source_that_begins_anew_lose_nothing() -> None:
    first = regular(100, 30.0)
    assert count(np.concatenate([first, first + 60.0, first])).total == 0


def test_recent_counts_forget() -> None:
    times_s = regular(1200, 30.0)
    kept = np.ones(1200, bool)
    kept[[400, 401, 420]] = False
    assert count(times_s[:700][kept[:700]]).recent == (3, pytest.approx(RECENT_S * 30.0, abs=2))
    assert count(times_s[kept]).recent == (0, pytest.approx(RECENT_S * 30.0, abs=2))
