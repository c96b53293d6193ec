"""How soon solvers reach the loss at which BFGS ends: from curves alone, nothing here runs a solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.evaluation.bootstrap import LEVEL, resampled

BFGS = "BFGS"
#: BFGS's final loss counts as reached within this share of it, for BFGS itself too.
WITHIN = 1e-3


@dataclass(frozen=True)
class Curves:
    """A solver's runs on B problems, up to the cap.

    Attributes:
        best: [E, B] least loss after each evaluation, the start's included; runs that ended earlier repeat their last.
        seconds: [E, B] after each evaluation since the run began, each problem alone; None where problems ran together.
    """

    best: torch.Tensor
    seconds: torch.Tensor | None = None

    def upto(self, cap: int) -> Curves:
        """The runs' first ``cap`` evaluations; one that ended before repeats its last entry."""
        return Curves(padded(self.best, cap), None if self.seconds is None else padded(self.seconds, cap))


def padded(x: torch.Tensor, length: int) -> torch.Tensor:
    """[length, B]: cut, or with the last row repeated."""
    x = x[:length]
    return torch.cat([x, x[-1:].expand(length - len(x), -1)]) if len(x) < length else x


def targets(bfgs: Curves, cap: int, within: float = WITHIN) -> torch.Tensor:
    """Loss [B] that counts as BFGS's final one at this cap; losses are at least 0."""
    return bfgs.upto(cap).best[-1] * (1 + within)


def evaluations_to(best: torch.Tensor, target: torch.Tensor, cap: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Number of the first evaluation [B] whose best loss is at most the target, ``cap`` where none is; and whether."""
    reached = padded(best, cap) <= target
    first = reached.to(torch.uint8).argmax(0) + 1
    found = reached.any(0)
    return torch.where(found, first, cap), found


def seconds_to(curves: Curves, target: torch.Tensor, cap: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Seconds [B] until then, those of the whole run to the cap where it is never; and whether."""
    curves = curves.upto(cap)
    count, found = evaluations_to(curves.best, target, cap)
    return curves.seconds.gather(0, count[None] - 1)[0], found


def compare(
    curves: Mapping[str, Curves], cap: int, timed: Mapping[str, Curves] | None = None,
    clusters: Sequence[str] | None = None,
) -> dict[str, dict]:  # fmt: skip
    """Of each solver: evaluations and seconds to BFGS's final loss, medians over problems, and over BFGS's medians.

    Args:
        curves: by solver, of the same problems in the same order. timed: the same of problems that each ran alone,
            perhaps of fewer; BFGS's among them. clusters: [B] what a bootstrap of the ratios draws; None: no interval.
    """
    target = targets(curves[BFGS], cap)
    own, _ = evaluations_to(curves[BFGS].best, target, cap)
    result = {}
    for name, curve in curves.items():
        count, found = evaluations_to(curve.best, target, cap)
        final = curve.upto(cap).best[-1]
        result[name] = {
            "evaluations": float(count.double().quantile(0.5)),
            "evaluations_ratio": float(count.double().quantile(0.5) / own.double().quantile(0.5)),
            "evaluations_paired_ratio": float((count.double() / own.double()).quantile(0.5)),
            "reached": float(found.double().mean()), "final_loss": float(final.double().quantile(0.5)),
            "start_loss": float(curve.best[0].double().quantile(0.5)),
        }  # fmt: skip
        if clusters is not None:
            result[name]["evaluations_ratio_interval"] = median_ratio_interval(count.numpy(), own.numpy(), clusters)
    if timed:
        target = targets(timed[BFGS], cap)
        own, _ = seconds_to(timed[BFGS], target, cap)
        for name, curve in timed.items():
            seconds, found = seconds_to(curve, target, cap)
            result.setdefault(name, {}).update({
                "seconds": float(seconds.quantile(0.5)), "seconds_reached": float(found.double().mean()),
                "seconds_ratio": float(seconds.quantile(0.5) / own.quantile(0.5)),
                "seconds_paired_ratio": float((seconds / own).quantile(0.5)),
                "ms_an_evaluation": 1e3 * float((curve.seconds[-1] / ran(curve)).quantile(0.5)),
                "timed_problems": int(curve.best.shape[1]),
            })  # fmt: skip
    return result


def median_ratio_interval(
    values: np.ndarray, reference: np.ndarray, clusters: Sequence[str], draws: int = 500
) -> list[float]:
    """Bootstrap interval of the ratio of medians over [B] rows, paired; see :func:`.bootstrap.resampled`."""
    found = []
    for counts in resampled(clusters, draws):
        rows = np.repeat(np.arange(len(counts)), counts)
        found.append(np.median(values[rows]) / np.median(reference[rows]))
    return [round(float(x), 4) for x in np.percentile(found, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])]


def ran(curves: Curves) -> torch.Tensor:
    """How many evaluations [B] took time: rows that repeat the end do not count."""
    return 1 + (curves.seconds.diff(dim=0) > 0).sum(0)
