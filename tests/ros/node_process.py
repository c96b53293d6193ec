"""Nodes as processes of their own, forked from one that has imported and loaded what nodes need.

That takes a node up to four seconds of processor time, and there are dozens of them in these tests. All that
:func:`diffmocap.nodes.start.start` does is done in the process of the node. Nodes that the product itself starts
(``test_supervisor.py``, ``tests/cli``) begin with a fresh interpreter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.forked import forking_with


class NodeProcess:
    """The process of a node, which :class:`subprocess.Popen`'s names steer.

    Args:
        name: the node's executable. arguments: of its command line. environment: all of its variables.
        log_path: file that takes what it writes.
    """

    def __init__(self, name: str, arguments: Sequence[str], environment: dict[str, str], log_path: Path) -> None:
        # What is imported ahead is so in the environment of the first node: that of the tests, with ROS's.
        self._process = forking_with("tests.ros.preloaded").Process(
            target=_run, args=(name, list(arguments), environment, str(log_path)), name=name, daemon=False
        )
        log_path.touch()
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """:attr:`returncode`, as of now."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end; raises :class:`subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal where the process has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the process at once."""
        self.send_signal(signal.SIGKILL)


def _run(name: str, arguments: list[str], environment: dict[str, str], log_path: str) -> None:
    """In the new process: becomes the node."""
    os.environ.clear()
    os.environ.update(environment)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
        stream.reconfigure(write_through=True)
    os.close(log)
    sys.argv = [name, *arguments]
    from diffmocap.nodes.start import start

    os._exit(start(name))
