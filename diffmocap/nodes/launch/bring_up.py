"""Takes lifecycle nodes to active, at the start and again after one of them was killed; for both ways of starting.

Nothing here waits: whoever spins the ROS node calls :meth:`BringUp.advance` several times a second.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

from diffmocap.errors import GraphError

#: How often a node is asked for its state while something is expected of it [s].
ASK_EVERY_S = 0.5
#: A request that has had no effect and no answer for so long went to a node that is no more [s].
LOST_AFTER_S = 3.0
#: So often in a row a node is started again without becoming active in between.
MAX_STARTS = 3
UNCONFIGURED, INACTIVE, ACTIVE = "unconfigured", "inactive", "active"
_END_THE_OTHER = "end the other graph, or start this one in another namespace (namespace:=, --namespace)"
_TRANSITIONS = {
    UNCONFIGURED: (Transition.TRANSITION_CONFIGURE, "configure"),
    INACTIVE: (Transition.TRANSITION_ACTIVATE, "activate"),
}


class TransitionRefused(GraphError):
    """A node answered that it could not be configured or activated: its name, and ``configure`` or ``activate``.

    ``namesakes``: how many nodes have that name, if another one may have answered.
    """

    def __init__(self, node: str, transition: str, namesakes: int = 1) -> None:
        also = f" ({namesakes} nodes have this name: {_END_THE_OTHER})" if namesakes > 1 else ""
        super().__init__(f"{node} did not {transition}{also}")
        self.node, self.transition = node, transition


class LifecycleSteering:
    """One node's lifecycle, steered by its services.

    The node's state is asked for again and again, since neither events nor answers can be relied on: for a while after
    a node was killed DDS keeps it, and requests may reach the dead one alone.

    Attributes:
        name: of the node, as it is reached from ``node``.
        state: as last heard; empty while nobody answered.
        refused: whether the last transition was refused; it is not asked for again until :meth:`forget`.
    """

    def __init__(self, node: Node, name: str) -> None:
        self.name = name
        self.state = ""
        self.refused = False
        self._node = node
        self._states = node.create_client(GetState, f"{name}/get_state")
        self._changes = node.create_client(ChangeState, f"{name}/change_state")
        self._question: Future | None = None
        self._request: Future | None = None
        self._asked_s = self._requested_s = -math.inf
        self._requested_in = ""  # the state in which it was asked for a transition; empty: it never was

    def advance(self, goal: str) -> bool:
        """Does what can be done now to reach ``goal``, inactive or active; whether it is reached.

        Raises:
            TransitionRefused: once for each transition that the node refused.
            GraphError: a node of this name belongs to another graph.
        """
        self._take_answers()
        if self.state == ACTIVE or self.state == goal:
            return True
        if self._request is None and not self.refused and self.state in _TRANSITIONS:
            transition_id, _ = _TRANSITIONS[self.state]
            request = ChangeState.Request(transition=Transition(id=transition_id))
            self._request = self._changes.call_async(request)
            self._requested_s, self._requested_in = time.monotonic(), self.state
        self._ask()
        return False

    def forget(self) -> None:
        """The node has ended; the next one of its name starts from the beginning."""
        _drop(self._states, self._question)
        _drop(self._changes, self._request)
        self._question = self._request = None
        self.state, self._requested_in, self.refused = "", "", False
        self._asked_s = -math.inf

    def close(self) -> None:
        """Destroys the clients."""
        self.forget()
        self._node.destroy_client(self._states)
        self._node.destroy_client(self._changes)

    def _ask(self) -> None:
        now_s = time.monotonic()
        if now_s - self._asked_s < ASK_EVERY_S or not self._states.service_is_ready():
            return
        _drop(self._states, self._question)
        self._question, self._asked_s = self._states.call_async(GetState.Request()), now_s

    def _take_answers(self) -> None:
        if self._request is not None and self._request.done():
            answer, self._request = self._request.result(), None
            _drop(self._states, self._question)  # it may be about the time before
            self._question = None
            if answer.success:
                self.state = INACTIVE if self._requested_in == UNCONFIGURED else ACTIVE
            else:
                self.refused = True
                raise TransitionRefused(self.name, _TRANSITIONS[self._requested_in][1], self._namesakes())
        if self._question is not None and self._question.done():
            self.state, self._question = self._question.result().current_state.label, None
            if self.state != UNCONFIGURED and not self._requested_in:
                # Services of one name are asked together, so that this graph would steer the other one's node.
                raise GraphError(f"{self._full_name} runs already and is {self.state}: {_END_THE_OTHER}")
            self.refused = self.refused and self.state == UNCONFIGURED
            if self.state == self._requested_in and self._asked_s - self._requested_s > LOST_AFTER_S:
                _drop(self._changes, self._request)
                self._request = None

    @property
    def _full_name(self) -> str:
        return self.name if self.name.startswith("/") else f"{self._node.get_namespace().rstrip('/')}/{self.name}"

    def _namesakes(self) -> int:
        known = self._node.get_node_names_and_namespaces()
        return sum(f"{namespace.rstrip('/')}/{name}" == self._full_name for name, namespace in known)


def _drop(client: Client, pending: Future | None) -> None:
    if pending is not None:
        client.remove_pending_request(pending)


class BringUp:
    """Configures all nodes at the same time and activates them in order, so that consumers are there before producers.

    Args:
        node: spun by somebody else.
        names: of the lifecycle nodes, in the order of activation.
        may_wait: those that the graph waits for where they cannot be configured.
        progress: gets a line for each step.
        warn: gets what the user has to do where the graph waits.
    """

    def __init__(
        self,
        node: Node,
        names: Sequence[str],
        may_wait: Sequence[str] = (),
        progress: Callable[[str], None] = lambda text: None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._nodes = {name: LifecycleSteering(node, name) for name in names}
        self._may_wait, self._progress, self._warn = may_wait, progress, warn
        self.active: set[str] = set()
        self._deaths: dict[str, int] = {}

    @property
    def complete(self) -> bool:
        """Whether all nodes have become active since their start."""
        return len(self.active) == len(self._nodes)

    @property
    def behind(self) -> list[str]:
        """The names of those that have not."""
        return [name for name in self._nodes if name not in self.active]

    def state(self, name: str) -> str:
        """The state of a node as last heard."""
        return self._nodes[name].state

    def restart(self, name: str) -> bool:
        """The node has ended: whether to start it anew, which is then brought up again.

        Not where it has never become active, or not after several starts: what keeps it from that will not go away.
        """
        self._nodes[name].forget()
        if name in self.active:
            self.active.discard(name)
            self._deaths[name] = 0
        elif name not in self._deaths:
            return False
        self._deaths[name] += 1
        return self._deaths[name] <= MAX_STARTS

    def advance(self) -> None:
        """One step.

        Raises:
            TransitionRefused: a node that the graph does not wait for could not be configured or activated.
            GraphError: a node of another graph has the name of one of this graph's.
        """
        may_activate = True
        for name in self.behind:
            steering = self._nodes[name]
            try:
                if steering.advance(ACTIVE if may_activate else INACTIVE) and may_activate:
                    self.active.add(name)
                    self._progress(f"{name} is active")
            except TransitionRefused as refusal:
                if name not in self._may_wait or refusal.transition != "configure":
                    raise
                self._warn(
                    f"{name} could not be configured, its error stands above. Set that right and run "
                    f"`ros2 lifecycle set {name} configure`; the rest follows by itself."
                )
            may_activate = may_activate and name in self.active

    def close(self) -> None:
        """Destroys all clients."""
        for steering in self._nodes.values():
            steering.close()
