"""A film of a motion: the skinned body on a floor with a grid, from a camera that stands still, beside its video."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from diffmocap.body.model import BodyModel
from diffmocap.cli.drawing.rasteriser import fill
from diffmocap.cli.drawing.web_video import WebVideo
from diffmocap.motion.export.prepare import prepared
from diffmocap.motion.motion import Motion

#: Size of the body's picture [px], its vertical field of view [degrees].
WIDTH, HEIGHT, FOV_DEG = 640, 480, 40.0
#: Drawn so many times as wide and high, and made smaller, so that edges are smooth.
SAMPLING = 2
#: Pictures a second at most.
FILM_FPS = 30.0
#: How far around the pelvis's way the picture reaches [m], and how high the camera stands above its middle.
AROUND_M, ABOVE_M = 1.0, 0.7
GRID_STEP_M, GRID_REACH_M = 0.5, 6.0
#: BGR. A bridged frame's body has the colour that it has in the viewer.
BODY_BGR, BRIDGED_BGR, FORCE_BGR = (205.0, 190.0, 178.0), (90.0, 160.0, 240.0), (90, 200, 90)
FLOOR_BGR, FAR_BGR, GRID_BGR, TEXT_BGR = (74, 66, 60), (52, 46, 41), (110, 102, 94), (235, 235, 235)
#: Towards the light, z up.
LIGHT = np.array([-0.4, -0.7, 0.6]) / np.linalg.norm([-0.4, -0.7, 0.6])
AMBIENT = 0.45
#: Length of a force in the picture [m/N].
FORCE_M_PER_N = 1e-3


class Scene:
    """A floor at z = 0 and a camera that sees all of a way; x right, y ahead, z up, as a motion's world frame has them.

    Args:
        pelvis: [T, 3] m.
    """

    def __init__(self, pelvis: np.ndarray) -> None:
        low, high = pelvis.min(0) - AROUND_M, pelvis.max(0) + AROUND_M
        self.middle = np.array([*(0.5 * (low + high))[:2], 0.9])
        self.focal = 0.5 * SAMPLING * HEIGHT / math.tan(math.radians(0.5 * FOV_DEG))
        wide = max((high - low)[0], 2.4 * WIDTH / HEIGHT)
        distance = 0.5 * (high - low)[1] + self.focal * wide / (SAMPLING * WIDTH)
        self.eye = self.middle + np.array([0.0, -distance, ABOVE_M])
        ahead = (self.middle - self.eye) / np.linalg.norm(self.middle - self.eye)
        right = np.array([1.0, 0.0, 0.0])
        self.R_view_world = np.stack([right, np.cross(ahead, right), ahead])
        self.background = self._background()

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [..., 2], of the picture before it is made smaller, and depths [...] m of points [..., 3]."""
        local = (points - self.eye) @ self.R_view_world.T
        depth = local[..., 2]
        scale = self.focal / np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        px = local[..., :2] * scale[..., None] + [0.5 * SAMPLING * WIDTH, 0.5 * SAMPLING * HEIGHT]
        return px, depth

    def _background(self) -> np.ndarray:
        image = np.empty((SAMPLING * HEIGHT, SAMPLING * WIDTH, 3), np.uint8)
        image[:] = FAR_BGR
        x, y = np.round(self.middle[:2] / GRID_STEP_M) * GRID_STEP_M
        near = self.eye[1] + 0.5  # nothing behind the eye
        corners = np.array([[x - 60, near, 0], [x + 60, near, 0], [x + 60, y + 60, 0], [x - 60, y + 60, 0]], float)
        cv2.fillConvexPoly(image, _fixed(self.project(corners)[0]), FLOOR_BGR, cv2.LINE_AA, 4)
        for offset in np.arange(-GRID_REACH_M, GRID_REACH_M + 1e-6, GRID_STEP_M):
            lines = [[[x + offset, max(near, y - GRID_REACH_M), 0], [x + offset, y + GRID_REACH_M, 0]]]
            if y + offset > near:
                lines.append([[x - GRID_REACH_M, y + offset, 0], [x + GRID_REACH_M, y + offset, 0]])
            for line in lines:
                a, b = _fixed(self.project(np.array(line, float))[0])
                cv2.line(image, tuple(a.tolist()), tuple(b.tolist()), GRID_BGR, SAMPLING, cv2.LINE_AA, 4)
        return image


def draw_body(
    scene: Scene, vertices: np.ndarray, faces: np.ndarray, bgr: tuple[float, float, float]
) -> np.ndarray:  # fmt: skip
    """A body's skin [V, 3] m in the scene, with its shadow on the floor: uint8 BGR, before it is made smaller."""
    image = scene.background.copy()
    fallen = vertices - vertices[:, 2:] * LIGHT / LIGHT[2]
    nearest = np.full(image.shape[:2], np.inf)
    dark = tuple(0.6 * channel for channel in FLOOR_BGR)
    fill(*scene.project(fallen), np.ones(len(vertices)), faces, np.array(dark), image, nearest)
    nearest[:] = np.inf
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    smooth = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(smooth, faces[:, corner], normals)
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-12)
    shade = AMBIENT + (1.0 - AMBIENT) * np.maximum(smooth @ LIGHT, 0.0)
    fill(*scene.project(vertices), shade, faces, np.array(bgr), image, nearest)
    return image


def write_motion_film(
    path: Path, motion: Motion, body: BodyModel, picture_at: Callable[[int], np.ndarray] | None = None
) -> None:
    """Writes a film of a motion in any frame.

    Args:
        path: ends in ``.webm``.
        body: that the motion's betas belong to.
        picture_at: RGB image of the motion's video at a frame, to be shown beside it; None: there is none.

    Raises:
        SettingsError: the film cannot be written.
    """
    world = (motion if motion.frame == "world" else prepared(motion, body)).in_frame("world")
    scene, faces = Scene(world.pelvis.numpy()), body.faces.numpy()
    stride = max(math.ceil(world.fps / FILM_FPS - 1e-6), 1)
    beside = 0
    if picture_at is not None:
        height, width = picture_at(0).shape[:2]
        beside = 2 * round(0.5 * HEIGHT * width / height)
    with WebVideo(path, world.fps / stride, WIDTH + beside, HEIGHT) as video:
        frames = range(0, len(world), stride)
        for frame in tqdm(frames, desc="film", unit="picture", file=sys.stderr, dynamic_ncols=True, leave=False):
            one = slice(frame, frame + 1)
            vertices = body.vertices(world.rotations[one], world.pelvis[one], world.betas[None])[0].double().numpy()
            tracked = world.tracked is None or bool(world.tracked[frame])
            image = draw_body(scene, vertices, faces, BODY_BGR if tracked else BRIDGED_BGR)
            _forces(image, scene, world, frame)
            image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            _label(image, f"{world.start_s + frame / world.fps:.2f} s")
            if picture_at is not None:
                seen = cv2.resize(picture_at(frame)[..., ::-1], (beside, HEIGHT), interpolation=cv2.INTER_AREA)
                image = np.hstack([seen, image])
            video.write(image)


def _forces(image: np.ndarray, scene: Scene, world: Motion, frame: int) -> None:
    """Arrows of a simulated frame's contact forces."""
    if world.dynamics is None or not bool(world.dynamics.simulated[frame]):
        return
    points, forces = world.dynamics.contact_points[frame].numpy(), world.dynamics.contact_forces[frame].numpy()
    ends, depth = scene.project(np.stack([points, points + FORCE_M_PER_N * forces]).astype(float))
    for k in np.flatnonzero((np.linalg.norm(forces, axis=1) > 5.0) & (depth > 0.1).all(0)):
        a, b = (tuple(np.round(end).astype(int).tolist()) for end in ends[:, k])
        cv2.arrowedLine(image, a, b, FORCE_BGR, 2 * SAMPLING, cv2.LINE_AA, 0, 0.15)


def _label(image: np.ndarray, text: str) -> None:
    for colour, thickness in (((20, 20, 20), 3), (TEXT_BGR, 1)):
        cv2.putText(image, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, thickness, cv2.LINE_AA)


def _fixed(px: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV takes them with four bits behind the point."""
    return np.clip(np.round(px * 16), -(2**20), 2**20).astype(np.int32)
