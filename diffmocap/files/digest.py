"""A fingerprint of files: what was computed by other code must not be taken for its result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_of(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256, in hexadecimal digits, of the paths below ``root`` and the contents of these files, in any order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
