"""Stands in for ``ros2 bag play``: an extension of the real ``ros2`` that plays a bag read by the library rosbags."""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Iterator
from pathlib import Path

from ros2cli.command import CommandExtension


class BagCommand(CommandExtension):
    """Play a bag (a stand-in for rosbag2)."""

    def add_arguments(self, parser: argparse.ArgumentParser, cli_name: str) -> None:
        self._parser = parser
        play = parser.add_subparsers(dest="verb").add_parser("play", help="play a bag")
        play.add_argument("bag_path", type=_existing)
        play.add_argument("-r", "--rate", type=float, default=1.0)
        play.add_argument("-l", "--loop", action="store_true")
        play.add_argument("-d", "--delay", type=float, default=0.0)
        play.add_argument("--clock", type=float, nargs="?", const=40.0, default=0.0, help="publish /clock at this rate")
        play.add_argument("-m", "--remap", nargs="+", default=[])
        play.add_argument("--topics", nargs="+", default=[])
        play.add_argument("--disable-keyboard-controls", action="store_true")

    def main(self, *, parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
        if args.verb is None:
            self._parser.print_help()
            return 0
        return play(args)


def _existing(text: str) -> Path:
    if not Path(text).exists():
        raise argparse.ArgumentTypeError(f"Bag path '{text}' does not exist!")
    return Path(text)


def play(args: argparse.Namespace) -> int:
    """Publishes the bag's messages as recorded, at their times; 1 where the bag cannot be read."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rosbags.rosbag2 import Reader, ReaderError

    try:
        reader = Reader(args.bag_path)
        reader.open()
    except (ReaderError, OSError, ValueError, KeyError) as error:
        print(f"No storage could be initialized from the inputs: {error}")
        return 1
    remappings = [part for rule in args.remap for part in ("-r", rule)]
    try:
        rclpy.init(args=["--ros-args", *remappings] if remappings else None)
        node = rclpy.create_node("rosbag2_player")
        with_clock = Player(node, reader, args)
        time.sleep(args.delay)
        while True:
            with_clock.play_once()
            if not args.loop:
                return 0
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        rclpy.try_shutdown()
        reader.close()


class Player:
    """The messages of a bag, and /clock between them."""

    def __init__(self, node, reader, args: argparse.Namespace) -> None:
        from rosgraph_msgs.msg import Clock

        self._node, self._reader, self._rate, self._clock_hz = node, reader, args.rate, args.clock
        self._connections = [c for c in reader.connections if not args.topics or c.topic in args.topics]
        self._publishers = {
            c.topic: node.create_publisher(_message_type(c.msgtype), c.topic, _qos(c)) for c in self._connections
        }
        self._clock = node.create_publisher(Clock, "/clock", 10) if args.clock > 0 else None

    def play_once(self) -> None:
        import rclpy

        started_s, bag_start_ns = time.monotonic(), self._reader.start_time
        for bag_ns, publish in self._events():
            rclpy.spin_once(self._node, timeout_sec=0)
            wait_s = started_s + (bag_ns - bag_start_ns) / 1e9 / self._rate - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            publish()

    def _events(self) -> Iterator[tuple[int, object]]:
        """Ticks of /clock and messages in order of the bag's time [ns]."""
        next_tick_ns = self._reader.start_time
        step_ns = int(1e9 / self._clock_hz * self._rate) if self._clock is not None else 0
        for connection, bag_ns, raw in self._reader.messages(connections=self._connections):
            while step_ns and next_tick_ns <= bag_ns:
                yield next_tick_ns, lambda ns=next_tick_ns: self._tick(ns)
                next_tick_ns += step_ns
            publisher = self._publishers[connection.topic]
            yield bag_ns, lambda p=publisher, r=raw: p.publish(bytes(r))

    def _tick(self, bag_ns: int) -> None:
        from rosgraph_msgs.msg import Clock

        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(bag_ns, 10**9)
        self._clock.publish(message)


def _message_type(name: str) -> type:
    package, _, kind = name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)


def _qos(connection):
    """What the recorder wrote of the publisher; reliable where it wrote nothing, as rosbag2 does."""
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    qos = QoSProfile(depth=10)
    offered = connection.ext.offered_qos_profiles
    if offered:
        if all(profile.reliability.name == "BEST_EFFORT" for profile in offered):
            qos.reliability = ReliabilityPolicy.BEST_EFFORT
        if all(profile.durability.name == "TRANSIENT_LOCAL" for profile in offered):
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return qos
