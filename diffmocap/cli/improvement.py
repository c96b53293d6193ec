"""Whether the refinement of a run made its poses better: judged by the truth, not by the loss that it descends."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from diffmocap.cli.ground_truth import GroundTruth
from diffmocap.cli.options.pose_options import LIFTING_OPTIONS
from diffmocap.cli.recording import RecordedFrame
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.types import CameraIntrinsics


def lifting_of(args: argparse.Namespace) -> LiftingSettings:
    """The settings that the options of a command ask for; the shipped ones where they say nothing."""
    given = {option.path: getattr(args, option.path, None) for option in LIFTING_OPTIONS}
    return replace(LiftingSettings(), **{name: value for name, value in given.items() if value is not None})


def frames_improved(
    frames: dict[int, RecordedFrame], truth: GroundTruth, intrinsics: CameraIntrinsics, lifting: LiftingSettings,
    weights: Path | None = None, body_model: Path | None = None,
) -> float | None:  # fmt: skip
    """Share of the frames whose published pose is nearer to the truth than what the filter alone makes of the same
    keypoints, as the mean distance of the joints in the optical frame; None where no frame can be compared.

    Args:
        frames: as recorded, by their index in the source, keypoints and poses among them.
        intrinsics, lifting, weights, body_model: of the run; it lifts the keypoints once more.
    """
    from tqdm import tqdm

    from diffmocap.body.model import BodyModel
    from diffmocap.pipeline.pose_pipeline import PosePipeline, load_lifter
    from diffmocap.pipeline.settings import PipelineSettings
    from diffmocap.refinement.filter.pose_filter import PoseFilter
    from diffmocap.refinement.filter.settings import FilterSettings

    body = BodyModel.load(body_model)
    settings = PipelineSettings(lifting=lifting, refinement=FilterSettings())
    alone = PosePipeline(load_lifter(weights, body_model, "cpu"), PoseFilter(body), body, settings)
    better: list[bool] = []
    for index in tqdm(
        sorted(frames), desc="comparing with the filter alone", unit="frame", file=sys.stderr, leave=False
    ):
        frame = frames[index]
        if frame.keypoints is None:
            continue
        result = alone.step(frame.keypoints, intrinsics)
        published = None if frame.pose is None else frame.pose.joint_positions_m
        if result.state is None or published is None or index >= len(truth.joints_m):
            continue
        estimates = np.stack([published, result.state.joint_positions.numpy()])
        ours, filtered = np.linalg.norm(estimates - truth.joints_m[index], axis=-1).mean(-1)
        better.append(bool(ours < filtered))
    return float(np.mean(better)) if better else None
