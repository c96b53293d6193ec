"""A video through the pose pipeline, image by image in its order, as the pose node runs it but without a time limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.keypoints.settings import SideSettings
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D


def clip_pipeline(
    lifter: Lifter, refined: bool, lifting: LiftingSettings | None = None, sides: SideSettings | None = None
) -> PosePipeline:
    """A pipeline with default settings.

    ``refined``: by physics, all iterations in every frame; else poses come out as the lifting gives them, with sides
    and hypotheses followed but neither physics nor filter.
    """
    body, common = BodyModel.load(), {"lifting": lifting or LiftingSettings(), "sides": sides or SideSettings()}
    if refined:
        from diffmocap.refinement.physics_refiner import PhysicsRefiner  # compiles machine code

        settings = PipelineSettings(**common, refinement=PhysicsSettings().without_time_limit())
        return PosePipeline(lifter, PhysicsRefiner(body), body, settings)
    settings = PipelineSettings(**common, refinement=FilterSettings(enabled=False))
    return PosePipeline(lifter, PoseFilter(body), body, settings)


def clip_joints(pipeline: PosePipeline, keypoints: Sequence[Keypoints2D], intrinsics: CameraIntrinsics) -> np.ndarray:
    """Joints [T, 24, 3] m in the optical frame of the image's own time; NaN where an image gave no pose of its own."""
    pipeline.reset(camera_moved=True)
    joints = np.full((len(keypoints), NUM_JOINTS, 3), np.nan)
    rows = {k.stamp_ns: t for t, k in enumerate(keypoints)}
    for k in keypoints:
        result = pipeline.step(k, intrinsics)
        if result.state is not None and not result.motion.predicted:
            joints[rows[result.stamp_ns]] = result.state.joint_positions.numpy()
    return joints
