"""Bring-up that fails: the exit code, what is left running, and the line that says why."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.launch_files.case import Row, Work
from benchmarks.launch_files.install import UP_TIMEOUT_S, Launch
from benchmarks.launch_files.stand_ins.prefix import make_prefix

#: When Ctrl-C comes, after the start [s].
INTERRUPTED_AFTER_S = (0.3, 1.0, 2.0, 4.0, 8.0)
ASKED_END_S = 2.0


@dataclass(frozen=True)
class Failure:
    """A launch that cannot work, with a word that its explanation has to hold."""

    what: str
    file: str
    arguments: dict[str, str] = field(default_factory=dict)
    word: str = ""
    variables: Callable[[Work], dict[str, str]] = lambda work: {}


def failures(work: Work) -> Iterator[Row]:
    yield _no_rviz(work)
    for failure in _failures(work):
        with Launch(
            work.install, failure.file, {"rviz": "false", **failure.arguments}, work.folder / "failure.log",
            failure.variables(work),
        ) as launch:  # fmt: skip
            code = launch.exit_code(UP_TIMEOUT_S)
            left = launch.left()
        lines = [line for line in launch.log.splitlines() if failure.word in line]
        told = f"“{_plain(lines[-1])}”" if lines else "not said"
        measured = f"exit code {code}, {len(left)} processes left; {told}"
        met = code not in (0, None) and not left and bool(lines) and "Traceback" not in launch.log
        yield Row(failure.what, measured, "not 0, none left, a clear line, no traceback", met)


def interruptions(work: Work) -> Iterator[Row]:
    given = {"video": str(work.clip), "on_end": "loop", "rviz": "false"}
    for after_s in (*INTERRUPTED_AFTER_S, None):
        with Launch(work.install, "replay.launch.py", given, work.folder / "interruption.log") as launch:
            if after_s is None:
                launch.wait_until_active("camera_node")
                time.sleep(2.0)
            else:
                time.sleep(after_s)
            started_s = time.monotonic()
            launch.interrupt()
            code = launch.exit_code()
            took_s = time.monotonic() - started_s
            left = launch.left()
        log = launch.log
        told = [name for name, text in (("escalation", "escalating"), ("traceback", "Traceback")) if text in log]
        measured = f"{took_s:.1f} s, exit code {code}, {len(left)} processes left, {' and '.join(told) or 'no word'}"
        when = "all nodes are active" if after_s is None else f"{after_s:g} s after the start"
        met = took_s < ASKED_END_S and not left and not told
        yield Row(f"Ctrl-C, {when}", measured, "2 s, none left, no escalation, no traceback", met)


def _failures(work: Work) -> list[Failure]:
    clip = {"video": str(work.clip)}
    damaged = work.folder / "damaged_bag"
    damaged.mkdir(exist_ok=True)
    (damaged / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 9}\n")
    unknown = _parameters(work.folder / "unknown.yaml", "pose_node", {"guidence": 1.0})
    broken = _parameters(work.folder / "broken.yaml", "pose_node", {"weights": "/nowhere/weights.safetensors"})
    replay = "replay.launch.py"
    return [
        Failure("source that cannot be opened, on_end:=exit", replay,
                {"video": "/nowhere/video.mp4", "on_end": "exit"}, "/nowhere/video.mp4"),
        Failure("bag that is not there", replay, {"bag": "/nowhere/bag"}, "/nowhere/bag"),
        Failure("bag that cannot be played", replay, {"bag": str(damaged)}, "bag play"),
        Failure("parameter file that is not there", replay, {**clip, "params_file": "/nowhere.yaml"}, "/nowhere.yaml"),
        Failure("unknown parameter name in the file", replay, {**clip, "params_file": str(unknown)}, "guidence"),
        Failure("a node that cannot be configured", replay, {**clip, "params_file": str(broken)}, "/nowhere/weights"),
        Failure("a node that dies before it is active", replay, clip, "before it was active", _without_torch),
        Failure("neither video nor bag", replay, {}, "video"),
        Failure("a package that is not installed", replay, clip, "tf2_ros", lambda work: _without(work, "tf2_ros")),
    ]  # fmt: skip


def _no_rviz(work: Work) -> Row:
    variables = _without(work, "rviz2")
    given = {"video": str(work.clip), "on_end": "exit"}
    with Launch(work.install, "replay.launch.py", given, work.folder / "no_rviz.log", variables) as launch:
        code = launch.exit_code(UP_TIMEOUT_S)
        left = launch.left()
    lines = [line for line in launch.log.splitlines() if "rviz2" in line]
    measured = f"exit code {code}, {len(left)} processes left; “{_plain(lines[0]) if lines else ''}”"
    return Row("no RViz installed", measured, "a warning, and the rest runs", code == 0 and not left and bool(lines))


def _without(work: Work, package: str) -> dict[str, str]:
    """The install without a package, where that comes from the stand-ins.

    Raises:
        SystemExit: it is really installed, and this machine's install is not ours to change.
    """
    environment = work.install.environment
    prefixes = environment["AMENT_PREFIX_PATH"].split(os.pathsep)
    marker = Path("share/ament_index/resource_index/packages", package)
    holding = [prefix for prefix in prefixes if (Path(prefix) / marker).exists()]
    if any(not (Path(prefix) / ".stand_ins").exists() for prefix in holding):
        raise SystemExit(f"{package} is installed; leave out the part `failures`, or run it where stand-ins are used")
    other = work.folder / f"without_{package}"
    make_prefix(other, [package])
    changes = {str(prefix): str(other) for prefix in holding}
    return {
        name: os.pathsep.join(_replaced(part, changes) for part in environment[name].split(os.pathsep))
        for name in ("AMENT_PREFIX_PATH", "PYTHONPATH")
    }


def _replaced(path: str, changes: dict[str, str]) -> str:
    return next((new + path[len(old) :] for old, new in changes.items() if path.startswith(old)), path)


def _without_torch(work: Work) -> dict[str, str]:
    """A torch that cannot be imported, as after a half-finished installation."""
    folder = work.folder / "no_torch"
    folder.mkdir(exist_ok=True)
    (folder / "torch.py").write_text('raise ImportError("libtorch.so: cannot open shared object file")\n')
    return {"PYTHONPATH": os.pathsep.join((str(folder), work.install.environment.get("PYTHONPATH", "")))}


def _parameters(file: Path, node: str, parameters: dict) -> Path:
    file.write_text(yaml.safe_dump({f"/**/{node}": {"ros__parameters": parameters}}))
    return file


def _plain(line: str) -> str:
    """A line of the log without what launch and the logger put before it, fit for a table."""
    text = line.split("]: ", 1)[-1].strip()
    return (text if len(text) < 180 else text[:177] + "...").replace("|", "\\|")
