"""The ground truth that may lie beside a clip (same name, ending .npz), and the errors of a run against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.cli.recording import RecordedPose
from diffmocap.errors import MotionFileError
from diffmocap.files.array_archive import ArrayArchive


@dataclass(frozen=True)
class GroundTruth:
    """What the camera really saw, frame by frame.

    Attributes:
        joints_m: [T, 24, 3] in the optical frame.
        keypoints_px: [T, 25, 2].
        width, height: of the images.
        K: [3, 3] of the camera in pixels, None where the file does not say.
    """

    joints_m: np.ndarray
    keypoints_px: np.ndarray
    width: int
    height: int
    K: np.ndarray | None

    @property
    def vertical_fov_deg(self) -> float:
        """Of the camera, 0 where unknown."""
        if self.K is None:
            return 0.0
        return math.degrees(2 * math.atan(0.5 * self.height / float(self.K[1, 1])))

    def accuracy(self, poses: dict[int, RecordedPose], body_model: Path | None = None) -> dict[str, float]:
        """Errors of poses by the index of their frame; empty where none can be compared.

        ``body_model``: the body that the poses were lifted with, None for the shipped one.

        Returns:
            ``mpjpe_mm``: mean distance of the 24 joints after the pelves were put together; ``pa_mpjpe_mm``: after
            the best similarity transform of every frame; ``pixel_error``: mean absolute difference between the 25
            keypoints of the body, projected, and the true ones inside the image, each coordinate over its side of
            the image; ``compared_frames``.
        """
        from diffmocap.evaluation.joint_errors import mpjpe_mm, pa_mpjpe_mm

        chosen = sorted(i for i, pose in poses.items() if i < len(self.joints_m) and pose.rotations_xyzw is not None)
        if not chosen:
            return {}
        estimate = np.stack([poses[i].joint_positions_m for i in chosen])
        truth = self.joints_m[chosen]
        figures = {
            "mpjpe_mm": mpjpe_mm(estimate, truth, root=(0,)),
            "pa_mpjpe_mm": pa_mpjpe_mm(estimate, truth),
            "compared_frames": len(chosen),
        }
        if self.K is not None:
            figures["pixel_error"] = self._pixel_error(
                [poses[i] for i in chosen], self.keypoints_px[chosen], body_model
            )
        return figures

    def _pixel_error(self, poses: list[RecordedPose], truth_px: np.ndarray, body_model: Path | None) -> float:
        import roma
        import torch

        from diffmocap.body.model import BodyModel
        from diffmocap.camera.projection import project

        xyzw = torch.tensor(np.stack([pose.rotations_xyzw for pose in poses])).float()
        pelvis = torch.tensor(np.stack([pose.root_position_m for pose in poses])).float()
        keypoints = BodyModel.load(body_model).keypoints(roma.unitquat_to_rotmat(xyzw), pelvis)
        estimate_px = project(keypoints, torch.tensor(self.K).float()).numpy()
        size = np.array([self.width, self.height], float)
        inside = ((truth_px >= 0) & (truth_px < size)).all(-1)
        difference = np.abs(estimate_px - truth_px) / size
        return float(difference[inside].mean()) if inside.any() else float("nan")


def beside(source: str) -> GroundTruth | None:
    """The truth of a clip, None where none lies beside it.

    Raises:
        MotionFileError: the file beside it is damaged.
    """
    path = Path(source).with_suffix(".npz")
    if "://" in source or not path.is_file():
        return None
    with ArrayArchive(path, MotionFileError, "copy the truth again, or move it away to run without") as data:
        if "joints" not in data or "keypoints2d" not in data:
            return None
        joints = data.array("joints", (None, NUM_JOINTS, 3)).astype(float)
        keypoints = data.array("keypoints2d", (len(joints), NUM_KEYPOINTS, 2)).astype(float)
        K = data.array("K", (3, 3)).astype(float) if "K" in data else None
        width, height = (int(data.number(key)) if key in data else 0 for key in ("width", "height"))
    if K is not None and not K[1, 1] > 0:
        raise MotionFileError(f"the truth {path} has the focal length {K[1, 1]}; move it away to run without")
    return GroundTruth(joints, keypoints, width, height, K if width > 0 and height > 0 else None)
