"""Threads that allocate at the same time share a few heaps, so that a busy machine does not make a node grow."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
#: Counts the heaps of a process in which twelve threads have held memory at once.
COUNT = """
import ctypes, re, sys, threading
from diffmocap.middleware.heaps import limit_heaps
print(limit_heaps(), end=" ")
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.fopen.argtypes = [ctypes.c_size_t], [ctypes.c_char_p, ctypes.c_char_p]
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
together = threading.Barrier(12)
def hold():
    together.wait()
    for size in range(200, 20_000, 100):
        libc.malloc(size)
    together.wait()
threads = [threading.Thread(target=hold) for _ in range(12)]
[t.start() for t in threads]; [t.join() for t in threads]
file = libc.fopen(sys.argv[1].encode(), b"w"); libc.malloc_info(0, file); libc.fclose(file)
print(len(re.findall("<heap nr=", open(sys.argv[1]).read())))
"""


def heaps(tmp_path: Path, **environment: str) -> tuple[str, int]:
    clean = {k: v for k, v in os.environ.items() if k not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    out = subprocess.run(
        [sys.executable, "-c", COUNT, str(tmp_path / "heaps.xml")], cwd=REPOSITORY, env={**clean, **environment},
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    return out[0], int(out[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
def test_twelve_threads_share_two_heaps_unless_the_environment_says_otherwise(tmp_path):
    assert heaps(tmp_path) == ("True", 2)
    limited, count = heaps(tmp_path, MALLOC_ARENA_MAX="6")
    assert limited == "False" and count > 2
