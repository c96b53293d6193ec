"""Points of an image that stand still: a state for each, read off a few frames."""

from __future__ import annotations

import math

import numpy as np

from diffmocap.compiler import compiled

#: What is expected of a point's spread counts as much as so many frames of its own, which reduce it to this share.
_PRIOR_FRAMES, _LEAST = 5.0, 0.5
#: A point has left if it is this many spreads from its place twice in a row, or twice as many at once; it may be unseen
#: for so many frames.
_LEFT, _UNSEEN = 2.5, 3


@compiled
def still_state(points, seen, metres, reach, spread_m, most_m, speed, memory):
    """State [T, N] bool of points [T, N, 2] px, which change by ``metres`` [T] m per pixel at their person's distance.

    A point stands from when the last ``reach`` frames lie around their mean within what a still one is expected to
    scatter, and a line through them rises by less than ``speed`` [m] a frame, until it leaves the mean of its places
    since then.

    Args:
        seen: [T, N] bool. spread_m: root mean square distance from its place that a still point is expected to have;
            what it had since it stood takes over. most_m: largest distance that is still. memory: frames of the mean.
    """
    frames, count = seen.shape
    still = np.zeros((frames, count), np.bool_)
    for n in range(count):
        stands, missed, beyond, number, squares, x, y = False, 0, False, 0.0, 0.0, 0.0, 0.0
        for t in range(frames):
            if not seen[t, n]:
                missed += 1
                stands = stands and missed <= _UNSEEN
                still[t, n] = stands
                continue
            missed = 0
            if stands:
                away = metres[t] * math.hypot(points[t, n, 0] - x, points[t, n, 1] - y)
                square = (_PRIOR_FRAMES * spread_m**2 + squares) / (_PRIOR_FRAMES + number)
                far = min(_LEFT * math.sqrt(max(square, (_LEAST * spread_m) ** 2)), most_m)
                if away > 2.0 * far or (away > far and beyond):
                    stands = False
                beyond = away > far
                if stands and not beyond:
                    squares += away * away
                    number += 1.0
                    share = 1.0 / min(number, memory)
                    x += share * (points[t, n, 0] - x)
                    y += share * (points[t, n, 1] - y)
            elif t + 1 >= reach:
                whole, mean_x, mean_y = True, 0.0, 0.0
                for i in range(t + 1 - reach, t + 1):
                    whole = whole and seen[i, n]
                    mean_x += points[i, n, 0] / reach
                    mean_y += points[i, n, 1] / reach
                if not whole:
                    continue
                farthest, sum_of, along_x, along_y, spread = 0.0, 0.0, 0.0, 0.0, 0.0
                for i in range(t + 1 - reach, t + 1):
                    across, down, time = points[i, n, 0] - mean_x, points[i, n, 1] - mean_y, i - t + 0.5 * (reach - 1)
                    away = metres[t] * math.hypot(across, down)
                    farthest = max(farthest, away)
                    sum_of += away * away
                    along_x += time * across
                    along_y += time * down
                    spread += time * time
                slope = metres[t] * math.hypot(along_x, along_y) / spread
                if slope < speed and farthest < _LEFT * spread_m:
                    stands, beyond, number, squares, x, y = True, False, float(reach), sum_of, mean_x, mean_y
            still[t, n] = stands
    return still
