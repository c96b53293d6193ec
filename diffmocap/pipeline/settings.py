"""Settings of the stages of the pipeline together."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffmocap.keypoints.keypoint_outliers import KeypointOutlierSettings
from diffmocap.keypoints.settings import SideSettings
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.lifting.tracking.track import TrackSettings
from diffmocap.output.gate_settings import GateSettings
from diffmocap.output.profiles import MotionSettings
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.timing.track_clock import ClockSettings


@dataclass(frozen=True)
class PipelineSettings:
    """Settings of the stages and of the clock that they share, replaceable while the pipeline runs.

    ``refinement`` is of the kind that the pipeline's refiner takes; None leaves it as it is.
    """

    sides: SideSettings = field(default_factory=SideSettings)
    outliers: KeypointOutlierSettings = field(default_factory=KeypointOutlierSettings)
    lifting: LiftingSettings = field(default_factory=LiftingSettings)
    track: TrackSettings = field(default_factory=TrackSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    refinement: PhysicsSettings | FilterSettings | None = None
    clock: ClockSettings = field(default_factory=ClockSettings)

    @property
    def up(self) -> tuple[float, float, float] | None:
        """Unit vector against gravity in the optical frame, where somebody said so."""
        return self.refinement.ground.up if isinstance(self.refinement, PhysicsSettings) else None
