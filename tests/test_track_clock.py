"""The law of the one clock: which stamps go on, are skipped or begin a track, and the time steps between."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from diffmocap.errors import SettingsError
from diffmocap.timing.stream_rate import GAP_INTERVALS, LONGEST_GAP_S
from diffmocap.timing.track_clock import ClockSettings, TrackClock

PACKAGE = Path(__file__).resolve().parents[1] / "diffmocap"
MS = 1_000_000
START, SKIP = "start", "skip"


def ticks(images, max_gap_s: float = 0.5, clock: TrackClock | None = None) -> list:
    """What the clock says of images ``(stamp [ms], whether a pose comes)``: START, SKIP or the step in ms."""
    clock, settings, said = clock or TrackClock(), ClockSettings(max_gap_s), []
    for stamp_ms, pose in images:
        tick = clock.tick(round(stamp_ms * MS), settings)
        if tick is None:
            said.append(SKIP)
            continue
        assert (tick.dt_s == 0.0) if tick.restarted else (tick.dt_s > 0.0)
        said.append(START if tick.restarted else pytest.approx(1e3 * tick.dt_s))
        if pose:
            clock.pose_came()
    return said


def seen(*stamps_ms: float) -> list:
    return [(stamp_ms, True) for stamp_ms in stamps_ms]


LAW = {
    "a stream goes on": (seen(0, 33, 66, 99), [START, 33, 33, 33]),
    "uneven stamps keep their steps": (seen(0, 20, 70, 71, 300), [START, 20, 50, 1, 229]),
    "a repeated stamp is skipped": (seen(100, 100, 133), [START, SKIP, 33]),
    "a late one is skipped, and steps count from the newest": (seen(100, 200, 150, 233), [START, 100, SKIP, 33]),
    "the gap itself is none": (seen(0, 33, 533), [START, 33, 500]),
    "a longer one ends the track": (seen(0, 33, 534), [START, 33, START]),
    "a jump back by the gap is late": (seen(1000, 500), [START, SKIP]),
    "a jump back by more begins anew": (seen(1000, 499, 532), [START, START, 33]),
    "what was skipped does not count": (seen(1000, 700, 1033, 600), [START, SKIP, 33, SKIP]),
    "images without a pose take time": ([(0, True), (33, False), (66, True)], [START, 33, 66]),
    "silence ends a track though images come": (
        [(0, True), *((100 * k, False) for k in range(1, 8)), (800, True), (900, True)],
        [START, 100, 200, 300, 400, 500, START, START, START, 100],
    ),
    "before the first pose anything may come": (
        [(100, False), (50, False), (100, False), (9000, True)], [START, START, START, START],
    ),
    "but no image twice": ([(100, False), (100, False), (100, True), (133, True)], [START, SKIP, SKIP, START]),
    "an older image counts where the newer one brought no pose": (
        [(0, True), (66, False), (33, True), (99, True)], [START, 66, 33, 66],
    ),
    "after the end of a track an old stamp is none": (
        [(0, True), (33, True), (700, False), (100, True), (133, True)], [START, 33, START, START, 33],
    ),
    "the gap follows a slow stream": (seen(0, 1000, 2000, 4000, 6501), [START, 1000, 1000, 2000, START]),
    "a jump back does not": (seen(0, 1000, 2000, 1499), [START, 1000, 1000, START]),
}  # fmt: skip


@pytest.mark.parametrize("name", LAW)
def test_the_law(name):
    images, expected = LAW[name]
    assert ticks(images) == expected


@pytest.mark.parametrize("max_gap_s, kept_ms, gap_ms", [(0.05, 50, 51), (0.2, 200, 201), (10.0, 10_000, 10_001)])
def test_the_gap_is_the_one_of_the_settings(max_gap_s, kept_ms, gap_ms):
    quick = [0, 10, 20]
    assert ticks(seen(*quick, 20 + kept_ms), max_gap_s)[-1] == kept_ms
    assert ticks(seen(*quick, 20 + gap_ms), max_gap_s)[-1] == START
    assert ticks(seen(90_000, 90_000 - kept_ms), max_gap_s)[-1] == SKIP
    assert ticks(seen(90_000, 90_000 - gap_ms), max_gap_s)[-1] == START


@pytest.mark.parametrize("rate_hz", [0.9, 1.0, 2.0, 4.0])
def test_a_slow_stream_is_one_track(rate_hz):
    period_ms = 1e3 / rate_hz
    said = ticks(seen(*(period_ms * np.arange(12))))
    assert said == [START] + [pytest.approx(period_ms)] * 11
    longest_ms = 1e3 * min(GAP_INTERVALS / rate_hz, LONGEST_GAP_S)
    for beyond_ms, expected in ((-1.0, pytest.approx(longest_ms - 1.0)), (1.0, START)):
        late = 11 * period_ms + longest_ms + beyond_ms
        assert ticks(seen(*(period_ms * np.arange(12)), late))[-1] == expected


def test_a_reset_ends_the_track_and_keeps_the_rate():
    clock = TrackClock()
    ticks(seen(0, 1000, 2000), clock=clock)
    clock.reset()
    assert ticks(seen(3000, 5000), clock=clock) == [START, 2000]


def random_images(seed: int, count: int = 300) -> list[tuple[int, bool]]:
    """Steps of all kinds, and images without a pose."""
    g = np.random.default_rng(seed)
    kinds = g.choice(5, count, p=[0.7, 0.1, 0.1, 0.05, 0.05])
    steps = np.select([kinds == k for k in range(5)], [
        g.integers(20, 50, count), 0, -g.integers(1, 200, count), g.integers(300, 2000, count),
        -g.integers(300, 5000, count),
    ])  # fmt: skip
    return [(int(t), bool(g.random() < 0.8)) for t in 10**6 + steps.cumsum()]


@pytest.mark.parametrize("seed", range(8))
def test_steps_of_a_track_add_up_to_the_time_between_its_poses(seed):
    images = random_images(seed)
    said = ticks(images)
    assert {START, SKIP} <= {s for s in said if isinstance(s, str)} and len({*map(str, said)}) > 20
    first_ms = last_ms = total_ms = image_ms = None
    for (stamp_ms, pose), step in zip(images, said, strict=True):
        if step == SKIP:
            assert stamp_ms == image_ms or last_ms - 500 <= stamp_ms <= last_ms
            continue
        image_ms = stamp_ms
        if step == START:
            assert last_ms is None or not last_ms - 500 <= stamp_ms <= last_ms + 500
            first_ms, last_ms, total_ms = (stamp_ms, stamp_ms, 0.0) if pose else (None, None, None)
        elif pose:
            last_ms, total_ms = stamp_ms, total_ms + step.expected
            assert total_ms == pytest.approx(last_ms - first_ms)


@pytest.mark.parametrize("shift_ms", [-900_000, 12_345, 10**12])
def test_only_differences_of_stamps_matter(shift_ms):
    images = random_images(3)
    assert ticks([(stamp_ms + shift_ms, pose) for stamp_ms, pose in images]) == [
        s if isinstance(s, str) else pytest.approx(s.expected) for s in ticks(images)
    ]


@pytest.mark.parametrize("bad", [0.0, -1.0, 61.0, float("nan")])
def test_a_gap_out_of_range_is_refused(bad):
    with pytest.raises(SettingsError, match="max_gap_s"):
        ClockSettings(bad)


def names(node: ast.AST, word: str) -> list[int]:
    """Lines below ``node`` where a name has the word in it."""
    found = []
    for child in ast.walk(node):
        said = [getattr(child, field, None) for field in ("id", "attr", "arg", "name")]
        found += [child.lineno for name in said if isinstance(name, str) and word in name]
    return found


def parsed(folder: str) -> dict[str, ast.Module]:
    return {str(p.relative_to(PACKAGE)): ast.parse(p.read_text()) for p in sorted((PACKAGE / folder).rglob("*.py"))}


def test_refinement_says_nothing_of_stamps():
    assert {path: names(tree, "stamp") for path, tree in parsed("refinement").items() if names(tree, "stamp")} == {}


def test_tracking_hands_stamps_on_and_reckons_with_none():
    reckoned = {
        path: node.lineno
        for path, tree in parsed("lifting").items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.BinOp, ast.Compare)) and names(node, "stamp")
    }
    assert reckoned == {}


def test_the_longest_gap_has_one_home():
    homes = {path for path, tree in parsed(".").items() if names(tree, "max_gap")}
    assert homes == {"timing/track_clock.py"}
