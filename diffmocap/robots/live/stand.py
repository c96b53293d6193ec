"""The stand before the robot follows: what a person who stands upright and still tells of the camera and of the poses.

A camera alone does not know where up is, and poses from one view lean: towards the camera, or as the poses lean that
the model was trained on. A robot that copies the lean creeps forward, or falls. Somebody who stands stands over their
feet, so the line from between the ankles to the neck is upright; and who is told to stand upright holds the torso
upright. Both are measured, and what differs from upright is taken out of all poses that follow, as are the height of
the floor under the soles, the place and the heading: the stage's frame begins where the person stood, x forward as they
looked, z up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.body.skeleton import JOINT_NAMES, PARENTS
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.live.engagement_settings import EngagementSettings

_JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
_PELVIS, _NECK = _JOINT["pelvis"], _JOINT["neck"]
_HIPS, _ANKLES = ([_JOINT[f"{side}_{name}"] for side in ("left", "right")] for name in ("hip", "ankle"))
#: Left and right joints whose lines say where the person looks.
_SIDES = ([_JOINT["left_hip"], _JOINT["left_shoulder"]], [_JOINT["right_hip"], _JOINT["right_shoulder"]])
_LEGS = [[_JOINT[f"{side}_{name}"] for name in ("hip", "knee", "ankle")] for side in ("left", "right")]
#: Height of an ankle above the sole, as a share of the person's height; that of the shipped body.
ANKLE_HEIGHT = 0.0421
#: How far forward of upright the lines from ankles to hips and from pelvis to neck are in SMPL's zero pose, which
#: stands [rad]; of the shipped body.
LEGS_FORWARD, TORSO_FORWARD = 0.0524, 0.0846
#: The largest bend of a knee of somebody who stands; motion capture of people who do has up to 0.65 [rad].
_STRAIGHT = 0.9
#: How far the pelvis may wander, in the picture's depth the most, and joints from their place beside it [m].
_WANDERS_M, _MOVES_M = 0.15, 0.07
#: Joints that have to keep their place beside the pelvis.
_STILL = [_NECK, *_ANKLES, _JOINT["left_wrist"], _JOINT["right_wrist"]]
_UP = np.array([0.0, 0.0, 1.0])


def _above_pelvis() -> np.ndarray:
    """[24] bool: the spine and all that hangs on it."""
    above = [False] * len(PARENTS)
    for joint in range(1, len(PARENTS)):
        above[joint] = above[PARENTS[joint]] or JOINT_NAMES[joint] == "spine1"
    return np.array(above)


_TORSO = _above_pelvis()
_TURNED = _TORSO | (np.arange(len(PARENTS)) == _PELVIS)


@dataclass(frozen=True)
class Stand:
    """What a stand has told.

    Attributes:
        rotation: [3, 3] and translation: [3] m take points of the upright frame to the stage's.
        torso: [3, 3] turn of the pelvis, in its own axes, that holds the torso upright.
        lean: of the torso over the legs, forward, which is taken out [rad].
        tilt: of the legs against the upright frame, which is taken out [rad].
        floor: where the floor is along the legs, above the origin of the upright frame [m].
    """

    rotation: np.ndarray
    translation: np.ndarray
    torso: np.ndarray
    lean: float
    tilt: float
    floor: float

    def corrected(self, frame: HumanFrame) -> HumanFrame:
        """A pose of the upright frame in the stage's, without the lean. The hips stay where they are."""
        positions = frame.positions @ self.rotation.T + self.translation
        rotations = self.rotation @ frame.rotations
        turn = rotations[_PELVIS] @ self.torso @ rotations[_PELVIS].T
        pelvis = positions[_PELVIS]
        positions[_TORSO] = (positions[_TORSO] - pelvis) @ turn.T + pelvis
        rotations[_TURNED] = turn @ rotations[_TURNED]
        return replace(frame, positions=positions, rotations=rotations)


class StandWatch:
    """Waits until somebody has stood; poses of one track in the upright frame.

    Attributes:
        settings: how long somebody stands, and how straight.
        stand: the result; None before.
        wrong: what the person has to do; empty once the stand is done.
        share: of the stand that is done.
    """

    def __init__(self, settings: EngagementSettings) -> None:
        self.settings = settings
        self.restart()

    def restart(self) -> None:
        """Somebody else stands."""
        self.stand: Stand | None = None
        self.wrong = "nobody has stood yet: stand upright and still"
        self.share = 0.0
        self._leant = ""
        self._frames: deque[tuple[float, HumanFrame]] = deque()

    def observe(self, frame: HumanFrame, now_s: float) -> None:
        """A pose that an image shows."""
        if self.stand is not None:
            return
        lean = self.settings.stand_lean
        self._frames.append((now_s, frame))
        if wrong := _not_standing(frame) or self._moved():
            self._frames.clear()
            self._tell(wrong, 0.0)
            return
        stood_s, asked_s = now_s - self._frames[0][0], self.settings.stand_time
        self._tell("stand upright and still", min(stood_s / asked_s, 1.0))
        if stood_s < asked_s:
            return
        stand = stand_of([frame for _, frame in self._frames])
        if max(abs(stand.tilt), abs(stand.lean)) > lean:
            what, angle = ("legs lean", stand.tilt) if abs(stand.tilt) > lean else ("torso leans", stand.lean)
            self._frames.clear()
            self._leant = (
                f"the {what} by {np.degrees(angle):.0f} degrees: stand upright, and give the camera's pitch and roll "
                "where it does not look level; "
            )
            self._tell("stand upright and still", 0.0)
            return
        self.stand, self.wrong, self.share = stand, "", 1.0
        self._frames.clear()

    def _moved(self) -> str:
        """What moved in the stand so far: against its first pose."""
        first, last = self._frames[0][1].positions, self._frames[-1][1].positions
        way = last - first
        if np.linalg.norm(way[_PELVIS]) > _WANDERS_M:
            return "the body moved: stand still"
        moved = np.linalg.norm(way[_STILL] - way[_PELVIS], axis=1)
        if moved.max() > _MOVES_M:
            return f"the {JOINT_NAMES[_STILL[int(moved.argmax())]].replace('_', ' ')} moved: stand still"
        return ""

    def _tell(self, wrong: str, share: float) -> None:
        self.share = share
        self.wrong = f"{self._leant}{wrong} ({share * self.settings.stand_time:.1f} of {self.settings.stand_time:g} s)"


def stand_of(frames: list[HumanFrame]) -> Stand:
    """What the mean of poses of somebody who stands tells."""
    positions = np.mean([frame.positions for frame in frames], axis=0)
    legs = positions[_HIPS].mean(0) - positions[_ANKLES].mean(0)
    level = _turn(legs, _UP)
    turned = positions @ level.T
    left = (turned[_SIDES[0]] - turned[_SIDES[1]]).sum(0)
    forward = np.cross(left, _UP)
    forward /= np.linalg.norm(forward)
    heading = np.array([forward, np.cross(_UP, forward), _UP])  # rows: the stage's axes
    rotation = _turn(_UP, _forward(LEGS_FORWARD)) @ heading @ level
    staged = positions @ rotation.T
    floor = staged[_ANKLES, 2].min() - ANKLE_HEIGHT * frames[-1].height
    pelvis = staged[_PELVIS]
    torso = staged[_NECK] - pelvis
    mean = rotation @ Rotation.from_matrix([frame.rotations[_PELVIS] for frame in frames]).mean().as_matrix()
    return Stand(
        rotation=rotation,
        translation=np.array([-pelvis[0], -pelvis[1], -floor]),
        torso=mean.T @ _turn(torso, _forward(TORSO_FORWARD)) @ mean,
        lean=float(np.arctan2(torso[0], torso[2])) - TORSO_FORWARD,
        tilt=float(np.arccos(np.clip(rotation[2, 2], -1.0, 1.0))),
        floor=float(floor),
    )


def _not_standing(frame: HumanFrame) -> str:
    """Why this is nobody who stands; empty where it is. No direction of the frame counts, the camera may be tilted."""
    for hip, knee, ankle in _LEGS:
        thigh, shank = frame.positions[knee] - frame.positions[hip], frame.positions[ankle] - frame.positions[knee]
        lengths = np.linalg.norm(thigh) * np.linalg.norm(shank)
        if lengths <= 0.0 or np.arccos(np.clip(thigh @ shank / lengths, -1.0, 1.0)) > _STRAIGHT:
            return "a knee is bent: stand upright"
    return ""


def _turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[3, 3] smallest rotation from one direction to another."""
    return Rotation.align_vectors(end[None], start[None])[0].as_matrix()


def _forward(angle: float) -> np.ndarray:
    """[3] upright, turned forward by an angle [rad]."""
    return np.array([np.sin(angle), 0.0, np.cos(angle)])
