"""The physics refinement as a stage of the pipeline: hypotheses of one image in, one pose with forces out.

    hypotheses, keypoints -> one-euro filter --------------------+-> blend of the changes -> pose, covariances
                          -> fixed-lag window with physics, else +

Where the physics has nothing to give, because it is off or cannot be compiled, a track begins, or it would not help,
the filter's pose goes out, and no jump shows that.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from diffmocap import compiler
from diffmocap.body.model import BodyModel
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.segments import BodySegments
from diffmocap.refinement.filter.pose_covariance import PoseErrors
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.source_blend import SourceBlend
from diffmocap.refinement.prepare import compile_all
from diffmocap.refinement.refiner import Refined
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.result import LiveResult
from diffmocap.refinement.stream.settings import MOST_BUDGET_MS
from diffmocap.refinement.stream.window_buffer import LiveFrame
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.types import BodyPhysics, BodyState, CameraIntrinsics, Keypoints2D

#: A window of fewer frames says little about motion: the filter's pose is the better one.
FIRST_FRAMES = 8
#: The followed pose, of several hypotheses their mean, is made the heaviest by this much [nats]: the window goes over
#: to another one where what it knows of the motion makes that likelier by more. Chosen on the validation split.
_FOLLOWED = 3.0
#: Less time than this is none [ms].
_NO_TIME_MS = 0.5
OFF, BEGINS, NO_TIME = "physics is off", "the track has just begun", "no time left"
NO_HELP, NOTHING = "the unrefined pose was better", "no pose in the window"
NOT_COMPILED = "Numba does not compile here: see diffmocap doctor"


@dataclass(frozen=True)
class _Pending:
    """A pose of the filter that may be published yet, ``dt_s`` after the last, and what its covariances are made of."""

    smooth: tuple[torch.Tensor, torch.Tensor]
    tracked: TrackedPoses
    confidence: torch.Tensor
    dt_s: float


class PhysicsRefiner:
    """A :class:`~diffmocap.refinement.refiner.Refiner` by physics, with a filter to fall back on. On the CPU.

    Args:
        body: the person's body. points: what of it the physics looks at; None: made from the body.
        errors: what is known of the errors of such poses; None: the shipped figures.
        clock: of time budgets, seconds.
    """

    def __init__(
        self, body: BodyModel, settings: PhysicsSettings | None = None, points: BodyPoints | None = None,
        errors: PoseErrors | None = None, clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self.settings = settings or PhysicsSettings()
        self._points = points or points_of(body)
        self._clock = clock
        self._filter = PoseFilter(body, self.settings.smoothing, errors)
        self._blend = SourceBlend()
        self._camera: tuple | None = None
        self._ground = self.settings.ground
        self._live = self._new_live()
        self._begin()

    def reset(self, camera_moved: bool = False) -> None:
        """Forget the track, and with ``camera_moved`` the ground that was found."""
        self._live.reset(camera_moved)
        self._filter.reset()
        self._begin()

    def prepare(self) -> None:
        """Compile what is not compiled yet, so that no frame waits for it."""
        compile_all(self._points)

    def _begin(self) -> None:
        self._blend.reset()
        self._pending: deque[_Pending] = deque()
        self._in_window = 0
        self._by_physics = False

    def _new_live(self) -> FixedLagRefiner:
        return FixedLagRefiner(self._points, self.settings.live, *self._ground.tensors(), clock=self._clock)

    @torch.no_grad()
    def refine(
        self, tracked: TrackedPoses, keypoints: Keypoints2D, intrinsics: CameraIntrinsics,
        dt_s: float, restarted: bool, budget_ms: float | None = None,
    ) -> Refined | None:  # fmt: skip
        """See :class:`~diffmocap.refinement.refiner.Refiner`."""
        settings = self.settings
        camera = (intrinsics.width, intrinsics.height, intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy)
        camera_moved = self._camera is not None and camera != self._camera
        if restarted or camera_moved:
            self.reset(camera_moved)
        self._camera = camera
        self._filter.settings = settings.smoothing
        confidence = torch.from_numpy(keypoints.confidence)
        self._pending.append(_Pending(self._filter.filter(tracked, dt_s), tracked, confidence, dt_s))
        result, fallback = self._by_window(tracked, keypoints, intrinsics, dt_s, restarted, budget_ms)
        return self._publish(result, fallback)

    def _by_window(
        self,
        tracked: TrackedPoses,
        keypoints: Keypoints2D,
        intrinsics: CameraIntrinsics,
        dt_s: float,
        restarted: bool,
        budget_ms: float | None,
    ) -> tuple[LiveResult | None, str]:
        """What the physics makes of a frame, and why that is not to be published."""
        settings = self.settings
        if settings.ground != self._ground:
            self._ground, self._in_window = settings.ground, 0
            self._live = self._new_live()
        if not settings.enabled:
            if self._in_window:
                self._live.reset()
                self._in_window = 0
            return None, OFF
        if not compiler.available():
            return None, NOT_COMPILED
        limits = [ms for ms in (settings.live.budget_ms, budget_ms) if ms]
        self._live.settings = replace(
            settings.live,
            budget_ms=min(*limits, MOST_BUDGET_MS) if limits else 0.0,
        )
        frame = live_frame(tracked, keypoints, intrinsics)
        if budget_ms is not None and budget_ms < _NO_TIME_MS:
            self._in_window = 1 if self._live.store(frame, dt_s, restarted) else self._in_window + 1
            return None, NO_TIME
        result = self._live.step(frame, dt_s, restarted)
        if result is None:
            self._in_window += 1
            return None, BEGINS if self._in_window <= settings.live.lag_frames else NOTHING
        self._in_window = 1 if result.restarted else self._in_window + 1
        if self._in_window < min(FIRST_FRAMES, settings.live.window_frames):
            return result, BEGINS
        return result, "" if result.refined else NO_HELP

    def _publish(self, result: LiveResult | None, fallback: str) -> Refined | None:
        """What to publish, of the frame that the result belongs to."""
        settings, pending = self.settings, self._pending
        lag = settings.live.lag_frames if settings.enabled else 0
        if result is not None and result.age < len(pending):
            entry = pending[-1 - result.age]
        elif len(pending) > lag:
            entry, result = pending[-1 - lag], None
            fallback = fallback or BEGINS
        else:
            return None
        dt_s = 0.0
        while (passed := pending.popleft()) is not entry:
            dt_s += passed.dt_s
        use = not fallback
        source = (result.rotations, result.pelvis) if use else entry.smooth
        changed = use != self._by_physics or (use and result.restarted)
        self._by_physics = use
        pose = self._blend.step(source, entry.smooth, changed, dt_s + entry.dt_s)
        return Refined(self._state(entry, pose, result, fallback), entry.tracked)

    def _state(
        self, entry: _Pending, pose: tuple[torch.Tensor, torch.Tensor], result: LiveResult | None, fallback: str
    ) -> BodyState:
        losses = {} if result is None else {"loss_before": result.loss_before, "loss_after": result.loss_after}
        if fallback and result is not None:
            losses["loss_after"] = result.loss_before
        state = self._filter.state_of(entry.tracked, *pose, entry.confidence)
        return replace(
            state, contacts=() if fallback else result.contacts, physics=None if fallback else self._physics(result),
            fallback="" if fallback == OFF else fallback, **losses,
        )  # fmt: skip

    def _physics(self, result: LiveResult) -> BodyPhysics:
        ground, known = self._live.ground, self._ground
        said = [known.source] if known.source else []
        said += [result.ground_source] if known.height_m is None else []
        now = self.settings.live.lag_frames == 0
        return BodyPhysics(
            angles=result.angles, angular_velocity=result.angular_velocity if now else None,
            pelvis_velocity=result.pelvis_velocity if now else None, torques=result.torques,
            contact_points=result.contact_points, contact_forces=result.contact_forces,
            ground_up=None if ground is None else ground.up,
            ground_height=None if ground is None else float(ground.height),
            ground_source="; ".join(said), ground_contradiction_m=self._live.ground_contradiction_m,
            iterations=result.iterations, step_ms=result.step_ms,
        )  # fmt: skip


def points_of(body: BodyModel) -> BodyPoints:
    """What the physics looks at of a body: of the shipped one at once, of another one after seconds of integration.

    Raises:
        ModelFileError: a body without closed skin or without feet.
    """
    return BodyPoints.from_body(body, BodySegments.of(body), ContactPoints.from_body(body))


def live_frame(tracked: TrackedPoses, keypoints: Keypoints2D, intrinsics: CameraIntrinsics) -> LiveFrame:
    """One image's hypotheses and undistorted keypoints, the followed hypothesis as the heaviest."""
    poses, log_weights = tracked.poses, tracked.log_weights.clone()
    log_weights[tracked.followed] = log_weights.max() + _FOLLOWED
    return LiveFrame(
        poses.rotations, poses.pelvis, log_weights, torch.from_numpy(keypoints.points_px),
        torch.from_numpy(keypoints.confidence), torch.from_numpy(intrinsics.matrix).float(),
    )  # fmt: skip
