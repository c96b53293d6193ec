"""The paper's pose grid (its figure 5): input keypoints, a sample at each guidance weight, truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, URDF_FROM_SMPL, angles_from_rotations
from diffmocap.body.model import BodyModel
from diffmocap.cli.drawing.render import BodyRenderer, PosedBody, View
from diffmocap.evaluation.paper_protocol import VERTICAL_FOV_DEG, evaluate_paper_protocol, paper_view
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.keypoints.draw import draw_keypoints
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: A picture is square; this many pixels wide.
PICTURE_PX = 260
BACKGROUND_BGR = (70, 62, 56)
#: What every row shows of the middle of the camera's image.
ZOOM = 1.15


def varied_frames(frames: PoseFrames, body: BodyModel, count: int) -> PoseFrames:
    """One frame for each of ``count`` kinds of poses: the most typical of a cluster, by joints about the pelvis.

    k-means from centres that lie far from each other (each the farthest from those before), so nothing is drawn.
    """
    origin = torch.zeros(len(frames), 3, device=body.device)
    x = body.forward_kinematics(frames.rotations.to(body.device), origin)[1].flatten(1)
    centres = x[(x - x.median(0).values).norm(dim=1).argmin()][None]
    while len(centres) < min(count, len(frames)):
        centres = torch.cat([centres, x[torch.cdist(x, centres).amin(1).argmax()][None]])
    for _ in range(20):
        nearest = torch.cdist(x, centres).argmin(1)
        # A centre that lost its last frame stays where it is.
        centres = torch.stack([x[nearest == i].mean(0) if (nearest == i).any() else c for i, c in enumerate(centres)])
    return frames.pick(torch.cdist(x, centres).argmin(0).cpu())


def posed(rotations: torch.Tensor, pelvis: torch.Tensor) -> PosedBody:
    """The URDF's pose for local rotations [24, 3, 3] and pelvis [3] in the optical frame."""
    angles = angles_from_rotations(rotations).tolist()
    root = roma.rotmat_to_unitquat(rotations[0] @ URDF_FROM_SMPL.T)
    return PosedBody(dict(zip(JOINT_ANGLE_NAMES, angles, strict=True)), pelvis.tolist(), root.tolist())


def draw_grid(
    model, body: BodyModel, frames: PoseFrames, guidance: Sequence[float], steps: int, seed: int, path: Path
) -> Path:
    """Writes the grid, a row per frame, under the paper's protocol; beside each pose the same seen from the left."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    truth, pelvis, points = (x.cpu() for x in paper_view(body, frames.rotations.to(body.device)))
    results = [evaluate_paper_protocol(model, body, frames.rotations, w, steps, seed) for w in guidance]
    titles = ["input", *(f"w = {w:g}" for w in guidance), "truth"]
    k = CameraIntrinsics.from_fov(PICTURE_PX, PICTURE_PX, VERTICAL_FOV_DEG / ZOOM)
    true_k = CameraIntrinsics.from_fov(PICTURE_PX, PICTURE_PX, VERTICAL_FOV_DEG)
    views = View.of_camera(k), View.from_the_side(pelvis[0].tolist(), float(pelvis[0, 2]), k)
    ground = np.full((PICTURE_PX, PICTURE_PX, 3), BACKGROUND_BGR, np.uint8)
    figure, axes = plt.subplots(
        len(frames), len(titles), figsize=(1.9 * (2 * len(titles) - 1), 2.0 * len(frames)), squeeze=False,
        width_ratios=[1, *[2] * (len(titles) - 1)], layout="constrained",
    )  # fmt: skip
    with BodyRenderer() as renderer:
        for row in range(len(frames)):
            pixels = (points[row].numpy() - 0.5) * PICTURE_PX * k.fx / true_k.fx + 0.5 * PICTURE_PX
            observed = Keypoints2D(pixels.astype(np.float32), np.ones(25, np.float32), PICTURE_PX, PICTURE_PX)
            cells, captions = [draw_keypoints(ground, observed)], [frames.clip[row]]
            for pose in [*(r.rotations[row] for r in results), truth[row]]:
                renderer.pose(posed(pose, pelvis[row]))
                front, side = (renderer.draw(view, ground) for view in views)
                cells.append(np.concatenate([_dots(front, pixels), side], axis=1))
            captions += [f"{float(r.pixel_error[row]):.4f}, {1e3 * float(r.mpjpe_m[row]):.0f} mm" for r in results]
            captions.append("")
            for axis, cell, caption in zip(axes[row], cells, captions, strict=True):
                axis.imshow(cell[..., ::-1])
                axis.set(xticks=[], yticks=[])
                axis.set_xlabel(caption, fontsize=8, labelpad=2)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    figure.savefig(path, dpi=75)
    plt.close(figure)
    return path


def _dots(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The input keypoints [25, 2] as small dots over a picture of a pose."""
    import cv2

    for x, y in np.round(pixels).astype(int).tolist():
        cv2.circle(image, (x, y), 2, (60, 60, 235), -1, cv2.LINE_AA)
    return image
