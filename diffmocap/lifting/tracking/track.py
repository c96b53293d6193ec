"""One person's pose hypotheses over time: which one to follow, what to sample from next, when to start again.

One image leaves several bodies possible: a forearm may point at the camera or away, a person be seen from the front or
the back. Samples of single images flip between them. Here K hypotheses carry what was seen before, and the followed
one is left only for another that explains the images better, by a margin, for some time.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.tracking.consensus import consensus, consensus_shares
from diffmocap.lifting.tracking.hypothesis_weights import (
    continued_weights,
    pose_distances,
    representatives,
    start_weights,
    strongest_rival,
    votes,
)
from diffmocap.lifting.tracking.leap_guard import LeapGuard, LeapSettings
from diffmocap.lifting.tracking.track_break import BreakDetector, BreakSettings
from diffmocap.settings import check_settings, setting
from diffmocap.types import Keypoints2D, PoseHypotheses

#: Samples of one pose differ by about this much [m], measured on the validation split ...
SAMPLE_SPREAD_M = 0.05
#: ... and a pose moves with about this speed [m/s], as the distance of :func:`pose_distances`.
POSE_SPEED_M_S = 1.0
#: A hypothesis this much lighter than the heaviest [nats] is replaced.
DEGENERATE = 10.0
#: The first sample is drawn to continue the followed hypothesis; another has to be nearer to it by this much [m].
FIRST_SAMPLE_BONUS_M = 0.05


class Lift(Protocol):
    """Gives hypotheses for one image's keypoints, or None."""

    def __call__(self, previous: PoseHypotheses | None, continued: bool = False) -> PoseHypotheses | None:
        """``previous``: what samples may begin from. ``continued``: they do so, whatever the settings say."""


@dataclass(frozen=True)
class TrackSettings:
    """How hypotheses are followed; chosen on the validation split (``benchmarks/lifting/tracking.py``).

    A pose that explains the images better by ``d`` (in units of the score) is followed after
    ``memory_s * ln((m - birth) / (m - switch_margin))`` seconds with ``m = d / score_scale``, never where
    ``m <= switch_margin``.

    Two samples count as one pose up to ``same_pose_m``. Where ``fresh_share`` is above 0, at least one hypothesis of
    several is drawn from the image alone. ``lost`` says when to start again, ``leaps`` what a single hypothesis that
    owes nothing to the last pose may do.
    """

    enabled: bool = setting(
        True, "Follow hypotheses over time; false: the best score of every image, and never a new start."
    )
    memory_s: float = setting(0.3, "Time in which evidence for a hypothesis fades to 1/e.", 0.01, 10.0, "s")
    score_scale: float = setting(0.005, "Difference of the mean score that is worth one nat.", 1e-4, 1.0)
    switch_margin: float = setting(
        2.0,
        "How much likelier another pose must be to be followed instead; higher: fewer flips, later corrections.",
        0.0,
        20.0,
        "nat",
    )
    birth: float = setting(-6.0, "Log-probability of a pose that follows from none before.", -30.0, 0.0, "nat")
    fresh_share: float = setting(
        0.25,
        "Share of several hypotheses that are drawn from the image alone, to recover from a wrong track.",
        0.0,
        0.75,
    )
    same_pose_m: float = setting(0.12, "Distance up to which two samples count as one pose.", 0.01, 1.0, "m")
    consensus: bool = setting(
        True,
        "Of several hypotheses go on with the mean of those that show the followed pose; false: with the followed one.",
    )
    lost: BreakSettings = field(default_factory=BreakSettings)
    leaps: LeapSettings = field(default_factory=LeapSettings)

    def __post_init__(self) -> None:
        check_settings(self)

    def fresh(self, count: int) -> int:
        """How many of ``count`` hypotheses are drawn from the image alone."""
        if count == 1 or self.fresh_share == 0.0:
            return 0
        return min(max(round(self.fresh_share * count), 1), count - 1)


@dataclass(frozen=True)
class TrackedPoses:
    """The hypotheses of one image and what the track makes of them.

    Attributes:
        poses: K hypotheses; where ``consensus``, their mean comes before them, as one more.
        weights: [K], sum 1; the consensus has none, as it is no sample.
        followed: index of the pose to publish.
        restarted: nothing before this image was used, because the track had been lost.
        switched: another pose is followed than before.
        observed: [24] bool, the joints that the image shows; None where nobody looked.
    """

    poses: PoseHypotheses
    weights: torch.Tensor
    followed: int
    restarted: bool = False
    switched: bool = False
    observed: np.ndarray | None = None
    consensus: bool = False

    @property
    def drawn(self) -> int:
        """How many hypotheses were drawn: all but the consensus."""
        return len(self.weights) - int(self.consensus)

    @property
    def error(self) -> float:
        """Mean reprojection error of the followed pose over the person's size."""
        return -float(self.poses.score[self.followed])

    @property
    def log_weights(self) -> torch.Tensor:
        """[K], finite."""
        return self.weights.clamp_min(1e-30).log()


class HypothesisTrack:
    """Follows one person; ``settings`` may be replaced between calls, and the number of hypotheses may change.

    Args:
        body: on the CPU, as the hypotheses are.
    """

    def __init__(self, body: BodyModel, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self._body = body
        self._break = BreakDetector()
        self._leaps = LeapGuard(body)
        self._tracked: TrackedPoses | None = None
        self._pose: PoseHypotheses | None = None  # what was given out of it, a single one
        self._joints: torch.Tensor | None = None  # [K, 24, 3] m about the pelvis, of several hypotheses
        self._distances: torch.Tensor | None = None  # [K, K] m among them

    def reset(self) -> None:
        """Forget the track."""
        self._break.reset()
        self._leaps.reset()
        self._tracked = self._pose = self._joints = self._distances = None

    def memory(self) -> dict[str, Any]:
        """What is known of the person, for :meth:`restore`."""
        # All else is replaced by a step, not changed.
        return vars(self) | {"_break": copy(self._break), "_leaps": copy(self._leaps)}

    def restore(self, memory: dict[str, Any]) -> None:
        """As if nothing had come since :meth:`memory` was asked, which serves for one restoring."""
        vars(self).update(memory)

    @torch.no_grad()
    def step(
        self,
        lift: Lift,
        keypoints: Keypoints2D,
        count: int,
        dt_s: float,
        *,
        restarted: bool,
        continues: bool = True,
        informed: bool = False,
    ) -> TrackedPoses | None:
        """Lifts one image, and once more from nothing where that shows the track to be lost.

        Args:
            lift: gives ``count`` hypotheses for the keypoints, continuing the given ones, or None.
            keypoints: what ``lift`` sees.
            dt_s: time since the last image that brought a pose; without meaning where ``restarted``.
            restarted: another track begins; what was remembered is forgotten.
            continues: False where no sample starts from the hypotheses that ``lift`` is given.
            informed: samples know the images before all the same, unless ``lift`` is given None.

        Returns:
            None where ``lift`` gave None; the track then waits.
        """
        if restarted:
            self.reset()
        if not self.settings.enabled:
            return self._best_of_each(lift)
        lost = self._break.jumped(keypoints, dt_s, self.settings.lost) and self._tracked is not None
        seeds = None if lost else self._seeds(count)
        poses = lift(seeds)
        if poses is None:
            return None
        self._break.advance(dt_s)
        if seeds is None:
            started = self._start(poses, lost)
            return self._follow(started, self._with_consensus(started), dt_s)
        fresh = torch.ones(len(poses.score), dtype=torch.bool) if not continues else _fresh(seeds)
        last = self._joints, self._distances
        tracked = self._continue(poses, fresh, dt_s)
        if not continues and _mean_first(poses):
            tracked = replace(tracked, followed=0)
        now, likelier = (self._joints, self._distances), self._turn_to_likelier(tracked)
        given = self._with_consensus(likelier)
        if not continues and self._leaps.asks(self._pose, _pose_of(given), dt_s, self.settings.leaps):
            self._joints, self._distances = last
            steady = self._instead_of_leap(lift, seeds, _pose_of(given), dt_s)
            if steady is not None:  # by its error it was compared already
                return self._follow(*steady, dt_s)
            self._joints, self._distances = now
        if self._break.suspects(tracked.error, self.settings.lost):
            started = self._new_start(lift, tracked, fresh, informed)
            if started is not None:
                return self._follow(started, self._with_consensus(started), dt_s)
        return self._follow(likelier, given, dt_s)

    def _follow(self, tracked: TrackedPoses, given: TrackedPoses, dt_s: float) -> TrackedPoses:
        """Remembers what was made of an image, and what is ``given`` of it: the same with the consensus."""
        self._tracked, self._pose = tracked, _pose_of(given)
        self._break.follow(tracked.error, dt_s)
        return given

    def _with_consensus(self, tracked: TrackedPoses) -> TrackedPoses:
        """With the consensus as the first hypothesis, to be followed; a single one is its own."""
        poses = tracked.poses
        if len(tracked.weights) == 1 or not self.settings.consensus:
            return tracked
        radius_m = self.settings.same_pose_m if tracked.error <= self.settings.lost.error else 0.0
        shares = consensus_shares(poses, self._distances, tracked.followed, radius_m, self.settings.score_scale)
        mean = consensus(poses, shares)
        every = PoseHypotheses(
            *(torch.cat([getattr(mean, name), getattr(poses, name)]) for name in ("rotations", "pelvis", "score")),
            poses.stamp_ns,
        )  # fmt: skip
        return replace(
            tracked, poses=every, weights=torch.nn.functional.pad(tracked.weights, (1, 0)), followed=0, consensus=True
        )

    def _instead_of_leap(
        self, lift: Lift, seeds: PoseHypotheses, leaping: PoseHypotheses, dt_s: float
    ) -> tuple[TrackedPoses, TrackedPoses] | None:
        """The hypotheses that continue the last pose, if their pose is nearly as good as the one that leaps; without
        and with their consensus."""
        poses = lift(seeds, continued=True)
        if poses is not None:
            steady = self._continue(poses, torch.zeros(len(poses.score), dtype=torch.bool), dt_s)
            given = self._with_consensus(steady)
            if self._leaps.prefers(_pose_of(given), self._pose, leaping, dt_s, self.settings.leaps):
                return steady, given
        self._leaps.believes(self._pose)
        return None

    def _best_of_each(self, lift: Lift) -> TrackedPoses | None:
        poses = lift(None if self._tracked is None else self._tracked.poses)
        if poses is None:
            return None
        count = len(poses.score)
        self.reset()
        self._tracked = TrackedPoses(poses, torch.full((count,), 1.0 / count), poses.best)
        self._pose = _pose_of(self._tracked)
        return self._tracked

    def _seeds(self, count: int) -> PoseHypotheses | None:
        """What the next samples continue: the followed pose first, one of every other pose, then by weight."""
        if self._tracked is None:
            return None
        poses, fresh = self._tracked.poses, self.settings.fresh(count)
        order = torch.zeros(count, dtype=torch.long) if len(poses.score) == 1 else self._order(count)
        known = torch.arange(count) < count - fresh if fresh else None
        return PoseHypotheses(poses.rotations[order], poses.pelvis[order], poses.score[order], poses.stamp_ns, known)

    def _order(self, count: int) -> torch.Tensor:
        """[count] indices of the hypotheses to continue."""
        log_weights, followed = self._tracked.log_weights, self._tracked.followed
        rank = torch.zeros_like(log_weights)
        if self._distances is not None:
            rank[representatives(log_weights, self._distances, self.settings.same_pose_m)] = 1.0
        rank[followed] = 2.0
        order = (log_weights + 1e3 * rank).argsort(descending=True)[:count]
        # The light ones, and places that a higher count opened, are filled by systematic resampling.
        order = order[(log_weights[order] > log_weights.max() - DEGENERATE) | (order == followed)]
        missing = count - len(order)
        places = (torch.arange(missing) + 0.5) / max(missing, 1)
        drawn = torch.searchsorted(self._tracked.weights.cumsum(0), places).clamp_max(len(log_weights) - 1)
        return torch.cat([order, drawn])

    def _start(self, poses: PoseHypotheses, restarted: bool, followed: int = 0) -> TrackedPoses:
        """Weights without a past; the pose of sample ``followed``, unless another one is much likelier."""
        self._break.forget_error()
        self._leaps.reset()
        if len(poses.score) == 1:
            return self._single(poses, restarted)
        distances = self._measure(poses)
        evidence = self._evidence(poses, distances, torch.ones(len(poses.score), dtype=torch.bool))
        log_weights = start_weights(evidence, distances, SAMPLE_SPREAD_M)
        started = TrackedPoses(poses, log_weights.exp(), followed, restarted)
        return replace(self._turn_to_likelier(started), switched=False)

    def _continue(self, poses: PoseHypotheses, fresh: torch.Tensor, dt_s: float) -> TrackedPoses:
        """New weights; follows the sample that continues the followed one."""
        last, settings = self._tracked, self.settings
        if len(poses.score) == 1:
            return self._single(poses)
        before = self._joints if self._joints is not None else self._joints_of(last.poses)
        distances = self._measure(poses)
        moved = pose_distances(self._joints, before)
        log_weights = continued_weights(
            last.log_weights, moved, self._evidence(poses, distances, fresh), distances,
            SAMPLE_SPREAD_M + POSE_SPEED_M_S * dt_s, math.exp(-dt_s / settings.memory_s), settings.birth,
        )  # fmt: skip
        to_followed = moved[:, last.followed].clone()
        to_followed[0] -= FIRST_SAMPLE_BONUS_M
        return TrackedPoses(poses, log_weights.exp(), int(to_followed.argmin()))

    def _turn_to_likelier(self, tracked: TrackedPoses) -> TrackedPoses:
        """Follows another pose instead, if it is likelier by the margin."""
        if len(tracked.weights) == 1 or (tracked.followed == 0 and _mean_first(tracked.poses)):
            return tracked
        rival, ratio = strongest_rival(
            tracked.log_weights, self._distances, tracked.followed, self.settings.same_pose_m
        )
        return replace(tracked, followed=rival, switched=True) if ratio > self.settings.switch_margin else tracked

    def _new_start(self, lift: Lift, tracked: TrackedPoses, fresh: torch.Tensor, informed: bool) -> TrackedPoses | None:
        """A track from samples that owe nothing to the past, if they explain the image much better."""
        lifted_anew = informed or not bool(fresh.any())
        poses = lift(None) if lifted_anew else tracked.poses
        candidates = poses.score if lifted_anew else poses.score.masked_fill(~fresh, -math.inf)
        best = int(candidates.argmax())
        if -float(candidates[best]) < self.settings.lost.gain * tracked.error:
            # The first of all samples is drawn from the centre: where all were drawn anew it is preferred.
            return self._start(poses, True, 0 if lifted_anew else best)
        self._break.new_start_failed()
        return None

    def _single(self, poses: PoseHypotheses, restarted: bool = False) -> TrackedPoses:
        self._joints = self._distances = None
        return TrackedPoses(poses, torch.ones(1), 0, restarted)

    def _measure(self, poses: PoseHypotheses) -> torch.Tensor:
        """Remembers where the joints are; [K, K] m distances among the poses."""
        self._joints = self._joints_of(poses)
        self._distances = pose_distances(self._joints, self._joints)
        return self._distances

    def _joints_of(self, poses: PoseHypotheses) -> torch.Tensor:
        return self._body.forward_kinematics(poses.rotations, torch.zeros_like(poses.pelvis))[1]

    def _evidence(self, poses: PoseHypotheses, distances: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
        evidence = poses.score / self.settings.score_scale
        return evidence + votes(distances, fresh, SAMPLE_SPREAD_M) if bool(fresh.any()) else evidence


def _fresh(seeds: PoseHypotheses) -> torch.Tensor:
    """[K] bool: what starts from the image alone."""
    return torch.zeros(len(seeds.score), dtype=torch.bool) if seeds.known is None else ~seeds.known


def _pose_of(tracked: TrackedPoses) -> PoseHypotheses:
    """The followed one alone."""
    return tracked.poses.rows(torch.tensor([tracked.followed]))


def _mean_first(poses: PoseHypotheses) -> bool:
    """Whether the first hypothesis is the mean of what the image leaves open; samples beside it are no more likely."""
    return poses.worth is not None and bool(poses.worth[0] > 1.0)
