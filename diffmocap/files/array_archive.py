"""Named arrays from ``.npz`` files of unknown origin: every array is looked at before it is read.

An archive says in a few bytes how large and of what type an array is. So an array that takes gigabytes once it is
unpacked, or one of another kind than expected, is refused before memory is asked for. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from diffmocap.errors import DiffmocapError

#: Largest array that is read, unpacked: two hours of SMPL-H poses at 120 frames a second in double precision.
MAX_ARRAY_BYTES = 1 << 30
_SUFFIX = ".npy"
#: NumPy's letters for kinds of elements, by the words of the error messages.
_KINDS = {"numbers": "fiu", "whole numbers": "iu", "text": "US"}


@dataclass(frozen=True)
class ArrayHeader:
    """What an array says about itself: ``shape``, ``dtype``."""

    shape: tuple[int, ...]
    dtype: np.dtype


class ArrayArchive:
    """A context manager around an ``.npz`` file that raises one kind of error, whatever is wrong with the file.

    Args:
        path: of the file.
        error: the class of what is raised.
        advice: what to do, at the end of each message.
        max_array_bytes: the largest array, unpacked, that is read.

    Raises:
        DiffmocapError: ``error``, where the file is missing or no archive of arrays.
    """

    def __init__(
        self, path: str | Path, error: type[DiffmocapError], advice: str, max_array_bytes: int = MAX_ARRAY_BYTES
    ) -> None:
        self.path = Path(path)
        self._error, self._advice, self._max_array_bytes = error, advice, max_array_bytes
        if not self.path.is_file():
            raise self.refused("does not exist")
        try:
            self._zip = zipfile.ZipFile(self.path)
        except Exception as cause:
            raise self.refused(_no_archive(self.path, cause)) from cause
        self._members = {
            info.filename.removesuffix(_SUFFIX): info for info in self._zip.infolist()
            if info.filename.endswith(_SUFFIX)
        }  # fmt: skip

    def __enter__(self) -> ArrayArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, key: str) -> bool:
        return key in self._members

    @property
    def keys(self) -> list[str]:
        """Names of the arrays."""
        return sorted(self._members)

    def refused(self, what: str) -> DiffmocapError:
        """The error that names the file and says what to do."""
        return self._error(f"{self.path} {what}; {self._advice}")

    def header(self, key: str) -> ArrayHeader:
        """Shape and type of an array, which is not read.

        Raises:
            DiffmocapError: there is none of this name, or it is damaged, pickled or too large.
        """
        if key not in self._members:
            raise self.refused(f"lacks the key {key!r}; it holds {self.keys}")
        info = self._members[key]
        try:
            with self._zip.open(info) as member:
                header = _read_header(member)
                payload = info.file_size - member.tell()
        except Exception as cause:  # whatever a damaged file makes of zipfile, zlib and NumPy
            raise self.refused(f"is damaged: the array {key!r} cannot be read ({_words(cause)})") from cause
        if header.dtype.hasobject:
            raise self.refused(f"holds pickled objects as {key!r}, which cannot be read: a pickle can run code")
        size = header.dtype.itemsize * _product(header.shape)
        if size > self._max_array_bytes:
            raise self.refused(
                f"holds {size / 1e6:.0f} MB as {key!r}, {list(header.shape)} of {header.dtype}; at most "
                f"{self._max_array_bytes / 1e6:.0f} MB are read"
            )
        if size != payload:
            raise self.refused(f"is damaged: {key!r} should be {size} bytes, and is {payload}")
        return header

    def array(self, key: str, shape: Sequence[int | None] | None = None, kind: str = "numbers") -> np.ndarray:
        """An array of the given shape (None in it: any length; None: any shape) and kind, in the file's own type.

        ``kind``: numbers, whole numbers or text.

        Raises:
            DiffmocapError: see :meth:`header`; or it has another shape or kind, or values that are not finite.
        """
        header = self.header(key)
        if shape is not None and not _fits(header.shape, shape):
            wanted = ["*" if n is None else n for n in shape]
            raise self.refused(f"is unusable: {key!r} has the shape {list(header.shape)}, expected {wanted}")
        if header.dtype.kind not in _KINDS[kind]:
            raise self.refused(f"is unusable: {key!r} has the type {header.dtype}, expected {kind}")
        try:
            with self._zip.open(self._members[key]) as member:
                values = np.lib.format.read_array(member, allow_pickle=False)
        except Exception as cause:
            raise self.refused(f"is damaged: the array {key!r} cannot be read ({_words(cause)})") from cause
        if kind != "text" and not np.isfinite(values).all():
            raise self.refused(f"is unusable: {key!r} holds values that are not finite")
        return values

    def number(self, key: str) -> float:
        """The only value of an array, as a float.

        Raises:
            DiffmocapError: see :meth:`array`; or there are more values.
        """
        values = self.array(key)
        if values.size != 1:
            raise self.refused(f"is unusable: {key!r} has the shape {list(values.shape)}, expected one number")
        return float(values.reshape(()))

    def text(self, key: str) -> str:
        """The only value of an array, as text.

        Raises:
            DiffmocapError: see :meth:`number`.
        """
        values = self.array(key, kind="text")
        if values.size != 1:
            raise self.refused(f"is unusable: {key!r} has the shape {list(values.shape)}, expected one text")
        return str(values.astype(str).reshape(()))


def _read_header(member: BinaryIO) -> ArrayHeader:
    version = np.lib.format.read_magic(member)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:  # 3.0 is for records with names that are no Latin letters
        raise ValueError(f"version {version} of NumPy's format is not read here")
    shape, _, dtype = read(member)
    return ArrayHeader(tuple(shape), dtype)


def _no_archive(path: Path, cause: Exception) -> str:
    try:
        with open(path, "rb") as f:
            single = f.read(6) == b"\x93NUMPY"
    except OSError:
        single = False
    if single:
        return "holds a single array and is no .npz archive of named ones"
    return f"is no readable .npz archive ({_words(cause)})"


def _words(cause: Exception) -> str:
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(cause).split()) or type(cause).__name__


def _product(shape: Sequence[int]) -> int:
    """Of Python's integers, which do not overflow; below zero where a length is."""
    size = 1
    for n in shape:
        size *= int(n)
    return -1 if any(n < 0 for n in shape) else size


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(n is None or n == m for n, m in zip(wanted, shape, strict=True))
