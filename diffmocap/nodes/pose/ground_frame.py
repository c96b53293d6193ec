"""Gravity and floor in the camera's frame as the graph knows them: from parameters, or from static transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import roma
import torch
from geometry_msgs.msg import TransformStamped
from tf2_msgs.msg import TFMessage

from diffmocap.errors import SettingsError
from diffmocap.nodes.pose.physics_parameters import AUTO, MOTION, PARAMETERS, TF
from diffmocap.refinement.stream.known_ground import KnownGround


class StaticFrames:
    """The tree of /tf_static. Moving frames are left out: the refinement takes the camera to stand still."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, np.ndarray]] = {}
        self.version = 0  #: grows with every message

    def receive(self, message: TFMessage) -> None:
        """Transforms of one publisher; the newest of a child frame counts. What is no transform is left out."""
        for transform in message.transforms:
            matrix = _matrix(transform)
            if matrix is not None:
                child, parent = transform.child_frame_id.lstrip("/"), transform.header.frame_id.lstrip("/")
                self._parents[child] = (parent, matrix)
        self.version += 1

    def transform(self, target: str, source: str) -> np.ndarray | None:
        """``T_target_source`` [4, 4], which takes points of the source frame into the target's; None: no connection."""
        above_source, above_target = self._to_root(source.lstrip("/")), self._to_root(target.lstrip("/"))
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            return None
        return np.linalg.inv(above_target[common]) @ above_source[common]

    def _to_root(self, frame: str) -> dict[str, np.ndarray]:
        """Every frame above this one, itself first, with ``T_above_frame``."""
        found, matrix = {frame: np.eye(4)}, np.eye(4)
        while frame in self._parents:
            frame, step = self._parents[frame]
            if frame in found:
                break  # a loop is no tree
            matrix = step @ matrix
            found[frame] = matrix
        return found


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


def _matrix(transform: TransformStamped) -> np.ndarray | None:
    """[4, 4] of a transform; None where its numbers are none."""
    q, t = transform.transform.rotation, transform.transform.translation
    xyzw, xyz = torch.tensor([q.x, q.y, q.z, q.w], dtype=torch.float64), np.array([t.x, t.y, t.z])
    length = float(xyzw.norm())
    if not (np.isfinite(xyz).all() and 0.5 < length < 2.0):
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = roma.unitquat_to_rotmat(xyzw / length).numpy()
    matrix[:3, 3] = xyz
    return matrix
