"""Functions as machine code: small loops on the CPU that would be thousands of small operations in torch.

Numba compiles them when they are first called and caches them on disk.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch

from diffmocap.files.digest import digest_of

#: Sums may be reordered and fused, so that they use vector instructions; NaN stays NaN.
_FAST = {"contract", "reassoc", "arcp", "nsz"}
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": _FAST}
#: Packages whose compiled functions call none of the physics, and which others they take code or constants from.
OWN_ROOMS = {
    "lifting/network": ("body", "camera"), "lifting/correction": ("body", "camera"), "optim/cpu": (), "cli/drawing": (),
}  # fmt: skip
#: How lines about the progress of compiling begin; the command line shows them while it waits for a node.
COMPILING = "compiling the physics for this processor"


def compiled(function: Callable) -> Callable:
    """Decorates a function that is compiled when first called and cached on disk: beside the source, or in the user's
    cache where that cannot be written, or not at all. Another processor compiles it again, and so does other code."""
    from numba import njit  # here, so that nothing that only reads this module's name needs Numba

    try:
        dispatcher = njit(cache=True, **_OPTIONS)(function)
        kept = dispatcher._cache
        # Numba looks at a function's own file alone, while the code that it keeps holds what the function calls, and
        # constants from elsewhere.
        kept._cache_file._source_stamp = (kept._cache_file._source_stamp, sources(_rooms(function)))
        # A full disk or a damaged file must not keep what is compiled from running.
        kept.load_overload, kept.save_overload = _tried(kept.load_overload), _tried(kept.save_overload)
        return dispatcher
    except (RuntimeError, AttributeError):  # nowhere to keep it, or a Numba that keeps it in another way
        return njit(**_OPTIONS)(function)


def compiled_within(function: Callable, **more: bool) -> Callable:
    """Decorates a part of compiled functions: it is compiled and cached with those that call it.

    Python that calls it runs it as Python. So nothing is compiled that takes arguments from Python, which for records
    of many arrays takes longer than the function itself. ``more`` are options of Numba.
    """
    from numba.extending import register_jitable

    return register_jitable(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS, **more)(function)


def inlined(function: Callable) -> Callable:
    """:func:`compiled_within` for a few lines that become part of every caller, so that a call costs nothing."""
    return compiled_within(function, forceinline=True)


def why_not_kept(function: Callable) -> str:
    """Why machine code of a compiled function cannot be cached on disk; empty where it can."""
    cache_file = getattr(getattr(function, "_cache", None), "_cache_file", None)
    folder = getattr(getattr(function, "_cache", None), "cache_path", "")
    if cache_file is None or not folder:
        return "neither the folder of the sources nor the user's cache can be written; NUMBA_CACHE_DIR may name another"
    try:
        probe = Path(folder) / f".diffmocap-{time.time_ns()}"
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(4096))
        probe.unlink()
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror}); NUMBA_CACHE_DIR may name another folder"
    return ""


@contextmanager
def compiling_told(tell: Callable[[str], None], period_s: float = 5.0) -> Iterator[None]:
    """Reports the progress of compiling, and nothing where nothing has to be compiled.

    ``tell`` gets a line when it begins, one every ``period_s`` [s], and one at the end.
    """
    try:
        from numba.core import event
    except Exception:  # none, or one that does not work: there is nothing to wait for
        yield
        return

    class Listener(event.Listener):
        count, begin_s, told_s = 0, 0.0, 0.0

        def on_start(self, event: event.Event) -> None:
            if not self.begin_s:
                self.begin_s = self.told_s = time.monotonic()
                not_kept = why_not_kept(event.data["dispatcher"])
                how_often = f"at every start: {not_kept}" if not_kept else "once"
                tell(f"{COMPILING}, {how_often}; that takes a minute or more")

        def on_end(self, event: event.Event) -> None:
            self.count += 1
            if (now_s := time.monotonic()) - self.told_s >= period_s:
                self.told_s = now_s
                tell(f"{COMPILING}: {self.count} functions in {now_s - self.begin_s:.0f} s")

    listener = Listener()
    with event.install_listener("numba:compile", listener):
        yield
    if listener.begin_s:
        tell(f"{COMPILING}: done in {time.monotonic() - listener.begin_s:.0f} s")


def array(x: torch.Tensor) -> np.ndarray:
    """What compiled functions take of a tensor: float64 on the CPU, in one piece; without a copy where it is that
    already."""
    # NumPy converts a small array in a third of torch's time.
    return np.ascontiguousarray(x.detach().cpu().numpy(), dtype=np.float64)


def serves(x: torch.Tensor) -> bool:
    """Whether machine code may do what torch would do with a tensor: on the CPU, in single or double precision, where
    no gradient is asked for. torch's transforms of functions (vmap, jvp) need gradients enabled.

    What has such code imports it where it is called, so that nothing that trains on a GPU needs Numba.
    """
    served = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return served and not torch.is_grad_enabled() and available()


def _rooms(function: Callable) -> tuple[str, ...]:
    """The packages whose code a compiled function may call, and from which its constants come."""
    for room, others in OWN_ROOMS.items():
        if function.__module__.startswith(f"diffmocap.{room.replace('/', '.')}."):
            return *others, room
    return "body", "physics", "refinement"


@cache
def sources(rooms: tuple[str, ...] = ("body", "physics", "refinement")) -> str:
    """All code that compiled functions of these packages may come from, in a few letters."""
    root = Path(__file__).parent
    paths = [path for part in rooms for path in (root / part).rglob("*.py")]
    return digest_of(root, [Path(__file__), *paths])[:16]


@cache
def available() -> bool:
    """Whether there is a compiler that works; where there is none, a warning says why and what that costs."""
    try:
        import numba  # noqa: F401
        from numba.np.linalg import ensure_blas

        ensure_blas()  # matrix products are SciPy's
    except Exception as error:  # Numba refuses a NumPy that it does not know with an error of its own
        warnings.warn(
            f"Numba does not compile here ({error}): lifted poses are not corrected, live poses are filtered without "
            "physics, and DiffPhy runs some ten times slower",
            stacklevel=2,
        )
        return False
    return True


def _tried(method: Callable) -> Callable:
    """The method; where it raises, nothing was kept or found, and the caller compiles."""

    def call(*arguments):
        try:
            return method(*arguments)
        except Exception:
            return None

    return call
