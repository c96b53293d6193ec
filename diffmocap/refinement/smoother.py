"""Temporal smoothing of lifted poses: the refiner for when no physics runs.

One-euro filters on SO(3)^24 and R^3. They need no model of motion, cost well under a
millisecond, and their two parameters trade jitter against lag in a way a user can feel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.refinement.one_euro import OneEuroFilter, OneEuroSettings, Rotations, Vectors, smoothing_factor
from diffmocap.types import BodyState, CameraIntrinsics, Keypoints2D, PoseHypotheses

#: Chosen on validation walks and karate at 30 Hz with 1.7 and 3.4 degrees, or 1 to 4 cm, of noise on each axis and
#: frame: rotations come out closer to the truth than they went in, and jitter falls to about a third.
ROTATION_FILTER = OneEuroSettings(min_cutoff_hz=1.0, beta=1.5, speed_cutoff_hz=2.0)
PELVIS_FILTER = OneEuroSettings(min_cutoff_hz=1.0, beta=3.0, speed_cutoff_hz=2.0)

#: What is believed of a pose before anything was measured: rad^2 per axis, m^2 along the optical x, y, z
#: (depth from one camera is the weak direction).
PRIOR_ROTATION_VARIANCE = 0.3**2
PRIOR_PELVIS_VARIANCE = (0.05**2, 0.05**2, 0.3**2)

SELECTIONS = ("consistent", "best")


@dataclass(frozen=True)
class SmootherSettings:
    """How a :class:`Smoother` weighs the present against the past.

    Attributes:
        enabled: False publishes the selected hypothesis as it is.
        rotation: filter of the 24 local rotations; beta in Hz per rad/s.
        pelvis: filter of the pelvis position; beta in Hz per m/s.
        selection: "consistent" prefers the hypothesis near the previous output, "best" looks at
            the score alone.
        consistency: how much score a radian of mean rotation from the previous output costs.
        max_gap_s: after a longer silence the next pose starts a new track.
        residual_time_s: averaging time of the residual that stands for uncertainty when there is
            a single hypothesis.
    """

    enabled: bool = True
    rotation: OneEuroSettings = ROTATION_FILTER
    pelvis: OneEuroSettings = PELVIS_FILTER
    selection: str = "consistent"
    consistency: float = 0.2
    max_gap_s: float = 0.5
    residual_time_s: float = 0.5

    def __post_init__(self) -> None:
        if self.selection not in SELECTIONS:
            raise SettingsError(f"selection must be one of {', '.join(SELECTIONS)}, got {self.selection!r}")
        if not (math.isfinite(self.consistency) and self.consistency >= 0.0):
            raise SettingsError(f"consistency must be finite and at least 0, got {self.consistency}")
        for name in ("max_gap_s", "residual_time_s"):
            if not 0.0 < getattr(self, name) <= 60.0:
                raise SettingsError(f"{name} must lie in (0, 60] s, got {getattr(self, name)}")


class Smoother:
    """A :class:`~diffmocap.refinement.refiner.Refiner` of one-euro filters.

    ``settings`` may be replaced between calls. Tensors stay on the device of the hypotheses, where
    ``body`` has to be as well.
    """

    def __init__(self, body: BodyModel, settings: SmootherSettings | None = None) -> None:
        self.settings = settings or SmootherSettings()
        self._body = body
        self._rotations = OneEuroFilter(Rotations())
        self._pelvis = OneEuroFilter(Vectors())
        self._output: BodyState | None = None

    def reset(self) -> None:
        """Forget the track; the next pose passes unfiltered."""
        self._rotations.reset()
        self._pelvis.reset()
        self._output = None

    @torch.no_grad()
    def refine(self, hypotheses: PoseHypotheses, keypoints: Keypoints2D, intrinsics: CameraIntrinsics) -> BodyState:
        """Select one hypothesis and filter it; see :class:`~diffmocap.refinement.refiner.Refiner`.

        A stamp that repeats, or lies before the last one by less than ``max_gap_s``, returns the last
        output again; one that jumps further back (a looped recording, a reset clock) starts a new track.
        """
        settings, previous = self.settings, self._output
        dt_s = 0.0
        if previous is not None:
            dt_s = (hypotheses.stamp_ns - previous.stamp_ns) * 1e-9
            if abs(dt_s) > settings.max_gap_s:
                self.reset()
                previous = None
            elif dt_s <= 0.0:
                return previous

        chosen = self._select(hypotheses, previous)
        rotations = self._rotations.filter(hypotheses.rotations[chosen], dt_s, settings.rotation)
        pelvis = self._pelvis.filter(hypotheses.pelvis[chosen, None], dt_s, settings.pelvis)[0]
        rotation_variance, pelvis_variance = self._variance(hypotheses, rotations, pelvis, previous, dt_s)
        if not settings.enabled:  # the filter still ran: it measures uncertainty and is ready to be turned on
            rotations, pelvis = hypotheses.rotations[chosen], hypotheses.pelvis[chosen]
        _, joints = self._body.forward_kinematics(rotations[None], pelvis[None])
        self._output = BodyState(
            rotations=rotations,
            pelvis=pelvis,
            rotation_variance=rotation_variance,
            pelvis_variance=pelvis_variance,
            joint_positions=joints[0],
            stamp_ns=hypotheses.stamp_ns,
            score=float(hypotheses.score[chosen]),
        )
        return self._output

    def _select(self, hypotheses: PoseHypotheses, previous: BodyState | None) -> int:
        """Index of the hypothesis to follow.

        One image leaves several bodies possible (a bent limb may point at the camera or away); the
        score, a reprojection error over the person's size, cannot tell them apart, but the past can.
        """
        count = len(hypotheses.score)
        if count == 1 or previous is None or self.settings.selection == "best":
            return hypotheses.best
        candidates = torch.cat([hypotheses.rotations, previous.rotations[None]])
        # Turned in the optical frame, a flipped body counts for all its joints and a flipped elbow for its forearm.
        turned, _ = self._body.forward_kinematics(candidates, candidates.new_zeros(count + 1, 3))
        distance = roma.rotmat_geodesic_distance(turned[:-1], turned[-1:]).mean(1)
        return int((hypotheses.score - self.settings.consistency * distance).argmax())

    def _variance(
        self,
        hypotheses: PoseHypotheses,
        rotations: torch.Tensor,
        pelvis: torch.Tensor,
        previous: BodyState | None,
        dt_s: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Per-axis variance [24] rad^2 and [3] m^2 of the hypotheses about the filtered pose.

        Several hypotheses are samples of the posterior and say it at once. A single one says it over
        time, through the distance that the filter keeps taking out; it starts from a wide prior.
        """
        error = roma.rotmat_to_rotvec(rotations.mT @ hypotheses.rotations)
        rotation_variance = error.square().mean((0, 2))
        pelvis_variance = (hypotheses.pelvis - pelvis).square().mean(0)
        if len(hypotheses.score) > 1:
            return rotation_variance, pelvis_variance
        if previous is None:
            return (
                torch.full_like(rotation_variance, PRIOR_ROTATION_VARIANCE),
                pelvis_variance.new_tensor(PRIOR_PELVIS_VARIANCE),
            )
        a = smoothing_factor(1.0 / (2.0 * math.pi * self.settings.residual_time_s), dt_s)
        return (
            previous.rotation_variance + a * (rotation_variance - previous.rotation_variance),
            previous.pelvis_variance + a * (pelvis_variance - previous.pelvis_variance),
        )
