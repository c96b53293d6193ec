"""How functions of this package are compiled."""

from __future__ import annotations

from collections.abc import Callable

#: Sums may be reordered and fused, so that they use vector instructions; what is no number stays none.
_FAST = {"contract", "reassoc", "arcp", "nsz"}


def _compiler() -> Callable[[Callable], Callable]:
    from numba import njit  # here, so that nothing that only reads this module's name needs Numba

    return njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)


#: Decorates a function that is compiled when first called and kept on disk: beside the source, or in the user's cache
#: where that cannot be written. Another processor compiles it again.
compiled = _compiler()
