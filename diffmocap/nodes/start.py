"""The executables of the nodes. What a node needs takes seconds to import; signals are taken care of before that.

python -m diffmocap.nodes.start pose_node --ros-args -p device:=cuda
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from diffmocap.middleware.heaps import limit_heaps
from diffmocap.middleware.shared_memory import close_inherited_locks, remove_owned
from diffmocap.nodes.command_line import answer
from diffmocap.nodes.interruption import take_signals

NODES = ("camera_node", "hri_node", "keypoint_node", "pose_node", "retarget_node", "sonic_node", "viewer_node")


def camera_node() -> int:
    """Runs camera_node."""
    return start("camera_node")


def hri_node() -> int:
    """Runs hri_node."""
    return start("hri_node")


def keypoint_node() -> int:
    """Runs keypoint_node."""
    return start("keypoint_node")


def pose_node() -> int:
    """Runs pose_node."""
    return start("pose_node")


def retarget_node() -> int:
    """Runs retarget_node."""
    return start("retarget_node")


def sonic_node() -> int:
    """Runs sonic_node."""
    return start("sonic_node")


def viewer_node() -> int:
    """Runs viewer_node."""
    return start("viewer_node")


def start(name: str, args: Sequence[str] | None = None) -> int:
    """Runs a node of this package and ends the process; ``args`` as for ``rclpy.init``."""
    take_signals()
    told = answer(name, (sys.argv if args is None else args)[1:])
    if told is not None:
        code, text = told
        print(text, file=sys.stderr if code else sys.stdout)
        return code
    close_inherited_locks()
    limit_heaps()
    os.umask(0o077)  # what a camera sees concerns its user alone: log files, and files in shared memory
    try:
        main = importlib.import_module(f"diffmocap.nodes.{name}").main
    except ImportError as error:
        print(f"[FATAL] [{name}]: cannot start: {error}; `diffmocap doctor` says what is missing", file=sys.stderr)
        return 1
    code = main(args)
    # Everything that has to be closed is, and Python takes a moment to unload torch.
    remove_owned()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in NODES:
        raise SystemExit(f"usage: python -m diffmocap.nodes.start {{{','.join(NODES)}}} [--ros-args ...]")
    del sys.argv[0]  # the rest is the node's command line, its name in front
    raise SystemExit(start(sys.argv[0]))
