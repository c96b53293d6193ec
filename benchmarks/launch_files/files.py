"""Every launch file starts, works and ends with Ctrl-C."""

from __future__ import annotations

import time

from benchmarks.launch_files.case import Observer, Row, Work
from benchmarks.launch_files.install import Launch

LISTEN_S = 5.0


def files(work: Work) -> list[Row]:
    return [
        _run(work, "webcam.launch.py", {"source": str(work.clip)}, "camera_node"),
        _run(work, "replay.launch.py", {"video": str(work.clip)}, "camera_node"),
        _run(work, "view.launch.py", {"joint_sliders": "true"}, None),
    ]


def _run(work: Work, file: str, given: dict[str, str], last_node: str | None) -> Row:
    with Observer(work.install) as observer, Launch(work.install, file, given, work.folder / "file.log") as launch:
        if last_node:
            launch.wait_until_active(last_node)
        else:
            launch.wait_for(r"rviz2.*: (stand-in|Stereo is|OpenGl)")
        time.sleep(LISTEN_S)
        heard = observer.report()
        launch.interrupt()
        code, left = launch.exit_code(), launch.left()
    joints = sum(len(pairs) for topic, pairs in heard["messages"].items() if topic.endswith("joint_states"))
    frames = {child for pairs in heard["frames"].values() for _, child in pairs}
    what = f"{file} {' '.join(f'{name}:=...' if '/' in value else f'{name}:={value}' for name, value in given.items())}"
    heard_of = f"{joints} joint states in {LISTEN_S:.0f} s, {len(frames)} frames"
    measured = f"{heard_of}; exit code {code}, {len(left)} processes left"
    return Row(what, measured, "joint states, frames, none left", joints > 0 and len(frames) > 24 and not left)
