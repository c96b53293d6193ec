"""What /diagnostics says about the physics refinement."""

from __future__ import annotations

from collections import deque

from diffmocap.nodes.health.diagnostics import Diagnostics
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.types import BodyState

#: Poses that the share of refined ones is taken over.
POSES = 150


class RefinementReport:
    """Tells of each published pose; everything but counts is about the last :data:`POSES`, or the last one."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self._refined: deque[bool] = deque(maxlen=POSES)
        diagnostics.count("refined", 0)
        diagnostics.count("refined_with_step", 0)

    def tell(self, state: BodyState, settings: PhysicsSettings, missing: str) -> None:
        """One pose, the settings that it was made with, and what is missing to find the ground as asked for."""
        d, physics = self._diagnostics, state.physics
        d.set("physics", "on" if settings.enabled else "off")
        optimizer = settings.live.optimizer
        d.set("optimizer", optimizer if isinstance(optimizer, str) else type(optimizer).__name__)
        if missing and settings.enabled:
            d.problem("ground", missing)
        else:
            d.solved("ground")
        off_m = 0.0 if physics is None else physics.ground_contradiction_m
        if off_m:
            side = "above" if off_m > 0 else "below"
            d.problem("floor", f"feet rest {abs(off_m):.2f} m {side} the floor that was given: check "
                               "camera_height, camera_pitch and camera_roll, or the transform that it comes "
                               "from")  # fmt: skip
        elif physics is not None or not settings.enabled:
            d.solved("floor")
        self._refined.append(physics is not None)
        d.set("refined_share", sum(self._refined) / len(self._refined))
        d.set("refinement_fallback", state.fallback or "none")
        if not settings.enabled:
            return
        d.set("loss_before", state.loss_before)
        d.set("loss_after", state.loss_after)
        if physics is not None:
            d.count("refined")
            if physics.iterations:
                d.count("refined_with_step")
            d.set("refinement_iterations", physics.iterations)
            d.set("ground", physics.ground_source)
            d.set("contacts", ", ".join(state.contacts) or "none")
