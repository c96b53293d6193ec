"""Fits of the body to keypoints to train on: poses of motion capture before random cameras, with a detector's noise.

The truth is known, so learned gradient descent is trained on the error of the pose, as Song et al. 2020 do, and not on
the objective that it descends. Other optimizers are trained on the objective.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.fitting.keypoint_fit import KeypointFit
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.lifting.network.condition import Condition
from diffmocap.optim.task import Task
from training.held_out import HELD_OUT_CLIPS
from training.motions.poses import PoseSampler, every_nth_of_each_clip
from training.optim.problems import Problems
from training.views.simulated_detector import ErrorConfig
from training.views.views import View, ViewConfig, sample_views

#: Of the mean body, which is what is fitted; with independent noise of any level, which the fit is told.
VIEWS = ViewConfig(paper_share=0.2, pitch_std_deg=12.0, beta_std=0.0, errors=ErrorConfig(measured_share=0.0))
#: What an error of a rotation (as a matrix, Frobenius norm) and of the place (over the person's size) count beside
#: one of a joint [m].
ROTATION_WEIGHT_M, PLACE_WEIGHT_M = 0.05, 0.1


def without_depth(condition: Condition) -> Condition:
    """The same keypoints in 2D alone."""
    return Condition(
        condition.points, condition.confidence, condition.view, condition.R_camera_crop, condition.half_size,
        noise=condition.noise,
    )  # fmt: skip


class KnownFit(KeypointFit):
    """Fits whose truth is known."""

    def __init__(self, body: BodyModel, prior: PosePrior, view: View) -> None:
        super().__init__(body, prior, without_depth(view.condition))
        self.truth = self.pose_in_crop(self.unknowns(view.rotations, view.pelvis))
        self._true_joints = body.forward_kinematics(*self.truth)[1]

    def error(self, x: torch.Tensor) -> torch.Tensor:
        """How far poses ``x`` [B, 78] are from the truth, [B] m, differentiable.

        The mean distance of the joints with the pelvis put together, and small shares of the rotations' errors, which
        tell twists that no joint shows, and of the place's.
        """
        rotations, pelvis = self.pose_in_crop(x)
        joints = self.body.forward_kinematics(rotations, pelvis)[1]
        off = (joints - pelvis[:, None]) - (self._true_joints - self.truth[1][:, None])
        turned = (rotations - self.truth[0]).square().sum((-1, -2)).add(1e-6).sqrt().mean(1)
        moved = (pelvis - self.truth[1]).norm(dim=-1) * self.condition.half_size
        joint_error = off.square().sum(-1).add(1e-8).sqrt().mean(1)
        return joint_error + ROTATION_WEIGHT_M * turned + PLACE_WEIGHT_M * moved


@dataclass
class FitProblems:
    """Random poses before random cameras, ``batch`` a problem.

    Attributes:
        rotations: [N, 24, 3, 3] frames to draw from, the root's in the y-up world.
    """

    rotations: torch.Tensor
    batch: int = 8
    body: BodyModel = field(default_factory=BodyModel.load)
    prior: PosePrior = field(default_factory=PosePrior.load)
    views: ViewConfig = VIEWS
    truth_known = True

    def __post_init__(self) -> None:
        if not len(self.rotations) or self.batch < 1:
            raise SettingsError(f"needs poses and a batch of at least 1, got {len(self.rotations)} and {self.batch}")
        self._poses = PoseSampler(self.body, self.rotations, torch.Generator())

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        self._poses.generator = generator
        with torch.no_grad():
            task = KnownFit(
                self.body, self.prior, sample_views(self.body, self._poses(self.batch), self.views, generator)
            )
            return task, task.init(self.batch)


def fit_problems(data: Path, batch: int) -> tuple[Problems, Problems]:
    """Fits to train on, and those of the clips that nothing is trained on to validate on."""
    clips = load_split(data)
    kept = {clip.name for clip in load_split(data, HELD_OUT_CLIPS)}
    parts = [[clip for clip in clips if (clip.name in kept) == trained] for trained in (True, False)]
    if not all(parts):
        raise SettingsError(f"{data} has no clips besides the held-out ones, or none of these; give the training split")
    made = [FitProblems(every_nth_of_each_clip(part, every), batch) for part, every in zip(parts, (1, 3))]
    return made[0], made[1]
