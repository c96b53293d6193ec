"""Fast DDS's files in shared memory: readable by their user alone, and gone with the process that made them.

Each segment has a lock file beside it (``<segment>_el``, of a port also ``_sl``) that its owner holds open and locked
while it lives. That tells whose a segment is, and which ones have been left behind by processes that were killed: the
rule of ``fastdds shm clean``. Segments are ``fastdds_*`` since Fast DDS 3 and ``fastrtps_*`` before. Nothing here fails
where there is no shared memory or no Fast DDS.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

SHARED_MEMORY = Path("/dev/shm")
_LOCK_FILE = re.compile(r"(?P<segment>(?:fastdds|fastrtps)_(?:[0-9a-f]{16}|port\d+))_[es]l")


def owned_segments(pid: int | None = None, folder: Path = SHARED_MEMORY) -> list[Path]:
    """The segments and ports of a process of this user, by default of this one.

    A child may have inherited lock files from its parent: see :func:`close_inherited_locks`, and ``but_for`` below.
    """
    pid = os.getpid() if pid is None else pid
    return sorted({folder / segment for _, segment in _open_locks(pid, folder)})


def close_inherited_locks(folder: Path = SHARED_MEMORY) -> None:
    """For a process that has no segments yet: those that it seems to own are its parent's, whose lock goes on.

    Fast DDS lets its lock files be inherited, and launch closes no files in its children.
    """
    for descriptor, _ in _open_locks(os.getpid(), folder):
        os.close(descriptor)


def make_private(pid: int | None = None, folder: Path = SHARED_MEMORY, but_for: Collection[Path] = ()) -> list[Path]:
    """Take from group and others what they may do with a process's segments; returns the segments.

    Needed beside a umask of 077: Fast DDS gives its segments the mode 0644 whatever the umask is, and images go through
    them. ``but_for`` are segments that are another process's, which has started this one.
    """
    segments = [segment for segment in owned_segments(pid, folder) if segment not in but_for]
    for segment in segments:
        for path in _files(segment):
            try:
                os.chmod(path, path.stat().st_mode & 0o700)
            except OSError:  # gone since, or another user's
                continue
    return segments


def remove_owned(folder: Path = SHARED_MEMORY) -> None:
    """Remove the segments of this process, which is about to end without telling Fast DDS."""
    for segment in owned_segments(folder=folder):
        _remove(segment)


def remove_dead(folder: Path = SHARED_MEMORY) -> list[Path]:
    """Remove the segments that killed processes of this user left behind; returns them.

    Not their ports, which are small and hold no images: Fast DDS takes them over, or makes them anew for the next one.
    """
    removed = []
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return removed
    for name in names:
        match = _LOCK_FILE.fullmatch(name)
        if match and "_port" not in name and _is_own_and_dead(folder / name):
            segment = folder / match["segment"]
            _remove(segment)
            removed.append(segment)
    return sorted(set(removed))


def _open_locks(pid: int, folder: Path) -> list[tuple[int, str]]:
    """(descriptor, name of the segment) of the lock files that a process holds open."""
    descriptors = Path(f"/proc/{pid}/fd")
    found = []
    try:
        for descriptor in os.listdir(descriptors):
            try:
                path = Path(os.readlink(descriptors / descriptor))
            except OSError:  # closed since
                continue
            if path.parent == folder and (match := _LOCK_FILE.fullmatch(path.name)):
                found.append((int(descriptor), match["segment"]))
    except OSError:  # the process has ended, or the system has no /proc
        return []
    return found


def _is_own_and_dead(lock_file: Path) -> bool:
    try:
        descriptor = os.open(lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:  # its owner lives
        return False
    finally:
        os.close(descriptor)


def _files(segment: Path) -> Iterator[Path]:
    """The segment, its lock files, and of a port its mutex; some of them may not exist."""
    yield segment
    yield segment.with_name(f"{segment.name}_el")
    yield segment.with_name(f"{segment.name}_sl")
    yield segment.with_name(f"sem.{segment.name}_mutex")


def _remove(segment: Path) -> None:
    for path in _files(segment):
        path.unlink(missing_ok=True)
