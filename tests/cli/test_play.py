"""Running a graph: what of its logs is shown, and which ROS domain it gets."""

from __future__ import annotations

import os
import socket
import sys
from types import SimpleNamespace

import pytest

from diffmocap.cli.play import COMPILING, NodeLog, Play, free_domain_id, play
from diffmocap.cli.recording import Recording
from diffmocap.graph.elements import Graph


@pytest.fixture
def shown() -> list[str]:
    return []


def log_lines(shown: list[str], verbose: bool) -> NodeLog:
    log = NodeLog(lambda text, file: shown.append(text), verbose)
    for line in (
        "[INFO] [1700000000.1] [pose_node]: loaded",
        "[ERROR] [1700000000.2] [pose_node]: failed:",
        "  because of this",
        "[INFO] [1700000000.3] [pose_node]: goes on",
        "  as before",
    ):
        log("pose_node", line)
    return log


def test_warnings_are_shown_whole_and_without_their_time(shown):
    log_lines(shown, verbose=False)
    assert shown == ["pose_node: [ERROR] failed:", "pose_node:   because of this"]


def test_verbose_shows_everything(shown):
    log_lines(shown, verbose=True)
    assert len(shown) == 5 and shown[0] == "pose_node: [INFO] loaded"


def test_what_a_node_says_of_compiling_is_shown_as_progress(shown):
    progress: list[str] = []
    log = NodeLog(lambda text, file: shown.append(text), verbose=False, progress=progress.append)
    log("pose_node", f"[INFO] [1700000000.1] [pose_node]: {COMPILING}: 12 functions in 30 s")
    log("pose_node", "[INFO] [1700000000.2] [pose_node]: loaded")
    assert progress == [f"{COMPILING}: 12 functions in 30 s"] and shown == []


def test_lines_without_a_level_are_shown_until_one_comes(shown):
    """A Python that cannot start says so on its own."""
    NodeLog(lambda text, file: shown.append(text), verbose=False)("pose_node", "ModuleNotFoundError: No module")
    assert shown == ["pose_node: ModuleNotFoundError: No module"]


def test_nodes_that_are_being_ended_are_not_listened_to(shown):
    log = log_lines(shown, verbose=True)
    shown.clear()
    log.muted = True
    log("camera_node", "[ERROR] [1700000000.4] [camera_node]: the context is invalid")
    assert shown == []


def test_a_free_domain_is_free():
    taken = set()
    for _ in range(20):
        domain_id = free_domain_id()
        assert 1 <= domain_id <= 101
        taken.add(domain_id)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 7410 + 250 * domain_id))
    assert len(taken) > 5, "runs that start together get different ones"


def test_the_diagnostics_of_another_graph_in_the_domain_are_not_this_ones(ros_env):
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

    from diffmocap.cli.monitor import Monitor

    for namespace, own in (("alice", "alice/pose_node"), ("/", "pose_node")):
        recording = Recording()
        monitor = Monitor(recording, namespace)
        try:
            for name in ("bob/pose_node", own, "alice/robot/pose_node", "mallory/alice/pose_node"):
                status = DiagnosticStatus(name=name, level=DiagnosticStatus.WARN, message=f"of {name}")
                monitor._diagnostics(DiagnosticArray(status=[status]))
        finally:
            monitor.close()
        assert {text for _, text in recording.problems.values()} == {f"of {own}"}


def test_the_chosen_network_is_set_before_ros_is_and_contradictions_are_told(monkeypatch, capsys):
    class Reached(Exception):
        """Instead of the supervisor."""

    def supervisor(*_) -> None:
        raise Reached(os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE"))

    monkeypatch.setattr("diffmocap.middleware.ros_environment.require_ros", lambda: None)
    monkeypatch.setitem(sys.modules, "diffmocap.cli.supervisor", SimpleNamespace(Supervisor=supervisor))
    environment = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    monkeypatch.setattr(os, "environ", environment)
    with pytest.raises(Reached, match="config/fastdds"):
        play(Play(Graph("empty", (), ()), {}, log_folder=None, network="lan"), Recording())
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST is set and is kept" in capsys.readouterr().err
