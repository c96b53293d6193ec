"""The plain data that flows along the pipeline: camera, keypoints, lifting, refinement.

Arrays are numpy on the way in (images, keypoints) and torch from lifting onwards.
Frames: "optical" is the camera's optical frame after REP-103 (x right, y down, z forward);
"body" is SMPL's rest frame (y up, z forward, x to the subject's left). Lengths are metres,
image positions pixels, angles radians, times seconds unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from diffmocap.errors import ImageError, KeypointError, SettingsError
from diffmocap.settings import Setting

if TYPE_CHECKING:  # camera and keypoint nodes start without waiting for torch
    import torch


#: What may be assumed of a camera that nobody calibrated, and what is [degrees].
VERTICAL_FOV = Setting("Vertical field of view of a camera without calibration.", 5.0, 150.0, "degrees")
DEFAULT_FOV_DEG = 50.0


#: Numbers of distortion coefficients that OpenCV takes; 0: an ideal pinhole.
COEFFICIENTS = (0, 4, 5, 8, 12, 14)


@dataclass(frozen=True)
class CameraIntrinsics:
    """Pinhole camera of a ``width`` x ``height`` image; ``fx, fy, cx, cy`` in pixels.

    ``distortion`` holds OpenCV's plumb_bob or rational coefficients (k1, k2, p1, p2, k3, ...), with ``fisheye`` those
    of its fisheye model (k1 to k4; ROS: equidistant), and is empty for an ideal pinhole. ``is_default`` says that
    nobody calibrated this camera.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    is_default: bool = False
    fisheye: bool = False

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise SettingsError(f"image size must be positive, got {self.width} x {self.height}")
        if not (self.fx > 0 and self.fy > 0 and np.isfinite([self.fx, self.fy, self.cx, self.cy]).all()):
            raise SettingsError(
                f"focal lengths must be positive and finite, got fx={self.fx}, fy={self.fy}; "
                "calibrate the camera or leave camera_info out to use the default field of view"
            )
        if self.fisheye and len(self.distortion) != 4:
            raise SettingsError(f"a fisheye lens has 4 distortion coefficients, got {len(self.distortion)}")
        if len(self.distortion) not in COEFFICIENTS:
            counts = ", ".join(map(str, COEFFICIENTS))
            raise SettingsError(f"a lens has {counts} distortion coefficients, got {len(self.distortion)}")

    @classmethod
    def from_fov(cls, width: int, height: int, vertical_fov_deg: float = DEFAULT_FOV_DEG) -> CameraIntrinsics:
        """Square pixels, centred principal point, vertical field of view in degrees."""
        VERTICAL_FOV.check("vertical_fov_deg", vertical_fov_deg)
        f = 0.5 * height / np.tan(0.5 * np.deg2rad(vertical_fov_deg))
        return cls(width, height, float(f), float(f), width / 2.0, height / 2.0, is_default=True)

    @property
    def matrix(self) -> np.ndarray:
        """K [3, 3] float64, pixels."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Frame:
    """One image: ``image`` uint8 [H, W, 3] BGR, ``stamp_ns`` acquisition time, ``index`` from 0."""

    image: np.ndarray
    stamp_ns: int
    index: int = 0

    def __post_init__(self) -> None:
        a = self.image
        if not isinstance(a, np.ndarray) or a.dtype != np.uint8 or a.ndim != 3 or a.shape[2] != 3:
            shape, dtype = getattr(a, "shape", None), getattr(a, "dtype", type(a).__name__)
            raise ImageError(f"expected an image uint8 [H, W, 3], got {dtype} {shape}")
        if a.shape[0] == 0 or a.shape[1] == 0:
            raise ImageError(f"the image has no pixels: {a.shape[1]} x {a.shape[0]}")


@dataclass(frozen=True)
class Keypoints2D:
    """BODY_25 keypoints of one person in one image.

    Attributes:
        points_px: [25, 2] float32, pixels, x right and y down, origin at the image's upper left
            corner. Rows of confidence 0 carry no information and are zero.
        confidence: [25] float32 in [0, 1]; 0 means missing.
        width, height: size of the image the pixels refer to.
        stamp_ns: acquisition time of the image.
        depth_m: [25] float32 or None: the detector's guess of how far each keypoint lies beyond the mid-hip, metres
            along the ray through the person's box, farther is positive; NaN where it has none.
        person_id: tells one person from the next, where the detector does; 0: it does not know.
    """

    points_px: np.ndarray
    confidence: np.ndarray
    width: int
    height: int
    stamp_ns: int = 0
    depth_m: np.ndarray | None = None
    person_id: int = 0

    def __post_init__(self) -> None:
        if self.points_px.shape != (25, 2) or self.confidence.shape != (25,):
            raise KeypointError(
                f"expected points [25, 2] and confidence [25], got {self.points_px.shape} and {self.confidence.shape}"
            )
        if not np.isfinite(self.confidence).all() or (self.confidence < 0).any() or (self.confidence > 1).any():
            raise KeypointError("keypoint confidences must be finite and lie in [0, 1]")
        if not np.isfinite(self.points_px[self.confidence > 0]).all():
            bad = np.flatnonzero(~np.isfinite(self.points_px).all(1) & (self.confidence > 0)).tolist()
            raise KeypointError(f"keypoints {bad} have a confidence above 0 but are not finite")
        if self.depth_m is not None and self.depth_m.shape != (25,):
            raise KeypointError(f"expected depths [25], got {self.depth_m.shape}")

    @property
    def visible(self) -> int:
        """Number of keypoints with a confidence above 0."""
        return int((self.confidence > 0).sum())


@dataclass(frozen=True)
class PastKeypoints:
    """Keypoints at L earlier times of one person, newest first.

    Attributes:
        rays: [L, 25, 2] float32 on the image plane at depth 1, optical frame. confidence: [L, 25]; a time of which
            nothing is known has zeros. depth_m: [L, 25] as in ``Keypoints2D``, NaN where unknown.
    """

    rays: np.ndarray
    confidence: np.ndarray
    depth_m: np.ndarray


@dataclass
class PoseHypotheses:
    """K lifted poses of one person at one time.

    Attributes:
        rotations: [K, 24, 3, 3] local joint rotations; entry 0 turns the body frame into the
            optical frame, the others act relative to their SMPL parent.
        pelvis: [K, 3] position of the pelvis joint in the optical frame [m].
        score: [K] higher is better: minus the confidence-weighted mean reprojection error over the
            person's size, of the pose as it was sampled.
        stamp_ns: acquisition time of the image.
        known: [K] bool, read where the poses condition the next frame's: False has that hypothesis drawn from the
            image alone. None: all are known.
        worth: [K] how many samples each one stands for: 1, but for the mean of the posterior. None: 1 each.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    score: torch.Tensor
    stamp_ns: int = 0
    known: torch.Tensor | None = None
    worth: torch.Tensor | None = None

    def rows(self, index: torch.Tensor) -> PoseHypotheses:
        """Those of an ``index`` [L]."""
        known, worth = (None if x is None else x[index] for x in (self.known, self.worth))
        return PoseHypotheses(self.rotations[index], self.pelvis[index], self.score[index], self.stamp_ns, known, worth)

    @property
    def best(self) -> int:
        """Index of the hypothesis with the highest score."""
        return int(self.score.argmax())


@dataclass
class BodyPhysics:
    """What the physics says about one published pose; tensors on the CPU, positions and axes of the optical frame.

    Attributes:
        angles: [69] rad of the URDF's joints, of the branch that ``torques`` are about.
        angular_velocity: [24, 3] rad/s of each local rotation, in the joint's own axes; None with a lag, where poses
            follow each other so smoothly that their differences tell better.
        pelvis_velocity: [3] m/s, likewise.
        torques: [69] N m of the URDF's joints; None while no ground is known.
        contact_points: [C, 3] m, contact_forces: [C, 3] N on the body, a row for each of the state's ``contacts``;
            None where ``torques`` is.
        ground_up: [3] against gravity, ground_height: of the floor along it [m]; None while no ground is known.
        ground_source: where both come from, in words.
        ground_contradiction_m: how far above a ground that was given feet have rested lately [m], where it cannot
            be right; else 0.
        iterations: steps that the refinement took for this image. step_ms: what one of them took lately.
    """

    angles: torch.Tensor
    angular_velocity: torch.Tensor | None = None
    pelvis_velocity: torch.Tensor | None = None
    torques: torch.Tensor | None = None
    contact_points: torch.Tensor | None = None
    contact_forces: torch.Tensor | None = None
    ground_up: torch.Tensor | None = None
    ground_height: float | None = None
    ground_source: str = ""
    ground_contradiction_m: float = 0.0
    iterations: int = 0
    step_ms: float = 0.0


@dataclass
class BodyState:
    """One published pose: the output of refinement.

    Attributes:
        rotations: [24, 3, 3], pelvis: [3] m, as in :class:`PoseHypotheses`.
        rotation_covariance: [24, 3, 3] rad^2 of the error v in ``R_true = R exp(v)``: axes of the joint itself.
        pelvis_covariance: [3, 3] m^2 in the optical frame.
        joint_positions: [24, 3] m in the optical frame.
        stamp_ns: acquisition time of the image; the pipeline fills it in, as refinement knows of no stamps.
        score: of the hypothesis that it came from, as in :class:`PoseHypotheses`.
        contacts: names of the touching contact points, empty where no physics ran.
        loss_before, loss_after: of the refinement's whole window, unrefined and refined; NaN where no physics ran.
        physics: None where the pose is a filter's.
        fallback: why physics that was asked for has no part in the pose; empty otherwise.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    rotation_covariance: torch.Tensor
    pelvis_covariance: torch.Tensor
    joint_positions: torch.Tensor
    stamp_ns: int = 0
    score: float = float("nan")
    contacts: tuple[str, ...] = field(default_factory=tuple)
    loss_before: float = float("nan")
    loss_after: float = float("nan")
    physics: BodyPhysics | None = None
    fallback: str = ""
