"""Keypoints with their analytic derivatives by joint rotations and by body shape, as machine code.

A keypoint is a weighted sum of parts that each follow one joint: a joint itself, two joints for a midpoint, the
joints that a vertex is skinned to. Turning joint j by a small vector w in world axes moves every point x below it by
``w x (x - p_j)``; what a part's joint and those above it do adds up. Pose-dependent skin counts in the keypoints and is
left out of derivatives.
"""

from __future__ import annotations

import numpy as np
import torch

from diffmocap.body.kinematics import bone_offsets
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES, NUM_JOINTS, NUM_KEYPOINTS, PARENTS
from diffmocap.compiler import array, compiled_within
from diffmocap.lifting.correction.records import SHAPES, KeypointBody

MID_HIP = KEYPOINT_NAMES.index("MidHip")
_PARENTS = np.array(PARENTS)


def keypoint_body(body: BodyModel) -> KeypointBody:
    """Of a body in its mean shape, on any device."""
    parts = body.keypoint_parts()
    order = torch.argsort(parts.keypoint, stable=True)
    keypoint, joint = parts.keypoint[order].cpu().numpy(), parts.joint[order].cpu().numpy()
    rest = array(body.rest_joints())[0]
    by_shape = array(body.rest_joints(torch.eye(SHAPES, device=body.device))) - rest
    rest_dirs = np.moveaxis(by_shape, 0, -1)
    raw = array(parts.template[order]) - rest[joint]
    pose_dirs = np.zeros((0, 3, 9 * (NUM_JOINTS - 1))) if parts.pose_dirs is None else array(parts.pose_dirs[order])
    still = (raw == 0.0).all(1)  # what lies in the joint itself is moved by those above
    if len(pose_dirs):
        still &= (pose_dirs == 0.0).all((1, 2))
        # Offsets follow the rotations' distance from the identity.
        raw = raw - pose_dirs @ np.tile(np.eye(3).ravel(), NUM_JOINTS - 1)
    turned_by = np.where(still, _PARENTS[joint], joint)
    movers, count = np.zeros((NUM_KEYPOINTS, NUM_JOINTS), np.int64), np.zeros(NUM_KEYPOINTS, np.int64)
    for k in range(NUM_KEYPOINTS):
        found = {above for j in turned_by[(keypoint == k) | (keypoint == MID_HIP)] for above in _chain(int(j))}
        count[k] = len(found)  # depths are told beyond the mid-hip, which moves too
        movers[k, : count[k]] = sorted(found)
    bone, bone_dirs = (bone_offsets(torch.from_numpy(x)).numpy() for x in (rest, by_shape))
    offset_dirs = array(parts.shape_dirs[order]) - rest_dirs[joint]
    return KeypointBody(
        np.searchsorted(keypoint, np.arange(NUM_KEYPOINTS + 1)).astype(np.int64), joint.astype(np.int64),
        array(parts.weight[order]), np.ascontiguousarray(raw), turned_by.astype(np.int64), pose_dirs, bone,
        np.ascontiguousarray(np.moveaxis(bone_dirs, 0, -1)), np.ascontiguousarray(offset_dirs), movers, count,
    )  # fmt: skip


def _chain(joint: int) -> list[int]:
    """A joint and those above it."""
    return [] if joint < 0 else [joint, *_chain(PARENTS[joint])]


@compiled_within
def pose(body, rotations, posed):
    """``posed`` of local rotations [24, 3, 3]."""
    turned, joints = posed.rotations, posed.joints
    for j in range(NUM_JOINTS):
        up = _PARENTS[j]
        for a in range(3):
            if up < 0:
                joints[j, a] = 0.0
                for c in range(3):
                    turned[j, a, c] = rotations[j, a, c]
            else:
                x, y, z = turned[up, a, 0], turned[up, a, 1], turned[up, a, 2]
                joints[j, a] = joints[up, a] + x * body.bone[j, 0] + y * body.bone[j, 1] + z * body.bone[j, 2]
                for c in range(3):
                    turned[j, a, c] = x * rotations[j, 0, c] + y * rotations[j, 1, c] + z * rotations[j, 2, c]
    flat = rotations.reshape(9 * NUM_JOINTS)
    for k in range(NUM_KEYPOINTS):
        for a in range(3):
            posed.points[k, a] = 0.0
        for p in range(body.first[k], body.first[k + 1]):
            j = body.joint[p]
            x, y, z = body.offset[p, 0], body.offset[p, 1], body.offset[p, 2]
            if len(body.pose_dirs) > 0:
                x += _dot(body.pose_dirs[p, 0], flat[9:])
                y += _dot(body.pose_dirs[p, 1], flat[9:])
                z += _dot(body.pose_dirs[p, 2], flat[9:])
            for a in range(3):
                posed.parts[p, a] = joints[j, a] + turned[j, a, 0] * x + turned[j, a, 1] * y + turned[j, a, 2] * z
                posed.points[k, a] += body.weight[p] * posed.parts[p, a]


@compiled_within
def _dot(a, b):
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled_within
def by_joints(body, posed, turns, derivatives):
    """Derivatives [25, 3, 72] m of the keypoints by the joints' tangent vectors, into ``points_by_joints``.

    Args:
        turns: [24, 3, 3] from a joint's tangent vector to world axes: its global rotation, for small turns about the
            pose itself.
    """
    first, turned_by, weight, movers, count = body.first, body.turned_by, body.weight, body.movers, body.mover_count
    parts, joints, arms, points = posed.parts, posed.joints, derivatives.arms, derivatives.points_by_joints
    for k in range(NUM_KEYPOINTS):
        for i in range(count[k]):
            for a in range(3):
                arms[movers[k, i], a] = 0.0
        for p in range(first[k], first[k + 1]):
            j = turned_by[p]
            while j >= 0:
                for a in range(3):
                    arms[j, a] += weight[p] * (parts[p, a] - joints[j, a])
                j = _PARENTS[j]
        for i in range(count[k]):
            j = movers[k, i]
            x, y, z = arms[j, 0], arms[j, 1], arms[j, 2]
            for c in range(3):
                u, v, w = turns[j, 0, c], turns[j, 1, c], turns[j, 2, c]
                points[k, 0, 3 * j + c] = v * z - w * y
                points[k, 1, 3 * j + c] = w * x - u * z
                points[k, 2, 3 * j + c] = u * y - v * x


@compiled_within
def by_shape(body, posed, derivatives):
    """Derivatives [25, 3, 10] m of the keypoints by the shape's ten numbers, the pelvis held, into
    ``points_by_shape``."""
    turned, joints, points = posed.rotations, derivatives.joints_by_shape, derivatives.points_by_shape
    for a in range(3):
        for s in range(SHAPES):
            joints[0, a, s] = 0.0
    for j in range(1, NUM_JOINTS):
        up, along = _PARENTS[j], body.bone_dirs[j]
        for a in range(3):
            x, y, z = turned[up, a, 0], turned[up, a, 1], turned[up, a, 2]
            for s in range(SHAPES):
                joints[j, a, s] = joints[up, a, s] + x * along[0, s] + y * along[1, s] + z * along[2, s]
    for k in range(NUM_KEYPOINTS):
        for a in range(3):
            for s in range(SHAPES):
                points[k, a, s] = 0.0
        for p in range(body.first[k], body.first[k + 1]):
            j, weight, along = body.joint[p], body.weight[p], body.offset_dirs[p]
            for a in range(3):
                x, y, z = turned[j, a, 0], turned[j, a, 1], turned[j, a, 2]
                for s in range(SHAPES):
                    moved = joints[j, a, s] + x * along[0, s] + y * along[1, s] + z * along[2, s]
                    points[k, a, s] += weight * moved
