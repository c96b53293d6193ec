"""Pictures of the body as joint states describe it: the URDF, posed and drawn by PyBullet's software renderer.

What RViz shows of ``robot_description``, ``joint_states`` and ``/tf``, without a display. The world is the camera's
optical frame (x right, y down, z forward; metres), so a view with the camera's own intrinsics lies exactly over
its image. No ROS here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.errors import SettingsError, SetupError
from diffmocap.types import CameraIntrinsics

#: RGB; the sides as in the drawing of keypoints: left orange, right blue.
LEFT_RGB, RIGHT_RGB, MIDDLE_RGB = (0.95, 0.66, 0.38), (0.45, 0.66, 0.92), (0.84, 0.82, 0.80)
#: Towards the light, in the optical frame: above the camera's left shoulder.
LIGHT_OPTICAL = (-0.5, -1.0, -0.9)
NEAR_M, FAR_M = 0.05, 60.0
#: Pixels around the body's joints that the skin may reach, in metres.
SKIN_MARGIN_M = 0.35


@dataclass(frozen=True)
class PosedBody:
    """One pose to draw.

    Attributes:
        angles_rad: joint name -> angle.
        root_position_m: [3] of the root link in the optical frame.
        root_xyzw: [4] its orientation (URDF axes) as a quaternion.
    """

    angles_rad: Mapping[str, float]
    root_position_m: Sequence[float]
    root_xyzw: Sequence[float]


@dataclass(frozen=True)
class View:
    """A pinhole camera: ``R_view_optical`` [3, 3] and ``eye_m`` [3] place it in the optical frame (x right, y down,
    z forward of the view itself)."""

    intrinsics: CameraIntrinsics
    R_view_optical: np.ndarray
    eye_m: np.ndarray

    @classmethod
    def of_camera(cls, intrinsics: CameraIntrinsics) -> View:
        """The view of the camera itself."""
        return cls(intrinsics, np.eye(3), np.zeros(3))

    @classmethod
    def from_the_side(
        cls, target_m: Sequence[float], distance_m: float, intrinsics: CameraIntrinsics, pitch_rad: float = 0.0
    ) -> View:
        """From the image's left towards its right, upright: what is near the camera appears on the right.

        ``pitch_rad`` is that of the camera whose frame this is, positive where it looks down.
        """
        c, s = np.cos(pitch_rad), np.sin(pitch_rad)
        R_view_optical = np.array([[0.0, s, -c], [0.0, c, s], [1.0, 0.0, 0.0]])
        return cls(intrinsics, R_view_optical, np.asarray(target_m, float) - [distance_m, 0.0, 0.0])

    def project_px(self, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [N, 2] and depths [N] of points [N, 3] in the optical frame."""
        local = (np.asarray(points_m, float) - self.eye_m) @ self.R_view_optical.T
        depth = local[:, 2]
        scale = 1.0 / np.maximum(depth, NEAR_M)
        k = self.intrinsics
        return np.stack([k.fx * local[:, 0] * scale + k.cx, k.fy * local[:, 1] * scale + k.cy], -1), depth


class BodyRenderer:
    """Draws the URDF body; one at a time, pose first, then as many views as wanted.

    Args:
        urdf: text with absolute mesh file names and the root link `pelvis`; None for the shipped body.

    Raises:
        SetupError: PyBullet is not installed.
    """

    def __init__(self, urdf: str | None = None) -> None:
        try:
            self._p = _import_pybullet()
        except ImportError as error:
            raise SetupError(
                f"PyBullet draws the body and cannot be imported ({error}); run `make setup`, or pip install pybullet, "
                "or leave the video out with --no-video"
            ) from error
        if urdf is None:
            from diffmocap.body.urdf import read_urdf

            urdf = read_urdf(resolve_meshes=True, massless_root=False)
        p = self._p
        self._client = p.connect(p.DIRECT)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "human.urdf"
            path.write_text(urdf, encoding="utf-8")
            self._body = p.loadURDF(
                str(path), useFixedBase=True, flags=p.URDF_USE_INERTIA_FROM_FILE, physicsClientId=self._client
            )
        self._joints, self._links = {}, {}
        for index in range(p.getNumJoints(self._body, physicsClientId=self._client)):
            info = p.getJointInfo(self._body, index, physicsClientId=self._client)
            if info[2] == p.JOINT_REVOLUTE:
                self._joints[info[1].decode()] = index
            self._links[info[12].decode()] = index
        # PyBullet places a base by its centre of mass.
        base = p.getDynamicsInfo(self._body, -1, physicsClientId=self._client)
        self._T_root_com = base[3], base[4]
        self._colour()

    def pose(self, posed: PosedBody) -> None:
        """Takes the pose.

        Raises:
            SettingsError: it lacks a joint of the body.
        """
        p = self._p
        if missing := self._joints.keys() - posed.angles_rad.keys():
            raise SettingsError(f"the pose lacks the joints {sorted(missing)[:3]}; expected those of models/human.urdf")
        position, orientation = p.multiplyTransforms(posed.root_position_m, posed.root_xyzw, *self._T_root_com)
        p.resetBasePositionAndOrientation(self._body, position, orientation, physicsClientId=self._client)
        for name, index in self._joints.items():
            p.resetJointState(self._body, index, posed.angles_rad[name], physicsClientId=self._client)

    def joint_positions_m(self) -> np.ndarray:
        """[24, 3] origins of the links in SMPL's order, as the simulator has them, in the optical frame."""
        p = self._p
        root = p.getBasePositionAndOrientation(self._body, physicsClientId=self._client)
        root_position = p.multiplyTransforms(*root, *p.invertTransform(*self._T_root_com))[0]
        indices = [self._links[name] for name in JOINT_NAMES[1:]]
        states = p.getLinkStates(self._body, indices, computeForwardKinematics=True, physicsClientId=self._client)
        return np.array([root_position, *(state[4] for state in states)])

    def draw(self, view: View, background: np.ndarray) -> np.ndarray:
        """The body over a background uint8 [H, W, 3] BGR of the view's size, as a new image.

        Only the part of the image that the body can cover is rendered: the renderer's time goes with the pixels.
        """
        image = background.copy()
        height, width = image.shape[:2]
        box = self._region_px(view, width, height)
        if box is None:
            return image
        left, top, right, bottom = box
        p = self._p
        _, _, rgba, _, segmentation = p.getCameraImage(
            right - left,
            bottom - top,
            _view_matrix(view),
            _projection_matrix(view.intrinsics, box),
            lightDirection=LIGHT_OPTICAL,
            lightColor=(1.0, 1.0, 1.0),
            lightAmbientCoeff=0.55,
            lightDiffuseCoeff=0.5,
            lightSpecularCoeff=0.05,
            shadow=0,
            renderer=p.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        shape = (bottom - top, right - left)
        bgr = np.asarray(rgba, np.uint8).reshape(*shape, 4)[..., 2::-1]
        covered = np.asarray(segmentation).reshape(shape) >= 0
        patch = image[top:bottom, left:right]
        patch[covered] = bgr[covered]
        return image

    def close(self) -> None:
        """Frees the simulator."""
        if self._client >= 0:
            self._p.disconnect(self._client)
            self._client = -1

    def __enter__(self) -> BodyRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _region_px(self, view: View, width: int, height: int) -> tuple[int, int, int, int] | None:
        """(left, top, right, bottom) in whole pixels that holds the body, None where it is out of view."""
        points_px, depth = view.project_px(self.joint_positions_m())
        nearest = max(float(depth.min()) - SKIN_MARGIN_M, 0.0)
        if float(depth.max()) < NEAR_M:
            return None
        if nearest < 0.3:  # too close for a bound that is worth it
            return 0, 0, width, height
        margin = max(view.intrinsics.fx, view.intrinsics.fy) * SKIN_MARGIN_M / nearest
        low = np.clip(np.floor(points_px.min(0) - margin), 0, [width, height]).astype(int)
        high = np.clip(np.ceil(points_px.max(0) + margin), 0, [width, height]).astype(int)
        if (high - low < 2).any():
            return None
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _colour(self) -> None:
        p = self._p
        for name, index in {JOINT_NAMES[0]: -1, **self._links}.items():
            rgb = LEFT_RGB if name.startswith("left_") else RIGHT_RGB if name.startswith("right_") else MIDDLE_RGB
            p.changeVisualShape(self._body, index, rgbaColor=(*rgb, 1.0), physicsClientId=self._client)


def _import_pybullet() -> Any:
    """PyBullet, without the line about itself that its native code writes to stderr."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    stderr, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        import pybullet
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(sink)
    return pybullet


def _view_matrix(view: View) -> list[float]:
    """OpenGL's view matrix, column by column: it looks along -z with y up."""
    flip = np.diag([1.0, -1.0, -1.0])
    matrix = np.eye(4)
    matrix[:3, :3] = flip @ view.R_view_optical
    matrix[:3, 3] = -matrix[:3, :3] @ view.eye_m
    return matrix.T.flatten().tolist()


def _projection_matrix(k: CameraIntrinsics, box: tuple[int, int, int, int]) -> list[float]:
    """OpenGL's projection matrix of a part of the image, column by column."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1] = 2 * k.fx / width, 2 * k.fy / height
    matrix[0, 2], matrix[1, 2] = 1 - 2 * (k.cx - left) / width, 2 * (k.cy - top) / height - 1
    matrix[2, 2], matrix[2, 3] = -(FAR_M + NEAR_M) / (FAR_M - NEAR_M), -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M)
    matrix[3, 2] = -1.0
    return matrix.T.flatten().tolist()
