"""The gate before publishing: is what was lifted a person, and the person that is followed?

    lifted pose -> limits of one pose -> evidence for a person over time -> limits of motion -> publish, wait or lose

What is refused leaves no trace: the caller takes the tracker back to where it was before the image. A pose that does
not continue the followed person (another place, a leap) is one wrong image as long as the next ones continue that
person again. Where they continue the leap instead, for ``patience_s``, what is followed was wrong or somebody else:
another track begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.lifting.tracking.track_break import BreakSettings
from diffmocap.output.gate_settings import GateSettings
from diffmocap.output.person_evidence import Measurements, PersonBelief, log_odds
from diffmocap.output.pose_limits import LiftedPose, leap, moved, no_person

_RIGHT_HIP, _LEFT_HIP = KEYPOINT_NAMES.index("RHip"), KEYPOINT_NAMES.index("LHip")


class Decision(Enum):
    """What becomes of one image's pose."""

    PUBLISH = "publish"  #: it continues the track
    BEGIN = "begin"  #: it is the first of a track; nothing before it counts
    WAIT = "wait"  #: it may be a person: the track that is not published yet goes on
    REFUSE = "refuse"  #: the track goes on as if the image had not been
    LOSE = "lose"  #: it is no person, and neither is what was followed


@dataclass(frozen=True)
class Verdict:
    """A decision, the probability of a person after it, and why a pose was withheld (empty where it was not).

    Reasons: ``fit``, ``size`` and ``distance`` of a pose by itself; ``evidence``: it does not look like a person's;
    ``elsewhere``, ``speed``, ``limb`` and ``turn``: it does not continue the followed person.
    """

    decision: Decision
    confidence: float
    reason: str = ""


#: All of them, and of an image that is not even lifted.
REASONS = ("calibration", "evidence", "fit", "size", "distance", "elsewhere", "speed", "limb", "turn")

#: What the tracker takes for a pose that explains its image poorly, and for one that does much better.
POOR_FIT, MUCH_BETTER = BreakSettings().error, BreakSettings().gain


@dataclass
class _Looked:
    """Something that is looked at: what is believed of it, its latest pose, and since when it has been there."""

    belief: PersonBelief
    pose: LiftedPose | None = None
    stamp_s: float = 0.0
    since_s: float = 0.0

    def see(self, pose: LiftedPose, stamp_s: float, image_s: float, tracked: bool) -> None:
        """Its next pose, in an image that came ``image_s`` after the one before."""
        measured = measurements_of(pose)
        if self.pose is None:
            self.since_s = stamp_s
        else:
            pelvis_m, joint_m, _ = moved(self.pose, pose)
            measured = replace(measured, pelvis_m=pelvis_m, joint_m=joint_m, dt_s=stamp_s - self.stamp_s)
        self.belief.see(log_odds(measured), image_s, tracked)
        self.pose, self.stamp_s = pose, stamp_s


class PersonGate:
    """Decides for one person's poses in their order. Its clock is the stamps of the images."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._followed: _Looked | None = None
        self._other: _Looked | None = None  # while somebody is followed: what does not continue them
        self._reason = ""  # why that does not
        self._last_s: float | None = None

    @property
    def follows(self) -> bool:
        """Whether there is a track that is published."""
        return self._followed is not None

    @property
    def confidence(self) -> float:
        """Probability that what is followed, else what is looked at, is a person; 0 where there is nothing."""
        looked = self._followed or self._other
        return 0.0 if looked is None else looked.belief.probability

    def miss(self, stamp_s: float, settings: GateSettings) -> Verdict:
        """An image without a pose."""
        return self._doubt(Decision.REFUSE, "", self._next(stamp_s), settings)

    def judge(self, pose: LiftedPose, stamp_s: float, elsewhere: bool, settings: GateSettings) -> Verdict:
        """One image's pose.

        Args:
            pose: of the followed hypothesis.
            stamp_s: of its image; they rise.
            elsewhere: the tracker lifted it from nothing, as the image does not continue what it follows.
        """
        image_s = self._next(stamp_s)
        if not settings.enabled:
            return self._follow_anybody(pose, stamp_s, image_s, elsewhere)
        if reason := no_person(pose, settings):
            return self._doubt(Decision.REFUSE if self.follows else Decision.WAIT, reason, image_s, settings)
        followed = self._followed
        if followed is None:
            return self._look(pose, stamp_s, image_s, elsewhere, settings)
        reason = "elsewhere" if elsewhere else self._leap(followed, pose, stamp_s, settings)
        if reason in ("limb", "turn") and _mends(pose, followed.pose):
            reason, self._other = "", None
        leapt = self._other is not None and self._reason != "elsewhere"
        if not reason and leapt and _nearer(pose, self._other.pose, followed.pose):
            reason = self._reason  # time alone makes no leap a motion
        if reason:
            return self._look_at_other(pose, stamp_s, image_s, reason, settings)
        self._other = None
        followed.see(pose, stamp_s, image_s, tracked=True)
        return self._lost_or(Decision.PUBLISH, "", settings)

    def _look(
        self, pose: LiftedPose, stamp_s: float, image_s: float, elsewhere: bool, settings: GateSettings
    ) -> Verdict:
        """While nobody is followed."""
        if self._other is None or elsewhere:
            self._other = _Looked(PersonBelief())
        self._other.see(pose, stamp_s, image_s, tracked=False)
        confidence = self.confidence
        if confidence < settings.confirm:
            return Verdict(Decision.WAIT, confidence, "evidence")
        self._followed, self._other = self._other, None
        return Verdict(Decision.BEGIN, confidence)

    def _look_at_other(
        self, pose: LiftedPose, stamp_s: float, image_s: float, reason: str, settings: GateSettings
    ) -> Verdict:
        """A pose that does not continue the followed person: does it continue the last that did not?"""
        other, self._reason = self._other, reason
        if other is None or self._leap(other, pose, stamp_s, settings):
            other = self._other = _Looked(PersonBelief())
        other.see(pose, stamp_s, image_s, tracked=False)
        if stamp_s - other.since_s < settings.patience_s or other.belief.probability < settings.confirm:
            return Verdict(Decision.REFUSE, self.confidence, reason)
        self._followed, self._other = other, None
        return Verdict(Decision.BEGIN, self.confidence)

    def _follow_anybody(self, pose: LiftedPose, stamp_s: float, image_s: float, elsewhere: bool) -> Verdict:
        """Where the gate is off: the probabilities are told all the same."""
        begins = self._followed is None or elsewhere
        if begins:
            self._followed, self._other = _Looked(PersonBelief()), None
        self._followed.see(pose, stamp_s, image_s, tracked=True)
        return Verdict(Decision.BEGIN if begins else Decision.PUBLISH, self.confidence)

    def _doubt(self, decision: Decision, reason: str, image_s: float, settings: GateSettings) -> Verdict:
        """The image shows nobody."""
        looked = self._followed or self._other
        if looked is None:
            return Verdict(decision, 0.0, reason)
        looked.belief.miss(image_s, self.follows)
        return self._lost_or(decision, reason, settings)

    def _next(self, stamp_s: float) -> float:
        """Time since the image before [s]."""
        last_s, self._last_s = self._last_s, stamp_s
        return 0.0 if last_s is None else max(stamp_s - last_s, 0.0)

    @staticmethod
    def _leap(looked: _Looked, pose: LiftedPose, stamp_s: float, settings: GateSettings) -> str:
        distance_m = float(np.linalg.norm(pose.pelvis))
        return leap(moved(looked.pose, pose), distance_m, stamp_s - looked.stamp_s, settings)

    def _lost_or(self, decision: Decision, reason: str, settings: GateSettings) -> Verdict:
        """``decision``, unless what is followed is hardly a person any more."""
        confidence = self.confidence
        if self.follows and settings.enabled and confidence < settings.lose:
            self.reset()
            return Verdict(Decision.LOSE, confidence, "evidence")
        return Verdict(decision, confidence, reason)


def _mends(pose: LiftedPose, last: LiftedPose) -> bool:
    """Whether the last pose explained its image poorly and this one explains its own much better: then it was the last
    one that had leapt."""
    return last.fit_error > POOR_FIT and pose.fit_error < MUCH_BETTER * last.fit_error


def _nearer(pose: LiftedPose, a: LiftedPose, b: LiftedPose) -> bool:
    """Whether a pose is more like ``a`` than like ``b``; a radian counts as a metre."""
    return sum(moved(a, pose)) < sum(moved(b, pose))


def measurements_of(pose: LiftedPose) -> Measurements:
    """Of a pose by itself."""
    seen = pose.seen
    visible = seen.confidence > 0
    depth_error_m = None
    if seen.depth_m is not None and (known := visible & np.isfinite(seen.depth_m)).any():
        body_m = pose.keypoints_m[:, 2] - 0.5 * (pose.keypoints_m[_RIGHT_HIP, 2] + pose.keypoints_m[_LEFT_HIP, 2])
        depth_error_m = float(np.sqrt(np.mean(np.square(body_m[known] - seen.depth_m[known]))))
    confidence = float(seen.confidence[visible].mean()) if visible.any() else 0.0
    return Measurements(pose.fit_error, depth_error_m, confidence)
