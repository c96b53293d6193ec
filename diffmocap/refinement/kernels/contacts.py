"""Contact points of a window: gaps, steps along the ground, states."""

from __future__ import annotations

import math

import numpy as np

from diffmocap.compiler import compiled


@compiled
def contact_motion(centres, radius, up, height, dt_s):
    """Gaps [T, P] m above the ground and velocities along it between frames [T-1, 3, P] m/s, of centres [T, 3, P] m."""
    frames, count = len(centres), len(radius)
    gap, steps = np.empty((frames, count)), np.empty((max(frames - 1, 0), 3, count))
    for t in range(len(centres)):
        for p in range(len(radius)):
            level = centres[t, 0, p] * up[0] + centres[t, 1, p] * up[1] + centres[t, 2, p] * up[2]
            gap[t, p] = level - (radius[p] + height)
            if t:
                for c in range(3):
                    steps[t - 1, c, p] = (centres[t, c, p] - centres[t - 1, c, p]) / dt_s
                rise = steps[t - 1, 0, p] * up[0] + steps[t - 1, 1, p] * up[1] + steps[t - 1, 2, p] * up[2]
                for c in range(3):
                    steps[t - 1, c, p] -= rise * up[c]
    return gap, steps


@compiled
def contact_motion_vjp(of_gap, of_steps, up, dt_s, of_centres):
    """Adds to ``of_centres`` [T, 3, P] for the gradients of gaps and steps."""
    frames, count = of_gap.shape
    for t in range(frames):
        for p in range(count):
            for c in range(3):
                of_centres[t, c, p] += up[c] * of_gap[t, p]
            if t:
                rise = of_steps[t - 1, 0, p] * up[0] + of_steps[t - 1, 1, p] * up[1] + of_steps[t - 1, 2, p] * up[2]
                for c in range(3):
                    along = (of_steps[t - 1, c, p] - rise * up[c]) / dt_s
                    of_centres[t, c, p] += along
                    of_centres[t - 1, c, p] -= along


@compiled
def touching_state(gap, steps, touch_height, leave_height, touch_speed, leave_speed):
    """Contact state [T, P] bool with hysteresis both ways in time, so that neither end is unsure for lack of a past.

    The speed at a frame is that of the mean of the steps before and after; at the ends, of one. See
    :class:`diffmocap.physics.contact_state.ContactLevels`.
    """
    frames, count = gap.shape
    on, state = np.zeros((frames, count), np.bool_), np.zeros(count, np.bool_)
    for way in range(2):
        state[:] = False
        for i in range(frames):
            t = i if way == 0 else frames - 1 - i
            for p in range(count):
                square = 0.0
                if frames > 1:
                    before, after = max(t - 1, 0), min(t, frames - 2)
                    for c in range(3):
                        square += (0.5 * (steps[before, c, p] + steps[after, c, p])) ** 2
                speed = math.sqrt(square + 1e-12) if frames > 1 else 0.0
                if gap[t, p] < touch_height and speed < touch_speed:
                    state[p] = True
                if gap[t, p] > leave_height or speed > leave_speed:
                    state[p] = False
                on[t, p] = state[p] or (way == 1 and on[t, p])
    return on
