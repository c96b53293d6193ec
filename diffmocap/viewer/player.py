"""A motion on the viewer's page: a timeline to play and to scrub, and the video beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffmocap.output.tracking_state import TrackingState
from diffmocap.viewer.pose import ViewedPose
from diffmocap.viewer.scene import FIRST_VIEW, VIEW_FOV_RAD, Scene

#: How fast it may be played.
SPEEDS = ("0.1", "0.25", "0.5", "1", "2")
#: The page is drawn so often a second at most, and so often where nothing moves, to hear of what was clicked.
MOST_HZ, IDLE_HZ = 30.0, 20.0
#: Width of the video in the side bar [px].
PICTURE_WIDTH = 360

#: Picture uint8 [H, W, 3] RGB of a frame of the motion; None where there is none.
PictureAt = Callable[[int], "np.ndarray | None"]


@dataclass(frozen=True)
class PlayedMotion:
    """T frames in an upright frame whose floor is z = 0.

    Attributes:
        fps: frames a second.
        rotations_xyzw: [T, 24, 4] local, entry 0 turns the body frame into the motion's. joints_m: [T, 24, 3].
        tracked: [T] bool: seen; elsewhere bridged.
    """

    fps: float
    rotations_xyzw: np.ndarray
    joints_m: np.ndarray
    tracked: np.ndarray

    def __len__(self) -> int:
        return len(self.joints_m)

    def pose(self, frame: int) -> ViewedPose:
        """What the scene shows of one frame; bridged ones have the colour of predicted poses."""
        return ViewedPose(
            round(1e9 * frame / self.fps), "", self.rotations_xyzw[frame], self.joints_m[frame],
            tracking=TrackingState.TRACKED if self.tracked[frame] else TrackingState.PREDICTED,
        )  # fmt: skip


class Player:
    """Plays a motion on a server's page; :meth:`advance` is to be called again and again.

    Args:
        server: viser's. scene: stands in the motion's frame. picture_at: of the video; None: there is none.
    """

    def __init__(self, server: Any, scene: Scene, motion: PlayedMotion, picture_at: PictureAt | None = None) -> None:
        self._server, self._scene, self._motion, self._picture_at = server, scene, motion, picture_at
        self._place, self._shown = 0.0, -1
        self._last_s: float | None = None
        gui = server.gui
        self._words = gui.add_markdown("")
        self._slider = gui.add_slider("Frame", 0, max(len(motion) - 1, 1), 1, 0)
        self._button = gui.add_button("Pause")
        self._speed = gui.add_dropdown("Speed", SPEEDS, initial_value="1")
        self._picture = None
        self.playing = True
        self._button.on_click(lambda _: self.play(not self.playing))
        self._slider.on_update(self._scrub)
        camera = server.initial_camera
        middle = motion.joints_m[:, 0].mean(0)
        camera.position, camera.look_at, camera.fov = middle + FIRST_VIEW, middle, VIEW_FOV_RAD
        self.show(0)

    @property
    def frame(self) -> int:
        """The one that is shown."""
        return self._shown

    def play(self, playing: bool) -> None:
        """Goes on, or stops."""
        self.playing = playing
        self._button.label = "Pause" if playing else "Play"

    def advance(self, now_s: float) -> float:
        """Shows the frame that is due at ``now_s`` of a monotonic clock; how long to wait before the next call [s]."""
        passed_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        if not self.playing or not self._server.get_clients():
            return 1.0 / IDLE_HZ
        speed = float(self._speed.value)
        self._place = (self._place + passed_s * speed * self._motion.fps) % len(self._motion)
        if (frame := int(self._place)) != self._shown:
            self.show(frame)
        return 1.0 / min(MOST_HZ, max(speed * self._motion.fps, 1.0))

    def show(self, frame: int) -> None:
        """Draws one frame and moves the timeline there."""
        self._shown = frame
        motion = self._motion
        self._scene.show(motion.pose(frame))
        if self._slider.value != frame:
            self._slider.value = frame
        bridged = "" if motion.tracked[frame] else ", bridged: nobody was seen"
        self._words.content = f"**{frame / motion.fps:.2f} s** of {(len(motion) - 1) / motion.fps:.2f} s{bridged}"
        if self._picture_at is None or (image := self._picture_at(frame)) is None:
            return
        if self._picture is None:
            self._picture = self._server.gui.add_image(image, label="Video", format="jpeg", jpeg_quality=75)
        else:
            self._picture.image = image

    def _scrub(self, event: Any) -> None:
        """A user moved the timeline: it stops there."""
        if event.client is None:  # moved by this program
            return
        self.play(False)
        # The timeline of a single frame has two ends, too.
        frame = min(max(int(self._slider.value), 0), len(self._motion) - 1)
        self._place = float(frame)
        self.show(frame)
