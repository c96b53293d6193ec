"""Fast DDS's files in shared memory: whose they are, who may read them, and which ones nobody owns any more."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diffmocap.middleware import shared_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory is elsewhere on other systems")

SEGMENT, OLD_SEGMENT, PORT = "fastdds_0123456789abcdef", "fastrtps_fedcba9876543210", "fastdds_port7411"


class Owner:
    """A process that has segments, as Fast DDS has them: their lock files open and locked."""

    SCRIPT = """
import fcntl, sys
held = [open(path) for path in sys.argv[1:]]
for file in held:
    fcntl.flock(file, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.read()
"""

    def __init__(self, *locks: Path) -> None:
        command = [sys.executable, "-S", "-c", self.SCRIPT, *map(str, locks)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture()
def owner(tmp_path):
    """Of all three kinds of files."""
    locks = []
    for name in (SEGMENT, OLD_SEGMENT, PORT):
        for file in (name, f"{name}_el", f"sem.{name}_mutex"):
            (tmp_path / file).write_bytes(b"")
            (tmp_path / file).chmod(0o644)
        locks.append(tmp_path / f"{name}_el")
    made = Owner(*locks)
    yield made
    made.kill()


def test_a_process_owns_what_it_holds_locked(owner, tmp_path):
    expected = sorted(tmp_path / name for name in (SEGMENT, OLD_SEGMENT, PORT))
    assert shared_memory.owned_segments(owner.process.pid, tmp_path) == expected
    assert shared_memory.owned_segments(os.getpid(), tmp_path) == []
    owner.kill()
    assert shared_memory.owned_segments(owner.process.pid, tmp_path) == []


def test_private_files_are_their_users_alone_and_others_are_left(owner, tmp_path):
    other = tmp_path / "fastdds_1111111111111111"
    other.touch(0o644)
    assert len(shared_memory.make_private(owner.process.pid, tmp_path)) == 3
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes.pop(other.name) == 0o644
    assert set(modes.values()) == {0o600} and len(modes) == 9


def test_what_a_parent_owns_is_not_its_childs(owner, tmp_path):
    """launch hands its own lock files down to all that it starts."""
    inherited = [tmp_path / SEGMENT, tmp_path / PORT]
    assert shared_memory.make_private(owner.process.pid, tmp_path, but_for=inherited) == [tmp_path / OLD_SEGMENT]
    assert (tmp_path / SEGMENT).stat().st_mode & 0o777 == 0o644
    lock = os.open(tmp_path / f"{SEGMENT}_el", os.O_RDONLY)
    assert shared_memory.owned_segments(folder=tmp_path) == [tmp_path / SEGMENT]
    shared_memory.close_inherited_locks(tmp_path)
    assert shared_memory.owned_segments(folder=tmp_path) == []
    with pytest.raises(OSError):
        os.fstat(lock)


def test_only_what_the_dead_left_is_removed(owner, tmp_path):
    for name in ("fastdds_2222222222222222", "my_own_segment", "my_own_segment_el"):
        (tmp_path / name).touch()  # nothing tells whose they are
    before = set(tmp_path.iterdir())
    assert shared_memory.remove_dead(tmp_path) == []
    assert set(tmp_path.iterdir()) == before
    owner.kill()
    assert shared_memory.remove_dead(tmp_path) == [tmp_path / SEGMENT, tmp_path / OLD_SEGMENT]
    assert {path.name for path in before - set(tmp_path.iterdir())} == {
        f"{start}{segment}{end}"
        for segment in (SEGMENT, OLD_SEGMENT)
        for start, end in (("", ""), ("", "_el"), ("sem.", "_mutex"))
    }


def test_a_process_that_ends_at_once_takes_its_segments_along(tmp_path):
    for name in (SEGMENT, f"{SEGMENT}_el", PORT, f"{PORT}_el"):
        (tmp_path / name).touch()
    with (tmp_path / f"{SEGMENT}_el").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shared_memory.remove_owned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {PORT, f"{PORT}_el"}


def test_nothing_fails_where_there_is_no_shared_memory(tmp_path):
    nowhere = tmp_path / "nowhere"
    assert shared_memory.remove_dead(nowhere) == [] == shared_memory.make_private(folder=nowhere)
