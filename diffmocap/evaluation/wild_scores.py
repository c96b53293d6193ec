"""Figures of the wild protocol from its samples: errors, best of K, plausibility, diversity, calibration."""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_FROM_JOINT
from diffmocap.evaluation.calibration import (
    coverage,
    error_of_mean,
    rank_correlation,
    rank_correlation_by_joint,
    reliability,
    spread,
)
from diffmocap.evaluation.joint_errors import procrustes
from diffmocap.evaluation.wild_protocol import WildResult
from diffmocap.evaluation.wild_views import STRATA

#: Best of so many samples is among the plain figures (of all where there are fewer).
BEST_OF = 10
#: Regions whose coverage is told.
REGIONS = (0.5, 0.9)
#: A joint has a rank correlation over the frames that do not show it from so many of them on.
LEAST_UNSEEN = 20
#: Columns, below the pelvis, of the joints of which the protocol knows whether they are seen.
_KNOWN_SEEN = [j - 1 for j in sorted(KEYPOINT_FROM_JOINT.values())]


class WildFigures:
    """Errors of every frame and sample, from which the figures of any part are taken.

    Attributes:
        mpjpe, aligned: [N, K] mm, joint error about the pelvis, and after Procrustes alignment; 24 joints.
        visible: [N, K] mm, as ``mpjpe`` over the limb joints that were detected; NaN where none was.
        spread, error, single: [N, 23] mm for the joints below the pelvis: of the samples, of their mean, of sample 0.
        diversity: [N] mm, mean distance of a joint between two of the samples.
    """

    def __init__(self, result: WildResult) -> None:
        self.result = result
        samples, truth = 1e3 * result.joints.double().numpy(), 1e3 * result.truth.double().numpy()
        n, k = samples.shape[:2]
        distance = np.linalg.norm(samples - truth[:, None], axis=-1)
        self.mpjpe = distance.mean(-1)
        repeated = np.repeat(truth, k, axis=0)
        fitted = procrustes(samples.reshape(n * k, -1, 3), repeated)
        self.aligned = np.linalg.norm(fitted - repeated, axis=-1).mean(-1).reshape(n, k)
        seen = result.visible.numpy()[:, None]
        with np.errstate(invalid="ignore"):
            self.visible = (distance * seen).sum(-1) / seen.sum(-1)
        self.diversity, self.spread = np.full(n, np.nan), None
        if k > 1:
            self.diversity = mean_pair_distance(samples)
            self.spread = spread(samples[:, :, 1:])
        self.error, self.single = error_of_mean(samples[:, :, 1:], truth[:, 1:]), distance[:, 0, 1:]
        self._samples, self._truth = samples[:, :, 1:], truth[:, 1:]

    def of(self, chosen: np.ndarray) -> dict[str, float | int | None]:
        """Plain figures of at least one frame, ``chosen`` [N] bool. None: not defined (one sample, no keypoint)."""
        r, single, k = self.result, self.mpjpe[chosen, 0], min(self.mpjpe.shape[1], BEST_OF)
        figures = {
            "frames": chosen.sum(),
            "mpjpe_mm": single.mean(),
            "pa_mpjpe_mm": self.aligned[chosen, 0].mean(),
            "visible_mpjpe_mm": _mean(self.visible[chosen, 0]),
            f"best_of_{k}_mpjpe_mm": self.mpjpe[chosen, :k].min(1).mean(),
            f"best_of_{k}_pa_mpjpe_mm": self.aligned[chosen, :k].min(1).mean(),
            "pixel_error": r.pixel_error.numpy()[chosen, 0].mean(),
            "outside_limits": r.outside.numpy()[chosen].mean(),
            "truth_outside_limits": r.truth_outside.numpy()[chosen].mean(),
            "diversity_mm": self.diversity[chosen].mean(),
        }
        digits = {"frames": 0, "pixel_error": 5}
        return {key: _plain(value, digits.get(key, 3)) for key, value in figures.items()}

    def best_of(self) -> list[float]:
        """Mean over the frames of the lowest MPJPE [mm] among the first 1, 2, ... K samples."""
        return [round(float(x), 2) for x in np.minimum.accumulate(self.mpjpe, axis=1).mean(0)]

    def by_stratum(self) -> dict[str, dict]:
        """Figures of each stratum that has frames."""
        stratum = self.result.stratum.numpy()
        return {name: self.of(stratum == i) for i, name in enumerate(STRATA) if (stratum == i).any()}

    def calibration(self) -> dict:
        """Spread of the samples against error over the frames: by joint, and in ten bins of equal size.

        ``coverage`` is of the regions that should hold 50 and 90 % of the truths (:func:`~.calibration.coverage`), over
        all joints; ``unseen`` holds the same figures over the limb joints whose keypoint was not detected. None where
        it is not defined: with a single sample or a single frame.
        """
        names = ("spread_error_rank_correlation", "spread_single_error_rank_correlation")
        if self.spread is None or len(self.spread) < 2:
            others = ("rank_correlation_by_joint", "rank_correlation_of_first", "reliability_mm", "coverage", "unseen")
            return dict.fromkeys((*names, *others))
        mean, single = (rank_correlation_by_joint(self.spread, e) for e in (self.error, self.single))
        predicted, observed = reliability(self.spread, self.error, self.mpjpe.shape[1])
        fewer = [k for k in (5, 10, 20) if k <= self.mpjpe.shape[1]]
        return {
            **{name: _plain(rho.mean(), 4) for name, rho in zip(names, (mean, single), strict=True)},
            "rank_correlation_by_joint": {j: _plain(rho, 3) for j, rho in zip(JOINT_NAMES[1:], mean, strict=True)},
            "rank_correlation_of_first": {str(k): _plain(self._rank_correlation_of_first(k), 4) for k in fewer},
            "reliability_mm": [[_plain(p, 2), _plain(o, 2)] for p, o in zip(predicted, observed, strict=True)],
            "coverage": self._coverage(np.ones_like(self.spread, dtype=bool)),
            "unseen": self._unseen(),
        }

    def _coverage(self, chosen: np.ndarray) -> dict[str, float | None]:
        """Over the chosen [N, 23] bool frames and joints, by the region's share in percent."""
        inside = {f"{100 * p:g}": coverage(self._samples, self._truth, p) for p in REGIONS}
        return {name: _plain(_mean(values[chosen]), 4) for name, values in inside.items()}

    def _unseen(self) -> dict:
        seen = self.result.visible.numpy()[:, 1:]
        known = np.zeros(seen.shape[1], bool)
        known[_KNOWN_SEEN] = True
        unseen = ~seen & known
        correlations = [
            rank_correlation(self.spread[unseen[:, j], j], self.error[unseen[:, j], j])
            for j in _KNOWN_SEEN if unseen[:, j].sum() >= LEAST_UNSEEN
        ]  # fmt: skip
        return {
            "share": _plain(unseen[:, known].mean(), 4),
            "spread_error_rank_correlation": _plain(_mean(np.array(correlations)), 4),
            "coverage": self._coverage(unseen),
        }

    def _rank_correlation_of_first(self, k: int) -> float:
        """The fewer the samples, the less they tell of the spread."""
        some = self._samples[:, :k]
        return float(rank_correlation_by_joint(spread(some), error_of_mean(some, self._truth)).mean())


def mean_pair_distance(samples: np.ndarray) -> np.ndarray:
    """[N] distance of a joint between two of the K >= 2 samples [N, K, J, 3], mean over joints and pairs."""
    k = samples.shape[1]
    distances = [np.linalg.norm(samples[:, :i] - samples[:, i : i + 1], axis=-1).mean(-1) for i in range(1, k)]
    return np.concatenate(distances, axis=1).mean(1)


def _mean(values: np.ndarray) -> float:
    """Over the values that are there; NaN where none is."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _plain(value: float, digits: int) -> float | int | None:
    """For JSON, which has no NaN; an integer where no digits are wanted."""
    if not np.isfinite(value):
        return None
    return round(float(value), digits) if digits else int(value)
