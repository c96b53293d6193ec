"""MediaPipe as this program wants it: without its reports to Google and without a look at the sound devices."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from diffmocap.errors import SetupError

#: Where MediaPipe's native library reports to, and a proxy of a kind that does not exist.
_REPORTS_GO_TO = "play.googleapis.com"
_NO_WAY_OUT = "none://no-reports"


def import_mediapipe() -> Any:
    """The package ``mediapipe``, imported at the first call.

    Its library reports how it was used (task, number of images, durations, system) over HTTPS when a detector is
    closed, and has no option against it. The transfer is libcurl's, which asks the environment for a proxy: the one
    that is named here is of an unknown kind, by which the transfer ends before a socket is opened. The variable holds
    for the whole process and its children; FFmpeg, which reads cameras' URLs, does not look at it.

    The package also imports ``sounddevice``, which starts a compiler to look for PortAudio and opens every sound device
    where it finds it. It can do without, and poses have no sound.

    Raises:
        SetupError: it is not installed, or cannot be loaded.
    """
    refuse_reports()
    silent = "sounddevice" not in sys.modules
    if silent:
        sys.modules["sounddevice"] = None  # type: ignore[assignment]  # importing it now raises ImportError
    try:
        import mediapipe
    except (ImportError, OSError) as error:
        raise SetupError(
            f"keypoint detection needs MediaPipe ({error}); `make setup` installs it (requirements/base.txt)"
        ) from error
    finally:
        if silent:
            del sys.modules["sounddevice"]
    return mediapipe


def refuse_reports() -> None:
    """Leaves MediaPipe's library no way to the network; see :func:`import_mediapipe`."""
    os.environ["https_proxy"] = _NO_WAY_OUT
    for name in ("no_proxy", "NO_PROXY"):  # hosts that are reached without any proxy
        hosts = [host for host in re.split(r"[,\s]+", os.environ.get(name, "")) if host]
        kept = [host for host in hosts if host != "*" and not f".{_REPORTS_GO_TO}".endswith(f".{host.lstrip('.')}")]
        if kept != hosts:
            os.environ[name] = ",".join(kept)
