"""Gravity and floor in the camera's frame as the graph knows them: from parameters, or from static transforms."""

from __future__ import annotations

from typing import Any

from diffmocap.errors import SettingsError
from diffmocap.nodes.pose.physics_parameters import AUTO, MOTION, PARAMETERS, TF
from diffmocap.nodes.static_frames import StaticFrames
from diffmocap.refinement.stream.known_ground import KnownGround


class GroundFrame:
    """What is known of the ground for the parameters at hand; :attr:`missing` says what was asked for in vain."""

    def __init__(self) -> None:
        self.frames = StaticFrames()
        self.missing = ""
        self._key: tuple | None = None
        self._known = KnownGround()

    def known(self, values: dict[str, Any], optical_frame: str) -> KnownGround:
        """Of a camera whose keypoints are in ``optical_frame``."""
        names = ("ground_from", "camera_height", "camera_pitch", "camera_roll", "ground_frame", "ground_height_from_tf")
        key = (*(values[name] for name in names), optical_frame, self.frames.version)
        if key != self._key:
            self._key, self.missing = key, ""
            self._known = self._look(values, optical_frame)
        return self._known

    def _look(self, values: dict[str, Any], optical_frame: str) -> KnownGround:
        wanted, height = values["ground_from"], values["camera_height"]
        pitch, roll = values["camera_pitch"], values["camera_roll"]
        # An angle of 0 may be the default: graphs ask for parameters where the user gave it.
        if wanted == PARAMETERS or (wanted == AUTO and (height > 0.0 or pitch != 0.0 or roll != 0.0)):
            return KnownGround.from_camera(height if height > 0.0 else None, pitch, roll)
        # A static transform that nobody measured is level, as launch files guess; forces from a direction that is ten
        # degrees off bend the body.
        if wanted == MOTION or (wanted == AUTO and not values["ground_height_from_tf"]):
            return KnownGround()
        frame = values["ground_frame"]
        matrix = self.frames.transform(optical_frame, frame) if frame else None
        if matrix is not None:
            try:
                return KnownGround.from_transform(matrix, f"{frame} on /tf_static", values["ground_height_from_tf"])
            except SettingsError as error:
                self.missing = str(error)
        elif wanted == TF:
            self.missing = f"no '{frame}' -> '{optical_frame}' on /tf_static: the ground is sought in the motion"
        return KnownGround()
