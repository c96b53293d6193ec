"""What all nodes share: lifecycle transitions that report their errors, and a clean exit."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.timer import Timer

from diffmocap.errors import DiffmocapError, SettingsError
from diffmocap.middleware.ros_environment import prepare_process
from diffmocap.middleware.shared_memory import make_private
from diffmocap.nodes.interruption import take_signals
from diffmocap.nodes.launch.parameter_names import refuse_unknown_parameters
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.nodes.parameters import NodeParameter, Parameters

#: A node that nobody has asked to be configured for so long says how that is done [s].
UNTOUCHED_S = 10.0


class ManagedNode(LifecycleNode):
    """A lifecycle node whose transitions are four plain methods.

    Subclasses override :meth:`configure` (load models, open devices, create lifecycle publishers),
    :meth:`activate` (subscribe, start threads), :meth:`deactivate` and :meth:`cleanup`, the last
    two so that they can run twice. What :meth:`configure` or :meth:`activate` raise is logged once
    and makes the transition fail; the node lives on and can be configured again.

    ``parameters`` holds the declared parameters; :meth:`validate` and :meth:`parameters_changed` see
    live changes. :meth:`request_exit` ends the process cleanly, from any thread.
    """

    def __init__(self, name: str, parameters: Sequence[NodeParameter]) -> None:
        super().__init__(name)
        self.exit_request: Future = Future()
        self.configured = False
        self.active = False
        self.parameters = Parameters(
            self,
            parameters,
            locked=lambda: self.configured,
            validate=self.validate,
            changed=self.parameters_changed,
        )
        self._untouched: Timer | None = steady_timer(self, UNTOUCHED_S, self._say_how_to_begin)

    def validate(self, values: dict[str, Any]) -> None:
        """Refuses combinations of parameters by raising a DiffmocapError; also runs at the start."""

    def parameters_changed(self, names: set[str]) -> None:
        """Takes over live changes; runs on the executor's thread after they were accepted."""

    def configure(self) -> None:
        """Loads what the node needs and creates its publishers."""

    def activate(self) -> None:
        """Starts to work; the lifecycle publishers are enabled already."""

    def deactivate(self) -> None:
        """Stops to work: destroys subscriptions, joins threads."""

    def cleanup(self) -> None:
        """Releases what :meth:`configure` made, complete or not."""

    def request_exit(self, code: int = 0) -> None:
        """Ends :func:`run` with this exit code."""
        if not self.exit_request.done():
            self.exit_request.set_result(code)

    def close(self) -> None:
        """Deactivates and cleans up in whatever state the node is, for the end of the process."""
        self._release(deactivate=self.active, cleanup=self.configured)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._forget_untouched()
        if not self._attempt("configure", self.configure):
            self._release(deactivate=False, cleanup=True)
            return TransitionCallbackReturn.FAILURE
        self.configured = True
        # What is loaded stays: Python's collector would go through it each time, so seldom comes to a full run, and
        # what a stream leaves in circles would pile up for hours.
        gc.collect()
        gc.freeze()
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        if not self._attempt("activate", self.activate):
            self._release(deactivate=True, cleanup=False)
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        self.active = True
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release(deactivate=True, cleanup=False)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release(deactivate=False, cleanup=True)
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release(deactivate=self.active, cleanup=self.configured)
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release(deactivate=self.active, cleanup=self.configured)
        return TransitionCallbackReturn.SUCCESS

    def _say_how_to_begin(self) -> None:
        """Who starts a node by hand sees nothing happen."""
        self._forget_untouched()
        name = self.get_fully_qualified_name()
        self.get_logger().info(
            f"nobody has configured this node: run `ros2 lifecycle set {name} configure`, then the same with activate, "
            "or start the graph with a launch file, which does that"
        )

    def _forget_untouched(self) -> None:
        if self._untouched is not None:
            self.destroy_timer(self._untouched)
            self._untouched = None

    def _release(self, deactivate: bool, cleanup: bool) -> None:
        if deactivate:
            self.active = False
            self._attempt("deactivate", self.deactivate)
        if cleanup:
            self.configured = False
            gc.unfreeze()
            self._attempt("clean up", self.cleanup)

    def _attempt(self, what: str, step: Callable[[], None]) -> bool:
        try:
            step()
        except DiffmocapError as error:
            self.get_logger().error(f"cannot {what}: {error}")
            return False
        except Exception:  # rclpy would swallow it without a word
            self.get_logger().error(f"cannot {what}, an unexpected error:\n{traceback.format_exc()}")
            return False
        return True


class PlainNode(Node):
    """A node without a lifecycle, which works from its start: of what the graph does not depend on.

    Its members are those of :class:`ManagedNode` of the same names.
    """

    def __init__(self, name: str, parameters: Sequence[NodeParameter]) -> None:
        super().__init__(name)
        self.exit_request: Future = Future()
        self.parameters = Parameters(
            self,
            parameters,
            locked=lambda: True,  # what takes effect at the start only has
            validate=self.validate,
            changed=self.parameters_changed,
        )

    def validate(self, values: dict[str, Any]) -> None:
        """Refuses combinations of parameters by raising a DiffmocapError; also runs at the start."""

    def parameters_changed(self, names: set[str]) -> None:
        """Takes over live changes; runs on the executor's thread after they were accepted."""

    def request_exit(self, code: int = 0) -> None:
        """Ends :func:`run` with this exit code."""
        if not self.exit_request.done():
            self.exit_request.set_result(code)

    def close(self) -> None:
        """Releases what the node holds, for the end of the process."""


def run(make_node: Callable[[], ManagedNode | PlainNode], args: Sequence[str] | None = None) -> int:
    """Runs a node until SIGINT, SIGTERM or its own exit request; returns the exit code.

    One thread executes all callbacks: with 30 images a second several executor threads compete for
    the interpreter and lose messages, so long work belongs on a thread of the node's own.
    """
    interruption = take_signals()
    prepare_process()
    arguments = list(sys.argv if args is None else args)
    node = executor = None
    code = 0
    try:
        _init(arguments)
        node = make_node()
        refuse_unknown_parameters(node, arguments)
        make_private()  # the node has brought the process's segments with it
        interruption.on_signal = node.request_exit
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        # Not spin_until_future_complete: each call leaves a callback with the future, megabytes in an hour.
        node.exit_request.add_done_callback(lambda _: executor.wake())
        while node.context.ok() and not node.exit_request.done():
            executor.spin_once(timeout_sec=0.5)
        code = node.exit_request.result() if node.exit_request.done() else 0
    except ExternalShutdownException:
        pass
    except DiffmocapError as error:
        get_logger(node.get_name() if node is not None else "diffmocap").fatal(str(error))
        code = 1
    finally:
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.close()
            node.destroy_node()
        interruption.on_signal = _nothing
        rclpy.try_shutdown()
        # The lifecycle's state machine holds on to the DDS participant, which leaves the graph when it is destroyed.
        node = executor = None
        gc.collect()
        interruption.closed()
    return code


def _init(arguments: list[str]) -> None:
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # of a type that rclpy does not make public
        raise SettingsError(f"the ROS arguments cannot be read: {' '.join(str(error).split())}") from error


def _nothing() -> None:
    """The node is being closed already."""
