"""How the live refinement weighs time, lag and accuracy. Imports no torch: the command line reads it early."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from diffmocap.errors import SettingsError
from diffmocap.refinement.window.weights import RefinementWeights
from diffmocap.settings import check_settings, setting

if TYPE_CHECKING:
    from diffmocap.optim.optimizer import Optimizer
    from diffmocap.refinement.stream.optimus.network import StreamOptimus

#: What takes the steps, by name: limited-memory BFGS on the window's metric, or the learned optimizer for streams.
METRIC, OPTIMUS = "metric", "optimus"
#: Longest window, and longest time that a frame may take where there is a limit [ms].
MOST_FRAMES, MOST_BUDGET_MS = 256, 1000.0


@dataclass(frozen=True)
class LiveSettings:
    """Settings of :class:`diffmocap.refinement.stream.fixed_lag.FixedLagRefiner`.

    ``lag_frames`` is below ``window_frames``. ``optimizer``: :data:`OPTIMUS`, the shipped network for streams; another
    one; :data:`METRIC` for :class:`diffmocap.refinement.stream.metric_descent.MetricDescent`; or an optimizer of
    :mod:`diffmocap.optim`, which is started at the last solution in every frame, with as many evaluations as
    ``iterations`` and the time that is left. ``weights`` are those of the loss; slip is
    lighter than offline, as what stands is held afterwards. Without a known ground those of contacts and forces are
    left out.
    """

    window_frames: int = setting(24, "Frames that are refined together.", 1, MOST_FRAMES)
    lag_frames: int = setting(
        0,
        "Frames that the published pose is late by, below the window's length; each makes the motion smoother, and "
        "contacts and torques surer.",
        0,
        MOST_FRAMES - 1,
    )
    budget_ms: float = setting(
        12.0, "Time per frame that the refinement may take; 0: all its iterations.", 0.0, MOST_BUDGET_MS, "ms"
    )
    iterations: int = setting(4, "Largest number of steps of the refinement per frame.", 0, 1000)
    optimizer: Optimizer | StreamOptimus | str = setting(
        OPTIMUS,
        "What takes the steps: optimus, the learned optimizer for streams; metric, limited-memory BFGS on the "
        "curvature of the loss, which Optimus begins with.",
    )
    hypotheses: int = setting(5, "The heaviest hypotheses of each frame that are kept.", 1, 64)
    spacing: int = setting(4, "Frames between knots of the motion.", 1, 32)
    most_change_m: float = setting(
        0.6, "A refined joint farther than this from the unrefined one is taken for a failure.", 0.01, 10.0, "m"
    )
    rotation_spread_rad: float = setting(
        0.035, "Standard deviation of the hypotheses' rotations about each axis.", 1e-3, 3.0, "rad"
    )
    across_m: float = setting(
        0.02, "Standard deviation of the hypotheses' pelvis across the camera's view.", 1e-3, 10.0, "m"
    )
    along_m: float = setting(0.06, "Standard deviation of the hypotheses' pelvis along the view.", 1e-3, 10.0, "m")
    settle_s: float = setting(
        0.03,
        "Time in which what was published fades to what the present window has instead; longer is smoother and lags "
        "behind changes of mind; 0 publishes every window's own pose.",
        0.0,
        1.0,
        "s",
    )
    stance: float = setting(
        3.0,
        "How much firmer a point that stands is held where it was published than the mean joint; 0: not at all.",
        0.0,
        100.0,
    )
    still_feet: bool = setting(
        True,
        "Hold feet that stand still in the image, wherever the floor is; false: only what touches a floor that is "
        "known. The camera has to stand still.",
    )
    weights: RefinementWeights = field(default_factory=lambda: RefinementWeights(slip=1 / 0.8**2))

    def __post_init__(self) -> None:
        check_settings(self)
        if self.lag_frames >= self.window_frames:
            raise SettingsError(f"lag_frames must be below window_frames, {self.window_frames}; got {self.lag_frames}")
        if self.optimizer in (METRIC, OPTIMUS):
            return
        from diffmocap.optim.optimizer import Optimizer  # these need torch, the settings do not
        from diffmocap.refinement.stream.optimus.network import StreamOptimus

        if not isinstance(self.optimizer, Optimizer | StreamOptimus):
            raise SettingsError(
                f"the optimizer must be {METRIC!r}, {OPTIMUS!r} or one of diffmocap.optim, got {self.optimizer!r}"
            )
