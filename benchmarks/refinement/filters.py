"""What refinement is compared with: a one-euro filter and a Kalman smoother on the lifted poses, both tuned.

*Tuned* is chosen on a held-out subject for the least error of the joints. *At equal jitter* has the strength at which
the total variation of the accelerations is the one that refinement leaves, in the shape (of speeds to cutoffs, of
pelvis to joints) that is then the best for the held-out subject.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import roma
import torch

from diffmocap.refinement.filter.one_euro import OneEuroFilter, Rotations, Vectors
from diffmocap.refinement.filter.settings import OneEuroSettings
from diffmocap.settings import settings_of

#: Rises of the cutoff with speed that are tried, in Hz per rad/s or m/s.
ONE_EURO_BETAS = (0.0, 0.5, 1.5, 5.0, 15.0)
#: Local rotations [B, T, 24, 3, 3] and pelvis [B, T, 3] m.
Motions = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class OneEuro:
    """The one-euro filter (Casiez et al. 2012) of every joint and of the pelvis; causal.

    Attributes:
        min_cutoff_hz: at rest. rotation_beta, pelvis_beta: its rise a rad/s and a m/s. strength: divides all three.
    """

    min_cutoff_hz: float = 1.0
    rotation_beta: float = 1.5
    pelvis_beta: float = 3.0
    strength: float = 1.0

    name = "one-euro"

    @staticmethod
    def grid() -> list[OneEuro]:
        """Candidates of the tuning."""
        return [OneEuro(*v) for v in itertools.product((0.5, 1.2, 2.4, 4.8, 10.0), ONE_EURO_BETAS, ONE_EURO_BETAS)]

    @staticmethod
    def shapes() -> list[OneEuro]:
        """Candidates but for their strength."""
        return [OneEuro(1.0, *betas) for betas in itertools.product(ONE_EURO_BETAS, repeat=2)]

    def __call__(self, motions: Motions, dt_s: float) -> Motions:
        rotations, pelvis = motions
        batch, frames = pelvis.shape[:2]
        turning, moving = (
            OneEuroSettings(_within(self.min_cutoff_hz / self.strength), beta / self.strength, 2.0)
            for beta in (self.rotation_beta, self.pelvis_beta)
        )
        of_joints, of_pelvis = OneEuroFilter(Rotations()), OneEuroFilter(Vectors())
        turned, moved = [], []
        for t in range(frames):
            turned.append(of_joints.filter(rotations[:, t].flatten(0, 1), dt_s, turning).unflatten(0, (batch, -1)))
            moved.append(of_pelvis.filter(pelvis[:, t], dt_s, moving))
        return torch.stack(turned, 1), torch.stack(moved, 1)


@dataclass(frozen=True)
class Kalman:
    """A smoother by Rauch, Tung and Striebel (1965) under white jerk, which sees the whole window.

    Attributes:
        rotation_hz, pelvis_hz: where measurements stop to count: jerk of spectral density r dt (2 pi f)^6 for
            measurements of variance r. strength: divides both.
    """

    rotation_hz: float = 3.0
    pelvis_hz: float = 2.0
    strength: float = 1.0

    name = "Kalman"

    @staticmethod
    def grid() -> list[Kalman]:
        """Candidates of the tuning."""
        return [Kalman(*values) for values in itertools.product((0.7, 1.0, 1.5, 2.2, 3.2, 4.7, 7.0), repeat=2)]

    @staticmethod
    def shapes() -> list[Kalman]:
        """Candidates but for their strength."""
        return [Kalman(2.0, hz) for hz in (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)]

    def __call__(self, motions: Motions, dt_s: float) -> Motions:
        rotations, pelvis = motions
        turning, moving = (
            smoother_matrix(pelvis.shape[1], hz / self.strength, dt_s).to(pelvis)
            for hz in (self.rotation_hz, self.pelvis_hz)
        )
        return smooth_rotations(rotations, turning), moving @ pelvis


def smooth_rotations(measured: torch.Tensor, smoother: torch.Tensor, rounds: int = 4) -> torch.Tensor:
    """Rotations [B, T, 24, 3, 3] by a linear smoother [T, T] in tangent space.

    The turns of a nominal motion from frame to frame, in each joint's own axes, are added up to a path in R^3; measured
    rotations are near it by their tangent vectors at the nominal ones. The smoothed path is the next nominal motion,
    until both agree: a constant rate is a straight line, through any number of turns.
    """
    nominal = measured
    for _ in range(rounds):
        turns = roma.rotmat_to_rotvec(nominal[:, :-1].transpose(-1, -2) @ nominal[:, 1:])
        path = torch.cat([torch.zeros_like(turns[:, :1]), turns.cumsum(1)], 1)
        near = path + roma.rotmat_to_rotvec(nominal.transpose(-1, -2) @ measured)
        smooth = (smoother @ near.flatten(2)).view(near.shape)
        nominal = nominal @ roma.rotvec_to_rotmat(smooth - path)
    return nominal


@lru_cache(maxsize=1024)
def smoother_matrix(frames: int, cutoff_hz: float, dt_s: float) -> torch.Tensor:
    """What the smoother makes of measurements, a linear map [T, T], float64.

    Forward a Kalman filter of place, speed and acceleration, backward Rauch, Tung and Striebel's pass; no gain depends
    on what is measured, so it runs once over unit measurements. The first one is the mean of the prior, whose speed and
    acceleration are all but unknown. Units: frames, and the variance of a measurement.
    """
    step = torch.tensor([[1.0, 1.0, 0.5], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    jerk = (2 * math.pi * cutoff_hz * dt_s) ** 6 * torch.tensor(
        [[1 / 20, 1 / 8, 1 / 6], [1 / 8, 1 / 3, 1 / 2], [1 / 6, 1 / 2, 1.0]], dtype=torch.float64
    )
    ahead, mean = torch.diag(torch.tensor([1.0, 1e2, 1e2], dtype=torch.float64)), step.new_zeros(3, frames)
    mean[0, 0] = 1.0
    predicted, filtered = [], []
    for t in range(frames):
        if t:
            mean, ahead = step @ mean, step @ ahead @ step.T + jerk
        predicted.append((mean, ahead))
        gain = ahead[:, 0] / (ahead[0, 0] + 1.0)
        seen = torch.zeros(frames, dtype=torch.float64)
        seen[t] = 1.0
        mean = mean + gain[:, None] * (seen - mean[0])
        left = torch.eye(3, dtype=torch.float64)
        left[:, 0] -= gain
        ahead = left @ ahead @ left.T + gain[:, None] * gain  # Joseph's form
        filtered.append((mean, ahead))
    smooth = [mean]
    for t in range(frames - 2, -1, -1):
        (mean, covariance), (next_mean, next_covariance) = filtered[t], predicted[t + 1]
        gain = torch.linalg.solve(next_covariance, step @ covariance).T
        smooth.append(mean + gain @ (smooth[-1] - next_mean))
    return torch.stack([mean[0] for mean in reversed(smooth)])


Filter = OneEuro | Kalman


def tune(candidates: Sequence[Filter], error: Callable[[Filter], float]) -> Filter:
    """The candidate of least error."""
    return min(candidates, key=error)


def at_equal_jitter(shape: Filter, jitter: Callable[[Filter], float], wanted: float, tolerance: float = 1e-3) -> Filter:
    """The strength whose jitter is ``wanted``, by bisection between a thousandth of the shape's and 1000 of it.

    Where none leaves so much or so little, the nearest end.
    """
    low, high = -math.log(1e3), math.log(1e3)
    middle = shape
    for _ in range(30):
        middle = replace(shape, strength=shape.strength * math.exp(0.5 * (low + high)))
        found = jitter(middle)
        if abs(found - wanted) <= tolerance * wanted:
            break
        if found > wanted:
            low = 0.5 * (low + high)
        else:
            high = 0.5 * (low + high)
    return middle


def _within(cutoff_hz: float) -> float:
    """The filter's own range."""
    allowed = settings_of(OneEuroSettings)["min_cutoff_hz"]
    return min(max(cutoff_hz, allowed.low), allowed.high)
