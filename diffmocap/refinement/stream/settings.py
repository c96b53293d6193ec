"""How the live refinement weighs time, lag and accuracy."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffmocap.errors import SettingsError
from diffmocap.optim.optimizer import Optimizer
from diffmocap.refinement.window.weights import RefinementWeights

#: Longest window, and longest time that a frame may take where there is a limit [ms].
MOST_FRAMES, MOST_BUDGET_MS = 256, 1000.0


@dataclass(frozen=True)
class LiveSettings:
    """Settings of :class:`diffmocap.refinement.stream.fixed_lag.FixedLagRefiner`.

    Attributes:
        window_frames: frames that are refined together, 1 to 256.
        lag_frames: how many frames before the newest the published one is; below ``window_frames``. 0 adds no delay;
            each frame of lag makes the motion smoother, and contacts and torques surer.
        budget_ms: time a frame may take, 0 to 1000; 0 is no limit but ``iterations``.
        iterations: steps of descent a frame at the most, 0 to 1000.
        optimizer: of :mod:`diffmocap.optim`, started at the last solution in every frame, with as many evaluations as
            ``iterations`` and the time that is left; None:
            :class:`diffmocap.refinement.stream.metric_descent.MetricDescent`.
        hypotheses: the heaviest ones of each frame that are kept, 1 to 64.
        spacing: frames between knots of the motion, 1 to 32.
        max_gap_s: after a longer silence the next pose starts a new track, as does a stamp so far in the past.
        most_change_m: a refined joint farther than this from the unrefined one is taken for a failure [m].
        rotation_spread_rad: standard deviation of the hypotheses' rotations about each axis.
        across_m, along_m: of their pelvis, across the camera's view and along it.
        settle_s: time in which what was published fades to what the present window has instead, 0 to 1; longer is
            smoother and lags behind changes of mind. 0 publishes every window's own pose.
        stance: how much firmer a point in contact is held where it was published than the mean joint, 0 (not at all) to
            100.
        weights: of the loss; slip lighter than offline, as what stands is held afterwards. Without a known ground those
            of contacts and forces are left out.
    """

    window_frames: int = 24
    lag_frames: int = 0
    budget_ms: float = 12.0
    iterations: int = 4
    optimizer: Optimizer | None = None
    hypotheses: int = 5
    spacing: int = 4
    max_gap_s: float = 0.5
    most_change_m: float = 0.6
    rotation_spread_rad: float = 0.035
    across_m: float = 0.02
    along_m: float = 0.06
    settle_s: float = 0.03
    stance: float = 3.0
    weights: RefinementWeights = field(default_factory=lambda: RefinementWeights(slip=1 / 0.8**2))

    def __post_init__(self) -> None:
        ranges = {
            "window_frames": (1, MOST_FRAMES), "lag_frames": (0, self.window_frames - 1),
            "budget_ms": (0.0, MOST_BUDGET_MS),
            "iterations": (0, 1000), "hypotheses": (1, 64), "spacing": (1, 32), "max_gap_s": (0.01, 60.0),
            "most_change_m": (0.01, 10.0), "rotation_spread_rad": (1e-3, 3.0), "across_m": (1e-3, 10.0),
            "along_m": (1e-3, 10.0), "settle_s": (0.0, 1.0), "stance": (0.0, 100.0),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name} must lie in [{low}, {high}], got {value}")
        if self.optimizer is not None and not isinstance(self.optimizer, Optimizer):
            raise SettingsError(f"the optimizer must be one of diffmocap.optim, got {type(self.optimizer).__name__}")
