"""A node that is killed comes back: with respawn:=true joint states flow again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.launch_files.case import Observer, Row, Work
from benchmarks.launch_files.install import Launch

NODES = ("pose_node", "keypoint_node", "camera_node")
ASKED_S = 10.0
GIVE_UP_S = 90.0


def recovery(work: Work) -> Iterator[Row]:
    """One row for each node that is killed: seconds until joint states flow again; then one for Ctrl-C."""
    given = {"video": str(work.clip), "on_end": "loop", "rviz": "false", "respawn": "true"}
    log = work.folder / "recovery.log"
    with Observer(work.install) as observer, Launch(work.install, "replay.launch.py", given, log) as launch:
        launch.wait_until_active("camera_node")
        _next_joint_states(observer, time.monotonic())
        for node in NODES:
            before = _segments()
            pid = launch.pid_of(node)
            killed_s = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)  # what was under way still arrives
            came_s = _next_joint_states(observer, time.monotonic())
            took = f"{came_s - killed_s:.1f} s" if came_s else f"not within {GIVE_UP_S:.0f} s"
            time.sleep(2.0)
            added = len(_segments()) - len(before)
            measured = f"joint states after {took}; segments in shared memory {added:+d}"
            met = came_s is not None and came_s - killed_s <= ASKED_S
            yield Row(f"kill -9 of {node}", measured, f"within {ASKED_S:.0f} s", met)
        launch.interrupt()
        code, left = launch.exit_code(), launch.left()
    yield Row("Ctrl-C afterwards", f"exit code {code}, {len(left)} processes left", "none left", not left)


def _next_joint_states(observer: Observer, after_s: float) -> float | None:
    """When the first joint states came after that time (monotonic); None where none came."""
    give_up_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up_s:
        for topic, pairs in observer.report()["messages"].items():
            if topic.endswith("joint_states") and (later := [s for s, _ in pairs if s > after_s]):
                return later[0]
        time.sleep(0.1)
    return None


def _segments() -> list[Path]:
    return [path for path in Path("/dev/shm").glob("fast*_*") if not path.name.endswith(("_el", "_sl"))]
