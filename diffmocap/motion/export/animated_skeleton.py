"""A skeleton with its animation and skin, in the axes, unit and names of a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.motion_files import Y_UP_FROM_Z_UP
from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.motion.export.joint_names import ROOT_BONE, joint_names
from diffmocap.motion.export.options import UNITS, ExportOptions
from diffmocap.motion.motion import Motion

#: Most joints that a vertex follows: what engines and viewers support without further settings.
INFLUENCES = 4


@dataclass(frozen=True)
class AnimatedSkeleton:
    """J joints over T frames. Joints are unturned in the rest pose: their axes are the file's.

    Attributes:
        fps: frames a second.
        names: of the joints, parents before children.
        parents: index of each joint's parent, -1 for the first.
        rest: [J, 3] float64 joints of the rest pose, which stands on the floor above the origin.
        rotations: [T, J, 3, 3] float64 local rotations.
        translations: [T, J, 3] float64 place of each joint in its parent's axes, of the first in the file's.
        scale: lengths of the file a metre.
        axes: [3, 3] takes vectors with y up into the file's axes.
    """

    fps: float
    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    scale: float
    axes: np.ndarray

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def smpl_first(self) -> int:
        """Index of SMPL's first joint, the pelvis; the 23 others follow it."""
        return len(self.names) - NUM_JOINTS

    def offsets(self) -> np.ndarray:
        """[J, 3] each joint of the rest pose from its parent; the first from the origin."""
        parents = np.array(self.parents)
        return self.rest - np.where(parents[:, None] < 0, 0.0, self.rest[parents])

    def joints(self) -> np.ndarray:
        """[T, J, 3] where the joints are, by the chain of local transforms: what a reader of the file computes."""
        turns, places = np.empty_like(self.rotations), np.empty_like(self.translations)
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                turns[:, joint], places[:, joint] = self.rotations[:, joint], self.translations[:, joint]
            else:
                turns[:, joint] = turns[:, parent] @ self.rotations[:, joint]
                step = (turns[:, parent] @ self.translations[:, joint, :, None])[..., 0]
                places[:, joint] = places[:, parent] + step
        return places


@dataclass(frozen=True)
class Skin:
    """The body's surface in the rest pose of a skeleton.

    Attributes:
        vertices, normals: [V, 3] float32 in the file's axes and unit; faces: [F, 3] corners, counter-clockwise.
        joints: [V, 4] indices of the skeleton's joints that a vertex follows, the strongest first.
        weights: [V, 4] float32 how much, of sum 1; 0 where there are fewer.
    """

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    joints: np.ndarray
    weights: np.ndarray


def animated_skeleton(motion: Motion, body: BodyModel, options: ExportOptions) -> AnimatedSkeleton:
    """The skeleton of a motion with y up (see :func:`~diffmocap.motion.export.prepare.prepared`)."""
    axes, scale = file_axes(options.up), 1.0 / UNITS[options.unit]
    rest = _standing_rest(motion, body)[0] @ axes.T * scale
    rotations = axes @ motion.rotations.numpy().astype(np.float64) @ axes.T
    pelvis = motion.pelvis.numpy().astype(np.float64) @ axes.T * scale
    names, parents = joint_names(options.skeleton), PARENTS
    translations = np.broadcast_to(rest - rest[[max(p, 0) for p in parents]], (len(motion), NUM_JOINTS, 3)).copy()
    translations[:, 0] = pelvis
    if options.root_motion == "bone":
        level = 1.0 - np.abs(axes[:, 1])  # 0 for the axis that points up
        names, parents = (ROOT_BONE, *names), (-1, *(p + 1 for p in parents))
        rest = np.concatenate([np.zeros((1, 3)), rest])
        still = np.broadcast_to(np.eye(3), (len(motion), 1, 3, 3))
        rotations = np.concatenate([still, rotations], 1)
        translations[:, 0] = pelvis * (1.0 - level)
        translations = np.concatenate([(pelvis * level)[:, None], translations], 1)
    return AnimatedSkeleton(motion.fps, names, parents, rest, rotations, translations, scale, axes)


def skin_of(skeleton: AnimatedSkeleton, motion: Motion, body: BodyModel) -> Skin:
    """The skin of the motion's body, bound to the skeleton.

    A vertex follows its four strongest joints. SMPL's pose-dependent shape is left out, as no file format has it.
    """
    vertices = _standing_rest(motion, body)[1]
    faces = body.faces.numpy()
    weights = body.skin_weights.numpy().astype(np.float64)
    order = np.argsort(-weights, 1, kind="stable")[:, :INFLUENCES]
    chosen = np.take_along_axis(weights, order, 1)
    chosen = (chosen / chosen.sum(1, keepdims=True)).astype(np.float32)
    return Skin(
        (vertices @ skeleton.axes.T * skeleton.scale).astype(np.float32),
        (_normals(vertices, faces) @ skeleton.axes.T).astype(np.float32),
        faces,
        np.where(chosen > 0, order + skeleton.smpl_first, 0),
        chosen,
    )


def file_axes(up: str) -> np.ndarray:
    """[3, 3] takes vectors with y up into axes with ``up`` upwards."""
    return np.eye(3) if up == "y" else np.array(Y_UP_FROM_Z_UP).T


def _standing_rest(motion: Motion, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    """Joints [24, 3] and vertices [V, 3] of the rest pose [m], y up, soles on the floor and pelvis above the origin."""
    betas = motion.betas[None]
    joints = body.rest_joints(betas)[0].numpy().astype(np.float64)
    shaped = body.template + torch.einsum("vas,s->va", body.shape_dirs, motion.betas)
    vertices = shaped.numpy().astype(np.float64)
    down = np.array([joints[0, 0], vertices[:, 1].min(), joints[0, 2]])
    return joints - down, vertices - down


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] unit normals, the mean of the faces' around a vertex, weighted by their area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], across)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0.0, 1.0, 0.0])
