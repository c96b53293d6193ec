"""The comparison of two runtimes: what its figures mean, and that a worker answers."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from benchmarks.detector import runtimes
from benchmarks.detector.runtime_accuracy import difference


def detected(points_px, found):
    world = np.zeros((len(found), 33, 3))
    world[~np.array(found)] = np.nan
    confidence = np.where(np.array(found)[:, None], 1.0, 0.0) * np.ones(25)
    return {"points_px": points_px, "confidence": confidence, "world_m": world}


def test_runtimes_are_compared_where_both_see_somebody():
    old = detected(np.zeros((4, 25, 2)), [True, True, False, True])
    moved = np.zeros((4, 25, 2)) + [3.0, 4.0]
    new = detected(moved, [True, False, True, True])
    figures = difference(old, new)
    assert (figures["images"], figures["found_old"], figures["found_new"]) == (4, 3, 3)
    assert figures["median_px"] == figures["p99_px"] == pytest.approx(5.0)
    nobody = difference(old, detected(moved, [False] * 4))
    assert nobody["found_new"] == 0 and np.isnan(nobody["median_px"])


def test_a_pair_of_workers_is_timed_and_detects(repo_root, tmp_path):
    film = tmp_path / "film.avi"
    video = cv2.VideoCapture(str(repo_root / "media/demo.mp4"))
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 30, (640, 480))
    for _ in range(4):
        writer.write(video.read()[1])
    writer.release()
    runtime = runtimes.Runtime(repo_root, sys.executable)
    assert "pose_landmarker_full.task" in runtime.start["name"] and runtime.start["start_s"] > 0
    runtime.tell(do="load", film=str(film), count=3)
    timed = runtime.tell(do="time", images=5, period_s=0.01)
    assert len(timed["times_ms"]) == 5 and min(timed["times_ms"]) > 0 and timed["cpu_ms"] > 0
    assert runtime.tell(do="detect", film=str(film), out=str(tmp_path / "out.npz")) == {"images": 4, "found": 4}
    with np.load(tmp_path / "out.npz", allow_pickle=False) as data:
        assert data["points_px"].shape == (4, 25, 2) and np.isfinite(data["world_m"]).all()
    runtime.close()


def test_ratios_are_of_pairs():
    assert runtimes.quartiles({"old": [1.0, 10.0, 100.0], "new": [2.0, 20.0, 200.0]}) == [2.0, 2.0, 2.0]
