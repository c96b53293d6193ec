"""MCAP files that end in the middle, since their writer was killed or the disk was full: read as far as they are whole.

A record is one byte for its kind, eight for its length, and its content (https://mcap.dev/spec). A file that was closed
ends with a footer, without which readers refuse it; here one is put behind the last record that is there in full.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

MAGIC = b"\x89MCAP0\r\n"
_HEAD = 9
#: End of data (no checksum), and a footer without a summary (no checksum).
_END = b"\x0f" + (4).to_bytes(8, "little") + bytes(4) + b"\x02" + (20).to_bytes(8, "little") + bytes(20) + MAGIC
#: Kinds of records that stand before the end of data.
_DATA = frozenset({0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x09, 0x0C})


class CutMcap(type(Path())):
    """The path of an MCAP file; it is opened as if it had been closed behind its last whole record."""

    def open(self, mode: str = "rb", *_: Any, **__: Any) -> io.RawIOBase:
        """For reading, whatever ``mode`` is."""
        return _Ended(self, whole_bytes(self))


def is_cut(path: Path) -> bool:
    """Whether an MCAP file has a beginning and no end."""
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return False
        file.seek(max(file.seek(0, os.SEEK_END) - len(MAGIC), 0))
        return file.read() != MAGIC


def whole_bytes(path: Path) -> int:
    """How many bytes of an MCAP file are its magic and whole records of data.

    A computer that lost power may leave zeros in place of what was not written yet; the record in which they begin is
    none of them.
    """
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        last, at = len(MAGIC), len(MAGIC)
        while at + _HEAD <= end:
            file.seek(at)
            head = file.read(_HEAD)
            after = at + _HEAD + int.from_bytes(head[1:], "little")
            if head[0] not in _DATA or after > end:
                return last if head == bytes(_HEAD) else at
            last, at = at, after
    return at


class _Ended(io.RawIOBase):
    """The first ``whole`` bytes of a file, and :data:`_END`."""

    def __init__(self, path: Path, whole: int) -> None:
        self._file, self._whole, self._at = open(path, "rb"), whole, 0  # noqa: SIM115 - closed with this

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._whole + len(_END)}[whence]
        self._at = max(begin + offset, 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._whole + len(_END)
        stop = end if size is None or size < 0 else min(self._at + size, end)
        self._file.seek(self._at)
        found = self._file.read(max(min(stop, self._whole) - self._at, 0))
        found += _END[max(self._at - self._whole, 0) : max(stop - self._whole, 0)]
        self._at += len(found)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()
