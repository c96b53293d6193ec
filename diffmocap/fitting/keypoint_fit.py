"""The body fitted to 25 keypoints of one image: the objective of SMPLify (Bogo et al. 2016) as a task for optimizers.

Half the sum of squares of what keypoints, and depths where there are any, are off over their standard deviations, and
of the Gaussian prior of the pose: the negative logarithm of the posterior, up to a constant. All is computed in the
crop frame, where the person's place in the image does not matter.

The unknowns x [B, 78] of a fit are numbers of about 1:

- 6 of the root's orientation as the lifting network sees it (6D, :mod:`diffmocap.body.rotations`; upright and facing
  the camera is the identity),
- 69 standard normal ones of the pose below it (:class:`~diffmocap.fitting.pose_prior.PosePrior`),
- 3 of the pelvis in the crop frame: x and y [m] at the depth that a person of 2 m would stand at, and the logarithm of
  the true depth over that one.
"""

from __future__ import annotations

import math

import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.errors import SettingsError
from diffmocap.fitting.pose_prior import POSE_NUMBERS, PosePrior
from diffmocap.lifting.network.condition import Condition, depth_beyond_mid_hip, root_from_network, root_to_network
from diffmocap.lifting.translation import solve_translation
from diffmocap.optim.task import Task

#: Least standard deviations that residuals are divided by: keypoints over the box's half-size, depths [m]. Exact input
#: would else make the problem stiff.
KEYPOINT_UNIT, DEPTH_UNIT_M = 0.005, 0.01
#: Upright starts, turned about the vertical by equal angles.
HEADINGS = 4
#: A point nearer than this counts as so far away [m]; the learned optimizer that ships was trained with half of what
#: :data:`diffmocap.camera.projection.NEAREST_M` is.
_NEAREST_M = 0.05
_ROOT, _POSE, _PLACE = slice(0, 6), slice(6, 6 + POSE_NUMBERS), slice(6 + POSE_NUMBERS, 9 + POSE_NUMBERS)
UNKNOWNS = _PLACE.stop


class KeypointFit(Task):
    """B fits side by side; the body has its mean shape.

    Args:
        body, prior: on the condition's device.
        condition: B images; the told noise is the standard deviation of the keypoints.
        depth_noise_m: standard deviation of depths, where the condition has any.
    """

    shape = (UNKNOWNS,)
    minimum = 0.0
    scale = 1.0

    def __init__(self, body: BodyModel, prior: PosePrior, condition: Condition, depth_noise_m: float = 0.0) -> None:
        if not len(condition):
            raise SettingsError("a fit needs the keypoints of at least one image")
        self.body, self.prior, self.condition = body, prior, condition
        self.depth_noise_m = depth_noise_m
        self._crop = torch.eye(3, device=condition.points.device).expand(len(condition), 3, 3)
        seen = (condition.confidence > 0).to(condition.points)
        self._per_keypoint = seen / condition.noise.clamp_min(KEYPOINT_UNIT)
        self._per_depth = seen * condition.depth_known / max(depth_noise_m, DEPTH_UNIT_M)
        self._has_depth = bool((self._per_depth > 0).any())

    def row(self, index: int) -> KeypointFit:
        one = self.condition.rows(torch.tensor([index], device=self.condition.points.device))
        return KeypointFit(self.body, self.prior, one, self.depth_noise_m)

    def context(self, x: torch.Tensor) -> torch.Tensor:
        """What a fit's keypoints are, [B, 77]: places in the crop frame over the box's half-size, confidences, the
        logarithm of the half-size, which tells how strong the perspective is, and the told noise over 0.1."""
        c = self.condition
        numbers = [c.points.flatten(1), c.confidence, c.half_size.log()[:, None], c.view[:, 3:] / 0.1]
        return torch.cat(numbers, 1)

    def pose_in_crop(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Local rotations [B, 24, 3, 3], the root's in the crop frame, and the pelvis [B, 3] m there, of ``x``."""
        x = x.to(self._crop.dtype)
        root = matrix_from_6d(x[:, _ROOT])[:, None]
        rotations = root_from_network(torch.cat([root, self.prior.rotations(x[:, _POSE])], 1), self._crop)
        across, depth = x[:, _PLACE].split((2, 1), 1)
        ahead = 1.0 / self.condition.half_size[:, None]
        return rotations, torch.cat([across, ahead], 1) * depth.exp()

    def pose(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Local rotations [B, 24, 3, 3], the root's in the optical frame, and the pelvis [B, 3] m there, of ``x``."""
        rotations, pelvis = self.pose_in_crop(x)
        R = self.condition.R_camera_crop
        turned = torch.cat([(R @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
        return turned, (R @ pelvis[..., None])[..., 0]

    def unknowns(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`pose`: x [B, 78] of local rotations and pelvis in the optical frame."""
        R = self.condition.R_camera_crop
        root = sixd_from_matrix(root_to_network(rotations, R)[:, 0])
        return torch.cat([root, self.prior.numbers(rotations[:, 1:]), self._place((pelvis[:, None] @ R)[:, 0])], 1)

    def starts(self) -> torch.Tensor:
        """The mean pose, upright at so many headings, each at the place where it fits best: [B, HEADINGS, 78]."""
        angles = torch.arange(HEADINGS, device=self._crop.device) * (2 * math.pi / HEADINGS)
        upright = torch.stack([torch.zeros_like(angles), angles, torch.zeros_like(angles)], -1)
        x = self._crop.new_zeros(len(self.condition), HEADINGS, UNKNOWNS)
        x[..., _ROOT] = sixd_from_matrix(roma.rotvec_to_rotmat(upright))
        for one in x.unbind(1):
            rotations, pelvis = self.pose_in_crop(one)
            points = self.body.keypoints(rotations, torch.zeros_like(pelvis))
            one[:, _PLACE] = self._place(solve_translation(points, self.condition.rays, self.condition.confidence))
        return x

    def _place(self, pelvis: torch.Tensor) -> torch.Tensor:
        """Unknowns [B, 3] of a pelvis [B, 3] m in the crop frame."""
        relative = pelvis[:, 2:] * self.condition.half_size[:, None]
        return torch.cat([pelvis[:, :2] / relative, relative.log()], 1)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Of :meth:`starts` the one whose loss is least, [B, 78]; nothing is drawn.

        Raises:
            SettingsError: ``count`` is not the number of fits.
        """
        if count != len(self.condition):
            raise SettingsError(f"there are {len(self.condition)} fits, {count} starts were asked for")
        starts = self.starts()
        with torch.no_grad():
            losses = torch.stack([self.loss(x) for x in starts.unbind(1)], 1)
        return starts[torch.arange(count, device=starts.device), losses.argmin(1)]

    def residuals(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 50 + 69 (+ 25 with depths)]: keypoints, prior and depths over their standard deviations."""
        points = self.body.keypoints(*self.pose_in_crop(x))
        over_box = points[..., :2] / points[..., 2:].clamp_min(_NEAREST_M) / self.condition.half_size[:, None, None]
        off = (over_box - self.condition.points) * self._per_keypoint[..., None]
        parts = [off.flatten(1), x[:, _POSE].to(off)]
        if self._has_depth:
            parts.append((depth_beyond_mid_hip(points, self._crop) - self.condition.depth) * self._per_depth)
        return torch.cat(parts, 1)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * self.residuals(x).square().sum(1).to(x.dtype)
