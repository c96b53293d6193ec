"""A video and a contact sheet to look at: the input with its keypoints beside the body as the joint states pose it.

Works from recorded states and the source's file; neither ROS nor a display is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from diffmocap.camera.capture import Capture
from diffmocap.camera.intrinsics import scaled
from diffmocap.camera.settings import CaptureSettings
from diffmocap.cli.drawing.render import BodyRenderer, PosedBody, View
from diffmocap.cli.drawing.web_video import SUFFIX, WebVideo
from diffmocap.errors import SettingsError
from diffmocap.keypoints.draw import draw_keypoints
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: Panels are this high at most [px]; more takes longer and shows no more.
PANEL_HEIGHT = 480
#: Frames drawn at most; a longer clip is thinned out.
MAX_FRAMES = 900
SHEET_FRAMES = 6
SHEET_WIDTH = 1800
#: Side view: from this far [m], with this vertical field of view [degrees].
SIDE_DISTANCE_M, SIDE_FOV_DEG = 4.0, 36.0
GRID_STEP_M, GRID_REACH_M = 0.5, 4.0
#: Skin under a foot joint [m].
SOLE_M = 0.02
#: The floor's slope is looked for where feet were seen over this range of depth [m]; else the camera counts as level.
MIN_DEPTH_RANGE_M, MAX_PITCH_RAD = 1.0, 0.6

BACKDROP_TOP, BACKDROP_BOTTOM, GRID_BGR, TEXT_BGR = (58, 50, 44), (92, 84, 76), (128, 120, 110), (235, 235, 235)


@dataclass(frozen=True)
class PictureFrame:
    """One frame of the source: its index there, and what is known of it."""

    index: int
    keypoints: Keypoints2D | None
    body: PosedBody | None


@dataclass(frozen=True)
class Pictures:
    """What was written; the video shows every ``stride``-th frame."""

    video: Path
    sheet: Path
    stride: int
    frames: int


class Painter:
    """Draws the panels of one frame.

    Args:
        intrinsics: of the source's images.
        frames: all frames of the run; they tell where the floor is.
        renderer: of the body.
        height: of the panels [px].
    """

    def __init__(
        self, intrinsics: CameraIntrinsics, frames: Sequence[PictureFrame], renderer: BodyRenderer,
        height: int = PANEL_HEIGHT,
    ) -> None:  # fmt: skip
        height = min(height, intrinsics.height) // 2 * 2
        width = round(intrinsics.width * height / intrinsics.height / 2) * 2
        self._renderer = renderer
        self._camera = View.of_camera(scaled(intrinsics, width, height))
        self._side_intrinsics = CameraIntrinsics.from_fov(height, height, SIDE_FOV_DEG)
        self._backdrop = _backdrop(width, height)
        self._side_backdrop = _backdrop(height, height)
        self._floor = Floor.under(self._joints_m([frame.body for frame in frames if frame.body is not None]))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a painted row [px]."""
        height, width = self._backdrop.shape[:2]
        return 2 * width + height, height

    def paint(self, image: np.ndarray, frame: PictureFrame) -> np.ndarray:
        """Input with keypoints | body from the camera | body from the side, uint8 BGR in one row."""
        size = (self._backdrop.shape[1], self._backdrop.shape[0])
        seen = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if frame.keypoints is not None:
            seen = draw_keypoints(seen, frame.keypoints)
        if frame.body is None:
            front, side = self._backdrop.copy(), self._side_backdrop.copy()
            _label(front, "no pose", centred=True)
        else:
            self._renderer.pose(frame.body)
            front = self._renderer.draw(self._camera, self._backdrop)
            side = self._paint_side(frame.body)
        _label(seen, f"input {frame.index}")
        _label(front, "joint states")
        _label(side, "from the side")
        return np.hstack([seen, front, side])

    def _joints_m(self, bodies: Sequence[PosedBody]) -> np.ndarray:
        """[T, 24, 3] in the optical frame, of some of the bodies."""
        joints = []
        for body in bodies[:: max(1, len(bodies) // 200)]:
            self._renderer.pose(body)
            joints.append(self._renderer.joint_positions_m())
        return np.array(joints)

    def _paint_side(self, body: PosedBody) -> np.ndarray:
        # The view moves with the pelvis over the floor, not up and down with it.
        pelvis = self._floor.level(body.root_position_m)
        target = self._floor.optical([pelvis[0], self._floor.pelvis_m, pelvis[2]])
        view = View.from_the_side(target, SIDE_DISTANCE_M, self._side_intrinsics, self._floor.pitch_rad)
        background = self._side_backdrop.copy()
        self._paint_grid(background, view, pelvis)
        return self._renderer.draw(view, background)

    def _paint_grid(self, image: np.ndarray, view: View, pelvis_m: np.ndarray) -> None:
        """A grid on the floor around the person, fixed to the world."""
        x0, z0 = np.round(pelvis_m[[0, 2]] / GRID_STEP_M) * GRID_STEP_M
        left = pelvis_m[0] - SIDE_DISTANCE_M + 0.5  # nothing behind the view's eye
        offsets = np.arange(-GRID_REACH_M, GRID_REACH_M + 1e-6, GRID_STEP_M)
        ends = [((left, z0 + o), (x0 + GRID_REACH_M, z0 + o)) for o in offsets]
        ends += [((x0 + o, z0 - GRID_REACH_M), (x0 + o, z0 + GRID_REACH_M)) for o in offsets if x0 + o >= left]
        for line in ends:
            points = np.array([self._floor.optical([x, self._floor.floor_m, z]) for x, z in line])
            a, b = np.clip(np.round(view.project_px(points)[0] * 16), -(2**20), 2**20).astype(int)
            cv2.line(image, tuple(a), tuple(b), GRID_BGR, 1, cv2.LINE_AA, 4)


@dataclass(frozen=True)
class Floor:
    """Where the floor is, as far as the poses tell.

    Level coordinates are the optical ones turned about x until y points straight down.

    Attributes:
        pitch_rad: of the camera, positive looks down.
        floor_m, pelvis_m: y of the floor and the usual one of the pelvis, in level coordinates.
    """

    pitch_rad: float
    floor_m: float
    pelvis_m: float

    @classmethod
    def under(cls, joints_m: np.ndarray) -> Floor:
        """From joints [T, 24, 3] in the optical frame: a plane through the lowest joint of every frame."""
        if not len(joints_m):
            return cls(0.0, 0.9, 0.0)
        lowest = joints_m[np.arange(len(joints_m)), joints_m[..., 1].argmax(1)]
        pitch_rad = 0.0
        if np.ptp(lowest[:, 2]) > MIN_DEPTH_RANGE_M:
            slope = np.polyfit(lowest[:, 2], lowest[:, 1], 1)[0]
            pitch_rad = float(np.clip(-np.arctan(slope), -MAX_PITCH_RAD, MAX_PITCH_RAD))
        flat = cls(pitch_rad, 0.0, 0.0)
        floor_m, pelvis_m = (float(np.median(flat.level(points)[:, 1])) for points in (lowest, joints_m[:, 0]))
        return cls(pitch_rad, floor_m + SOLE_M, pelvis_m)

    def level(self, points_m: Sequence[float] | np.ndarray) -> np.ndarray:
        """Level coordinates [..., 3] of optical ones."""
        return np.asarray(points_m, float) @ self._R_level_optical.T

    def optical(self, points_m: Sequence[float] | np.ndarray) -> np.ndarray:
        """Optical coordinates [..., 3] of level ones."""
        return np.asarray(points_m, float) @ self._R_level_optical

    @property
    def _R_level_optical(self) -> np.ndarray:
        c, s = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        return np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]])


def write_pictures(
    frames: Sequence[PictureFrame],
    source: str,
    intrinsics: CameraIntrinsics,
    fps: float,
    out: Path,
    progress: type | None = None,
    mirror: bool = False,
) -> Pictures:
    """Write ``<out>.webm``, which browsers play, and ``<out>.png``.

    Args:
        frames: of the run, by their index in the source.
        source: the video file that was played.
        intrinsics: of its images.
        fps: of the source.
        out: path without an ending.
        progress: called as ``progress(iterable, total=n)``, as tqdm is.
        mirror: the source shows people as a mirror does, and was played the right way round.

    Raises:
        SettingsError: there is nothing to draw, or video or picture cannot be written, or they would overwrite the
            source.
    """
    if not frames:
        raise SettingsError("no frame was recorded, so there is nothing to draw")
    stride = math.ceil(len(frames) / MAX_FRAMES)
    chosen = frames[::stride]
    on_sheet = _evenly([frame.index for frame in chosen if frame.body is not None] or [chosen[0].index], SHEET_FRAMES)
    video_path, sheet_path = picture_paths(out)
    if video_path.resolve() == Path(source).resolve():
        raise SettingsError(f"the video would overwrite its source {source}; choose another folder for the output")
    tiles: list[np.ndarray] = []
    with ExitStack() as open_things:
        renderer = open_things.enter_context(BodyRenderer())
        painter = Painter(intrinsics, frames, renderer)
        video = open_things.enter_context(WebVideo(video_path, fps / stride, *painter.size))
        pairs = _with_images(chosen, source, mirror)
        for image, frame in pairs if progress is None else progress(pairs, total=len(chosen)):
            row = painter.paint(image, frame)
            video.write(row)
            if frame.index in on_sheet:
                tiles.append(row)
    if not tiles:
        raise SettingsError(f"the frames of {source} cannot be read again, so there is nothing to draw")
    if not cv2.imwrite(str(sheet_path), _sheet(tiles)):
        raise SettingsError(f"cannot write {sheet_path}; check the folder and the free space")
    return Pictures(video_path, sheet_path, stride, len(chosen))


def picture_paths(out: Path) -> tuple[Path, Path]:
    """Video and contact sheet of :func:`write_pictures`."""
    return out.with_name(out.name + SUFFIX), out.with_name(out.name + ".png")


def _with_images(
    frames: Sequence[PictureFrame], source: str, mirror: bool
) -> Iterator[tuple[np.ndarray, PictureFrame]]:
    wanted = iter(frames)
    frame = next(wanted, None)
    with Capture(source, CaptureSettings(mirror=mirror), realtime=False) as capture:
        for read in capture:
            if frame is None:
                return
            if read.index == frame.index:
                yield read.image, frame
                frame = next(wanted, None)


def _sheet(tiles: list[np.ndarray]) -> np.ndarray:
    """The tiles in the grid that comes closest to a wide picture."""
    height, width = tiles[0].shape[:2]

    def misfit(columns: int) -> float:
        rows = math.ceil(len(tiles) / columns)
        return abs(math.log(columns * width / (rows * height) / 1.8)) + 0.5 * (rows * columns - len(tiles))

    columns = min(range(1, len(tiles) + 1), key=misfit)
    scale = min(1.0, SHEET_WIDTH / columns / width)
    size = (round(width * scale), round(height * scale))
    small = [cv2.resize(tile, size, interpolation=cv2.INTER_AREA) for tile in tiles]
    small += [np.zeros_like(small[0])] * (-len(small) % columns)
    framed = [cv2.copyMakeBorder(tile, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for tile in small]
    return np.vstack([np.hstack(framed[i : i + columns]) for i in range(0, len(framed), columns)])


def _backdrop(width: int, height: int) -> np.ndarray:
    """A quiet vertical gradient, uint8 [H, W, 3] BGR."""
    share = np.linspace(0.0, 1.0, height)[:, None, None]
    column = (1 - share) * np.array(BACKDROP_TOP) + share * np.array(BACKDROP_BOTTOM)
    return np.ascontiguousarray(np.broadcast_to(column.round(), (height, width, 3)).astype(np.uint8))


def _label(image: np.ndarray, text: str, centred: bool = False) -> None:
    height, width = image.shape[:2]
    scale = max(0.4, height / 900)
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    place = ((width - text_width) // 2, height // 2) if centred else (8, text_height + 8)
    for colour, thickness in (((20, 20, 20), 3), (TEXT_BGR, 1)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)


def _evenly(values: list[int], count: int) -> set[int]:
    """So many of the values, from the middle of equal parts."""
    places = (np.arange(min(count, len(values))) + 0.5) / min(count, len(values)) * len(values)
    return {values[int(place)] for place in places}
