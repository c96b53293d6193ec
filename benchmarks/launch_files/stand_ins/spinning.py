"""How every stand-in lives and ends: as a C++ node, without a word on SIGINT."""

from __future__ import annotations

import signal
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node


def run(make_node: Callable[[], Node]) -> int:
    """Spins the node until SIGINT or SIGTERM; returns 0."""
    rclpy.init()
    try:
        rclpy.spin(make_node())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    # A second signal while Python ends must not make a failure of a clean end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    rclpy.try_shutdown()
    return 0
