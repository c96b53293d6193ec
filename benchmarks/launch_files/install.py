"""A ROS 2 install with diffmocap in it, and what runs under it: launches, with every process that they leave."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: In the environment of everything that a launch starts, so that what it leaves behind is found.
MARK = "DIFFMOCAP_LAUNCH_BENCHMARK"
#: A machine that is busy with other things takes many times as long as an idle one.
UP_TIMEOUT_S, END_TIMEOUT_S = 300.0, 40.0


@dataclass(frozen=True)
class Install:
    """The environment of a shell in which ``PREFIX/setup.bash`` was sourced.

    Attributes:
        name: of the distribution.
        prefix: where colcon installed diffmocap; its setup.bash sources ROS 2 too.
        environment: of processes that are started by hand in that shell.
    """

    name: str
    prefix: Path
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def sourced(cls, prefix: Path, only_this_machine: bool, logs: Path) -> Install:
        """Source ``prefix/setup.bash`` in a clean shell.

        Args:
            prefix: of the install.
            only_this_machine: limit discovery for what is started by hand; not needed in a network namespace.
            logs: folder for the logs of ROS 2.
        """
        script = prefix / "setup.bash"
        if not script.is_file():
            raise SystemExit(f"there is no {script}: name the folder that colcon installed into")
        clean = {name: os.environ[name] for name in ("HOME", "USER", "LANG", "TERM") if name in os.environ}
        clean |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "ROS_LOG_DIR": str(logs)}
        command = ["bash", "-c", 'source "$1" >&2 && exec env -0', "bash", str(script)]
        result = subprocess.run(command, env=clean, capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(f"{script} cannot be sourced:\n{result.stderr}")
        pairs = (entry.partition("=") for entry in result.stdout.split("\0") if entry)
        environment = {name: value for name, _, value in pairs}
        if only_this_machine:
            environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        return cls(environment.get("ROS_DISTRO", prefix.name), prefix, environment)

    def python(self, *arguments: str, variables: Mapping[str, str] | None = None, **options) -> subprocess.Popen:
        """A Python of that shell, with ``stdin`` and ``stdout`` as pipes of text."""
        environment = {**self.environment, **(variables or {})}
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True} | options
        return subprocess.Popen(["python3", *arguments], env=environment, **options)


def _take_interrupts() -> None:
    """A shell ignores SIGINT for what it runs in the background, and so would every process of the launch."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Launch:
    """One ``ros2 launch diffmocap FILE ...``; ends with all that it started when the context is left."""

    def __init__(
        self, install: Install, file: str, arguments: Mapping[str, str], log: Path,
        variables: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.mark = uuid.uuid4().hex
        self.log_path = log
        words = [f"{name}:={value}" for name, value in arguments.items()]
        self.command = ["ros2", "launch", "diffmocap", file, *words]
        environment = {**install.environment, **(variables or {}), MARK: self.mark, "PYTHONUNBUFFERED": "1"}
        with log.open("w") as sink:
            self._process = subprocess.Popen(
                self.command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=_take_interrupts,
            )  # fmt: skip

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *_) -> None:
        for number, patience_s in ((signal.SIGINT, END_TIMEOUT_S), (signal.SIGKILL, 10.0)):
            if self.processes():
                self.interrupt(number)
                self._wait_until(lambda: not self.processes(), patience_s)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self._process.wait(10.0)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for(self, pattern: str, timeout_s: float = UP_TIMEOUT_S) -> None:
        """Waits until the log matches.

        Raises:
            RuntimeError: it never did, or the launch ended before; with the log's end.
        """
        found = self._wait_until(
            lambda: re.search(pattern, self.log) or self._process.poll() is not None, timeout_s, 0.1
        )
        if not found or not re.search(pattern, self.log):
            tail = "\n".join(self.log.splitlines()[-25:])
            raise RuntimeError(f"{' '.join(self.command)} never logged '{pattern}'; its log ends with\n{tail}")

    def wait_until_active(self, *nodes: str) -> None:
        """Waits until these nodes are active."""
        for node in nodes:
            self.wait_for(rf"/{node} is active")

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """A signal to the whole group, as a terminal sends on Ctrl-C."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass

    def exit_code(self, timeout_s: float = END_TIMEOUT_S) -> int | None:
        """The exit code, None where it still runs after that time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def processes(self) -> dict[int, str]:
        """What still lives of all that was started: process id and command line."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if command:  # else it has ended and waits to be collected
                found[int(folder.name)] = command
        return found

    def left(self, patience_s: float = 5.0) -> Sequence[str]:
        """What the launch has left behind, once it was given some time."""
        self._wait_until(lambda: not self.processes(), patience_s)
        return list(self.processes().values())

    def pid_of(self, node: str) -> int:
        """The process of one of our nodes."""
        pattern = re.compile(rf"python3? \S*/{node} ")
        (pid,) = [pid for pid, command in self.processes().items() if pattern.search(command)]
        return pid

    @staticmethod
    def _wait_until(condition, timeout_s: float, step_s: float = 0.05):
        give_up_s = time.monotonic() + timeout_s
        while not (result := condition()) and time.monotonic() < give_up_s:
            time.sleep(step_s)
        return result
