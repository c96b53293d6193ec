"""Processes forked from one that has imported what they need; this process starts that one when it first forks."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext


def forking_with(module: str) -> ForkServerContext:
    """The context that forks; ``module`` is imported ahead where nothing was forked in this process before.

    Python has one such process, whose imports whoever starts it decides. So it is asked for where a process is about
    to start, not where a file of tests is imported: every worker imports all of them, and the last would decide.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context
