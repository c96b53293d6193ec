"""Stand-ins for the parts of ``launch`` and ``launch_ros`` that the launch files use: neither comes from PyPI.

Names and signatures are those of Jazzy; whatever else is imported or passed fails. They keep what they are given
and start nothing.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Entity:
    """What all stand-ins share: the values that they were made with, by attribute."""

    def _keep(self, values: dict[str, Any]) -> None:
        self.__dict__.update({k: v for k, v in values.items() if k not in ("self", "__class__", "kwargs")})


class LaunchDescription(Entity):
    def __init__(self, initial_entities=None, *, deprecated_reason=None):
        self.entities = list(initial_entities or [])


class LaunchContext:
    def __init__(self, *, argv=None, noninteractive=False):
        self.argv, self.noninteractive = list(argv or []), noninteractive
        self.launch_configurations: dict[str, str] = {}
        self.is_shutdown = False
        self.locals = SimpleNamespace()
        self.environment = dict(os.environ)
        self.asyncio_loop = None
        self.emitted: list[Event] = []

    def emit_event_sync(self, event):
        assert isinstance(event, Event)
        self.emitted.append(event)


class Event:
    name = "launch.Event"


class Action(Entity):
    condition = None


class DeclareLaunchArgument(Action):
    def __init__(self, name, *, default_value=None, description=None, choices=None, condition=None):
        assert isinstance(name, str) and isinstance(description, (str, type(None)))
        assert default_value is None or isinstance(default_value, (str, LaunchConfiguration))
        if choices is not None:
            if len(choices) == 0:
                raise RuntimeError("Provided choices arg is empty. Use None to ignore the choice list.")
            if default_value is not None and default_value not in choices:
                raise RuntimeError(f'Provided default_value "{default_value}" is not in provided choices "{choices}".')
        self._keep(locals())


class OpaqueFunction(Action):
    def __init__(self, *, function, args=None, kwargs=None, condition=None):
        self.function, self.args, self.function_kwargs = function, args or [], kwargs or {}

    def execute(self, context):
        return self.function(context, *self.args, **self.function_kwargs)


class EmitEvent(Action):
    def __init__(self, *, event, condition=None):
        self._keep(locals())


class RegisterEventHandler(Action):
    def __init__(self, event_handler, *, condition=None):
        self._keep(locals())


class PushEnvironment(Action):
    def __init__(self, *, condition=None):
        pass


class PopEnvironment(Action):
    def __init__(self, *, condition=None):
        pass


class SetEnvironmentVariable(Action):
    def __init__(self, name, value, *, condition=None):
        assert isinstance(name, str) and isinstance(value, str)
        self._keep(locals())


class Shutdown(Action):
    def __init__(self, *, reason="reason not given", condition=None):
        self._keep(locals())


class ExecuteProcess(Action):
    def __init__(
        self, *, cmd, prefix=None, name=None, cwd=None, env=None, additional_env=None, shell=False, sigterm_timeout="5",
        sigkill_timeout="5", emulate_tty=False, output="log", output_format="", cached_output=False, log_cmd=False,
        on_exit=None, respawn=False, respawn_delay=None, respawn_max_retries=-1, condition=None,
    ):  # fmt: skip
        assert isinstance(respawn, bool) and (on_exit is None or isinstance(on_exit, list) or callable(on_exit))
        self.final_prefix = shlex.split(prefix or "")
        assert output in ("log", "screen", "both", "own_log", "full")
        assert all(isinstance(part, str) for part in cmd), "a command is made of texts"
        self._keep(locals())


class Node(ExecuteProcess):
    def __init__(
        self, *, executable, package=None, name=None, namespace=None, exec_name=None, parameters=None, remappings=None,
        ros_arguments=None, arguments=None, **kwargs,
    ):  # fmt: skip
        assert parameters is None or isinstance(parameters, list)
        for rule in parameters or []:
            assert isinstance(rule, str) or (isinstance(rule, dict) and rule), f"not a file or parameters: {rule!r}"
        for rule in remappings or []:
            assert len(rule) == 2 and all(isinstance(part, str) for part in rule)
        super().__init__(cmd=[executable, *(arguments or []), *(ros_arguments or [])], name=exec_name, **kwargs)
        self._keep(locals())


class LifecycleNode(Node):
    def __init__(self, *, name, namespace, **kwargs):
        super().__init__(name=name, namespace=namespace, **kwargs)


class EventHandler(Entity):
    def __init__(self, *, matcher, entities=None, handle_once=False):
        assert callable(matcher)
        self._keep(locals())


class OnProcessStart(EventHandler):
    def __init__(self, *, target_action=None, on_start, **kwargs):
        assert isinstance(target_action, ExecuteProcess) or callable(target_action)
        self._keep(locals())


class OnShutdown(EventHandler):
    def __init__(self, *, on_shutdown, **kwargs):
        self._keep(locals())


class ShutdownEvent(Event):
    def __init__(self, *, reason, due_to_sigint=False):
        self.reason, self.due_to_sigint = reason, due_to_sigint


class ProcessStarted(Event):
    def __init__(self, *, action, pid):
        self.action, self.pid = action, pid


class ProcessExited(ProcessStarted):
    def __init__(self, *, returncode, **kwargs):
        super().__init__(**kwargs)
        self.returncode = returncode


class LaunchConfiguration(Entity):
    def __init__(self, variable_name, *, default=None):
        self._keep(locals())

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self.variable_name]


class ParameterValue(Entity):
    def __init__(self, value, *, value_type=None):
        self._keep(locals())


def get_ros_node(context):
    raise AssertionError("nothing is started here")


MODULES = {
    "launch": (Action, Event, EventHandler, LaunchContext, LaunchDescription),
    "launch.actions": (
        DeclareLaunchArgument, EmitEvent, ExecuteProcess, OpaqueFunction, PopEnvironment, PushEnvironment,
        RegisterEventHandler, SetEnvironmentVariable, Shutdown,
    ),
    "launch.event_handlers": (OnProcessStart, OnShutdown),
    "launch.events.process": (ProcessExited, ProcessStarted),
    "launch.logging": (),
    "launch.substitutions": (LaunchConfiguration,),
    "launch_ros": (),
    "launch_ros.actions": (LifecycleNode, Node),
    "launch_ros.parameter_descriptions": (ParameterValue,),
    "launch_ros.ros_adapters": (get_ros_node,),
}  # fmt: skip


def install(patch: pytest.MonkeyPatch) -> None:
    """Puts the stand-ins in place of the real modules, and lets what imports them be imported anew."""
    for name, members in MODULES.items():
        module = ModuleType(name)
        module.__dict__.update({member.__name__: member for member in members})
        patch.setitem(sys.modules, name, module)
    sys.modules["launch"].logging = sys.modules["launch.logging"]
    sys.modules["launch.logging"].get_logger = logging.getLogger
    for name in ("launching", "launch_checks", "launch_supervision"):
        patch.delitem(sys.modules, f"diffmocap.nodes.{name}", raising=False)


def install_packages(folder: Path, executables: dict[str, str]) -> Path:
    """An ament prefix where each of these packages is installed with its executable; for ``AMENT_PREFIX_PATH``."""
    for package, executable in executables.items():
        marker = folder / "share" / "ament_index" / "resource_index" / "packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        program = folder / "lib" / package / executable
        program.parent.mkdir(parents=True)
        program.touch()
    return folder
