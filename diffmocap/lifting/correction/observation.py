"""What was seen of a body, as rows of numbers, and what a pose predicts of them, with derivatives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.camera.projection import NEAREST_M
from diffmocap.compiler import compiled
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
        # What is missing may lie anywhere, or be no number.
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


@compiled
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


@compiled
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


@compiled
def differentiate(body, posed, place, half_size, turns, packed, derivatives):
    """Derivatives of the used rows by the joints, the place and the shape.

    Args:
        place: [3] m of the pelvis. turns: [24, 3, 3], see :func:`keypoint_jacobian.by_joints`.
    """
    images, depths = packed.counts[0], packed.counts[1]
    keypoint_jacobian.joints_by_shape(body, posed, derivatives)
    if depths > 0:
        _of_keypoint(body, posed, turns, MID_HIP, derivatives)
    for i in range(images):
        k = packed.keypoint[i]
        _of_keypoint(body, posed, turns, k, derivatives)
        z = posed.points[k, 2] + place[2]
        scale = 1.0 / (z * half_size)
        for a in range(2):
            row, slope = a * images + i, -scale * (posed.points[k, a] + place[a]) / z
            derivatives.by_place[row] = 0.0
            derivatives.by_place[row, a], derivatives.by_place[row, 2] = scale, slope
            joints, shape = derivatives.points_by_joints[k], derivatives.points_by_shape[k]
            for c in range(TANGENT):
                derivatives.by_joints[row, c] = scale * joints[a, c] + slope * joints[2, c]
            for s in range(SHAPES):
                derivatives.by_shape[row, s] = scale * shape[a, s] + slope * shape[2, s]
    for row in range(2 * images, 2 * images + depths):
        joints, hip = derivatives.points_by_joints[packed.keypoint[row]], derivatives.points_by_joints[MID_HIP]
        shape, of_hip = derivatives.points_by_shape[packed.keypoint[row]], derivatives.points_by_shape[MID_HIP]
        derivatives.by_place[row] = 0.0
        for c in range(TANGENT):
            derivatives.by_joints[row, c] = joints[2, c] - hip[2, c]
        for s in range(SHAPES):
            derivatives.by_shape[row, s] = shape[2, s] - of_hip[2, s]


@compiled
def _of_keypoint(body, posed, turns, k, derivatives):
    keypoint_jacobian.by_joints(body, posed, turns, k, derivatives)
    keypoint_jacobian.by_shape(body, posed, k, derivatives)


@compiled
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


@compiled
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


@compiled
def is_finite(rotations, place):
    """Whether a pose [24, 3, 3] and its place [3] are numbers."""
    total = 0.0
    for j in range(NUM_JOINTS):
        for a in range(3):
            for c in range(3):
                total += abs(rotations[j, a, c])
    return is_number(total + abs(place[0]) + abs(place[1]) + abs(place[2]))
