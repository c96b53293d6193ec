"""Runs a graph without ``ros2 launch``: starts its nodes, brings them up, watches them, ends them cleanly.

Works with a real ROS 2 install and with the wheels from PyPI alike::

    with Supervisor(description.replay(), {"video": "squats.mp4"}, log_folder) as supervisor:
        supervisor.bring_up()
        while not supervisor.finished:
            supervisor.spin_once(0.1)
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmocap.cli.node_process import RunningNode
from diffmocap.errors import GraphError, SetupError
from diffmocap.graph.elements import PACKAGE, Graph
from diffmocap.middleware.ros_environment import prepare_process, require_ros
from diffmocap.middleware.shared_memory import make_private, remove_dead

if TYPE_CHECKING:
    from diffmocap.nodes.launch.bring_up import BringUp

#: Signals that end a process, in the order in which they are sent, and the seconds to wait after each.
ENDING = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class Supervisor:
    """A context manager around the diffmocap nodes of a graph; processes of other packages (viewers) are left out.

    With the graph's argument ``respawn`` a node that was active and died is started again while spinning.
    Enter it on the main thread: a SIGTERM then ends the nodes too, and they end with that thread.
    A node of the supervisor's own publishes the static transforms.

    Args:
        graph: what to run.
        arguments: values of the graph's arguments.
        log_folder: gets a log file a node; made where missing.
        parameters: node name -> parameters on top of the parameter file and the graph's own.
        log: gets every line that a node logs, as (node's name, line), while spinning.

    Attributes:
        graph: the resolved graph.
        running: its processes by node name.
        node: the supervisor's rclpy node, in the graph's namespace.

    Raises:
        SettingsError: arguments that the graph does not take; when entered: a parameter file that reaches no node.
        SetupError: ROS 2 or the messages are not installed; when entered: what a node imports and need not be there.
    """

    def __init__(
        self,
        graph: Graph,
        arguments: Mapping[str, Any],
        log_folder: Path,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        log: Callable[[str, str], None] | None = None,
    ) -> None:
        require_ros()
        self.graph = graph.resolve(arguments)
        self.running: dict[str, RunningNode] = {}
        self.node = None
        self._values = graph.values(arguments)
        self._namespace = "/" + self._values["namespace"].strip("/")
        self._parameters = parameters or {}
        self._log_folder = Path(log_folder)
        self._log = log
        self._old_handler: Any = None
        self._bring_up: BringUp | None = None
        self._respawn = self._values.get("respawn") == "true"

    def __enter__(self) -> Supervisor:
        self._check_parameter_file()
        self._log_folder.mkdir(parents=True, exist_ok=True)
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGTERM, _raise_exit)
        try:
            for node in self.graph.nodes:
                if node.package == PACKAGE:
                    if lacking := node.lacks():
                        raise SetupError(lacking)
                    self.running[node.name] = RunningNode(
                        node,
                        self._namespace,
                        self._log_folder,
                        self._values.get("params_file"),
                        {**node.parameters, **self._parameters.get(node.name, {})},
                        self._values["log_level"],
                    )
            self._join_graph()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def finished(self) -> bool:
        """Whether a process that ends the graph has ended well."""
        return any(r.node.ends_graph and r.process.poll() == 0 for r in self.running.values())

    @property
    def all_active(self) -> bool:
        """Whether all lifecycle nodes are up; not while one is being started again."""
        return self._bring_up is not None and self._bring_up.complete

    @property
    def pids(self) -> list[int]:
        """Process ids of the nodes that live."""
        return [r.process.pid for r in self.running.values() if r.alive]

    def bring_up(self, timeout_s: float = 60.0, progress: Callable[[str], None] = lambda text: None) -> None:
        """Configures all lifecycle nodes at the same time, then activates them in the graph's order.

        Args:
            timeout_s: for everything together.
            progress: gets a line for each step.

        Raises:
            GraphError: a node ended, refused a transition or did not answer in time; the message holds its log's end.
        """
        from diffmocap.nodes.launch.bring_up import BringUp

        deadline_s = time.monotonic() + timeout_s
        names = [node.name for node in self.graph.lifecycle_nodes]
        progress(f"configuring {', '.join(names)}")
        self._bring_up = BringUp(self.node, names, progress=progress)
        while not self.all_active:
            if time.monotonic() > deadline_s:
                slow = self.running[self._bring_up.behind[0]]
                raise GraphError(f"{slow.name} did not become active in time; its log ends with:\n{slow.log_tail()}")
            self.spin_once(0.05)

    def spin_once(self, timeout_s: float = 0.1) -> None:
        """Runs the callbacks of :attr:`node`, passes logs on, and checks the processes.

        Raises:
            GraphError: a process ended that should not have.
        """
        from diffmocap.nodes.launch.bring_up import TransitionRefused

        self._executor.spin_once(timeout_sec=timeout_s)
        self._hand_on_logs()
        for running in list(self.running.values()):
            code = running.process.poll()
            if code is None or (running.node.ends_graph and code == 0):
                continue
            remove_dead()
            if running.node.may_end:
                del self.running[running.name]
                if self._log is not None:
                    tail = running.log_tail(3)
                    self._log(running.name, f"[WARN] it has ended with exit code {code}, the graph goes on:\n{tail}")
                continue
            may_respawn = self._respawn and not running.node.ends_graph and self._bring_up is not None
            if not (may_respawn and self._bring_up.restart(running.name)):
                raise GraphError(f"{running.name} has ended with exit code {code}:\n{running.log_tail()}")
            if self._log is not None:
                self._log(running.name, f"[WARN] it has ended with exit code {code} and is started again")
            running.start()
        if self._bring_up is not None and not self._bring_up.complete:
            try:
                self._bring_up.advance()
            except TransitionRefused as refusal:
                raise GraphError(f"{refusal}:\n{self.running[refusal.node].log_tail()}") from refusal

    def stop(self) -> dict[str, int]:
        """Ends all processes, by ever stronger signals; returns their exit codes. May be called again."""
        for send, patience_s in ENDING:
            alive = [running.process for running in self.running.values() if running.alive]
            for process in alive:
                process.send_signal(send)
            _wait_for(alive, patience_s)
        self._hand_on_logs()
        self._leave_graph()
        if any(running.process.returncode for running in self.running.values()):
            remove_dead()
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None
        return {name: running.process.returncode for name, running in self.running.items()}

    def _join_graph(self) -> None:
        prepare_process()
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("diffmocap_supervisor", context=self._context, namespace=self._namespace)
        make_private()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        if self.graph.static_transforms:
            self._publish_static_transforms()

    def _check_parameter_file(self) -> None:
        from diffmocap.nodes.launch.parameter_names import check_parameter_file

        readers = [f"{self._namespace.rstrip('/')}/{node.name}" for node in self.graph.nodes if node.reads_params_file]
        if readers:
            prepare_process()
            warn = self._log or (lambda name, line: None)
            check_parameter_file(self._values["params_file"], readers, lambda text: warn("diffmocap", f"[WARN] {text}"))

    def _leave_graph(self) -> None:
        if self.node is not None:
            self._executor.shutdown()
            self.node.destroy_node()
            self.node = None
            self._context.try_shutdown()

    def _publish_static_transforms(self) -> None:
        from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from std_msgs.msg import Header
        from tf2_msgs.msg import TFMessage

        stamp = self.node.get_clock().now().to_msg()
        message = TFMessage()
        for static in self.graph.static_transforms:
            translation = Vector3(**dict(zip("xyz", static.xyz)))
            rotation = Quaternion(**dict(zip("xyzw", static.quaternion())))
            message.transforms.append(
                TransformStamped(
                    header=Header(stamp=stamp, frame_id=static.parent),
                    child_frame_id=static.child,
                    transform=Transform(translation=translation, rotation=rotation),
                )
            )
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_publisher(TFMessage, "/tf_static", latched).publish(message)

    def _hand_on_logs(self) -> None:
        if self._log is not None:
            for running in self.running.values():
                for line in running.new_log_lines():
                    self._log(running.name, line)


def _wait_for(processes: Sequence[subprocess.Popen], patience_s: float) -> None:
    deadline_s = time.monotonic() + patience_s
    for process in processes:
        try:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass


def _raise_exit(signal_number: int, frame: object) -> None:
    raise SystemExit(128 + signal_number)
