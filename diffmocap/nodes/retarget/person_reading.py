"""From `body_pose` to sightings of a person in an upright frame."""

from __future__ import annotations

import numpy as np
from diffmocap_msgs.msg import BodyPose

from diffmocap.errors import RobotError
from diffmocap.nodes.person_frames import person_frame
from diffmocap.nodes.static_frames import StaticFrames
from diffmocap.output.tracking_state import TrackEvent, TrackingState
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.live.person_watch import Sighting

#: A level camera that looks along x, in an upright frame: columns are the optical axes.
LEVEL_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class PersonReader:
    """Reads one graph's `body_pose`.

    Attributes:
        frames: the static frames, to be told of by their subscription.
        placed: whether they place the camera; else it is taken to be level.
        moved: whether the last message saw the camera elsewhere than the one before.
    """

    def __init__(self, map_frame: str) -> None:
        self.map_frame = map_frame
        self.frames = StaticFrames()
        self.placed = self.moved = False
        self._known: tuple[int, str, str] | None = None
        self._T: np.ndarray | None = None

    @property
    def placement(self) -> np.ndarray:
        """``T_upright_frame`` [4, 4] of the poses' frame, as the last pose was read."""
        return np.eye(4) if self._T is None else self._T

    def sighting(self, message: BodyPose, age_s: float | None) -> Sighting:
        """What a message says; ``age_s``: see :class:`Sighting`.

        Raises:
            RobotError: it holds no pose although its state says so, or a state that does not exist.
        """
        try:
            state = TrackingState(message.tracking_state)
        except ValueError:
            raise RobotError(f"body_pose has the tracking state {message.tracking_state}; expected 0 to 4") from None
        events = TrackEvent(message.events & (1 | 2 | 4 | 8))
        self.moved = False
        frame = self._frame(message) if state in (TrackingState.TRACKED, TrackingState.PREDICTED) else None
        return Sighting(state, message.track_id, events, frame, age_s)

    def _frame(self, message: BodyPose) -> HumanFrame:
        return person_frame(message, self._placement(message.header.frame_id))

    def _placement(self, frame: str) -> np.ndarray:
        """``T_upright_frame`` [4, 4]."""
        key = (self.frames.version, self.map_frame, frame)
        if key != self._known:
            self._known = key
            found = self.frames.transform(self.map_frame, frame)
            self.placed = found is not None
            if found is None:
                found = np.eye(4)
                found[:3, :3] = LEVEL_CAMERA
            self.moved = self._T is not None and not np.allclose(found, self._T, atol=1e-6)
            self._T = found
        return self._T
