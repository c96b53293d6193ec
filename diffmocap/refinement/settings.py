"""Settings of the physics refinement as a whole. Imports no torch: the command line reads them early."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from diffmocap.refinement.filter.settings import SmootherSettings
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.settings import check_settings, setting


@dataclass(frozen=True)
class PhysicsSettings:
    """Settings of a :class:`diffmocap.refinement.physics_refiner.PhysicsRefiner`.

    ``live`` is of the sliding window, where ``max_gap_s`` is that of ``smoothing``, the filter that runs beside it.
    ``ground`` is what is known of gravity and floor; a change starts the window again.
    """

    enabled: bool = setting(
        True, "Refine poses by physics: contacts, forces, joint torques; false: the filter's poses alone."
    )
    live: LiveSettings = field(default_factory=LiveSettings)
    smoothing: SmootherSettings = field(default_factory=SmootherSettings)
    ground: KnownGround = field(default_factory=KnownGround)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def max_gap_s(self) -> float:
        """Silence after which the next pose starts a new track."""
        return self.smoothing.max_gap_s

    def with_max_gap(self, max_gap_s: float) -> PhysicsSettings:
        """The same with another gap [s]."""
        return replace(self, smoothing=self.smoothing.with_max_gap(max_gap_s))

    def unhurried(self) -> PhysicsSettings:
        """The same with physics and all its iterations in every frame: for first frames that are slow anyway."""
        return replace(self, enabled=True, live=replace(self.live, budget_ms=0.0, lag_frames=0))
