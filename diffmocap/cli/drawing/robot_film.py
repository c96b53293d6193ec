"""A film of a robot that follows: the person's video, the robot as commanded, and driven by torques."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from diffmocap.camera.capture import Capture
from diffmocap.camera.settings import CaptureSettings
from diffmocap.cli.drawing.web_video import WebVideo
from diffmocap.errors import RobotError

if TYPE_CHECKING:  # MuJoCo is told how to draw before it is imported
    from diffmocap.robots.model import RobotModel

#: Size of each robot's picture [px].
WIDTH, HEIGHT = 400, 480
#: Pictures a second: drawing one takes a tenth of a second without a GPU.
FILM_FPS = 15.0
#: Where the camera stands: way, as a multiple of the robot's height or of its arms spread, the larger of both; from
#: above [degrees]; to the side of where the robot looks first [degrees].
DISTANCE, ELEVATION, AZIMUTH = 2.2, -10.0, 160.0
#: What it looks at, as a share of the robot's height.
MIDDLE = 0.6


def prepare_headless() -> None:
    """Has MuJoCo draw without a window where there is no display; to be called before it is imported."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")


class RobotPainter:
    """Draws a robot's configurations; a context manager.

    Raises:
        RobotError: MuJoCo cannot draw here.
    """

    def __init__(self, robot: RobotModel) -> None:
        import mujoco

        self._robot, self._mujoco = robot, mujoco
        self._data = mujoco.MjData(robot.model)
        try:
            self._renderer = mujoco.Renderer(robot.model, HEIGHT, WIDTH)
        except Exception as error:  # MuJoCo raises what the graphics library did
            raise RobotError(
                f"MuJoCo cannot draw here ({' '.join(str(error).split())}); install libegl1 or libosmesa6 and set "
                "MUJOCO_GL to egl or osmesa, or leave the film out by --no-video"
            ) from error
        self._camera = mujoco.MjvCamera()
        self._data.qpos[:] = robot.t_pose
        mujoco.mj_kinematics(robot.model, self._data)
        _, wide, high = np.ptp(self._data.xpos[1:], axis=0)
        self._camera.distance, self._camera.elevation = DISTANCE * max(wide, high), ELEVATION
        self._camera.lookat[:] = 0.0, 0.0, MIDDLE * high
        self._started = False

    def __enter__(self) -> RobotPainter:
        return self

    def __exit__(self, *_: object) -> None:
        self._renderer.close()

    def paint(self, configuration: np.ndarray) -> np.ndarray:
        """A picture [HEIGHT, WIDTH, 3] uint8, BGR."""
        data, robot = self._data, self._robot
        data.qpos[:] = configuration
        self._mujoco.mj_forward(robot.model, data)
        if robot.first:
            self._camera.lookat[:2] += 0.1 * (data.qpos[:2] - self._camera.lookat[:2])
        if not self._started:
            w, x, y, z = data.qpos[3:7] if robot.first else (1.0, 0.0, 0.0, 0.0)
            turn = np.degrees(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)))
            self._camera.azimuth, self._started = turn + AZIMUTH, True
        self._renderer.update_scene(data, self._camera)
        for flag in (self._mujoco.mjtRndFlag.mjRND_REFLECTION, self._mujoco.mjtRndFlag.mjRND_SHADOW):
            self._renderer.scene.flags[flag] = 0  # without a GPU each of them doubles the time
        return self._renderer.render()[:, :, ::-1].copy()


def write_film(
    path: Path,
    source: str,
    start_s: float,
    fps: float,
    robot: RobotModel,
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
) -> None:
    """Writes a film of ``FILM_FPS`` pictures a second.

    Args:
        path: ends in ``.webm``.
        source: the person's video. start_s: when the first command is in it.
        fps: commands a second.
        robot: to be drawn.
        rows: for each command the configurations side by side; titles: of each of these.

    Raises:
        RobotError: MuJoCo cannot draw here.
        SettingsError: the film cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stride = max(round(fps / FILM_FPS), 1)
    rows, fps = rows[::stride], fps / stride
    images = _images(source, start_s, fps)
    first = next(images)
    width = 2 * round(0.5 * HEIGHT * first.shape[1] / first.shape[0])
    painters = [RobotPainter(robot) for _ in titles]
    with WebVideo(path, fps, width + WIDTH * len(titles), HEIGHT) as video:
        image = first
        for row in tqdm(rows, unit="picture", file=sys.stderr, dynamic_ncols=True, leave=False):
            pictures = [cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA)]
            for painter, configuration, title in zip(painters, row, titles, strict=True):
                picture = painter.paint(configuration)
                cv2.putText(picture, title, (12, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (40, 40, 40), 2, cv2.LINE_AA)
                pictures.append(picture)
            video.write(np.hstack(pictures))
            image = next(images, image)
    for painter in painters:
        painter.__exit__()


def _images(source: str, start_s: float, fps: float) -> Iterator[np.ndarray]:
    """The video's image at the time of each command."""
    with Capture(source, CaptureSettings(), realtime=False) as capture:
        rate, count = capture.mode.fps, 0
        for read in capture:
            while read.index + 1 > rate * (start_s + count / fps):
                yield read.image
                count += 1
