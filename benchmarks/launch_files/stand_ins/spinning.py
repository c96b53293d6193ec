"""How every stand-in lives and ends: as a C++ node, without a word on SIGINT."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


def run(make_node: Callable[[], Node]) -> int:
    """Spins the node until SIGINT or SIGTERM; returns 0."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    executor.add_node(make_node())
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.2)
    rclpy.try_shutdown()
    return 0
