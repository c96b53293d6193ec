"""The joint angles of a pose inside their limits: its own where it is inside, else those of the nearest pose that is.

Of the solutions of a rotation, (a, b, c), (a + pi, pi - b, c + pi) and whole turns of both, one at most is inside, as
middle angles are limited to less than 90 degrees: the principal one. So angles never wind, and a pose says by itself
which angles it has. Where it is outside, the nearest rotation that is inside is sought joint by joint: the trace that
the distance of two rotations is made of is a cosine of each single angle, whose best value in an interval is known, so
one angle after the other is set to it (coordinate ascent): from both solutions, the corners of the range, and the
angles of the pose before.
"""

from __future__ import annotations

import numpy as np
import torch

from diffmocap.body.joint_angles import (
    AXIS_COMPONENTS,
    angle_limits,
    angles_from_rotations,
    other_solution,
)

#: Kept from the limits, so that no rounding of the URDF's text or of float32 leads outside [rad].
MARGIN = 1e-4
#: Rounds over the three angles.
_ROUNDS = 4
#: The solution next to the pose before is stayed with, unless another one is nearer to the pose by more [rad].
_STAY = 0.1


class InsideLimits:
    """Angles inside limits of one pose after the other; ``low`` and ``high`` [69] rad are what they stay within."""

    def __init__(self) -> None:
        limits = angle_limits().double().numpy()
        self.low, self.high = limits[:, 0] + MARGIN, limits[:, 1] - MARGIN
        ends = np.stack([self.low, self.high]).reshape(2, -1, 3)
        #: [8, 23, 3]: the ascent from one solution may end at a pose that only no neighbour is better than.
        self._corners = np.stack([ends[list(c), :, [0, 1, 2]].T for c in np.ndindex(2, 2, 2)])

    def angles(self, rotations: torch.Tensor, before: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Of local rotations [24, 3, 3] float64: angles [69] rad inside, and the principal ones [69], maybe outside.

        ``before`` [69] rad inside is where the joints were; where two poses inside are as near, that next to it is
        taken.
        """
        principal = angles_from_rotations(rotations)
        free = principal.numpy()
        inside = free.copy()
        out = ((free < self.low) | (free > self.high)).reshape(-1, 3).any(-1)
        if out.any():
            other = other_solution(principal.unflatten(-1, (-1, 3))).numpy()[out]
            wanted = rotations[1:].numpy()[out]
            starts = np.concatenate([self._corners[:, out], np.stack([free.reshape(-1, 3)[out], other])])
            last = None if before is None else before.reshape(-1, 3)[out]
            inside.reshape(-1, 3)[out] = self._nearest(wanted, starts, last, out)
        return inside, free

    def _nearest(self, wanted: np.ndarray, starts: np.ndarray, last: np.ndarray | None, of: np.ndarray) -> np.ndarray:
        """Angles [M, 3] inside for rotations [M, 3, 3], from starts [S, M, 3] and from where the joints were [M, 3]."""
        low, high, axis = self.low.reshape(-1, 3)[of], self.high.reshape(-1, 3)[of], AXIS_COMPONENTS.numpy()[of]
        angles = _clamped(starts, low, high)
        if last is not None:
            angles = np.concatenate([angles, last[None]])
        turned = [_about(axis[:, k], angles[..., k]) for k in range(3)]
        back = np.swapaxes(wanted, -1, -2)
        trace = np.zeros(angles.shape[:-1])
        rows = np.arange(len(wanted))
        for _ in range(_ROUNDS):
            for k in range(3):
                a, b, c = turned
                # tr(W^T A B C) with the factor k in front: cyclic permutations keep the trace.
                rest = (b @ c @ back, c @ back @ a, back @ a @ b)[k]
                i = axis[:, k]
                j, n = (i + 1) % 3, (i + 2) % 3
                cosine = rest[:, rows, j, j] + rest[:, rows, n, n]
                sine = rest[:, rows, j, n] - rest[:, rows, n, j]
                best = np.arctan2(sine, cosine)
                now = _clamped(best, low[:, k], high[:, k])
                if last is not None:  # from there to the end on its own side
                    now[-1] = _clamped(best[-1], low[:, k], high[:, k], angles[-1, :, k])
                angles[..., k] = now
                turned[k] = _about(i, angles[..., k])
                trace = rest[:, rows, i, i] + cosine * np.cos(angles[..., k]) + sine * np.sin(angles[..., k])
        distance = np.arccos(np.clip(0.5 * (trace - 1.0), -1.0, 1.0))
        if last is not None:
            distance[-1] -= _STAY
        return angles[distance.argmin(0), rows]


def _clamped(angles: np.ndarray, low: np.ndarray, high: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
    """The angle of an interval next to each on the circle; whole turns do not count.

    ``near``: angles inside; for what is outside the end next to them is taken instead.
    """
    middle = 0.5 * (low + high)
    turned = angles - 2.0 * np.pi * np.round((angles - middle) / (2.0 * np.pi))
    clamped = np.clip(turned, low, high)
    return clamped if near is None else np.where(clamped == turned, clamped, np.where(near > middle, high, low))


def _about(axis: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rotations [S, M, 3, 3] by [S, M] rad about the axes [M] of 0, 1, 2."""
    made = np.zeros((*angles.shape, 3, 3))
    rows, j, n = np.arange(len(axis)), (axis + 1) % 3, (axis + 2) % 3
    made[:, rows, axis, axis] = 1.0
    made[:, rows, j, j] = made[:, rows, n, n] = np.cos(angles)
    sine = np.sin(angles)
    made[:, rows, n, j], made[:, rows, j, n] = sine, -sine
    return made
