"""How functions of this package are compiled."""

from __future__ import annotations

from collections.abc import Callable

#: Sums may be reordered and fused, so that they use vector instructions; what is no number stays none.
_FAST = {"contract", "reassoc", "arcp", "nsz"}


def compiled(function: Callable) -> Callable:
    """Decorates a function that is compiled when first called and kept on disk: beside the source, or in the user's
    cache where that cannot be written, or not at all. Another processor compiles it again."""
    from numba import njit  # here, so that nothing that only reads this module's name needs Numba

    options = {"nogil": True, "error_model": "numpy", "fastmath": _FAST}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep it
        return njit(**options)(function)
