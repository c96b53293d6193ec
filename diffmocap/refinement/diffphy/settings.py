"""Settings of the simulation of whole motions. Imports no torch: the command line reads them early."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.errors import SettingsError
from diffmocap.settings import check_settings, setting

#: Solvers of the controls: the learned one, and SciPy's.
SOLVERS = ("optimus", "lbfgs", "bfgs")
#: Joints whose targets are found; those of the others are the motion's own.
JOINTS = ("main", "all")


@dataclass(frozen=True)
class SimulationSettings:
    """Settings of :class:`diffmocap.refinement.diffphy.horizon.HorizonSimulator`."""

    solver: str = setting("optimus", "Solver of the controls; optimus is the learned one.", choices=SOLVERS)
    joints: str = setting(
        "main", "Joints whose targets are found: main, all but collars, head, wrists and hands; or all 23.",
        choices=JOINTS,
    )  # fmt: skip
    free_start: bool = setting(
        True, "The state that a simulation begins with is found, too, near the motion's own; false: it is that."
    )
    window_s: float = setting(1.0, "Length of the stretches whose controls are found together.", 0.3, 5.0, "s")
    overlap_s: float = setting(0.5, "How far a stretch looks beyond what is kept of it.", 0.1, 4.0, "s")
    evaluations: int = setting(40, "Simulations of a stretch, each with its gradient.", 1, 2000)
    stray_m: float = setting(
        0.15, "A simulated body whose joints are on average farther than this from the motion has strayed or fallen.",
        0.02, 1.0, "m",
    )  # fmt: skip
    blend_s: float = setting(0.3, "Over this time a simulated motion goes over into one that is not.", 0.0, 2.0, "s")

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.overlap_s < self.window_s:
            raise SettingsError(f"overlap_s must be below window_s, {self.window_s} s; got {self.overlap_s} s")
