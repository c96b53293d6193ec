"""SIGINT and SIGTERM end a node's process at any moment: quickly, with exit code 0 and without a traceback.

Python by itself raises KeyboardInterrupt wherever the main thread happens to be, also inside an import or a callback of
rclpy, and only once that thread gets back from native code. Here the signals are read by a thread of their own. While
there is nothing to close (during the imports) it ends the process at once; later it tells the node, and ends
the process itself where closing takes longer than launch files wait. No ROS module is imported here.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from diffmocap.middleware.shared_memory import remove_owned

SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Time to close a node [s]: the end is to come within two seconds.
PATIENCE_S = 1.2


class Interruption:
    """Takes over the signals of this process; made on the main thread, before anything that takes time.

    ``on_signal`` is called once, on the watching thread; while it is None a signal ends the process at once.
    """

    def __init__(self) -> None:
        self.on_signal: Callable[[], None] | None = None
        self.received = False
        self._closed = threading.Event()
        read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(read_end, True)
        threading.Thread(target=self._watch, args=(read_end,), name="signals", daemon=True).start()
        for number in SIGNALS:
            signal.signal(number, _nothing)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        # A parent may have held them back until somebody can take them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def closed(self) -> None:
        """The node is closed: the process ends by itself from here on, whatever signals still come.

        Python takes a moment to unload torch; another signal must not make a killed process of a clean exit.
        """
        self._closed.set()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _watch(self, read_end: int) -> None:
        while not any(number in SIGNALS for number in os.read(read_end, 64)):
            pass
        self.received = True
        if self._closed.is_set():
            return
        if self.on_signal is not None:
            self.on_signal()
            if self._closed.wait(PATIENCE_S):
                return
        remove_owned()
        os._exit(0)


_current: Interruption | None = None


def take_signals() -> Interruption:
    """The one Interruption of this process."""
    global _current
    if _current is None:
        _current = Interruption()
    return _current


def _nothing(number: int, frame: object) -> None:
    """For Python to note the signal; the watching thread acts on it."""
