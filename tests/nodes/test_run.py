"""How a node's process ends: by a signal at any moment cleanly, by a real error not."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

#: A node whose executor meets what ``{happens}`` says when it sets up its wait, a timer first.
PROGRAM = """
import rclpy.executors
from diffmocap.nodes import run as module
from rclpy.impl.implementation_singleton import rclpy_implementation

timer = rclpy.executors.Timer

def interrupted(*arguments, **named):
    {happens}
    return timer(*arguments, **named)

rclpy.executors.Timer = interrupted
raise SystemExit(module.run(lambda: module.ManagedNode("short_lived", []), []))
"""


def ended(happens: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(happens=happens)], capture_output=True, text=True, timeout=60
    )


def test_a_signal_just_before_the_executor_waits_is_a_clean_end(ros_env):
    result = ended("import os, time; os.kill(os.getpid(), 2); time.sleep(0.1)")
    assert (result.returncode, result.stderr) == (0, "")


def test_an_error_of_ros_while_it_lives_is_not_swallowed(ros_env):
    result = ended("raise rclpy_implementation.RCLError('no more memory')")
    assert result.returncode != 0 and "no more memory" in result.stderr


def test_waiting_leaves_nothing_behind(ros_env):
    """A node waits for hours, half a second at a time; each wait may leave nothing with the future that ends it."""
    program = """
from diffmocap.nodes import run as module
from diffmocap.nodes.node_clock import steady_timer

class Waiting(module.ManagedNode):
    def __init__(self):
        super().__init__("waiting", [])
        self.left, add = 0, self.exit_request.add_done_callback
        def counted(callback):
            self.left += 1
            add(callback)
        self.exit_request.add_done_callback = counted
        steady_timer(self, 2.2, self.end)

    def end(self):
        print(self.left)
        self.request_exit(3)

raise SystemExit(module.run(Waiting, []))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (3, "1\n", "")


@pytest.mark.parametrize("configured", [False, True])
def test_a_node_that_nobody_configures_says_how_that_is_done(ros_env, configured):
    program = f"""
from diffmocap.nodes import run as module
from diffmocap.nodes.node_clock import steady_timer

module.UNTOUCHED_S = 0.1

class Alone(module.ManagedNode):
    def __init__(self):
        super().__init__("alone", [])
        if {configured}:
            self.trigger_configure()
        steady_timer(self, 0.5, self.request_exit)

raise SystemExit(module.run(Alone, ["alone", "--ros-args", "-r", "__ns:=/human"]))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert result.stderr.count("`ros2 lifecycle set /human/alone configure`") == (0 if configured else 1)
