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
