"""A node as a child process: its command line, its environment, its log."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmocap.graph.elements import PACKAGE, NodeProcess
from diffmocap.middleware.ros_environment import child_environment

LOG_TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class RunningNode:
    """A diffmocap node that runs in a process of its own and logs to ``<folder>/<name>.log``.

    Where the kernel can (Linux), the process ends with the thread that started it, so that a killed parent leaves
    nothing behind.

    Args:
        node: a resolved node of the graph.
        namespace: absolute ROS namespace, "/" for none.
        folder: for the log and the generated parameter file.
        params_file: the user's parameter file, where the node reads it.
        parameters: on top of it.
        log_level: least severe messages to log.
    """

    def __init__(
        self,
        node: NodeProcess,
        namespace: str,
        folder: Path,
        params_file: str | None,
        parameters: Mapping[str, Any],
        log_level: str,
    ) -> None:
        self.node = node
        self.name = node.name
        self.log_path = folder / f"{node.name}.log"
        self.log_path.write_bytes(b"")
        self._read_bytes = 0
        ros = ["-r", f"__node:={node.name}", "-r", f"__ns:={namespace}", "--log-level", log_level]
        if node.reads_params_file and params_file:
            ros += ["--params-file", params_file]
        if parameters:
            # By its full name, which rcl puts behind the wildcards of the user's file. JSON is YAML.
            path = folder / f"{node.name}.params.yaml"
            full_name = f"{namespace.rstrip('/')}/{node.name}"
            path.write_text(json.dumps({full_name: {"ros__parameters": dict(parameters)}}, indent=1))
            ros += ["--params-file", str(path)]
        for source, target in node.remappings:
            ros += ["-r", f"{source}:={target}"]
        starter = [sys.executable, "-m", f"{PACKAGE}.nodes.start", node.executable]
        self._command = [*starter, *node.arguments, "--ros-args", *ros]
        self.start()

    def start(self) -> None:
        """Starts the process; again, where the last one has ended. Its log goes on."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which ends its nodes in order
                umask=0o077,
                preexec_fn=_prepare_child,
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the log."""
        text = self.log_path.read_text(errors="replace").strip()
        return "\n".join(text.splitlines()[-lines:]) or "(it logged nothing)"

    def new_log_lines(self) -> list[str]:
        """The complete lines that were logged since the last call."""
        with self.log_path.open("rb") as log:
            log.seek(self._read_bytes)
            text = log.read()
        text = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(text)
        return text.decode(errors="replace").splitlines()


def _environment() -> dict[str, str]:
    environment = child_environment()
    # Poses come one at a time: threads of the linear algebra would only be in the other nodes' way.
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def _prepare_child() -> None:
    """Runs in the child: signals wait until the node can take them, and SIGTERM comes when the parent is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
