"""How much a reconstruction may cost, and what is known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from diffmocap.errors import SettingsError
from diffmocap.keypoints.settings import SideSettings
from diffmocap.lifting.settings import POSTERIOR_MEAN, LiftingSettings
from diffmocap.output.gate_settings import GateSettings
from diffmocap.refinement.diffphy.settings import SOLVERS, SimulationSettings
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.settings import Setting, check_settings, setting

HEIGHT = Setting("The person's height, which makes distances true.", 1.0, 2.3, "m")


@dataclass(frozen=True)
class ReconstructSettings:
    """Settings of :func:`diffmocap.reconstruct.reconstruction.reconstruct`.

    ``ground`` says what is known of gravity and floor; what it does not say is found from the whole motion.
    """

    fps: float = setting(0.0, "Frames a second of the motion; 0: those of the video.", 0.0, 240.0, "Hz")
    samples: int = setting(0, "Poses a frame that are sampled beside the mean ones of both directions in time.", 0, 32)
    sample_steps: int = setting(5, "Sampler steps of these.", 1, 1000)
    window_s: float = setting(2.0, "Length of the stretches that are refined together.", 0.5, 10.0, "s")
    overlap_s: float = setting(0.7, "How far these overlap.", 0.1, 5.0, "s")
    solver: str = setting("optimus", "Solver of the windows; optimus is the learned one.", choices=SOLVERS)
    evaluations: int = setting(20, "Evaluations of a window's loss in each round.", 1, 2000)
    rounds: int = setting(2, "Rounds; in each but the first contacts are read anew.", 1, 10)
    longest_bridge_s: float = setting(
        1.0, "Longest time without a pose that is bridged; over a longer one a motion ends and another begins.",
        0.0, 10.0, "s",
    )  # fmt: skip
    height_m: float = setting(
        0.0, "The person's height, which makes distances true; 0: the mean body's.", 0.0, 2.3, "m"
    )
    physics: bool = setting(True, "Refine by physics; false: a smooth motion through the lifted poses.")
    lock_feet: bool = setting(True, "Feet that stand stay in one place, and above a floor that is known.")
    diffphy: bool = setting(
        False, "Simulate the refined motion: a body with driven joints follows it, which gives torques and forces."
    )
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    sides: SideSettings = field(default_factory=SideSettings)
    lifting: LiftingSettings = replace(POSTERIOR_MEAN, sampler="ddim", fresh_noise=True)
    gate: GateSettings = field(default_factory=GateSettings)
    ground: KnownGround = field(default_factory=KnownGround)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.height_m:
            HEIGHT.check("height_m", self.height_m)
        if not self.overlap_s < self.window_s:
            raise SettingsError(f"overlap_s must be below window_s, {self.window_s} s; got {self.overlap_s} s")


_DEFAULTS = ReconstructSettings()
#: What ``--quality`` stands for.
QUALITIES = {
    "fast": _DEFAULTS,
    "best": replace(_DEFAULTS, samples=6, evaluations=60, rounds=3, simulation=SimulationSettings(evaluations=60)),
}
