"""Asks a node that feeds a robot for something, from a process of its own: what the command line does without ROS."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import rclpy
from diffmocap_msgs.msg import Engagement
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from diffmocap.errors import GraphError
from diffmocap.robots.live.engagement import Request, State

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: Options of the command that starts each node.
STARTED_BY = {"retarget_node": "--robot ROBOT", "sonic_node": "--sonic"}
#: Nodes find each other within this time [s].
FIND_S, ANSWER_S = 10.0, 5.0


class Asking:
    """A connection to the nodes of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("diffmocap_robot", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def __enter__(self) -> Asking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def ask(self, request: Request, node: str = "retarget_node") -> tuple[bool, str]:
        """What the node answers: granted or not, and why.

        Raises:
            GraphError: there is no such node, or it does not answer.
        """
        client = self._node.create_client(Trigger, f"{node}/{request.value}")
        if not client.wait_for_service(timeout_sec=FIND_S):
            raise GraphError(
                f"nobody offers {client.service_name}: start `diffmocap live {STARTED_BY[node]}`, and give the same "
                "--namespace, --domain-id and --network here"
            )
        answer = client.call_async(Trigger.Request())
        self._executor.spin_until_future_complete(answer, timeout_sec=ANSWER_S)
        if not answer.done():
            raise GraphError(f"{client.service_name} does not answer: is its node configured?")
        return answer.result().success, answer.result().message

    def watch(self, tell: Callable[[str], None], ended: Callable[[], bool] = lambda: False) -> None:
        """Tells of every state and of what speaks against engaging, as they change, until ``ended``.

        Raises:
            GraphError: nothing is heard of the node.
        """
        last: dict[str, Any] = {"said": "", "heard_s": time.monotonic()}

        def receive(message: Engagement) -> None:
            last["heard_s"] = time.monotonic()
            state = State(message.state)
            # Times that run in a reason are no news.
            said = (state, message.reason.split(" (")[0], message.refusal.split(" (")[0])
            if said != last["said"]:
                last["said"] = said
                against = "" if message.refusal in ("", message.reason) else f"; against engaging: {message.refusal}"
                tell(f"{state.name}: {message.reason}{against}")

        self._node.create_subscription(Engagement, "robot/engagement", receive, LATCHED)
        while not ended():
            self._executor.spin_once(timeout_sec=0.2)
            if time.monotonic() - last["heard_s"] > FIND_S:
                raise GraphError(
                    f"nothing comes on {self._node.resolve_topic_name('robot/engagement')}: start `diffmocap live "
                    "--robot ROBOT`, and give the same --namespace, --domain-id and --network here"
                )
