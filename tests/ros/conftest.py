"""Nodes as processes of their own, and a node of the test that watches and steers them over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ros.node_process import NodeProcess

DISCOVERY_TIMEOUT_S = 60.0  # of a node that first has to start, on a busy machine
#: Least time that is waited for anything [s]: what comes true ends the wait, so patience costs only failures time.
PATIENCE_S = 90.0
#: What rclpy says where a client of a service is not known yet, and the state that a transition leads to.
NO_RESPONSE = "client will not receive response"
REACHED = {"configure": "inactive", "activate": "active", "deactivate": "inactive", "cleanup": "unconfigured"}


@dataclass
class NodeUnderTest:
    """A node's process and what it logs."""

    process: NodeProcess | subprocess.Popen
    log_path: Path
    name: str

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def end(self, signal_number: int = signal.SIGINT, timeout_s: float = 60.0) -> int:
        """Asks the process to end; returns its exit code."""
        self.process.send_signal(signal_number)
        return self.process.wait(timeout_s)


class Graph:
    """Starts nodes and talks to them; everything ends with the test."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        self._environment, self._folder = environment, folder
        self.processes: list[NodeUnderTest] = []
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("test_observer", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def start(
        self, name: str, parameters: dict[str, Any] | None = None, *arguments: str,
        environment: dict[str, str] | None = None,
    ) -> NodeUnderTest:  # fmt: skip
        """Starts ``diffmocap.nodes.<name>`` with parameters.

        ``environment`` is added to that of the tests; the node then begins with a fresh interpreter.
        """
        given = ["--ros-args", *arguments]
        for key, value in (parameters or {}).items():
            text = str(value).lower() if isinstance(value, bool) else value
            given += ["-p", f"{key}:='{text}'" if isinstance(value, str) else f"{key}:={text}"]
        log_path = self._folder / f"{name}_{len(self.processes)}.log"
        if environment is None:
            process = NodeProcess(name, given, self._environment, log_path)
        else:
            command = [sys.executable, "-m", "diffmocap.nodes.start", name, *given]
            with log_path.open("w") as log:
                environment = self._environment | environment
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        started = NodeUnderTest(process, log_path, name)
        self.processes.append(started)
        return started

    def spin_until(self, condition: Callable[[], Any], timeout_s: float, what: str = "the condition") -> Any:
        """Handles messages until ``condition`` holds; fails with all logs when it never does."""
        timeout_s = max(timeout_s, PATIENCE_S)
        deadline = time.monotonic() + timeout_s
        while not (result := condition()):
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {p.name}, exit {p.process.poll()}:\n{p.log}" for p in self.processes)
                pytest.fail(f"{what} did not come true within {timeout_s} s\n{logs}")
            self._executor.spin_once(timeout_sec=0.05)
        return result

    def spin_for(self, duration_s: float) -> None:
        """Handles messages for a while."""
        deadline = time.monotonic() + duration_s
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.02)

    def call(
        self, service_type: type, service: str, request: Any, timeout_s: float = 60.0,
        instead: Callable[[], Any] = lambda: None,
    ) -> Any:  # fmt: skip
        """Calls a service and returns the response, or what comes ``instead``."""
        client = self.node.create_client(service_type, service)
        try:
            self.spin_until(client.service_is_ready, DISCOVERY_TIMEOUT_S, f"the service {service}")
            future = client.call_async(request)
            answer = self.spin_until(lambda: future.done() or instead(), timeout_s, f"the answer of {service}")
            return future.result() if future.done() else answer
        finally:
            self.node.destroy_client(client)

    def transition(self, name: str, transition: str) -> bool:
        """Asks for a lifecycle transition by its name; True on success."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request(transition=Transition(id=getattr(Transition, f"TRANSITION_{transition.upper()}")))
        lost = sum(NO_RESPONSE in p.log for p in self.processes)

        def reached() -> ChangeState.Response | None:
            """Where the node found nobody to answer, as a client that is new may be unknown to it: by its state."""
            if sum(NO_RESPONSE in p.log for p in self.processes) == lost:
                return None
            return ChangeState.Response(success=self.state(name) == REACHED[transition])

        return self.call(ChangeState, f"{name}/change_state", request, instead=reached).success

    def state(self, name: str) -> str:
        """The lifecycle state of a node."""
        from lifecycle_msgs.srv import GetState

        return self.call(GetState, f"{name}/get_state", GetState.Request()).current_state.label

    def bring_up(self, *names: str) -> None:
        """Configures and activates nodes in this order."""
        for name in names:
            for transition in ("configure", "activate"):
                if not self.transition(name, transition):
                    logs = "\n".join(p.log for p in self.processes if p.name == name)
                    pytest.fail(f"{name} did not {transition}:\n{logs}")

    def set_parameter(self, name: str, parameter: str, value: Any) -> Any:
        """Sets a parameter over its service; returns the SetParametersResult."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(parameters=[Parameter(parameter, value=value).to_parameter_msg()])
        return self.call(SetParameters, f"{name}/set_parameters", request).results[0]

    def collect(self, message_type: type, topic: str, qos: Any = 50) -> list:
        """The messages of a topic, from now on, in a list that grows while spinning."""
        received: list = []
        self.node.create_subscription(message_type, topic, received.append, qos)
        return received

    def diagnostics(self) -> dict[str, dict[str, Any]]:
        """The newest status of each node, growing while spinning: name -> level, message and values."""
        from diagnostic_msgs.msg import DiagnosticArray

        latest: dict[str, dict[str, Any]] = {}

        def take(message: DiagnosticArray) -> None:
            for status in message.status:
                values = {pair.key: pair.value for pair in status.values}
                latest[status.name] = {"level": status.level[0], "message": status.message, **values}

        self.node.create_subscription(DiagnosticArray, "/diagnostics", take, 10)
        return latest

    def close(self) -> None:
        """Ends everything; no process is left behind."""
        import rclpy

        for started in self.processes:
            if started.process.poll() is None:
                started.process.send_signal(signal.SIGINT)
        for started in self.processes:
            try:
                started.process.wait(15.0)
            except subprocess.TimeoutExpired:
                started.process.kill()
                started.process.wait()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture()
def graph(ros_env: dict[str, str], tmp_path: Path) -> Iterator[Graph]:
    """An empty graph on a domain of its own."""
    made = Graph(ros_env | {"PYTHONPATH": os.pathsep.join(sys.path)}, tmp_path)
    try:
        yield made
    finally:
        made.close()
