"""What was seen of a body, as rows of numbers, and what a pose predicts of them, with derivatives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.camera.projection import NEAREST_M
from diffmocap.compiler import compiled_within
from diffmocap.lifting.correction import keypoint_jacobian
from diffmocap.lifting.correction.cholesky import is_number
from diffmocap.lifting.correction.keypoint_jacobian import MID_HIP
from diffmocap.lifting.correction.records import SHAPES, STEP, TANGENT

_IMAGE = 2 * NUM_KEYPOINTS


class Observation(NamedTuple):
    """Keypoints of B images as n rows, float64: 25 x, 25 y, and, if any is known, 25 depths.

    Attributes:
        values: [B, n] keypoints on the plane at depth 1 over the box's half-size, and depths beyond the mid-hip [m].
        seen: [B, n] bool; values are 0 elsewhere. A keypoint's x is seen where its y is.
        half_size: [B] of the box on the plane at depth 1.
        relative_noise: [B, n] how much noisier a row is than others.
    """

    values: np.ndarray
    seen: np.ndarray
    half_size: np.ndarray
    relative_noise: np.ndarray

    @classmethod
    def of(
        cls, rays: np.ndarray, half_size: np.ndarray, confidence: np.ndarray, depth: np.ndarray | None = None,
        depth_known: np.ndarray | None = None, relative_noise: np.ndarray | None = None,
    ) -> Observation:  # fmt: skip
        """Of what a detector says.

        Args:
            rays: [B, 25, 2] keypoints on the plane at depth 1. half_size: [B] of their box there.
            confidence: [B, 25]; 0 is missing.
            depth: [B, 25] m beyond the mid-hip, where ``depth_known`` [B, 25] is not 0.
            relative_noise: [B, 25] of each keypoint; None: all are alike.
        """
        half_size = np.ascontiguousarray(half_size, np.float64)
        with_depth = depth is not None and bool((np.asarray(depth_known) > 0).any())
        values = np.zeros((len(half_size), (2 + with_depth) * NUM_KEYPOINTS))
        seen = np.zeros(values.shape, bool)
        image = np.asarray(confidence) > 0
        # What is missing may lie anywhere, or be NaN.
        scaled = np.divide(rays, half_size[:, None, None], where=image[..., None], out=np.zeros((*image.shape, 2)))
        for a in range(2):
            rows = slice(a * NUM_KEYPOINTS, (a + 1) * NUM_KEYPOINTS)
            values[:, rows], seen[:, rows] = scaled[..., a], image
        if with_depth:
            known = image & (np.asarray(depth_known) > 0)
            values[:, _IMAGE:], seen[:, _IMAGE:] = np.where(known, depth, 0.0), known
        noise = np.ones(values.shape)
        if relative_noise is not None:
            noise.reshape(len(noise), -1, NUM_KEYPOINTS)[:] = np.asarray(relative_noise)[:, None]
        return cls(values, seen, half_size, noise)


@compiled_within
def residual(values, half_size, posed, place, out):
    """``values`` [n] minus what a body predicts whose pelvis lies at ``place`` [3] m; what is not seen is predicted
    too."""
    for k in range(NUM_KEYPOINTS):
        z = posed.points[k, 2] + place[2]
        scale = 1.0 / (max(z, NEAREST_M) * half_size)
        out[k] = values[k] - (posed.points[k, 0] + place[0]) * scale
        out[NUM_KEYPOINTS + k] = values[NUM_KEYPOINTS + k] - (posed.points[k, 1] + place[1]) * scale
        if len(values) > _IMAGE:
            out[_IMAGE + k] = values[_IMAGE + k] - (posed.points[k, 2] - posed.points[MID_HIP, 2])


@compiled_within
def pack(seen, posed, depth_m, packed):
    """Which rows are used: seen [n], and not so near to the camera, or behind it, that no image is formed.

    Args:
        depth_m: of the pelvis.
    """
    images = 0
    for k in range(NUM_KEYPOINTS):
        if seen[k] and posed.points[k, 2] + depth_m > NEAREST_M:
            packed.keypoint[images] = packed.row[images] = k
            images += 1
    depths = 0
    for i in range(images):
        k = packed.keypoint[i]
        packed.keypoint[images + i], packed.row[images + i] = k, NUM_KEYPOINTS + k
        if len(seen) > _IMAGE and seen[_IMAGE + k]:
            packed.keypoint[2 * images + depths], packed.row[2 * images + depths] = k, _IMAGE + k
            depths += 1
    packed.counts[0], packed.counts[1] = images, depths
    packed.used[:] = False
    for i in range(2 * images + depths):
        packed.used[packed.row[i]] = True


@compiled_within
def differentiate(body, posed, place, half_size, turns, packed, derivatives):
    """Derivatives of the used rows by the joints, the place and the shape.

    Args:
        place: [3] m of the pelvis. turns: [24, 3, 3], see :func:`~.keypoint_jacobian.by_joints`.
    """
    keypoint_jacobian.by_joints(body, posed, turns, derivatives)
    keypoint_jacobian.by_shape(body, posed, derivatives)
    images, keypoint, points = packed.counts[0], packed.keypoint, posed.points
    to_joints, to_place, to_shape = derivatives.by_joints, derivatives.by_place, derivatives.by_shape
    for row in range(2 * images):
        k, a = keypoint[row], 0 if row < images else 1
        z = points[k, 2] + place[2]
        scale = 1.0 / (z * half_size)
        slope = -scale * (points[k, a] + place[a]) / z
        to_place[row, 0], to_place[row, 1], to_place[row, 2] = 0.0, 0.0, slope
        to_place[row, a] = scale
        across, along, out = derivatives.points_by_joints[k, a], derivatives.points_by_joints[k, 2], to_joints[row]
        for c in range(TANGENT):
            out[c] = scale * across[c] + slope * along[c]
        across, along, out = derivatives.points_by_shape[k, a], derivatives.points_by_shape[k, 2], to_shape[row]
        for s in range(SHAPES):
            out[s] = scale * across[s] + slope * along[s]
    for row in range(2 * images, 2 * images + packed.counts[1]):
        k = keypoint[row]
        to_place[row, 0], to_place[row, 1], to_place[row, 2] = 0.0, 0.0, 0.0
        own, hip, out = derivatives.points_by_joints[k, 2], derivatives.points_by_joints[MID_HIP, 2], to_joints[row]
        for c in range(TANGENT):
            out[c] = own[c] - hip[c]
        own, hip, out = derivatives.points_by_shape[k, 2], derivatives.points_by_shape[MID_HIP, 2], to_shape[row]
        for s in range(SHAPES):
            out[s] = own[s] - hip[s]


@compiled_within
def step_moves(body, packed, derivatives, row, step):
    """What a step [75] adds to the prediction of a packed row, to first order."""
    k, total = packed.keypoint[row], 0.0
    for i in range(body.mover_count[k]):
        j = 3 * body.movers[k, i]
        for c in range(j, j + 3):
            total += derivatives.by_joints[row, c] * step[c]
    for a in range(3):
        total += derivatives.by_place[row, a] * step[TANGENT + a]
    return total


@compiled_within
def gather(body, packed, derivatives, gain, out):
    """``derivatives^T gain`` [75] of a vector of the packed rows."""
    for c in range(STEP):
        out[c] = 0.0
    for row in range(2 * packed.counts[0] + packed.counts[1]):
        k = packed.keypoint[row]
        for i in range(body.mover_count[k]):
            j = 3 * body.movers[k, i]
            for c in range(j, j + 3):
                out[c] += derivatives.by_joints[row, c] * gain[row]
        for a in range(3):
            out[TANGENT + a] += derivatives.by_place[row, a] * gain[row]


@compiled_within
def is_finite(rotations, place):
    """Whether a pose [24, 3, 3] and its place [3] are numbers."""
    total = 0.0
    for j in range(NUM_JOINTS):
        for a in range(3):
            for c in range(3):
                total += abs(rotations[j, a, c])
    return is_number(total + abs(place[0]) + abs(place[1]) + abs(place[2]))
