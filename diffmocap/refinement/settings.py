"""Settings of the physics refinement as a whole. Imports no torch: the command line reads them early."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.settings import check_settings, setting


@dataclass(frozen=True)
class PhysicsSettings:
    """Settings of a :class:`diffmocap.refinement.physics_refiner.PhysicsRefiner`.

    ``live`` is of the sliding window, ``smoothing`` of the filter that runs beside it. ``ground`` is what is known of
    gravity and floor; a change starts the window again.
    """

    enabled: bool = setting(
        True, "Refine poses by physics: contacts, forces, joint torques; false: the filter's poses alone."
    )
    live: LiveSettings = field(default_factory=LiveSettings)
    smoothing: FilterSettings = field(default_factory=FilterSettings)
    ground: KnownGround = field(default_factory=KnownGround)

    def __post_init__(self) -> None:
        check_settings(self)

    def without_time_limit(self) -> PhysicsSettings:
        """The same with physics and all its iterations in every frame: for first frames that are slow anyway."""
        return replace(self, enabled=True, live=replace(self.live, budget_ms=0.0, lag_frames=0))
