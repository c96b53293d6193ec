"""Tells a robot that follows what to do: the services of its node, for who has no ROS 2 command line.

`diffmocap live --robot g1` has to run. What can be asked for:

  watch      show the state, why it is this one, and what speaks against engaging, until Ctrl-C
  engage     follow: from the robot's pose to the person's, who has stood before the camera
  release    brake and keep the pose
  disengage  no more commands, of a robot that keeps its pose
  stop       the software stop: brake, and follow nobody until it is reset
  reset      end the stop

With --sonic the poses for SONIC are meant, of `diffmocap live --sonic`: engage begins to send them, release ends it.

An answer that refuses says why, and the exit code is 1. This is no emergency stop.
"""

from __future__ import annotations

import argparse
import os
import sys

from diffmocap.cli.options.pose_options import add_graph_arguments
from diffmocap.graph.description import NAMESPACE
from diffmocap.graph.names import check_name

SUMMARY = "tell a robot that follows to engage, release or stop"
#: Those of :class:`diffmocap.robots.live.engagement.Request`, and looking.
ACTIONS = ("watch", "engage", "release", "disengage", "stop", "reset")
#: What sonic_node can be asked for.
OF_SONIC = ("engage", "release")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("action", choices=ACTIONS, help="what to ask for, see above")
    parser.add_argument("--sonic", action="store_true", help="ask sonic_node: engage or release")
    parser.add_argument(
        "--namespace",
        default=NAMESPACE,
        metavar="NAME",
        help="namespace of the graph, / for none (default: %(default)s)",
    )
    add_graph_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Asks, prints the answer, and returns 1 where it was refused."""
    from diffmocap.errors import DiffmocapError
    from diffmocap.middleware.network import join_network
    from diffmocap.middleware.ros_environment import prepare_process, require_ros

    if args.sonic and args.action not in OF_SONIC:
        raise DiffmocapError(f"sonic_node knows {' and '.join(OF_SONIC)} alone, got {args.action}")
    check_name("--namespace", "namespace", args.namespace)
    require_ros()
    if args.domain_id is not None:
        os.environ["ROS_DOMAIN_ID"] = str(args.domain_id)
    for remark in join_network(args.network):
        print(f"diffmocap: {remark}", file=sys.stderr)
    prepare_process()

    from diffmocap.nodes.retarget.asking import Asking
    from diffmocap.robots.live.engagement import Request

    with Asking(args.namespace) as asking:
        if args.action == "watch":
            asking.watch(lambda text: print(text, flush=True))
            return 0
        granted, text = asking.ask(Request(args.action), "sonic_node" if args.sonic else "retarget_node")
    if not granted:
        raise DiffmocapError(f"{args.action} is refused: {text}")
    print(text)
    return 0
