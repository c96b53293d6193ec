"""The published motion: refined poses in, samples of one trajectory inside all limits out.

    pose -> angles inside the limits -> outliers waited for -> motion of joints and root -> the pose made of them

What a sample says belongs to one trajectory, and everything that is published is made from it. The laws:

* positions, velocities, accelerations and, where the profile says so, jerks of joints are inside their limits at every
  sample, and so are the speed of the pelvis and of the root's turn; efforts are clipped to the URDF's;
* the mean of two consecutive velocities times the time between them is the difference of the positions;
* a jump of the poses is bridged at bounded speed; a pose that does not come is predicted, coming to rest, for a bounded
  time; a later pose of the same track is bridged to, and the first of another track starts at rest, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from diffmocap.body.joint_angles import rotations_from_angles
from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import effort_limits
from diffmocap.errors import DiffmocapError
from diffmocap.output.inside_limits import InsideLimits
from diffmocap.output.joint_motion import JointMotion
from diffmocap.output.outlier_gate import OutlierGate
from diffmocap.output.profiles import MotionLimits, MotionSettings
from diffmocap.output.root_motion import RootMotion, turns
from diffmocap.physics.revolute_torques import on_branch
from diffmocap.types import BodyState

#: Images that the usual interval is averaged over.
_INTERVALS = 10.0
#: A rate of targets is taken whole from an interval of this share of the usual one; shorter ones count less.
_WHOLE = 0.8
#: Share of the change of the target's rate in the last interval that its rate now is ahead: 0.5 would be without lag to
#: the second order; a little more makes up for some of the lag of the poses themselves (bundled clip, -0.04 mm).
_AHEAD = 0.65
#: A track that begins anew within ``predict_s`` and so near to the one before is the same person's [m].
_SAME_PERSON_M = 0.6
#: The published pose counts as bridging where it is farther from the refined one [rad, m].
BRIDGING_RAD, BRIDGING_M = 0.35, 0.15


@dataclass(frozen=True)
class MotionSample:
    """One published sample; arrays float64.

    Attributes:
        stamp_ns: of the sample.
        state: the pose, made of the angles and the root; covariances of a predicted one are the last.
        angles, velocities, accelerations: [69] rad, rad/s, rad/s^2. An acceleration is that since the last sample.
        pelvis_velocity: [3] m/s, root_angular_velocity: [3] rad/s, both in the axes of the optical frame.
        efforts: [69] N m inside the URDF's limits; None where there are none.
        started: the motion does not continue an earlier one: it starts at rest.
        predicted: no pose came for this stamp.
        waited: joints, of 23, that were not followed in this image, as they left their motion.
        outside: joints, of 23, whose pose was outside of the limits.
        clipped_efforts: of 69, that were above the URDF's.
        bridging: the published pose is far from the refined one, and on its way to it.
    """

    stamp_ns: int
    state: BodyState
    angles: np.ndarray
    velocities: np.ndarray
    accelerations: np.ndarray
    pelvis_velocity: np.ndarray
    root_angular_velocity: np.ndarray
    efforts: np.ndarray | None = None
    started: bool = False
    predicted: bool = False
    waited: int = 0
    outside: int = 0
    clipped_efforts: int = 0
    bridging: bool = False


@dataclass
class _Target:
    """What is followed: angles [69] rad, root pose, and rates [69] rad/s, [2, 3] m/s and rad/s.

    ``seen`` [69] is what the pose said, other than ``angles`` where that is waited for.
    """

    angles: np.ndarray
    seen: np.ndarray
    pelvis: np.ndarray
    rotation: torch.Tensor
    rates: np.ndarray
    root_rates: np.ndarray


class OutputMotion:
    """The motion of one person as it is published; ``settings`` may be replaced between calls.

    Args:
        body: the person's, on the CPU.
    """

    def __init__(self, body: BodyModel, settings: MotionSettings | None = None) -> None:
        self.settings = settings or MotionSettings()
        self._body = body
        self._inside = InsideLimits()
        self._joints = JointMotion(self._inside.low, self._inside.high)
        self._root = RootMotion()
        self._gate = OutlierGate()
        self._most_effort = effort_limits()
        self.reset()

    def reset(self) -> None:
        """Forget the motion: the next pose starts another one."""
        self._last: MotionSample | None = None
        self._target: _Target | None = None
        self._pose_ns = 0  #: of the last sample that a pose was behind
        self._interval_s = 0.0
        self._begins = False
        self._gate.reset()

    def precedes(self, stamp_ns: int) -> bool:
        """Whether a pose of this stamp comes after the last sample of the motion that it would continue."""
        return self._begins or self._last is None or stamp_ns > self._last.stamp_ns

    def restart(self) -> None:
        """The track of the poses to come began anew.

        The motion bridges to it where it begins soon and near, as the same person's does; else it starts, too.
        """
        self._begins = True
        self._target = None
        self._gate.reset()

    @torch.no_grad()
    def follow(self, state: BodyState) -> MotionSample:
        """The sample for a refined pose at its stamp, which is later than the last sample's.

        Raises:
            DiffmocapError: a pose that is not finite, or a stamp that is not later. The motion is as before.
        """
        _require_finite(state)
        if self._begins and not self._continues(state):
            self.reset()
        self._begins = False
        last = self._last
        if last is not None and state.stamp_ns <= last.stamp_ns:
            raise DiffmocapError(
                f"a pose with the stamp {state.stamp_ns} ns cannot follow the last sample, of {last.stamp_ns} ns: "
                "stamps have to grow"
            )
        dt_s = 0.0 if last is None else (state.stamp_ns - last.stamp_ns) * 1e-9
        rotations, pelvis = state.rotations.double(), state.pelvis.double().numpy()
        angles, free = self._inside.angles(rotations, None if last is None else self._joints.position)
        outside = int((free != angles).reshape(-1, 3).any(-1).sum())
        waits = 0
        if last is None:
            self._joints.start(angles)
            self._root.start(pelvis, rotations[0])
            self._target = _Target(angles, angles, pelvis, rotations[0], np.zeros_like(angles), np.zeros((2, 3)))
            self._gate.reset()
        else:
            waits = self._towards(angles, pelvis, rotations[0], dt_s)
        self._pose_ns = state.stamp_ns
        efforts, clipped = self._efforts(state, free)
        bridging = last is not None and self._is_far(angles, pelvis, rotations[0])
        return self._sample(
            state, efforts=efforts, started=last is None, waited=waits, outside=outside, clipped_efforts=clipped,
            bridging=bridging,
        )  # fmt: skip

    @torch.no_grad()
    def predict(self, stamp_ns: int) -> MotionSample | None:
        """The sample for a stamp without a pose: on the way to rest, marked as predicted.

        None where the last pose is more than ``predict_s`` ago: the motion is lost. Poses that continue its track
        are bridged to from the last sample; a track that begins (:meth:`restart`) starts another motion. None, too, for
        a stamp that is not later than the last sample's.
        """
        last = self._last
        if last is None or stamp_ns <= last.stamp_ns:
            return None
        if (stamp_ns - self._pose_ns) * 1e-9 > self.settings.predict_s:
            return None
        dt_s = (stamp_ns - last.stamp_ns) * 1e-9
        left_s = self.settings.predict_s - (last.stamp_ns - self._pose_ns) * 1e-9
        limits = self.settings.limits
        self._joints.rest(dt_s, left_s, _of_joints(limits))
        self._root.rest(dt_s, left_s, _of_root(limits))
        self._target = None  # what comes next need not continue what came before
        self._gate.reset()
        # The last forces and losses are not those of this pose.
        nan = float("nan")
        state = replace(
            last.state, stamp_ns=stamp_ns, physics=None, contacts=(), loss_before=nan, loss_after=nan, fallback=""
        )
        return self._sample(state, predicted=True)

    def _continues(self, state: BodyState) -> bool:
        """Whether the first pose of a track is the same person's as the motion."""
        since_s = (state.stamp_ns - self._pose_ns) * 1e-9
        near = np.linalg.norm(state.pelvis.double().numpy() - self._root.position) <= _SAME_PERSON_M
        return self._last is not None and 0.0 < since_s <= self.settings.predict_s and bool(near)

    def _towards(self, angles: np.ndarray, pelvis: np.ndarray, rotation: torch.Tensor, dt_s: float) -> int:
        """One step to a pose; returns how many joints are waited for."""
        settings, limits, before = self.settings, self.settings.limits, self._target
        usual = self._interval_s or dt_s
        self._interval_s = usual + (min(dt_s, 3.0 * usual) - usual) / _INTERVALS
        gain_s = max(dt_s, self._interval_s)
        target, waits = angles, np.zeros(0, bool)
        starts = [self._root.rotation] if before is None else [self._root.rotation, before.rotation]
        turned = turns(starts, rotation)
        if before is None:
            rates, root_rates = np.zeros_like(angles), np.zeros((2, 3))
        else:
            share = min(1.0, dt_s / (_WHOLE * self._interval_s))
            foreseen = np.clip(before.angles + before.rates * dt_s, self._inside.low, self._inside.high)
            # What was waited for and stays is where the joint is.
            stays = np.abs(angles - before.seen) < np.abs(angles - foreseen)
            since = np.where(stays, before.seen, before.angles)
            rates = before.rates + share * ((angles - since) / dt_s - before.rates)
            moved = np.stack([pelvis - before.pelvis, turned[1]])
            root_rates = before.root_rates + share * (moved / dt_s - before.root_rates)
            waits = self._gate.waits(angles, foreseen, dt_s, settings.outlier_rad)
            if waits.any():
                of = np.repeat(waits, 3)
                target = np.where(of, foreseen, angles)
                rates = np.where(of, before.rates, rates)
        self._target = _Target(target, angles, pelvis, rotation, rates, root_rates)
        ahead, root_ahead = rates, root_rates
        if before is not None:
            ahead = rates + _AHEAD * (rates - before.rates)
            root_ahead = root_rates + _AHEAD * (root_rates - before.root_rates)
        self._joints.follow(target, ahead, dt_s, gain_s, _of_joints(limits))
        away = np.stack([pelvis - self._root.position, turned[0]])
        self._root.follow(away, root_ahead, dt_s, gain_s, _of_root(limits))
        return int(waits.sum())

    def _is_far(self, angles: np.ndarray, pelvis: np.ndarray, rotation: torch.Tensor) -> bool:
        way, turned = self._root.far(pelvis, rotation)
        off = np.abs(angles - self._joints.position).max()
        return bool(off > BRIDGING_RAD or turned > BRIDGING_RAD or way > BRIDGING_M)

    def _efforts(self, state: BodyState, free: np.ndarray) -> tuple[np.ndarray | None, int]:
        """Motor torques of the pose, clipped to the URDF's limits, and how many were above."""
        physics = state.physics
        if physics is None or physics.torques is None:
            return None, 0
        efforts = on_branch(physics.torques.double(), physics.angles.double(), torch.from_numpy(free)).numpy()
        clipped = np.clip(efforts, -self._most_effort, self._most_effort)
        return clipped, int((clipped != efforts).sum())

    def _sample(self, state: BodyState, **told) -> MotionSample:
        joints, root = self._joints, self._root
        rotations = torch.cat([root.rotation[None], rotations_from_angles(torch.from_numpy(joints.position))])
        rotations = rotations.to(state.rotations)
        pelvis = torch.from_numpy(root.position).to(state.pelvis)
        _, positions = self._body.forward_kinematics(rotations[None], pelvis[None])
        state = replace(state, rotations=rotations, pelvis=pelvis, joint_positions=positions[0])
        self._last = MotionSample(
            state.stamp_ns, state, joints.position, joints.velocity, joints.acceleration, root.velocity[0],
            root.velocity[1], **told,
        )  # fmt: skip
        return self._last


def _of_joints(limits: MotionLimits) -> tuple[float, float, float]:
    return limits.velocity, limits.acceleration, limits.jerk


def _of_root(limits: MotionLimits) -> np.ndarray:
    return np.array([limits.root_velocity, limits.root_acceleration])


def _require_finite(state: BodyState) -> None:
    if not (np.isfinite(state.rotations.numpy()).all() and np.isfinite(state.pelvis.numpy()).all()):
        raise DiffmocapError("a refined pose is not finite: it is not published, and the motion goes on without it")
