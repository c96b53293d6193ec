"""Contact state with hysteresis, of the gaps and steps of a motion's contact points.

See :class:`diffmocap.physics.contact_state.ContactLevels`.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.compiler import compiled, inlined


@inlined
def speed_square(steps, before, after, p):
    """(m/s)^2 of contact p at the frame between two steps [T-1, 3, P] m/s, of their mean; never zero, for its root."""
    square = 1e-12
    for c in range(3):
        square += (0.5 * (steps[before, c, p] + steps[after, c, p])) ** 2
    return square


@compiled
def touching_state(gap, steps, touch_height, leave_height, touch_speed, leave_speed):
    """Contact state [T, P] bool with hysteresis both ways in time, so that neither end is unsure for lack of a past.

    The speed at a frame is that of the mean of the steps before and after; at the ends, of one.

    Args:
        gap: [T, P] m above the ground. steps: [T-1, 3, P] m/s along it between frames. Levels: m, m, m/s, m/s.
    """
    frames, count = gap.shape
    on, state = np.zeros((frames, count), np.bool_), np.zeros(count, np.bool_)
    for way in range(2):
        state[:] = False
        for i in range(frames):
            t = i if way == 0 else frames - 1 - i
            for p in range(count):
                speed = 0.0
                if frames > 1:
                    speed = math.sqrt(speed_square(steps, max(t - 1, 0), min(t, frames - 2), p))
                if gap[t, p] < touch_height and speed < touch_speed:
                    state[p] = True
                if gap[t, p] > leave_height or speed > leave_speed:
                    state[p] = False
                on[t, p] = state[p] or (way == 1 and on[t, p])
    return on
