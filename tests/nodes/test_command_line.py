"""What the nodes' executables say to a command line that is not ROS's."""

from __future__ import annotations

import pytest

from diffmocap.nodes.command_line import answer
from diffmocap.nodes.start import NODES


@pytest.mark.parametrize("name", NODES)
def test_help_says_what_a_node_is_for_and_how_it_begins(name):
    code, text = answer(name, ["--help"])
    assert code == 0 and text.startswith(f"usage: ros2 run diffmocap {name} [--ros-args") and f"\n{name}: " in text
    assert (f"ros2 lifecycle set /human/{name} configure" in text) == (name not in ("hri_node", "viewer_node"))


@pytest.mark.parametrize(
    ("arguments", "unknown"),
    [
        ([], None),
        (["--ros-args", "-p", "source:=0", "--log-level", "debug"], None),
        (["--ros-args", "-r", "__ns:=/human", "--", "--ros-args", "-p", "a:=1"], None),
        (["source:=0"], "source:=0"),
        (["--ros-args", "-p", "a:=1", "--", "--source", "0"], "--source"),
    ],
)
def test_what_is_no_argument_of_ros_is_refused(arguments, unknown):
    told = answer("camera_node", arguments)
    if unknown is None:
        assert told is None
    else:
        code, text = told
        assert code == 2 and f"unknown argument '{unknown}'" in text and "--ros-args -p NAME:=VALUE" in text
