"""Makes this process wait for the pipeline's where both want the processor."""

from __future__ import annotations

import os
from pathlib import Path

#: Steps of niceness; each gives a process a tenth less of a contended core.
NICENESS = 10
_AUTOGROUP = Path("/proc/self/autogroup")


def lower_priority() -> None:
    """Lowers the niceness of the process, and of its session where that is its own.

    Linux' autogroups share the processor among sessions first, and niceness only decides within one. The supervisor
    gives each node a session; where several nodes are in one, as ``ros2 launch`` has them, that of the group is theirs
    too and is left alone.
    """
    try:
        os.nice(NICENESS)
        if os.getsid(0) == os.getpid():
            _AUTOGROUP.write_text(str(NICENESS))
    except (OSError, AttributeError):
        pass  # not allowed in some containers, and not there on other systems: it is only slower for others
