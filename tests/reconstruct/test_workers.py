"""Several workers write what one writes, and one that dies loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import psutil
import pytest

from diffmocap.cli.main import main
from diffmocap.reconstruct.outcome import Outcome
from diffmocap.reconstruct.workers import ATTEMPTS, outcomes_of

FAST = ["--no-physics", "--fov", "50", "--json"]


class Scripted:
    """A worker that dies when its script says so."""

    def __init__(self, deaths: dict[str, int]) -> None:
        self.deaths, self.begun, self.restarts, self.closed = deaths, [], 0, False

    def submit(self, video: str, name: str) -> Future[Outcome]:
        self.begun.append(video)
        future: Future[Outcome] = Future()
        if self.deaths.get(video, 0) > 0:
            self.deaths[video] -= 1
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(Outcome(video, [name]))
        return future

    def lost(self, error: BaseException) -> bool:
        return isinstance(error, BrokenProcessPool)

    def restart(self) -> None:
        self.restarts += 1

    def close(self) -> None:
        self.closed = True


def test_a_video_whose_worker_dies_is_begun_anew_and_not_for_ever():
    deaths = {"a": ATTEMPTS - 1, "b": ATTEMPTS}
    workers = [Scripted(deaths), Scripted(deaths)]
    found = {o.video: o for o in outcomes_of([("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")], workers)}
    assert {v: o.files for v, o in found.items()} == {"a": ["A"], "b": [], "c": ["C"], "d": ["D"]}
    assert "died" in found["b"].error and not found["a"].error
    assert sum(w.restarts for w in workers) == 2 * ATTEMPTS - 1
    assert sorted(workers[0].begun + workers[1].begun).count("a") == ATTEMPTS
    assert all(w.closed for w in workers)


def test_another_error_ends_all_and_closes_the_workers():
    worker = Scripted({})
    worker.submit = lambda video, name: _failed(ZeroDivisionError("a defect"))
    with pytest.raises(ZeroDivisionError, match="a defect"):
        list(outcomes_of([("a", "A")], [worker]))
    assert worker.closed


def _failed(error: Exception) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_exception(error)
    return future


@pytest.fixture(scope="module")
def videos(demo_clip, tmp_path_factory) -> Path:
    """A folder of three videos of 16 images, and a file that is none."""
    folder = tmp_path_factory.mktemp("videos")
    source = cv2.VideoCapture(str(demo_clip))
    for name in ("one", "two", "three"):
        writer = cv2.VideoWriter(str(folder / f"{name}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (640, 480))
        for _ in range(16):
            writer.write(source.read()[1])
        writer.release()
    (folder / "notes.txt").write_text("no video")
    (folder / "broken.mp4").write_bytes(b"no video, either")
    return folder


@pytest.fixture(scope="module")
def serial(videos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("serial")
    assert main(["reconstruct", str(videos), "--out", str(out), *FAST]) == 1  # one is broken
    return out


def same(one: Path, other: Path) -> bool:
    names = sorted(p.name for p in one.iterdir() if not p.name.startswith("."))
    return names == ["one.npz", "three.npz", "two.npz"] and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names
    )


def test_two_workers_write_the_same_files_as_one_though_one_is_killed(videos, serial, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmocap.cli.main", "reconstruct", str(videos), "--out", str(tmp_path), "--jobs", "2",
         *FAST], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    workers = _wait_for(lambda: [p for p in psutil.Process(process.pid).children() if "spawn_main" in str(p.cmdline())])
    workers[0].kill()
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stderr  # for the broken one alone
    results = json.loads(stdout.splitlines()[-1])["results"]
    assert {Path(r["video"]).name: bool(r.get("error")) for r in results} == {
        "broken.mp4": True, "one.mp4": False, "three.mp4": False, "two.mp4": False,
    }  # fmt: skip
    assert same(serial, tmp_path)


def test_an_interrupt_ends_the_workers(videos, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmocap.cli.main", "reconstruct", str(videos), "--out", str(tmp_path), "--jobs", "2",
         *FAST], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background has it ignored
    )  # fmt: skip
    workers = _wait_for(lambda: [p for p in psutil.Process(process.pid).children() if "spawn_main" in str(p.cmdline())])
    os.kill(process.pid, signal.SIGINT)  # to it alone
    assert process.wait(60) == 130
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


def _wait_for(found, seconds: float = 60.0):
    for _ in range(round(seconds / 0.05)):
        if result := found():
            return result
        time.sleep(0.05)
    pytest.fail("nothing came in time")


def test_workers_end_with_who_began_them(videos, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmocap.cli.main", "reconstruct", str(videos), "--out", str(tmp_path), "--jobs", "2",
         *FAST], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    workers = _wait_for(lambda: [p for p in psutil.Process(process.pid).children() if "spawn_main" in str(p.cmdline())])
    process.kill()
    process.wait()
    assert not psutil.wait_procs(workers, timeout=60.0)[1]


def test_a_video_that_cannot_be_written_leaves_the_others(videos, tmp_path, capsys):
    long = tmp_path / f"{'n' * 244}.mp4"
    long.write_bytes((videos / "one.mp4").read_bytes())
    assert main(["reconstruct", str(long), str(videos / "two.mp4"), "--out", str(tmp_path / "out"), *FAST]) == 1
    results = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert "too long" in results[0]["error"] and Path(results[1]["files"][0]).is_file()


def test_a_motion_is_kept_where_another_format_cannot_be_made(videos, tmp_path, capsys):
    command = ["reconstruct", str(videos / "one.mp4"), "--out", str(tmp_path), "--format", "grf", "bvh", *FAST]
    assert main(command) == 1
    said = capsys.readouterr()
    (result,) = json.loads(said.out.splitlines()[-1])["results"]
    assert Path(result["files"][0]).is_file() and (tmp_path / "one.bvh").is_file()
    assert "one.grf.mot was not made" in result["not_exported"][0] and "one.grf.mot was not made" in said.err


def test_a_number_of_jobs_that_is_none_is_refused(videos, tmp_path, capsys):
    assert main(["reconstruct", str(videos), "--out", str(tmp_path), "--jobs", "0"]) == 1
    assert "--jobs must be at least 1" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_told(videos, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["reconstruct", str(videos), "--out", str(tmp_path), "--ray", "auto"]) == 1
    assert "pip install ray" in capsys.readouterr().err


@pytest.fixture
def cluster(monkeypatch):
    """A Ray cluster of two processes on the loopback interface."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )  # fmt: skip
    yield ray
    ray.shutdown()


def test_a_cluster_writes_the_same_files_though_a_worker_is_killed(cluster, videos, serial, tmp_path, monkeypatch):
    from diffmocap.reconstruct import ray_workers

    begun = []
    submit = ray_workers.RayWorker.submit

    def killing(self, video, name):
        future = submit(self, video, name)
        begun.append(video)
        if len(begun) == 1:
            cluster.kill(self._actor)
        return future

    monkeypatch.setattr(ray_workers.RayWorker, "submit", killing)
    address = cluster.get_runtime_context().gcs_address
    assert main(["reconstruct", str(videos), "--out", str(tmp_path), "--ray", address, *FAST]) == 1
    assert len(begun) == 5 and begun.count(begun[0]) == 2
    assert same(serial, tmp_path)
