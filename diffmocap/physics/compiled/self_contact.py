"""How deep a body's capsules overlap, and the gradient of that: :mod:`diffmocap.physics.self_contact`."""

from __future__ import annotations

import math

import numpy as np

from diffmocap.compiler import compiled, inlined
from diffmocap.physics.compiled.vectors import add, add_cross, dot, times


@compiled
def overlap_squares(rotations, joints, ends, radius, pairs, tolerance_m, of_turns, of_joints):
    """m^2 of how far pairs of capsules overlap beyond the tolerance: the sum over pairs, the mean over frames.

    The nearest points of two segments are where their distance no longer changes along either, or at an end: so its
    gradient is that of the distance between these points, held where they are on their segments.

    Args:
        rotations: [T, 24, 3, 3] global. joints: [T, 24, 3] m.
        ends: [2, 24, 3] m, both ends of each segment's line relative to its joint, in its axes. radius: [24] m.
        pairs: [P, 2] int. of_turns, of_joints: [T, 24, 3], filled with the gradients of the global rotations' turns,
            about their joints, and of the joints.
    """
    frames, count = len(joints), len(radius)
    total, levers, middle, reach = 0.0, np.empty((2, count, 3)), np.empty((count, 3)), np.empty(count)
    arms, apart = np.empty((2, 3)), np.empty(3)
    of_turns[:], of_joints[:] = 0.0, 0.0
    for j in range(count):
        square = 0.0
        for c in range(3):
            square += (0.5 * (ends[1, j, c] - ends[0, j, c])) ** 2
        reach[j] = math.sqrt(square) + radius[j]
    for t in range(frames):
        for j in range(count):
            times(rotations[t, j], ends[0, j], levers[0, j])
            times(rotations[t, j], ends[1, j], levers[1, j])
            for c in range(3):
                middle[j, c] = joints[t, j, c] + 0.5 * (levers[0, j, c] + levers[1, j, c])
        for p in range(len(pairs)):
            a, b = pairs[p]
            for c in range(3):
                apart[c] = middle[a, c] - middle[b, c]
            if dot(apart, apart) > (reach[a] + reach[b] - tolerance_m) ** 2:
                continue
            first, second = _nearest(joints[t, a], joints[t, b], levers[:, a], levers[:, b])
            for c in range(3):
                arms[0, c] = levers[0, a, c] + first * (levers[1, a, c] - levers[0, a, c])
                arms[1, c] = levers[0, b, c] + second * (levers[1, b, c] - levers[0, b, c])
                apart[c] = joints[t, a, c] + arms[0, c] - joints[t, b, c] - arms[1, c]
            distance = math.sqrt(dot(apart, apart))
            depth = radius[a] + radius[b] - distance - tolerance_m
            if not depth > 0.0:
                continue
            total += depth * depth / frames
            slope = -2.0 * depth / (max(distance, 1e-9) * frames)
            add(apart, slope, of_joints[t, a])
            add(apart, -slope, of_joints[t, b])
            add_cross(arms[0], apart, slope, of_turns[t, a])
            add_cross(arms[1], apart, -slope, of_turns[t, b])
    return total


@inlined
def _nearest(joint, other, levers, others):
    """Shares of the way along two segments, from [2, 3] m relative to their joints [3] m, at which they are nearest
    (Ericson 2005, "Real-Time Collision Detection", section 5.1.9)."""
    aa, bb, ab, ar, br = 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(3):
        along, across = levers[1, c] - levers[0, c], others[1, c] - others[0, c]
        between = joint[c] + levers[0, c] - other[c] - others[0, c]
        aa += along * along
        bb += across * across
        ab += along * across
        ar += along * between
        br += across * between
    determinant = aa * bb - ab * ab
    first = 0.0
    if determinant > 1e-12:
        first = min(max((ab * br - ar * bb) / determinant, 0.0), 1.0)
    second = (ab * first + br) / max(bb, 1e-12)
    if second < 0.0 or second > 1.0:
        second = min(max(second, 0.0), 1.0)
        first = min(max((ab * second - ar) / max(aa, 1e-12), 0.0), 1.0)
    return first, second
