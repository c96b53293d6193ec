"""Bootstrap intervals of means over rows that belong together in clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

#: Draws of a bootstrap, and the share of them that an interval holds.
DRAWS, LEVEL = 2000, 0.95


def resampled(clusters: Sequence[str], draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each row counts in each draw [draws, B]: clusters with replacement, a cluster's rows together."""
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return counts[:, place]


def interval(
    values: Sequence[np.ndarray], clusters: Sequence[str], statistic: Callable[..., np.ndarray] | None = None
) -> tuple[float, float, float]:
    """A statistic of means and its bootstrap interval of :data:`LEVEL`; NaN entries are left out of the means.

    Args:
        values: arrays [B]; rows belong together. clusters: [B] what is drawn.
        statistic: of the means of each array, vectorised; None: of one array, the mean itself.
    """
    statistic = statistic or (lambda mean: mean)
    counts = resampled(clusters)
    whole, drawn = [], []
    for x in (np.asarray(v, float) for v in values):
        known = np.isfinite(x)
        if not known.any():
            return (float("nan"),) * 3
        filled = np.where(known, x, 0.0)
        total = counts @ known
        whole.append(filled.sum() / known.sum())
        drawn.append(np.divide(counts @ filled, total, out=np.full(len(total), np.nan), where=total > 0))
    with np.errstate(all="ignore"):
        tail = 50 * (1 - LEVEL)
        low, high = np.nanpercentile(statistic(*drawn), [tail, 100 - tail])
        return float(statistic(*whole)), float(low), float(high)


def summarise(figures: dict[str, np.ndarray], clusters: Sequence[str]) -> dict[str, list[float]]:
    """Mean, low and high of every figure."""
    return {key: [round(x, 4) for x in interval([values], clusters)] for key, values in figures.items()}
