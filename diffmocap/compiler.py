"""Functions as machine code: small loops on the CPU that would be thousands of small operations in torch.

Numba compiles them when they are first called and keeps them on disk. Without it torch does the same, more slowly.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

#: Sums may be reordered and fused, so that they use vector instructions; what is no number stays none.
_FAST = {"contract", "reassoc", "arcp", "nsz"}


def compiled(function: Callable) -> Callable:
    """Decorates a function that is compiled when first called and kept on disk: beside the source, or in the user's
    cache where that cannot be written, or not at all. Another processor compiles it again, and so does other code."""
    from numba import njit  # here, so that nothing that only reads this module's name needs Numba

    options = {"nogil": True, "error_model": "numpy", "fastmath": _FAST}
    try:
        dispatcher = njit(cache=True, **options)(function)
        # Numba looks at a function's own file alone, while the code that it keeps holds what the function calls, and
        # constants from elsewhere.
        kept = dispatcher._cache._cache_file
        kept._source_stamp = (kept._source_stamp, sources())
        return dispatcher
    except (RuntimeError, AttributeError):  # nowhere to keep it, or a Numba that keeps it in another way
        return njit(**options)(function)


@cache
def sources() -> str:
    """All code that compiled functions may come from, in a few letters."""
    digest, root = hashlib.sha256(), Path(__file__).parent
    for part in ("body", "physics", "refinement"):
        for path in sorted((root / part).rglob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def available() -> bool:
    """Whether there is a compiler that works; without one torch does the same, more slowly, and a warning says why."""
    try:
        import numba  # noqa: F401
    except Exception as error:  # Numba refuses a NumPy that it does not know with an error of its own
        warnings.warn(f"the physics runs without its compiled code, some ten times slower: {error}", stacklevel=2)
        return False
    return True
