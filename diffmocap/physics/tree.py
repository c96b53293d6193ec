"""Sums along the kinematic tree as products with constant matrices: no loop over joints or levels.

``ANCESTORS[j, k]`` is 1 where k lies on the way from the pelvis to j, both ends included. A quantity that accumulates
outwards (positions, rates) is ``ANCESTORS @ x``, one that accumulates inwards (forces of everything beyond a joint) is
``ANCESTORS.T @ x``: with 24 joints one small matrix product, which costs less than eight gathers.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from diffmocap import compiler
from diffmocap.body.kinematics import along_tree
from diffmocap.body.skeleton import NUM_JOINTS, PARENTS


def _ancestors() -> torch.Tensor:
    matrix = torch.eye(NUM_JOINTS, dtype=torch.float64)
    for joint, parent in enumerate(PARENTS):  # parents come before their children
        if parent >= 0:
            matrix[joint] += matrix[parent]
    return matrix


_ANCESTORS = _ancestors()


def _doubling() -> tuple[list[int], ...]:
    """Ancestor 1, 2, 4 and 8 steps up; the pelvis's parent is a 25th entry, the frame itself, its own parent."""
    step = [p if p >= 0 else NUM_JOINTS for p in PARENTS] + [NUM_JOINTS]
    steps = []
    while any(s != NUM_JOINTS for s in step):
        steps.append(step)
        step = [step[s] for s in step]
    return tuple(steps)


_DOUBLING = _doubling()

# Cached tensors must not be made in inference mode: no gradient could pass through them.


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def ancestor_matrix(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """``ANCESTORS`` [24, 24]."""
    return _ANCESTORS.to(device=device, dtype=dtype)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def subtree_matrix(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """``ANCESTORS.T`` [24, 24]: row j is 1 at the segments that joint j carries, its own included."""
    return _ANCESTORS.T.contiguous().to(device=device, dtype=dtype)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _indices(device: torch.device) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(step, device=device) for step in _DOUBLING)


def carry_outwards(x: torch.Tensor) -> torch.Tensor:
    """Sum of x [..., 24, D] over each joint and its ancestors."""
    return ancestor_matrix(x.device, x.dtype) @ x


def global_poses(
    rotations: torch.Tensor, pelvis: torch.Tensor, offsets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Forward kinematics as :func:`diffmocap.body.kinematics.forward_kinematics`, in a third of the operations.

    Rotations are multiplied in spans of 1, 2, 4 and 8 joints (pointer doubling) and joints are summed edges, so
    16 operations do, which is what counts for a window of frames; the levels of ``forward_kinematics`` do fewer
    products, which is what counts for a thousand poses. Without gradients both are the same machine code.

    Args:
        rotations: [..., 24, 3, 3] local; entry 0 turns the body into the motion's frame.
        pelvis: [..., 3] m.
        offsets: [24, 3] m, see :class:`diffmocap.physics.segments.BodySegments`.

    Returns:
        Global rotations [..., 24, 3, 3] and joints [..., 24, 3] m.
    """
    batch = rotations.shape[:-3]
    flat = rotations.reshape(-1, NUM_JOINTS, 3, 3)
    if compiler.serves(rotations):
        turned, joints = along_tree(flat, pelvis.expand(*batch, 3).reshape(-1, 3), offsets[None])
        return turned.view(*batch, NUM_JOINTS, 3, 3), joints.view(*batch, NUM_JOINTS, 3)
    identity = torch.eye(3, device=flat.device, dtype=flat.dtype).expand(len(flat), 1, 3, 3)
    spans = torch.cat([flat, identity], 1)
    indices = _indices(flat.device)
    for ancestor in indices:
        spans = spans.index_select(1, ancestor) @ spans
    edges = (spans.index_select(1, indices[0][:NUM_JOINTS]) @ offsets[..., None])[..., 0]  # offsets[0] is zero
    joints = carry_outwards(edges) + pelvis.reshape(-1, 1, 3)
    return spans[:, :NUM_JOINTS].reshape(*batch, NUM_JOINTS, 3, 3), joints.reshape(*batch, NUM_JOINTS, 3)
