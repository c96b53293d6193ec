"""What the diagnostics say of the published motion: what its limits changed, and how it follows."""

from __future__ import annotations

from diffmocap.nodes.health.diagnostics import Diagnostics
from diffmocap.pipeline.result import PoseResult


class MotionReport:
    """Values ``profile`` and ``motion``, and counters, which are of samples and, where it says so, of joints."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        for counter in ("predicted", "bridging", "joints_waited", "joints_outside_limits", "efforts_clipped"):
            diagnostics.count(counter, 0)

    def tell(self, result: PoseResult, profile: str) -> None:
        """One published sample."""
        d, sample = self._diagnostics, result.motion
        d.set("profile", profile)
        d.set("motion", "predicted" if sample.predicted else "bridging" if sample.bridging else "following")
        d.count("predicted", int(sample.predicted))
        d.count("bridging", int(sample.bridging))
        d.count("joints_waited", sample.waited)
        d.count("joints_outside_limits", sample.outside)
        d.count("efforts_clipped", sample.clipped_efforts)
