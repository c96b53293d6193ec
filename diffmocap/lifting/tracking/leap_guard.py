"""Leaps of the pose: a limb that goes from before the body to behind it between two images.

Both poses have the same keypoints, so the mean over what an image may show may go over from one to the other within an
image and back in the next. Where a joint leaps like that, the pose that continues the last one is asked for: sampled
from it, and told it. It is taken where it does not leap and explains the image nearly as well, for some time: what
lasts is believed.

Beginning every pose from the last one does without leaps, too, but costs accuracy in all the images that have none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.model import BodyModel
from diffmocap.settings import check_settings, setting
from diffmocap.types import PoseHypotheses


@dataclass(frozen=True)
class LeapSettings:
    """What is a leap: a joint that moves about the pelvis by more than ``distance_m + speed_m_s * dt``."""

    enabled: bool = setting(
        True,
        "Where the pose leaps in depth, take one that continues the last pose, if it explains the image "
        "nearly as well.",
    )
    distance_m: float = setting(
        0.15,
        "Motion of a joint relative to the pelvis above which it is a leap; each second between two images adds 4 m.",
        0.01,
        10.0,
        "m",
    )
    speed_m_s: float = setting(4.0, "What each second between two images adds to that distance.", 0.0, 100.0, "m/s")
    error_ratio: float = setting(
        1.6, "Largest ratio of the continuing pose's reprojection error to that of the pose that leaps.", 1.0, 10.0
    )
    patience_s: float = setting(0.5, "Time after which a leap that lasts is accepted.", 0.0, 10.0, "s")

    def __post_init__(self) -> None:
        check_settings(self)


class LeapGuard:
    """Tells leaps, and for how long one has been held off. It is told the time since the last pose."""

    def __init__(self, body: BodyModel) -> None:
        self._body = body
        self.reset()

    def reset(self) -> None:
        """Another track, or a new start of it."""
        self._held_s = 0.0
        #: The pose before the last leap that was believed, and the time since then.
        self._before: PoseHypotheses | None = None
        self._before_s = 0.0

    def believes(self, last: PoseHypotheses) -> None:
        """A leap away from the ``last`` pose is taken over. Who comes back from it soon does not leap again."""
        self._before, self._before_s = last, 0.0

    def asks(self, last: PoseHypotheses, poses: PoseHypotheses, dt_s: float, settings: LeapSettings) -> bool:
        """Whether the single pose leaps from the ``last`` one, and a steadier one is to be looked for."""
        self._before_s += dt_s
        if self._before_s > settings.patience_s:
            self._before = None
        if not settings.enabled or not self._leaps(last, poses, dt_s, settings):
            self._held_s = 0.0
            return False
        if self._before is not None and not self._leaps(self._before, poses, self._before_s, settings):
            self._held_s, self._before = 0.0, None
            return False
        self._held_s += dt_s
        if self._held_s > settings.patience_s:
            self._held_s = 0.0
            return False
        return True

    def prefers(
        self, steady: PoseHypotheses, last: PoseHypotheses, poses: PoseHypotheses, dt_s: float, settings: LeapSettings
    ) -> bool:
        """Whether the pose ``steady``, which continues the ``last`` one, is better than ``poses``, which leaps."""
        explains = -float(steady.score[0]) <= settings.error_ratio * -float(poses.score[0])
        return explains and not self._leaps(last, steady, dt_s, settings)

    def _leaps(self, last: PoseHypotheses, poses: PoseHypotheses, dt_s: float, settings: LeapSettings) -> bool:
        rotations = torch.cat([last.rotations[:1], poses.rotations[:1]])
        joints = self._body.forward_kinematics(rotations, torch.zeros(2, 3))[1]
        way = float((joints[1] - joints[0]).norm(dim=-1).max())
        return way > settings.distance_m + settings.speed_m_s * dt_s
