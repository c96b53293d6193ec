"""What a launch file does once its processes are started: brings nodes up, watches them, ends everything on a failure.

``ros2 launch`` returns 0 after its Shutdown action and 1 after an exception in a handler. A failure is therefore an
event whose handler raises: launch logs the exception as one line, shuts down all processes and returns 1.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import launch.logging
from launch.actions import EmitEvent, ExecuteProcess, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessStart, OnShutdown
from launch.events.process import ProcessExited, ProcessStarted
from launch_ros.actions import LifecycleNode
from launch_ros.ros_adapters import get_ros_node

from diffmocap.errors import GraphError
from diffmocap.middleware.shared_memory import make_private, owned_segments, remove_dead
from diffmocap.nodes.launch.bring_up import MAX_STARTS, BringUp, TransitionRefused
from launch import Action, Event, EventHandler, LaunchContext

#: Between an end and the new start: time for a failure to shut the launch down instead [s].
RESPAWN_DELAY_S = 0.5
STEP_S = 0.1
#: A process without a lifecycle that ends sooner after its start has not come up [s].
SHORT_LIFE_S = 3.0
#: Where the terminal was to interrupt the processes, those that still live then are interrupted again [s].
INTERRUPT_AGAIN_S = 0.4
#: A process is looked at for so long until it joins DDS, and so often for so long after that [s].
JOINS_WITHIN_S, PRIVATE_EVERY_S, PRIVATE_FOR_S = 60.0, 0.5, 5.0


class GraphFailed(Event):
    """The graph cannot go on; ``reason`` is a sentence for the user."""

    name = "diffmocap.nodes.launch.supervision.GraphFailed"

    def __init__(self, reason: str) -> None:
        self.reason = reason


class GraphActive(Event):
    """All lifecycle nodes have become active for the first time."""

    name = "diffmocap.nodes.launch.supervision.GraphActive"


@dataclass
class Part:
    """A process of the graph.

    Attributes:
        name: for messages.
        ends_graph: the graph has done its work when it ends well.
        may_end: the graph goes on when it ends, however.
        may_finish: the graph goes on when it ends well.
        may_wait: the graph waits where this lifecycle node cannot be configured.
        respawn: start it again when it died.
        action: what executes it.
        pid: of the process that lives, else None.
        started_s: when it was started the last time.
        exposed_until_s: until when it may make files in shared memory that others can read.
        joined: whether it has made the first of them.
        short_lives: how often in a row it ended soon after its start.
    """

    name: str
    ends_graph: bool = False
    may_end: bool = False
    may_finish: bool = False
    may_wait: bool = False
    respawn: bool = False
    action: ExecuteProcess | None = None
    pid: int | None = None
    started_s: float = 0.0
    exposed_until_s: float = 0.0
    joined: bool = False
    short_lives: int = 0


class Supervision:
    """Looks after the processes of one graph in one launch.

    ``add`` gives the ``on_exit`` of each process before its action is made; ``actions`` starts the work and has to
    follow the processes.
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._bring_up: BringUp | None = None
        self._looked_s = 0.0
        self._log = launch.logging.get_logger("diffmocap")

    def add(self, part: Part, make: Callable[..., ExecuteProcess]) -> ExecuteProcess:
        """Makes a process's action, with the arguments of ExecuteProcess that watch over it."""
        part.action = make(
            on_exit=lambda event, context: self._ended(part, event, context),
            respawn=part.respawn,
            respawn_delay=RESPAWN_DELAY_S,
        )
        self._parts.append(part)
        return part.action

    def handlers(self, when_active: Sequence[Action]) -> list[RegisterEventHandler]:
        """To be visited before the processes; ``when_active`` starts once all lifecycle nodes are active."""
        own = [part.action for part in self._parts]
        return [
            RegisterEventHandler(handler)
            for handler in (
                EventHandler(
                    matcher=lambda event: isinstance(event, GraphFailed), entities=OpaqueFunction(function=_fail)
                ),
                EventHandler(
                    matcher=lambda event: isinstance(event, GraphActive), entities=list(when_active), handle_once=True
                ),
                OnProcessStart(
                    target_action=lambda action: any(action is part for part in own), on_start=self._started
                ),
            )
        ]

    def watch(self, context: LaunchContext) -> list[RegisterEventHandler]:
        """Begins to look after the processes; they have been executed."""
        task = context.asyncio_loop.create_task(self._watch(context))
        # Registered last, it is the first to hear of a shutdown.
        return [RegisterEventHandler(OnShutdown(on_shutdown=lambda event, _: self._shut_down(event, context, task)))]

    async def _watch(self, context: LaunchContext) -> None:
        managed = [part for part in self._parts if isinstance(part.action, LifecycleNode)]
        names = [part.action.node_name for part in managed]
        try:
            if managed:
                node = get_ros_node(context)
                # launch_ros's thread looks every second whether it is to end; this lets it look more often.
                node.create_timer(0.2, lambda: None)
                make_private()
                may_wait = [part.action.node_name for part in managed if part.may_wait]
                self._bring_up = BringUp(node, names, may_wait, self._log.info, self._log.warning)
            was_complete = False
            while True:
                if self._bring_up is not None:
                    self._bring_up.advance()
                if not was_complete and (self._bring_up is None or self._bring_up.complete):
                    was_complete = True
                    context.emit_event_sync(GraphActive())
                self._keep_private()
                await asyncio.sleep(STEP_S)
        except KeyboardInterrupt:  # wherever Python happened to be; launch takes the signal itself
            return
        except TransitionRefused as refusal:
            reason = f"{refusal}, its error stands above"
        except GraphError as error:
            reason = str(error)
        except Exception as error:
            reason = f"the launch file cannot look after its nodes: {error!r}"
        context.emit_event_sync(GraphFailed(reason))

    def _started(self, event: ProcessStarted, context: LaunchContext) -> None:
        part = self._part(event.action)
        part.pid, part.started_s = event.pid, time.monotonic()
        part.joined, part.exposed_until_s = False, part.started_s + JOINS_WITHIN_S

    def _ended(self, part: Part, event: ProcessExited, context: LaunchContext) -> list[Action] | None:
        part.pid = None
        if event.returncode:
            remove_dead()
        if context.is_shutdown:
            return None
        if part.ends_graph and event.returncode == 0:
            return [Shutdown(reason=f"{part.name} has ended")]
        if part.may_end or (part.may_finish and event.returncode == 0):
            return None
        how = _how_it_ended(event.returncode)
        if part.respawn and self._worth_a_start(part):
            self._log.warning(f"{part.name} {how} and is started again")
            return None
        if part.action in self._managed() and (self._bring_up is None or part.action in self._behind()):
            how += " before it was active"
        if event.returncode > 0:
            how += ", its error stands above"
        return [EmitEvent(event=GraphFailed(f"{part.name} {how}"))]

    def _managed(self) -> list[Action]:
        return [part.action for part in self._parts if isinstance(part.action, LifecycleNode)]

    def _behind(self) -> list[Action]:
        behind = self._bring_up.behind
        return [action for action in self._managed() if action.node_name in behind]

    def _worth_a_start(self, part: Part) -> bool:
        if isinstance(part.action, LifecycleNode):
            return self._bring_up is not None and self._bring_up.restart(part.action.node_name)
        short = time.monotonic() - part.started_s < SHORT_LIFE_S
        part.short_lives = part.short_lives + 1 if short else 0
        return part.short_lives <= MAX_STARTS

    def _part(self, action: Action) -> Part:
        return next(part for part in self._parts if part.action is action)

    def _keep_private(self) -> None:
        """Other packages' processes do not themselves care who reads their segments."""
        now_s = time.monotonic()
        if now_s - self._looked_s < PRIVATE_EVERY_S:
            return
        self._looked_s = now_s
        inherited = owned_segments()
        for part in self._parts:
            if part.pid is not None and now_s < part.exposed_until_s:
                if make_private(part.pid, but_for=inherited) and not part.joined:
                    part.joined, part.exposed_until_s = True, now_s + PRIVATE_FOR_S

    def _shut_down(self, event: Event, context: LaunchContext, task: asyncio.Task) -> None:
        task.cancel()
        if event.due_to_sigint and not context.noninteractive:
            # launch relies on the terminal, which a signal to launch alone has not come through.
            context.asyncio_loop.call_later(INTERRUPT_AGAIN_S, self._interrupt)

    def _interrupt(self) -> None:
        for part in self._parts:
            if part.pid is not None:
                try:
                    os.kill(part.pid, signal.SIGINT)
                except ProcessLookupError:
                    pass


def _fail(context: LaunchContext) -> None:
    if not context.is_shutdown:
        raise GraphError(context.locals.event.reason)


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"has ended with exit code {code}"
