"""The window loss and its gradient as machine code, for single windows on the CPU.

The same equations as :mod:`diffmocap.refinement.window_loss`, whose torch code is the reference and does batches,
other devices and everything that is to be differentiated by autograd. A window is so small that some 1,700 operations
take ten times longer to dispatch than to compute; here they are loops that Numba compiles once and keeps on disk. All
numbers are float64.
"""

from __future__ import annotations

import warnings
from functools import cache


@cache
def available() -> bool:
    """Whether there is a compiler that works; without one torch does the same, more slowly, and a warning says why."""
    try:
        import numba  # noqa: F401
    except Exception as error:  # Numba refuses a NumPy that it does not know with an error of its own
        warnings.warn(f"the physics runs without its compiled code, some ten times slower: {error}", stacklevel=2)
        return False
    return True
