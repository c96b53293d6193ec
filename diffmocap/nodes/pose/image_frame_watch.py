"""Says where nothing places the frame of the images: the body is in it, and viewers look from another one."""

from __future__ import annotations

import time
from collections.abc import Callable

from diffmocap.nodes.health.diagnostics import OK, Diagnostics
from diffmocap.nodes.static_frames import StaticFrames

#: Publishers of static transforms are heard one after the other [s].
PATIENCE_S = 5.0


class ImageFrameWatch:
    """Problem ``frame`` (OK: what moves a camera may place it on /tf), and a warning for the log.

    Args:
        diagnostics, warn: where to tell.
        frames: what /tf_static says.
    """

    def __init__(self, diagnostics: Diagnostics, warn: Callable[[str], None], frames: StaticFrames) -> None:
        self._diagnostics, self._warn, self._frames = diagnostics, warn, frames
        self._key: tuple[int, str, str] | None = None
        self._text = self._told = ""
        self._since_s = 0.0

    def tell(self, frame: str, ground_frame: str) -> None:
        """A pose is published in ``frame``; ``ground_frame`` has z up, empty for none."""
        now_s = time.monotonic()
        key = (self._frames.version, frame, ground_frame)
        if key != self._key:
            text, self._key = self._fault(frame, ground_frame), key
            if text != self._text:
                self._text, self._since_s = text, now_s
        if not self._text:
            self._diagnostics.solved("frame")
            return
        self._diagnostics.problem("frame", self._text, OK)
        if self._text != self._told and now_s - self._since_s >= PATIENCE_S:
            self._told = self._text
            self._warn(self._text)

    def _fault(self, frame: str, ground_frame: str) -> str:
        frames = self._frames
        if frame == ground_frame or not ground_frame or not frames.knows(ground_frame) or frames.places(frame):
            return ""
        return (
            f"the images have the frame '{frame}', which no static transform places, while '{ground_frame}' is there: "
            f"viewers cannot show the body in it, unless /tf does. Give the launch file camera_frame:={frame}, or "
            "publish a transform"
        )
