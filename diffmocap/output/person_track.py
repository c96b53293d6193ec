"""One person's track as it is published: the gate's decisions, and the state that they lead to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.output.gate import Decision, PersonGate, Verdict
from diffmocap.output.gate_settings import GateSettings
from diffmocap.output.pose_limits import LiftedPose
from diffmocap.output.tracking_state import TrackEvent, TrackingMachine, TrackStatus
from diffmocap.types import Keypoints2D

#: From this probability on, what is looked at is told as TENTATIVE.
_MAY_BE = 0.5


@dataclass(frozen=True)
class Judged:
    """What becomes of one image.

    Attributes:
        decision: of the gate. status: of the track after it. reason: why no pose goes out; empty where one does, or
            where there was none.
        replaces: a track that begins replaces one that was followed until now.
    """

    decision: Decision
    status: TrackStatus
    reason: str = ""
    replaces: bool = False

    @property
    def begins(self) -> bool:
        """It is the first pose of a track."""
        return self.decision is Decision.BEGIN


class PersonTrack:
    """Judges every image of a stream in its order.

    Args:
        body: the person's body, on the CPU.
    """

    def __init__(self, body: BodyModel) -> None:
        self._body = body
        self._gate = PersonGate()
        self._machine = TrackingMachine()
        self._ended = False
        self._person_id = 0
        self._exchanged = False

    @property
    def tracks(self) -> bool:
        """Whether there is a track that may be lost."""
        return self._machine.tracks

    def end(self) -> None:
        """What was followed has ended; the next image tells, or :meth:`lose`."""
        self._gate.reset()
        self._ended = True

    def lose(self) -> TrackStatus:
        """The track ends now: LOST where there was one."""
        self.end()
        return self._machine.lose()

    def another(self, person_id: int) -> bool:
        """Whether the detector says that these keypoints are another person's than the last; a 0 says nothing."""
        if person_id == 0:
            return False
        before, self._person_id = self._person_id, person_id
        return before not in (0, person_id)

    @torch.no_grad()
    def judge(
        self, tracked: TrackedPoses, seen: Keypoints2D, exchanged: bool, settings: GateSettings
    ) -> Judged:  # fmt: skip
        """An image with a pose; ``exchanged``: left and right of its keypoints were."""
        poses, k = tracked.poses, tracked.followed
        joints, keypoints = self._body.joints_and_keypoints(poses.rotations[k : k + 1], poses.pelvis[k : k + 1])
        pose = LiftedPose(
            joints[0].numpy(), keypoints[0].numpy(), poses.rotations[k, 0].numpy(), -float(poses.score[k]), seen
        )
        followed = self._gate.follows
        verdict = self._gate.judge(pose, 1e-9 * seen.stamp_ns, tracked.restarted, settings)
        if verdict.decision not in (Decision.PUBLISH, Decision.BEGIN):
            return self._nothing(verdict)
        begins = verdict.decision is Decision.BEGIN
        if exchanged != self._exchanged:
            self._machine.happened(TrackEvent.SIDES)
        if tracked.switched:
            self._machine.happened(TrackEvent.SWITCHED)
        self._ended, self._exchanged = False, exchanged
        replaces = begins and followed
        return Judged(verdict.decision, self._machine.pose(verdict.confidence, begins, replaces), replaces=replaces)

    def nobody(self, stamp_ns: int, settings: GateSettings, reason: str = "") -> Judged:
        """An image without a pose."""
        verdict = self._gate.miss(1e-9 * stamp_ns, settings)
        return self._nothing(Verdict(verdict.decision, verdict.confidence, verdict.reason or reason))

    def delayed(self, status: TrackStatus) -> None:
        """The pose of this status goes out later: its events are told then."""
        self._machine.happened(status.events)

    def _nothing(self, verdict: Verdict) -> Judged:
        if verdict.decision is Decision.LOSE or self._ended:
            self._ended = False
            if self.tracks:
                return Judged(verdict.decision, self._machine.lose(), verdict.reason)
        candidate = not self._gate.follows and verdict.confidence >= _MAY_BE
        return Judged(verdict.decision, self._machine.nothing(verdict.confidence, candidate), verdict.reason)
