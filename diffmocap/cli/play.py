"""Runs a graph to its end for ``demo`` and ``live``: nodes up, everything recorded, progress shown, nodes down."""

from __future__ import annotations

import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from tqdm import tqdm

from diffmocap.cli.recording import Recording
from diffmocap.errors import SettingsError
from diffmocap.middleware.network import LOCAL, join_network

if TYPE_CHECKING:
    from diffmocap.cli.supervisor import Supervisor
    from diffmocap.graph.elements import Graph

#: Ports of higher domains overlap the system's ephemeral ports.
MAX_DOMAIN_ID = 101
#: A first start compiles for a minute, for more on a slow machine.
BRING_UP_TIMEOUT_S = 300.0
REFRESH_S = 0.2
MEMORY_PERIOD_S = 0.5
#: After the source's end: time for the last messages on their way.
SETTLE_S = 0.5
#: As in diffmocap.compiler, whose import would load torch.
COMPILING = "compiling the physics for this processor"
#: Of viewer_node, what its user waits for.
VIEWER_ADDRESS = "the viewer is at "
_LOUD = ("[WARN]", "[ERROR]", "[FATAL]")


@dataclass(frozen=True)
class Play:
    """What to run.

    Attributes:
        graph, arguments, parameters: as for the supervisor.
        log_folder: for a log file a node.
        frames: of the source, 0 where it has no end.
        duration_s: stop after this time from the first image; 0: at the source's end.
        domain_id: ROS domain; None keeps that of the environment.
        network: which computers the graph talks to.
        verbose: show all that the nodes log rather than their warnings.
    """

    graph: Graph
    arguments: Mapping[str, Any]
    log_folder: Path
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    frames: int = 0
    duration_s: float = 0.0
    domain_id: int | None = None
    network: str = LOCAL
    verbose: bool = False


def play(what: Play, recording: Recording) -> None:
    """Runs until the source ends, the time is over, or Ctrl-C (which is raised once the nodes have ended).

    Raises:
        SetupError: ROS 2 is not there.
        GraphError: a node failed; the message holds the end of its log.
    """
    from diffmocap.middleware.ros_environment import require_ros

    require_ros()
    if what.domain_id is not None:
        os.environ["ROS_DOMAIN_ID"] = str(what.domain_id)
    for remark in join_network(what.network):
        print(f"diffmocap: {remark}", file=sys.stderr)

    from diffmocap.cli.supervisor import Supervisor

    bar_format = "{desc}: {n_fmt}/{total_fmt} |{bar}| {elapsed}{postfix}"
    if not what.frames:
        bar_format = "{desc}: {n_fmt} frames in {elapsed}{postfix}"
    with tqdm(total=what.frames or None, unit="frame", desc="starting", bar_format=bar_format, file=sys.stderr,
              dynamic_ncols=True, mininterval=bar_interval_s()) as bar:  # fmt: skip
        log = NodeLog(bar.write, what.verbose, bar.set_description_str)
        recording.started_ns = time.time_ns()
        with Supervisor(what.graph, what.arguments, what.log_folder, what.parameters, log) as supervisor:
            try:
                with _monitor(recording, what.graph.values(what.arguments)["namespace"]):
                    supervisor.bring_up(BRING_UP_TIMEOUT_S, bar.set_description_str)
                    bar.set_description_str("running")
                    _spin_to_the_end(supervisor, recording, what, bar)
                    bar.set_description_str("done", refresh=False)
            except KeyboardInterrupt:
                recording.stopped = True
                bar.set_description_str("stopped", refresh=False)
                raise
            finally:
                log.muted = True  # log lines of nodes that are shutting down are of no use
                bar.n = recording.images
                bar.set_postfix_str(f"{recording.fps:.1f} poses/s" if recording.poses else "nobody seen")


class NodeLog:
    """Passes the nodes' warnings and errors on, with the lines that belong to them; all lines where ``verbose``.

    ``progress`` gets what a node says of long work at its start.
    """

    def __init__(
        self, write: Callable[..., None], verbose: bool, progress: Callable[[str], None] = lambda text: None
    ) -> None:
        self.muted = False
        self._write, self._verbose, self._progress = write, verbose, progress
        self._loud: dict[str, bool] = {}

    def __call__(self, node: str, line: str) -> None:
        if line.startswith("["):
            self._loud[node] = line.startswith(_LOUD)
            if COMPILING in line:
                self._progress(line[line.index(COMPILING) :])
        told = self._verbose or self._loud.get(node, True) or VIEWER_ADDRESS in line
        if not self.muted and told:
            self._write(f"{node}: {_without_time(line)}", file=sys.stderr)


def bar_interval_s() -> float:
    """Seconds between updates of a progress bar; long where the output goes to a log."""
    return REFRESH_S if sys.stderr.isatty() else 10.0


def free_domain_id() -> int:
    """A ROS domain that nobody on this machine uses."""
    for domain_id in random.SystemRandom().sample(range(1, MAX_DOMAIN_ID + 1), MAX_DOMAIN_ID):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", 7410 + 250 * domain_id))  # first participant's port in the RTPS standard
            except OSError:
                continue
            return domain_id
    raise SettingsError("all ROS domains are in use on this machine; end some graphs, or name one with --domain-id")


@contextmanager
def _monitor(recording: Recording, namespace: str) -> Iterator[None]:
    from diffmocap.cli.monitor import Monitor

    monitor = Monitor(recording, namespace)
    try:
        yield
    finally:
        monitor.close()


def _spin_to_the_end(supervisor: Supervisor, recording: Recording, what: Play, bar: tqdm) -> None:
    first_image_s = 0.0
    measured_s = 0.0
    end_s = float("inf")
    while (now_s := time.monotonic()) < end_s:
        supervisor.spin_once(REFRESH_S)
        if now_s - measured_s > MEMORY_PERIOD_S:
            recording.peak_rss_bytes = max(recording.peak_rss_bytes, _resident_bytes(supervisor.pids))
            measured_s = now_s
        if recording.images:
            first_image_s = first_image_s or now_s
            bar.set_postfix_str(_status(recording), refresh=False)
            bar.update(recording.images - bar.n)
        if what.duration_s and first_image_s and now_s - first_image_s >= what.duration_s:
            recording.stopped = True
            return
        if supervisor.finished and end_s == float("inf"):
            end_s = now_s + SETTLE_S


def _status(recording: Recording) -> str:
    """Rate and latency of the last second."""
    rate, latency_ms = recording.lately()
    if not recording.poses:
        text = "nobody seen yet"
    elif rate == 0.0:
        text = "nobody in view"
    else:
        text = f"{rate:.1f} poses/s, {latency_ms:.0f} ms"
    worst = max(recording.problems.values(), default=None)
    return f"{text} | {worst[1]}" if worst else text


def _resident_bytes(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            pass
    return total


def _without_time(line: str) -> str:
    """'[WARN] [1700000000.123] [camera_node]: text' without time and name."""
    if line.startswith(("[DEBUG]", "[INFO]", *_LOUD)) and "]: " in line:
        return f"{line[: line.index(']') + 1]} {line.split(']: ', 1)[1]}"
    return line
