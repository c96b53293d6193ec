"""Another node's parameters, read and set over its services, from the executor's thread; nothing here waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, ParameterEvent
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.task import Future

from diffmocap.nodes.parameters import choices_of, is_live
from diffmocap.viewer.controls import Control

#: A request without an answer for so long is given up [s].
PATIENCE_S = 3.0
#: What every node has and no user of the page would set.
_NOT_SHOWN = ("use_sim_time", "qos_overrides", "start_type_description_service")


class RemoteParameters:
    """The live parameters of a node.

    :meth:`advance` does what can be done now and is to be called several times a second; :meth:`set` may be called from
    any thread, and of several values of one parameter only the newest is sent.

    Args:
        node: that asks.
        target: name of the other node, relative to the namespace.
        found: gets all controls, once the node has described itself; again after it was started anew.
        changed: gets name -> value where parameters have changed, whoever changed them, or were refused.
        refused: gets a parameter's name and why its value was not taken.
    """

    def __init__(
        self, node: Node, target: str, found: Callable[[list[Control]], None],
        changed: Callable[[dict[str, Any]], None], refused: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self._node, self._found, self._changed, self._refused = node, found, changed, refused
        self._target = node.resolve_service_name(target)
        kinds = {
            "list": (ListParameters, "list_parameters"), "describe": (DescribeParameters, "describe_parameters"),
            "get": (GetParameters, "get_parameters"), "set": (SetParameters, "set_parameters"),
        }  # fmt: skip
        self._clients: dict[str, Client] = {
            name: node.create_client(kind, f"{target}/{service}") for name, (kind, service) in kinds.items()
        }
        self._events = node.create_subscription(ParameterEvent, "/parameter_events", self._event, 50)
        self._lock = threading.Lock()
        self._wanted: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._descriptors: list[ParameterDescriptor] = []
        self._request: Future | None = None
        self._then: Callable[[Any], None] = lambda answer: None
        self._asked_s = 0.0

    def close(self) -> None:
        """Ends all clients and subscriptions."""
        for client in self._clients.values():
            self._node.destroy_client(client)
        self._node.destroy_subscription(self._events)

    def set(self, name: str, value: Any) -> None:
        """Asks for a value; what comes of it is told by the callbacks."""
        with self._lock:
            self._wanted[name] = value

    def advance(self) -> None:
        """One step: takes an answer, or asks the next question."""
        now_s = time.monotonic()
        if self._request is not None:
            if self._request.done():
                request, self._request = self._request, None
                if request.exception() is None:
                    self._then(request.result())
                else:
                    self._give_up()
            elif now_s - self._asked_s > PATIENCE_S:
                self._request.cancel()
                self._request = None
                self._give_up()
            return
        with self._lock:
            wanted, self._wanted = self._wanted, {}
        if wanted and not self._clients["set"].service_is_ready():
            for name in wanted:
                self._refused(name, f"{self._target} is not there")
        elif wanted:
            request = SetParameters.Request(
                parameters=[Parameter(name, value=self._typed(name, value)).to_parameter_msg()
                            for name, value in wanted.items()]
            )  # fmt: skip
            self._asked = wanted
            self._ask("set", request, self._set_done)
        elif not self._values and self._clients["get"].service_is_ready():
            self._ask("list", ListParameters.Request(), self._listed)

    def _give_up(self) -> None:
        """Says of all values that were sent or were to be sent that nobody took them."""
        with self._lock:
            unanswered, self._asked, self._wanted = self._asked | self._wanted, {}, {}
        for name in unanswered:
            self._refused(name, f"{self._target} does not answer")

    def _ask(self, service: str, request: Any, then: Callable[[Any], None]) -> None:
        self._request, self._then, self._asked_s = self._clients[service].call_async(request), then, time.monotonic()

    def _listed(self, answer: ListParameters.Response) -> None:
        names = [name for name in answer.result.names if not name.startswith(_NOT_SHOWN)]
        self._ask("describe", DescribeParameters.Request(names=names), self._described)

    def _described(self, answer: DescribeParameters.Response) -> None:
        self._descriptors = [found for found in answer.descriptors if is_live(found) and not found.read_only]
        self._ask("get", GetParameters.Request(names=[found.name for found in self._descriptors]), self._got)

    def _got(self, answer: GetParameters.Response) -> None:
        values = map(parameter_value_to_python, answer.values)
        self._values = {found.name: value for found, value in zip(self._descriptors, values)}
        self._found([_control(found, self._values[found.name]) for found in self._descriptors])

    def _set_done(self, answer: SetParameters.Response) -> None:
        told: dict[str, Any] = {}
        wanted, self._asked = self._asked, {}
        for (name, value), result in zip(wanted.items(), answer.results):
            if result.successful:
                self._values[name] = self._typed(name, value)
            else:
                self._refused(name, result.reason or "no reason was given")
            told[name] = self._values.get(name)
        self._tell({name: value for name, value in told.items() if value is not None})

    def _tell(self, values: dict[str, Any]) -> None:
        """Tells of values, but of none that the user has moved on from: an old one would set the control back."""
        with self._lock:
            moved_on = self._wanted | self._asked
        self._changed({name: value for name, value in values.items() if name not in moved_on})

    def _typed(self, name: str, value: Any) -> Any:
        """As the node's own type: a browser's whole number may be a decimal."""
        known = self._values.get(name)
        return type(known)(value) if isinstance(known, (int, float)) else value

    def _event(self, event: ParameterEvent) -> None:
        if event.node != self._target:
            return
        if event.new_parameters:  # it declares them: the node has been started again
            self._values = {}
        changed = {p.name: parameter_value_to_python(p.value) for p in event.changed_parameters}
        if known := {name: value for name, value in changed.items() if name in self._values}:
            self._values |= known
            self._tell(known)


def _control(found: ParameterDescriptor, value: Any) -> Control:
    low = high = None
    for bounds in (*found.floating_point_range, *found.integer_range):
        low, high = bounds.from_value, bounds.to_value
    return Control(found.name, value, found.description, low, high, choices_of(found))
