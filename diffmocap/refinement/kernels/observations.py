"""What holds a window to observations and anatomy: keypoints, hypotheses, joint limits.

Values and gradients of :mod:`diffmocap.refinement.window.data` and :mod:`diffmocap.refinement.window.joint_limits`;
each function adds to the gradients that it is given, times the term's ``weight``, and returns the term before that.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.compiler import compiled
from diffmocap.refinement.window.data import NEAREST_M


@compiled
def reprojection(points, camera, observed, confidence, metres_a_pixel, robust_m, weight, of_points):
    """m^2; ``points`` and ``of_points`` [T, 3, 25] m, camera [3, 4], observed [T, 2, 25] px."""
    total = 0.0
    for t in range(len(points)):
        scale = metres_a_pixel[t]
        for k in range(NUM_KEYPOINTS):
            share = confidence[t, k]
            if share == 0.0:
                continue
            x, y, z = points[t, 0, k], points[t, 1, k], points[t, 2, k]
            depth = camera[2, 0] * x + camera[2, 1] * y + camera[2, 2] * z + camera[2, 3]
            if not depth > NEAREST_M:
                if depth != depth:
                    return depth
                continue
            u = (camera[0, 0] * x + camera[0, 1] * y + camera[0, 2] * z + camera[0, 3]) / depth
            v = (camera[1, 0] * x + camera[1, 1] * y + camera[1, 2] * z + camera[1, 3]) / depth
            across, down = (u - observed[t, 0, k]) * scale, (v - observed[t, 1, k]) * scale
            relative = (across * across + down * down) / (robust_m * robust_m)
            total += share * math.log1p(relative)
            slope = 2.0 * weight * share * scale / ((relative + 1.0) * depth)
            across, down = across * slope, down * slope
            along = -(across * u + down * v)
            for c in range(3):
                of_points[t, c, k] += camera[0, c] * across + camera[1, c] * down + camera[2, c] * along
    return robust_m * robust_m * total


@compiled
def hypotheses(rotations, pelvis, target, constant, places, precision, log_weights, lifted, weight, of_rotations,
               of_pelvis):  # fmt: skip
    """nats; ``rotations`` and ``of_rotations`` [T, 216], ``pelvis`` and ``of_pelvis`` [T, 3]."""
    count = target.shape[1]
    exponent, turned, weighed = np.empty(count), np.empty(count), np.empty((count, 3))
    total = 0.0
    for t in range(len(rotations)):
        if lifted[t] == 0.0:
            continue
        largest = -np.inf
        for k in range(count):
            exponent[k] = -np.inf
            if log_weights[t, k] == -np.inf:
                continue
            product = 0.0
            for i in range(9 * NUM_JOINTS):
                product += target[t, k, i] * rotations[t, i]
            turned[k] = constant[t] - product
            away = 0.0
            for c in range(3):
                weighed[k, c] = 0.0
                for d in range(3):
                    weighed[k, c] += (pelvis[t, d] - places[t, k, d]) * precision[t, d, c]
                away += weighed[k, c] * (pelvis[t, c] - places[t, k, c])
            if turned[k] != turned[k] or away != away:
                return np.nan
            exponent[k] = log_weights[t, k] - 0.5 * (max(turned[k], 0.0) + away)
            largest = max(largest, exponent[k])
        mass = 0.0
        for k in range(count):
            exponent[k] = math.exp(exponent[k] - largest)
            mass += exponent[k]
        total -= lifted[t] * (largest + math.log(mass))
        for k in range(count):
            share = weight * lifted[t] * exponent[k] / mass
            if share == 0.0:
                continue
            for c in range(3):
                of_pelvis[t, c] += share * weighed[k, c]
            if turned[k] > 0.0:
                for i in range(9 * NUM_JOINTS):
                    of_rotations[t, i] -= 0.5 * share * target[t, k, i]
    return total


@compiled
def joint_limits(rotations, entries, signs, middle, half, weight, of_rotations):
    """rad^2; ``rotations`` and ``of_rotations`` [T, 216]. ``entries`` [5, 23], ``signs``, ``middle`` and ``half``
    [3, 23] are those of :class:`diffmocap.refinement.window.joint_limits.LimitExcess`."""
    total, frames = 0.0, len(rotations)
    sines, cosines, of_sine, of_cosine = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for t in range(frames):
        for j in range(NUM_JOINTS - 1):
            ac, bc, cc = rotations[t, entries[0, j]], rotations[t, entries[1, j]], rotations[t, entries[2, j]]
            ab, aa = rotations[t, entries[3, j]], rotations[t, entries[4, j]]
            across = math.sqrt(aa * aa + 1e-12 + ab * ab)
            sines[0], sines[1], sines[2] = bc * signs[0, j], ac * signs[1, j], ab * signs[2, j]
            cosines[0], cosines[1], cosines[2] = cc, across, aa
            bent = False
            for i in range(3):
                of_sine[i] = of_cosine[i] = 0.0
                beyond = math.atan2(sines[i], cosines[i]) - middle[i, j]
                excess = abs(beyond) - half[i, j]
                if excess > 0.0:
                    bent = True
                    total += excess * excess
                    turning = 2.0 * weight / frames * excess * (1.0 if beyond > 0.0 else -1.0)
                    turning /= max(sines[i] * sines[i] + cosines[i] * cosines[i], 1e-30)
                    of_sine[i], of_cosine[i] = turning * cosines[i] * signs[i, j], -turning * sines[i]
            if bent:
                ratio = of_cosine[1] / across
                of_rotations[t, entries[0, j]] += of_sine[1]
                of_rotations[t, entries[1, j]] += of_sine[0]
                of_rotations[t, entries[2, j]] += of_cosine[0]
                of_rotations[t, entries[3, j]] += of_sine[2] + ratio * ab
                of_rotations[t, entries[4, j]] += of_cosine[2] + ratio * aa
    return total / frames
