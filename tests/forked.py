"""Processes forked from one that has imported what they need; this process starts that one when it first forks."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Any


def forking_with(module: str) -> ForkServerContext:
    """The context that forks; ``module`` is imported ahead where nothing was forked in this process before.

    Python has one such process, whose imports whoever starts it decides. So it is asked for where a process is about
    to start, not where a file of tests is imported: every worker imports all of them, and the last would decide.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


def run_ranks(target: Callable[..., None], *arguments: Any, world: int = 2) -> None:
    """Calls ``target(*arguments)`` in ``world`` processes, whose environment is as ``torchrun`` would make it.

    Where one fails the others, which wait for it, are ended after two minutes.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    context = forking_with(target.__module__)
    processes = [
        context.Process(target=_as_rank, args=(rank, world, port, target, *arguments), daemon=True)
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    deadline = time.monotonic() + 120.0
    try:
        for process in processes:
            process.join(max(deadline - time.monotonic(), 0.0))
        assert [process.exitcode for process in processes] == [0] * world
    finally:
        for process in processes:
            process.kill()
            process.join()


def _as_rank(rank: int, world: int, port: int, target: Callable[..., None], *arguments: Any) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    target(*arguments)
