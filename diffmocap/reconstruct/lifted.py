"""Poses of every frame, from the images before it and from those after it, and the likeliest way through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from diffmocap.body.model import BodyModel
from diffmocap.keypoints.keypoint_history import KeypointHistory
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import PAST_LAGS_S
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.reconstruct.viterbi import cheapest_path
from diffmocap.refinement.window.reference import nearest_rotations
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: A pose moves with about this speed [m/s], by the mean over its joints; mean score that is worth one nat.
SPEED_M_S, SCORE_SCALE = 1.0, 0.01
#: Poses of one frame whose joints are on average nearer than this are one pose [m].
SAME_POSE_M = 0.1


@dataclass(frozen=True)
class LiftedFrames:
    """K poses of each of T frames, in the optical frame.

    Attributes:
        rotations: [K, T, 24, 3, 3] local; entry 0 turns the body into the frame. pelvis: [K, T, 3] m.
        score: [K, T], see :class:`~diffmocap.types.PoseHypotheses`; -inf where there is no pose.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    score: torch.Tensor

    @property
    def lifted(self) -> torch.Tensor:
        """[T] bool: frames with a pose."""
        return (self.score > -torch.inf).any(0)


def lift_frames(
    lifter: Lifter, keypoints: Sequence[Keypoints2D], intrinsics: CameraIntrinsics, settings: LiftingSettings,
    up: tuple[float, float, float] | None = None, samples: int = 0, sample_steps: int = 5,
    told: Callable[[int], None] = lambda n: None,
) -> LiftedFrames:  # fmt: skip
    """Lifts every frame with what was seen before it, then with what is seen after it, as if time ran backwards.

    Args:
        keypoints: of an ideal pinhole camera, stamps rising. up: unit vector against gravity, where it is known.
        samples: poses that are sampled beside these two, of the images before. told: hears how many of 2 T are done.
    """
    count = len(keypoints)
    kinds = 2 + samples
    rotations = torch.eye(3).repeat(kinds, count, 24, 1, 1)
    pelvis, score = torch.zeros(kinds, count, 3), torch.full((kinds, count), -torch.inf)
    mean = replace(settings, hypotheses=1)
    drawn = replace(settings, hypotheses=samples + 1, steps=max(settings.steps, sample_steps))
    last_ns = keypoints[-1].stamp_ns
    for direction in range(2):
        history = KeypointHistory(PAST_LAGS_S)
        for i in range(count):
            frame = i if direction == 0 else count - 1 - i
            seen = keypoints[frame]
            if direction:
                seen = replace(seen, stamp_ns=last_ns - seen.stamp_ns)
            past = history.before(seen.stamp_ns)
            poses = lifter.lift(seen, intrinsics, mean, past=past, up=up)
            told(direction * count + i + 1)
            if poses is None:
                continue
            history.add(seen, intrinsics)
            rows = [direction]
            if samples and direction == 0:
                more = lifter.lift(seen, intrinsics, drawn, past=past, up=up)
                rows += range(2, kinds)
                # The first of several is the mean once more.
                poses = replace(
                    poses, rotations=torch.cat([poses.rotations, more.rotations[1:]]),
                    pelvis=torch.cat([poses.pelvis, more.pelvis[1:]]), score=torch.cat([poses.score, more.score[1:]]),
                )  # fmt: skip
            rotations[rows, frame], pelvis[rows, frame], score[rows, frame] = poses.rotations, poses.pelvis, poses.score
    return LiftedFrames(rotations, pelvis, score)


def likeliest_path(lifted: LiftedFrames, body: BodyModel, dt_s: float) -> torch.Tensor:
    """[T] which pose of each frame lies on the likeliest way through all of them; frames without any: 0.

    The cheapest way over the frames with a pose: a pose costs its score over :data:`SCORE_SCALE`, a step what its
    joints move about the pelvis, beyond what bodies do.
    """
    known = lifted.lifted.nonzero()[:, 0]
    path = torch.zeros(lifted.score.shape[1], dtype=torch.long)
    if not len(known):
        return path
    joints = _joints(lifted, body)[:, known]  # [K, N, 24, 3]
    unary = -lifted.score[:, known] / SCORE_SCALE  # inf where there is none
    ago = (known[1:] - known[:-1]) * dt_s
    moved = torch.cdist(joints[:, :-1].permute(1, 2, 0, 3), joints[:, 1:].permute(1, 2, 0, 3)).mean(1)  # [N-1, K, K]
    step = (moved / (0.02 + SPEED_M_S * ago[:, None, None])).square()
    path[known] = cheapest_path(unary.T, step)
    return path


def combined(lifted: LiftedFrames, path: torch.Tensor, body: BodyModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations [T, 24, 3, 3] and pelvis [T, 3] m: of each frame the mean of the poses that are the one on the path.

    Of rotations the chordal mean. Errors of both directions in time are partly independent.
    """
    frames = torch.arange(len(path))
    joints = _joints(lifted, body)
    apart = (joints - joints[path, frames]).norm(dim=-1).mean(-1)  # [K, T]
    same = ((apart < SAME_POSE_M) & (lifted.score > -torch.inf)).float()
    same[path, frames] = 1.0
    share = same / same.sum(0)
    mean = (lifted.rotations * share[..., None, None, None]).sum(0)
    return nearest_rotations(mean), (lifted.pelvis * share[..., None]).sum(0)


def _joints(lifted: LiftedFrames, body: BodyModel) -> torch.Tensor:
    """[K, T, 24, 3] m about the pelvis."""
    shape = lifted.pelvis.shape[:2]
    zero = torch.zeros_like(lifted.pelvis).flatten(0, 1)
    return body.forward_kinematics(lifted.rotations.flatten(0, 1), zero)[1].unflatten(0, shape)
