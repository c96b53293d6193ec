"""A motion made ready for other tools: upright on the floor, at the rate that was asked for."""

from __future__ import annotations

from dataclasses import replace

import torch

from diffmocap.body.feet import ground_height, sole_points
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import resample
from diffmocap.motion.motion import Motion


def prepared(motion: Motion, body: BodyModel, fps: float | None = None, in_place: bool = False) -> Motion:
    """The motion with y up, as every exporter starts from.

    A motion in the camera's frame is put on the floor, which is found from the frames in which a foot rests on it, and
    begins at the origin; the camera is taken to be level. Other motions stay where they are.

    Args:
        motion: in any frame.
        body: the body model that its betas belong to.
        fps: of the result; None keeps the rate. Rotations are interpolated by slerp, positions linearly; what was
            seen, keypoints, contacts and forces are those of the frame before.
        in_place: hold the pelvis above the origin; its height stays.
    """
    upright = motion.in_frame("y_up")
    if motion.frame == "optical":
        floor = ground_height(upright.clip(body), sole_points(body, upright.betas[None]))
        start = upright.pelvis[0] * torch.tensor([1.0, 0.0, 1.0]) + torch.tensor([0.0, float(floor), 0.0])
        upright = _moved(upright, -start)
    if fps is not None and abs(fps - upright.fps) > 1e-6:
        upright = _resampled(upright, body, fps)
    if in_place:
        upright = _moved(upright, -upright.pelvis * torch.tensor([1.0, 0.0, 1.0]))
    return upright


def _moved(motion: Motion, offset: torch.Tensor) -> Motion:
    """Every frame by ``offset`` [3] or [T, 3] m."""
    dynamics = None if motion.dynamics is None else motion.dynamics.moved(torch.eye(3), offset)
    return replace(motion, pelvis=motion.pelvis + offset, dynamics=dynamics)


def _resampled(motion: Motion, body: BodyModel, fps: float) -> Motion:
    clip = resample(motion.clip(body), fps)
    before = (torch.arange(len(clip)) * (motion.fps / fps) + 1e-6).long().clamp(max=len(motion) - 1)
    others = {
        name: value[before] for name in ("keypoints", "tracked", "contacts")
        if (value := getattr(motion, name)) is not None
    }  # fmt: skip
    if motion.dynamics is not None:
        others["dynamics"] = motion.dynamics.at(before)
    return replace(motion, fps=clip.fps, rotations=clip.rotations, pelvis=clip.pelvis, **others)
