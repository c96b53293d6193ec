"""Where a robot's feet and hips are to be: soles that rest stay, and the hips move as the person's do seen from them.

The person's way through the room is taken from the feet that stand, not from the camera: what a camera sees of a
person's distance errs by more than the person moves, and a robot that followed it would creep over its standing feet.

A sole rests once the person's is in contact and still, and is let go once it is not, or once the person's foot has
moved or turned too far since: people slide and pivot on a foot, and a robot takes a step instead, with one foot at a
time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from diffmocap.robots.scaling import ROBOT_FROM_BODY, Scaling, Targets

#: A foot comes to rest below this speed of the person's ankle along the floor, and is let go above the other [m/s].
REST_SPEED, MOVE_SPEED = 0.25, 0.5
#: Time over which that speed is a mean [s].
SPEED_S = 0.07
#: A sole that has come to rest is let go once the person's has not been in contact for this long [s]: contacts flicker.
LET_GO_S = 0.05
#: Within this time a foot is led to where it rests, and back to the person's way once it is let go [s].
BLEND_S = 0.12
#: The hips are drawn within this time to where the person's are, seen from the feet [s].
CENTRE_S = 0.3
#: A resting foot is let go once the person's has moved this far since, over the leg's length, or turned so far [rad].
FARTHEST, MOST_TURNED = 0.14, 0.5
#: Or once it is this far from where the person's leg would have it, over the leg's length.
OUT_OF_REACH = 0.4
#: A foot comes to rest within this share of those from where the person's leg would have it, or after so long still
#: [s].
NEAR_ENOUGH, WAIT_S = 0.35, 0.2
#: How high a sole is lifted over a step that the person slides, at most, and over the way to go [m, m/m].
LIFT, LIFT_SHARE = 0.05, 0.6
#: Shortest such step; height from which it is gone at once, and the share that is gone from the floor [m, m, 1].
STEP, CLEAR, CREEP = 0.02, 0.015, 0.05


@dataclass
class Foot:
    """One foot: whether it rests, where its sole is to be, and how it is turned.

    Attributes:
        rests: whether it is kept where it is.
        settled: 0 while it follows the person's leg, 1 once it rests; between them while it is led.
        place: [3] m where the sole rests, or last did. yaw: about the vertical, from the T-pose [rad].
        theirs: [2] m and rad, where the person's ankle was and how it was turned as the foot came to rest.
        speed: of the person's ankle along the floor, as a mean [m/s].
        free_s: how long the person's sole has not been in contact. still_s: how long it could have rested.
    """

    rests: bool = False
    settled: float = 0.0
    place: np.ndarray | None = None
    yaw: float = 0.0
    theirs: tuple[np.ndarray, float] | None = None
    speed: float = 0.0
    free_s: float = math.inf
    still_s: float = 0.0


class Stance:
    """Feet and hips of a robot that follows a person; places are those of the robot's world, floor at z = 0."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        self._pelvis = scaling.turned.index("pelvis")
        self._soles = [scaling.turned.index(f"{side}_sole") for side in ("left", "right")]
        self._leg = scaling.leg.mean()
        self.start(np.zeros(2))

    def start(self, hips: np.ndarray) -> None:
        """With the hips above a place [2] m, and no foot at rest."""
        self.hips = np.array(hips, dtype=float)
        self.feet = (Foot(), Foot())
        self._before: Targets | None = None
        self._wanted = np.zeros((2, 3))

    def follow(self, targets: Targets, contacts: np.ndarray, soles: np.ndarray, yaws: np.ndarray, dt_s: float) -> None:
        """Takes the next pose.

        Args:
            targets: what the person does.
            contacts: [2] whether their soles are in contact.
            soles: [2, 3] m, where the robot's soles are, and yaws: [2] rad, how they are turned.
            dt_s: since the last pose.
        """
        self._move_hips(targets, dt_s)
        self._wanted = self._side_by_side(targets)
        turned = [self._yaw_of_theirs(targets, side) for side in range(2)]
        off = np.array([self._moved(targets, side, turned[side]) for side in range(2)])
        for side, foot in enumerate(self.feet):
            worse = off[side] >= off[1 - side] or not self.feet[1 - side].rests
            self._decide(foot, side, targets, bool(contacts[side]), off[side] > 1.0 and worse, dt_s)
            if not foot.rests and self._may_rest(foot, side, soles[side], float(yaws[side]), turned[side]):
                foot.rests, foot.yaw = True, float(yaws[side])
                foot.place = np.array([soles[side, 0], soles[side, 1], 0.0])
                foot.theirs = targets.ankles[side], turned[side]
            step = dt_s / BLEND_S
            foot.settled = min(foot.settled + step, 1.0) if foot.rests else max(foot.settled - step, 0.0)
        self._before = targets

    def sole(self, side: int, now: np.ndarray) -> np.ndarray:
        """Where a sole that is ``now`` at [3] m is to be [3] m."""
        foot, free = self.feet[side], self._wanted[side]
        if foot.rests:
            return foot.place
        way = math.dist(free[:2], now[:2])
        lifted = free.copy()
        if foot.free_s == 0.0 and way > STEP:
            # The person's foot touches the floor all the way; the robot's is lifted first, and then goes.
            lifted[2] = max(free[2], min(LIFT, LIFT_SHARE * way))
            lifted[:2] = now[:2] + min(max(now[2] / CLEAR, CREEP), 1.0) * (free[:2] - now[:2])
        if foot.place is None or foot.settled == 0.0:
            return lifted
        return lifted + _smooth(foot.settled) * (foot.place - lifted)

    def pelvis(self, targets: Targets) -> np.ndarray:
        """Where the pelvis link is to be [3] m."""
        middle = targets.rotations[self._pelvis] @ self._scaling.hip_offset.mean(0)
        return np.array([self.hips[0], self.hips[1], targets.hip_height]) - middle

    def _decide(self, foot: Foot, side: int, targets: Targets, contact: bool, moved: bool, dt_s: float) -> None:
        """Keeps count of how a person's foot rests, and lets the robot's go."""
        before = self._before
        speed = 0.0 if before is None else math.dist(targets.ankles[side], before.ankles[side]) / dt_s
        foot.speed += min(dt_s / SPEED_S, 1.0) * (speed - foot.speed)
        foot.free_s = 0.0 if contact else foot.free_s + dt_s
        foot.still_s = foot.still_s + dt_s if contact and foot.speed < REST_SPEED else 0.0
        if foot.rests and (foot.free_s >= LET_GO_S or foot.speed > MOVE_SPEED or moved):
            foot.rests, foot.still_s = False, 0.0

    def _moved(self, targets: Targets, side: int, turned: float) -> float:
        """How far the person's foot has moved since the robot's rests; above 1 it is let go."""
        foot, other = self.feet[side], self.feet[1 - side]
        if not foot.rests:
            return 0.0
        way = targets.ankles[side] - foot.theirs[0]
        if other.rests:  # what both feet move is the camera's error
            way = way - 0.5 * (way + targets.ankles[1 - side] - other.theirs[0])
        far = math.hypot(*way) / (FARTHEST * self._leg)
        reach = math.dist(foot.place[:2], self._wanted[side, :2]) / (OUT_OF_REACH * self._leg)
        return max(far, reach, abs(math.remainder(turned - foot.theirs[1], math.tau)) / MOST_TURNED)

    def _may_rest(self, foot: Foot, side: int, sole: np.ndarray, yaw: float, theirs: float) -> bool:
        """Whether a foot that does not rest comes to rest where it is."""
        if foot.still_s <= 0.0:
            return False
        far = math.dist(sole[:2], self._wanted[side, :2]) / (FARTHEST * self._leg)
        turned = abs(math.remainder(theirs - yaw, math.tau)) / MOST_TURNED
        return max(far, turned) < NEAR_ENOUGH or foot.still_s > WAIT_S

    def _yaw_of_theirs(self, targets: Targets, side: int) -> float:
        row = self._soles[side]
        return yaw_of(targets.rotations[row], self._scaling.at_rest[row])

    def _led_by_leg(self, targets: Targets, side: int) -> np.ndarray:
        """Where the person's leg would have the sole [3] m: not below the floor."""
        scaling = self._scaling
        hip = self.pelvis(targets) + targets.rotations[self._pelvis] @ scaling.hip_offset[side]
        sole = hip + targets.ankle[side] + targets.rotations[self._soles[side]] @ scaling.sole_offset[side]
        sole[2] = max(sole[2], 0.0)
        return sole

    def _side_by_side(self, targets: Targets) -> np.ndarray:
        """Where the person's legs would have the soles [2, 3] m, but no nearer to each other than the robot's may be:
        a person's feet may touch."""
        soles = np.array([self._led_by_leg(targets, side) for side in range(2)])
        row = self._pelvis
        yaw = yaw_of(targets.rotations[row], self._scaling.at_rest[row])
        across = np.array([-math.sin(yaw), math.cos(yaw)])
        missing = self._scaling.least_apart - float((soles[0, :2] - soles[1, :2]) @ across)
        if missing > 0.0:
            soles[0, :2] += 0.5 * missing * across
            soles[1, :2] -= 0.5 * missing * across
        return soles

    def _move_hips(self, targets: Targets, dt_s: float) -> None:
        before = self._before
        if before is None:
            return
        resting = [side for side, foot in enumerate(self.feet) if foot.rests]
        step = targets.hips - before.hips
        if resting:
            step = step - (targets.ankles[resting] - before.ankles[resting]).mean(0)
        self.hips = self.hips + step
        if resting:
            wanted = self._side_by_side(targets)
            missing = np.mean([self.feet[s].place[:2] - wanted[s, :2] for s in resting], axis=0)
            self.hips = self.hips + min(dt_s / CENTRE_S, 1.0) * missing


def yaw_of(rotation: np.ndarray, at_rest: np.ndarray) -> float:
    """Turn about the vertical [rad] from one rotation [3, 3] to another."""
    turned = rotation @ at_rest.T
    return math.atan2(turned[1, 0] - turned[0, 1], turned[0, 0] + turned[1, 1])


def heading(rotation: np.ndarray) -> float:
    """Where a person's pelvis [3, 3] looks [rad], from the world's x axis."""
    return yaw_of(rotation, ROBOT_FROM_BODY)


def _smooth(share: float) -> float:
    return share * share * (3.0 - 2.0 * share)
