"""Synthetic video with exact ground truth: a dressed body moves in a room, the truth lies beside the film."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import roma
import torch

from benchmarks.synthetic.appearance import Appearance, DressedBody
from benchmarks.synthetic.motion import centred
from benchmarks.synthetic.render import ROOM_HALF_WIDTH, Camera, Renderer
from diffmocap.body.mocap import MotionClip
from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics

#: A drawing process ends after this many frames.
FRAMES_A_PROCESS = 60


@dataclass(frozen=True)
class View:
    """Where a camera stands and what it is.

    Attributes:
        yaw_deg: direction from which the camera looks at the motion, 0 from +z, 90 from +x.
        height_m: above the floor.
        vertical_fov_deg, width, height: of the image.
        margin: share of the image's height that stays free above and below the motion.
    """

    yaw_deg: float = 0.0
    height_m: float = 1.3
    vertical_fov_deg: float = 50.0
    width: int = 640
    height: int = 480
    margin: float = 0.06


@dataclass(frozen=True)
class Truth:
    """What a video shows, frame by frame, in the camera's optical frame.

    Attributes:
        rotations: [T, 24, 3, 3] local; entry 0 turns the body frame into the optical frame.
        pelvis: [T, 3] m.
        joints: [T, 24, 3] m.
        keypoints_px: [T, 25, 2].
        betas: [10].
        rest_pelvis: [3] J0(betas) of the body.
        fps, intrinsics.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    joints: np.ndarray
    keypoints_px: np.ndarray
    betas: np.ndarray
    rest_pelvis: np.ndarray
    fps: float
    intrinsics: CameraIntrinsics

    def save(self, path: Path) -> None:
        """Write the truth with the keys of the package's motion files, and K, width and height."""
        np.savez_compressed(
            path,
            poses=roma.rotmat_to_rotvec(self.rotations).flatten(1).numpy().astype(np.float32),
            trans=(self.pelvis.numpy() - self.rest_pelvis).astype(np.float32),
            betas=self.betas.astype(np.float32),
            mocap_framerate=np.float64(self.fps),
            joints=self.joints.astype(np.float32),
            keypoints2d=self.keypoints_px.astype(np.float32),
            frame=np.array("optical"),
            K=self.intrinsics.matrix,
            width=np.int64(self.intrinsics.width),
            height=np.int64(self.intrinsics.height),
        )


def film(
    motion: MotionClip, body: BodyModel, view: View, appearance: Appearance, seed: int = 0,
    betas: torch.Tensor | None = None, processes: int | None = None,
) -> tuple[Truth, Iterator[np.ndarray]]:  # fmt: skip
    """The truth, and the images (uint8 [H, W, 3] BGR, drawn as they are asked for) of a retargeted motion.

    ``processes`` draw at the same time; None: as many as there are cores.
    """
    motion = centred(motion, -view.yaw_deg)
    joints, keypoints = (x.numpy() for x in body.joints_and_keypoints(motion.rotations, motion.pelvis, betas))
    camera = frame_motion(np.concatenate([joints, keypoints], axis=1), view)
    optical = camera.to_optical(keypoints)
    k = camera.intrinsics
    keypoints_px = optical[..., :2] / optical[..., 2:] * [k.fx, k.fy] + [k.cx, k.cy]
    rotations = motion.rotations.clone()
    rotations[:, 0] = torch.from_numpy(camera.rotation).float() @ rotations[:, 0]
    truth = Truth(
        rotations=rotations,
        pelvis=torch.from_numpy(camera.to_optical(motion.pelvis.numpy())).float(),
        joints=camera.to_optical(joints),
        keypoints_px=keypoints_px,
        betas=np.zeros(10) if betas is None else betas[0].numpy(),
        rest_pelvis=body.rest_joints(betas)[0, 0].numpy(),
        fps=motion.fps,
        intrinsics=k,
    )
    return truth, _images(motion, body, camera, appearance, seed, betas, processes or os.cpu_count() or 1)


def _images(
    motion: MotionClip, body: BodyModel, camera: Camera, appearance: Appearance, seed: int,
    betas: torch.Tensor | None, processes: int,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Images in order, drawn by processes that each live for a few frames.

    PyBullet keeps some 8 MB of every mesh it ever drew, also after a reset; the memory goes with the process.
    """
    shape = None if betas is None else betas.numpy()
    # numpy arrays on purpose: torch would put tensors into memory shared with processes that are about to end.
    chunks = [
        (body.data, rotations.numpy(), pelvis.numpy(), shape, camera, appearance, seed)
        for rotations, pelvis in zip(
            motion.rotations.split(FRAMES_A_PROCESS), motion.pelvis.split(FRAMES_A_PROCESS), strict=True
        )
    ]
    workers = min(len(chunks), processes, 8)
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        for images in pool.imap(_draw_chunk, chunks):
            yield from images


def _draw_chunk(task: tuple) -> list[np.ndarray]:
    data, rotations, pelvis, shape, camera, appearance, seed = task
    torch.set_num_threads(1)
    person = DressedBody(BodyModel(data), appearance)
    betas = None if shape is None else torch.from_numpy(shape)
    vertices = person.vertices(torch.from_numpy(rotations), torch.from_numpy(pelvis), betas)
    with Renderer(person, seed) as renderer:
        return [renderer.draw(v, camera) for v in vertices]


def frame_motion(points: np.ndarray, view: View) -> Camera:
    """The camera on +z at the view's height, as near as keeps points [T, N, 3] inside the margins.

    Raises:
        SettingsError: the room is too small for it.
    """
    intrinsics = CameraIntrinsics.from_fov(view.width, view.height, view.vertical_fov_deg)
    free = view.margin * view.height
    target = (points.min(axis=(0, 1)) + points.max(axis=(0, 1))) / 2

    def fits(distance: float) -> Camera | None:
        camera = Camera.looking_at(intrinsics, np.array([0.0, view.height_m, distance]), target)
        optical = camera.to_optical(points)
        if optical[..., 2].min() < 0.5:
            return None
        px = optical[..., :2] / optical[..., 2:] * intrinsics.fx + [intrinsics.cx, intrinsics.cy]
        inside = (px > free).all() and (px < np.array([view.width, view.height]) - free).all()
        return camera if inside else None

    for distance in np.arange(1.5, ROOM_HALF_WIDTH - 0.2, 0.05):
        if (camera := fits(float(distance))) is not None:
            return camera
    raise SettingsError(
        f"the motion does not fit the view from {view.yaw_deg:g} degrees inside the room of {2 * ROOM_HALF_WIDTH:g} m; "
        "take a shorter piece or a wider field of view"
    )


def write_video(path: Path, images: Iterator[np.ndarray], fps: float) -> int:
    """MPEG-4 part 2, which every OpenCV wheel reads and writes; returns the number of frames."""
    writer, count = None, 0
    for image in images:
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, image.shape[1::-1])
            if not writer.isOpened():
                raise SettingsError(f"OpenCV cannot write {path}; install opencv-contrib-python with its own FFmpeg")
        writer.write(image)
        count += 1
    if writer is not None:
        writer.release()
    return count
