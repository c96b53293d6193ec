"""The ray head of :class:`~diffmocap.lifting.network.ray_denoiser.RayDenoiser` as machine code.

As torch operations on one pose the head costs more than the network before it: some two hundred calls on a few numbers
each. The law is the torch code, with which the tests hold this one together.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.lifting.network.ray_head import DEPTH_M, MOVE_MISSING, MOVE_SEEN, REACH_M

_PARENTS = np.array(PARENTS)
_POSE = NUM_JOINTS * 6
_GATE, _SPREAD, _DISTANCE = _POSE, _POSE + NUM_JOINTS, _POSE + 2 * NUM_JOINTS
_BEYOND = _DISTANCE + 1
_TRUST = _BEYOND + NUM_KEYPOINTS
_MOVE = _TRUST + NUM_KEYPOINTS


@compiled
def assemble(raw, points, half_size, depth, depth_known, seen, told, mean, std, bones, offsets, carrier, vectors,
             has_secondary, turn_of, facing, out):  # fmt: skip
    """x0 of B rows into ``out`` [B, 24, 6].

    Args:
        raw: [B, 144 + 48 + HEAD_SIZE] of the trunk. points [B, 25, 2], half_size [B], depth, depth_known, seen
            [B, 25], told [B]: as in ``RayCode``. mean, std: [24, 6]. bones: [24, 3] m from each joint's parent at rest.
            offsets, carrier, vectors, has_secondary, turn_of, facing: the head's buffers.
    """
    local = np.empty((NUM_JOINTS, 3, 3))
    turned = np.empty((NUM_JOINTS, 3, 3))
    joints = np.empty((NUM_JOINTS, 3))
    own = np.empty((NUM_KEYPOINTS, 3))
    placed = np.empty((NUM_KEYPOINTS, 3))
    turns = np.empty((len(has_secondary), 3, 3))
    work = np.empty((8, 3))
    temporary = np.empty((3, 3, 3))
    for b in range(len(raw)):
        for j in range(NUM_JOINTS):
            _matrix(raw[b], j, mean, std, work, local[j])
        _kinematics(local, bones, turned, joints)
        distance = REACH_M / half_size[b] * math.exp(min(max(raw[b, _DISTANCE], -1.5), 1.5))
        for k in range(NUM_KEYPOINTS):
            trust = 1.0 / (1.0 + math.exp(-(raw[b, _TRUST + k] + 2.0)))
            z = distance + DEPTH_M * raw[b, _BEYOND + k] + trust * depth_known[b, k] * depth[b, k]
            unit = MOVE_SEEN if seen[b, k] else MOVE_MISSING
            for a in range(2):
                placed[k, a] = (points[b, k, a] + unit * raw[b, _MOVE + 2 * k + a]) * half_size[b] * z
            placed[k, 2] = z
            at = carrier[k]
            for a in range(3):
                placed[k, a] *= facing[a]
                own[k, a] = joints[at, a]
                for c in range(3):
                    own[k, a] += turned[at, a, c] * offsets[k, c]
        n = len(has_secondary)
        for i in range(n):
            _combine(vectors[i], own, work[0])
            _combine(vectors[i], placed, work[1])
            _combine(vectors[n + i], own, work[2])
            _combine(vectors[n + i], placed, work[3])
            _two_vector_turn(work, has_secondary[i], temporary, turns[i])
        for j in range(NUM_JOINTS):
            parent = _PARENTS[j]
            # Of the new global rotations: local = (T_p G_p)^T T_j G_j.
            _product(turns[turn_of[j]], turned[j], temporary[0])
            if parent >= 0:
                _product(turns[turn_of[parent]], turned[parent], temporary[1])
                _transposed_product(temporary[1], temporary[0], temporary[2])
            else:
                temporary[2] = temporary[0]
            share = told[b] / (1.0 + math.exp(-(raw[b, _GATE + j] + 2.0)))
            for c in range(2):
                for a in range(3):
                    e = 3 * c + a
                    head = (temporary[2, a, c] - mean[j, e]) / std[j, e]
                    trunk = raw[b, 6 * j + e]
                    out[b, j, e] = trunk + share * (head - trunk)


@compiled
def _matrix(raw, j, mean, std, work, out):
    """Rotation of the trunk's 6D vector of joint j, by Gram-Schmidt."""
    x, y = work[0], work[1]
    for a in range(3):
        x[a] = raw[6 * j + a] * std[j, a] + mean[j, a]
        y[a] = raw[6 * j + 3 + a] * std[j, 3 + a] + mean[j, 3 + a]
    _normalise(x, 1e-12)
    along = x[0] * y[0] + x[1] * y[1] + x[2] * y[2]
    for a in range(3):
        y[a] -= along * x[a]
    _normalise(y, 1e-12)
    for a in range(3):
        p, q = (a + 1) % 3, (a + 2) % 3
        out[a, 0], out[a, 1], out[a, 2] = x[a], y[a], x[p] * y[q] - x[q] * y[p]


@compiled
def _kinematics(local, bones, turned, joints):
    """Global rotations and joints [24, 3] about the pelvis."""
    turned[0] = local[0]
    joints[0] = 0.0
    for j in range(1, NUM_JOINTS):
        parent = _PARENTS[j]
        _product(turned[parent], local[j], turned[j])
        for a in range(3):
            joints[j, a] = joints[parent, a]
            for c in range(3):
                joints[j, a] += turned[parent, a, c] * bones[j, c]


@compiled
def _two_vector_turn(work, has_secondary, temporary, out):
    """``swing.two_vector_turns`` of work's rows: primary from, primary to, secondary from, secondary to."""
    start, axis = work[4], work[5]
    start[:], axis[:] = work[0], work[1]
    _normalise(start, 1e-6)
    _normalise(axis, 1e-6)
    v = work[6]
    for a in range(3):
        p, q = (a + 1) % 3, (a + 2) % 3
        v[a] = start[p] * axis[q] - start[q] * axis[p]
    cosine = start[0] * axis[0] + start[1] * axis[1] + start[2] * axis[2]
    first = temporary[0]
    _rotation(v, 1.0, 1.0 / max(1.0 + cosine, 4e-5), first)
    p, q = work[6], work[7]
    _apply(first, work[2], p)
    q[:] = work[3]
    for vector in (p, q):
        along = vector[0] * axis[0] + vector[1] * axis[1] + vector[2] * axis[2]
        for a in range(3):
            vector[a] -= along * axis[a]
    cosine = p[0] * q[0] + p[1] * q[1] + p[2] * q[2]
    sine = 0.0
    for a in range(3):
        i, j = (a + 1) % 3, (a + 2) % 3
        sine += (p[i] * q[j] - p[j] * q[i]) * axis[a]
    length = math.sqrt(cosine * cosine + sine * sine + 1e-12)
    weight = has_secondary * length / (length + 1e-6)
    sine, cosine = weight * sine / length, 1.0 - weight + weight * cosine / length
    norm = math.sqrt(sine * sine + cosine * cosine + 1e-12)
    _rotation(axis, sine / norm, 1.0 - cosine / norm, temporary[1])
    _product(temporary[1], first, out)


@compiled
def _rotation(v, first, second, out):
    """``I + first [v] + second [v]^2``."""
    square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
    for a in range(3):
        for c in range(3):
            out[a, c] = second * v[a] * v[c]
        out[a, a] += 1.0 - second * square
    out[0, 1] -= first * v[2]
    out[1, 0] += first * v[2]
    out[0, 2] += first * v[1]
    out[2, 0] -= first * v[1]
    out[1, 2] -= first * v[0]
    out[2, 1] += first * v[0]


@compiled
def _combine(weights, points, out):
    out[:] = 0.0
    for k in range(NUM_KEYPOINTS):
        if weights[k] != 0.0:
            for a in range(3):
                out[a] += weights[k] * points[k, a]


@compiled
def _normalise(v, least):
    length = max(math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]), least)
    for a in range(3):
        v[a] /= length


@compiled
def _apply(R, v, out):
    for a in range(3):
        out[a] = R[a, 0] * v[0] + R[a, 1] * v[1] + R[a, 2] * v[2]


@compiled
def _product(A, B, out):
    for a in range(3):
        for c in range(3):
            out[a, c] = A[a, 0] * B[0, c] + A[a, 1] * B[1, c] + A[a, 2] * B[2, c]


@compiled
def _transposed_product(A, B, out):
    for a in range(3):
        for c in range(3):
            out[a, c] = A[0, a] * B[0, c] + A[1, a] * B[1, c] + A[2, a] * B[2, c]
