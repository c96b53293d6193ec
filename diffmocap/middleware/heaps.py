"""How many heaps a process of many threads has.

glibc makes a heap for a thread that finds the others in use, up to eight for each core, and each of them keeps the
largest size that it ever had. Where the processor is busy threads meet more often: memory then seems to leak, by some
megabytes an hour, until every heap has had its largest image.
"""

from __future__ import annotations

import ctypes
import os

#: glibc's number of the option (malloc.h), and how many heaps the threads of a node share.
M_ARENA_MAX, HEAPS = -8, 2


def limit_heaps(count: int = HEAPS) -> bool:
    """Lets the threads of this process share ``count`` heaps, unless the environment says how many (MALLOC_ARENA_MAX).

    To be called before threads are started. False where the C library is none that knows it; that does no harm.
    """
    if "MALLOC_ARENA_MAX" in os.environ or "glibc.malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        return ctypes.CDLL(None).mallopt(M_ARENA_MAX, count) == 1
    except (AttributeError, OSError):
        return False
