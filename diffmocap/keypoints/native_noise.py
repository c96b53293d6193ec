"""Keeps the chatter of MediaPipe's native code off the terminal, and nothing else.

MediaPipe writes the same warnings at every start and end straight to file descriptor 2, before its logging can be
configured; no environment variable stops them.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_NOISE = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:.* \S+\.cc:\d+\]"  # informations and warnings of absl's log
    rb"|(INFO|WARNING): \[\w+\.cc:\d+\]"  # the same of LiteRT's
    rb"|WARNING: (All log messages before absl::InitializeLog|Logging before InitGoogle\(\))"
    rb"|WARNING: Read-only tensor #\d+ .* unaligned buffer"
    rb"|INFO: Created TensorFlow Lite"
    rb"|OpenCV: FFMPEG: (tag|fallback)"  # of any name for VP8 in WebM, which it writes all the same
)


@contextlib.contextmanager
def without_native_noise() -> Iterator[None]:
    """Holds stderr back meanwhile, then lets through every line that is not known noise.

    It is held back for the whole process: what other threads write appears a moment later.
    """
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (OSError, AttributeError, ValueError):  # no stderr, nothing to keep quiet
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            with contextlib.suppress(OSError, AttributeError, ValueError):
                sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            lines = [line for line in held if not _NOISE.match(line)]
            with contextlib.suppress(OSError):
                os.write(2, b"".join(lines))
