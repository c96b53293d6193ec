"""The aggregate metrics of the paper's section 5.1, and decades, from curves alone: nothing here runs a solver."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch

#: After which iteration a baseline's mean value is the target.
TARGET_ITERATION = 100
#: Least performance measure: what is nearer to the minimum counts as solved.
SOLVED = 1e-8
#: Decades of the ratio over which the profile's area is taken.
DECADES = 6.0
#: Share of the start's f - f* below which nothing more is counted: what double precision leaves of most functions.
FLOOR = 1e-14


def iterations_to_target(mean: Sequence[float], at: int = TARGET_ITERATION) -> tuple[float, int]:
    """The baseline's target value, and after how many of its own iterations it is there, at least 1.

    The target is the mean value after iteration ``at``. A solver that has converged, or ended, earlier repeats that
    value, so that the iterations it needed are fewer than ``at``.

    Args:
        mean: the baseline's best value so far, mean over starts, from iteration 0 on; longer than ``at``.
    """
    target = mean[at]
    return target, max(next(i for i, value in enumerate(mean) if value <= target), 1)


def relative_iterations(curves: torch.Tensor, target: float, needed: int) -> torch.Tensor:
    """How many times fewer iterations every start needs than the baseline: [B], 0 where the target is never reached.

    The paper's figure 4: iterations that the baseline requires, divided by those that Optimus requires.

    Args:
        curves: [iterations + 1, B] best values so far, from iteration 0 on. A start that is at the target before its
            first step counts as one iteration.
        target, needed: the baseline's, from :func:`iterations_to_target`.
    """
    reached = curves <= target
    first = reached.to(torch.uint8).argmax(0).clamp(min=1)
    return torch.where(reached.any(0), needed / first.double(), 0.0)


def share_at_least(ratios: Iterable[float], bound: float) -> float | None:
    """Share of tasks with a ratio of at least ``bound``; None where there are no tasks."""
    met = [ratio >= bound for ratio in ratios]
    return sum(met) / len(met) if met else None


def performance_ratios(final: Mapping[str, float], floor: float = SOLVED) -> dict[str, float]:
    """Each solver's measure m over the least one, on one task.

    m = (f_hat - f*) / (f_worst - f*), floored. Where all solvers are at the minimum, all ratios are 1.

    Args:
        final: by solver, mean f_hat - f*.
    """
    worst = max(final.values())
    m = {solver: max(excess / worst if worst > 0 else 0.0, floor) for solver, excess in final.items()}
    least = min(m.values())
    return {solver: value / least for solver, value in m.items()}


def profile(ratios: Sequence[float], log10_t: torch.Tensor) -> torch.Tensor:
    """rho_s(t) of one solver: the share of tasks whose ratio is at most t = 10^log10_t (eq. 3)."""
    log_r = torch.tensor(ratios, dtype=torch.float64).log10()
    return (log_r[:, None] <= log10_t.double() + 1e-12).double().mean(0)


def profile_area(ratios: Sequence[float]) -> float:
    """Area under rho_s over log10 t from 0 to DECADES, divided by DECADES: 1 for the best solver of every task.

    Each task adds the stretch on which it counts, so the integral is exact.
    """
    return sum(max(0.0, DECADES - math.log10(r)) for r in ratios) / (DECADES * len(ratios))


def profile_areas(finals: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """By solver, from the mean final values of every task."""
    ratios = [performance_ratios(final) for final in finals]
    return {solver: profile_area([r[solver] for r in ratios]) for solver in ratios[0]} if ratios else {}


def first_everywhere(ratios: Mapping[str, Sequence[float]], solver: str) -> bool | None:
    """Whether a solver's profile is nowhere below another's; None where there are no tasks.

    Profiles change at the ratios of tasks alone, so that it is enough to look there.
    """
    if not any(ratios.values()):
        return None
    t = torch.tensor(sorted({r for of in ratios.values() for r in of}), dtype=torch.float64).log10()
    ours = profile(ratios[solver], t)
    return all(bool((profile(of, t) <= ours + 1e-12).all()) for of in ratios.values())


def decades_after(curves: torch.Tensor, evaluations: int, floor: float = FLOOR) -> torch.Tensor:
    """Decades that f - f* has fallen by after so many evaluations, the start's among them: [B].

    Args:
        curves: [T, B] best f - f* so far after each evaluation. floor: least share of the start's that counts.
    """
    last = min(evaluations, len(curves)) - 1
    share = torch.where(curves[0] > 0, curves[last] / curves[0], 0.0)
    return -share.clamp_min(floor).log10()
