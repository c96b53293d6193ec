"""Real footage without ground truth: does a straight limb stay straight, does a raised leg keep its side in depth?

Three free videos, which no truth belongs to, in a folder ``shared/media`` beside the checkout: a woman who squats and
an indoor camera (knees and elbows that are straight in the image), and a person who balances on one leg (flips). Nobody
calibrated the cameras: they get the field of view that the product assumes.

A *depth flip*: of two knees, that of the raised leg lies nearer to the camera than that of the standing leg by more
than :data:`FLIP_M`, and then, next of those images where one of them is nearer by so much, farther; or the reverse. A
body that balances does neither. The raised leg is the one whose ankle is higher in the image, in most of the images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.detector.video_landmarks import video_landmarks
from benchmarks.page.report import REPOSITORY
from benchmarks.protocols.clip_poses import clip_joints
from benchmarks.protocols.straight_limbs import ELBOWS, KNEES, image_angle_deg, straight_flexion
from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: What each video is for.
STRAIGHT, BALANCE = ("tfjs_pose_squats.mp4", "intel_one_by_one_person.mp4"), "tfjs_pose_1.mp4"
#: Depth by which one knee is surely nearer than the other [m].
FLIP_M = 0.1
_ANKLES = [KEYPOINT_NAMES.index(name) for name in ("RAnkle", "LAnkle")]


def footage_folder(given: str | Path | None = None) -> Path:
    """Folder of the videos: ``given``, or ``shared/media`` beside the checkout.

    Raises:
        FileNotFoundError: the folder lacks a video; the message names it and says what is expected.
    """
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "media"
    for name in (*STRAIGHT, BALANCE):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"no real footage: there is no {folder / name}; the folder (--media FOLDER, else shared/media beside "
                f"the checkout) holds {', '.join((*STRAIGHT, BALANCE))}"
            )
    return folder


def depth_flips(depth_m: np.ndarray, threshold_m: float = FLIP_M) -> int:
    """How often a depth [T] (m, NaN: unknown) changes its sign, values nearer to 0 than the threshold left out."""
    with np.errstate(invalid="ignore"):
        sure = np.sign(depth_m[np.abs(depth_m) > threshold_m])
    return int((sure[1:] != sure[:-1]).sum())


def raised_leg(keypoints: list[Keypoints2D]) -> int:
    """0 for the right leg, 1 for the left: the one whose ankle is higher in most images that show both."""
    both = [k.points_px[_ANKLES, 1] for k in keypoints if (k.confidence[_ANKLES] > 0).all()]
    return int(np.mean([left < right for right, left in both]) > 0.5)


def footage_figures(pipeline: PosePipeline, folder: Path, cache: Path) -> dict:
    """``straight_knees`` and ``straight_elbows`` by video (:func:`~.straight_limbs.straight_flexion`), ``depth_flips``,
    and by video the share of images that gave a ``poses``."""
    figures: dict = {"straight_knees": {}, "straight_elbows": {}, "poses": {}}
    for name in (*STRAIGHT, BALANCE):
        landmarks = video_landmarks(folder / name, cache)
        keypoints = landmarks.keypoints()
        joints = clip_joints(pipeline, keypoints, CameraIntrinsics.from_fov(*landmarks.size.tolist()))
        stem = Path(name).stem
        figures["poses"][stem] = float(np.isfinite(joints).all((1, 2)).mean())
        for key, limbs in (("straight_knees", KNEES), ("straight_elbows", ELBOWS)) if name in STRAIGHT else ():
            points = joints[:, [limb.joints for limb in limbs]]
            figures[key][stem] = straight_flexion(image_angle_deg(keypoints, limbs), points)
        if name == BALANCE:
            raised = raised_leg(keypoints)
            knees = joints[:, [limb.joints[1] for limb in KNEES], 2]
            figures["depth_flips"] = depth_flips(knees[:, raised] - knees[:, 1 - raised])
    return figures
