"""The groups that errors are reported by: the body's direction, the person's size in the image, the kind of action."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from diffmocap.body.mocap import load_clips
from diffmocap.lifting.network.condition import condition_from_rays, root_to_network

YAW_GROUPS = ("front", "side", "rear")
SIZE_GROUPS = ("near", "middle", "far")
#: Bounds of those groups: |yaw| in degrees, the longer side of the person's box in pixels.
YAW_BOUNDS, SIZE_BOUNDS = (45.0, 135.0), (280.0, 200.0)
#: First kind of which a word is in the clip's description.
ACTION_WORDS = {
    "acrobatics": ("cartwheel", "acrobatics", "spring", "kick", "jump", "hop", "leap", "dive"),
    "dance": ("dance", "salsa"),
    "run": ("run", "jog"),
    "walk": ("walk",),
    "sport": ("boxing", "soccer", "basketball", "punch", "sword"),
}
#: Subject 94 of the collection, described as "Unknown", dances.
DANCERS = ("94",)
OTHER_ACTION = "everyday"


def action_group(description: str, subject: str = "") -> str:
    """Kind of action of a clip by the collection's description of it."""
    if subject in DANCERS:
        return "dance"
    text = description.lower()
    # A soccer kick is no acrobatics, a series of exercises with jumping jacks neither.
    if any(word in text for word in ("soccer", "jumping jacks")):
        return "sport"
    return next((kind for kind, words in ACTION_WORDS.items() if any(w in text for w in words)), OTHER_ACTION)


def clip_actions(mocap: Path) -> dict[str, str]:
    """Kind of action of every clip of a collection, by the clip's name."""
    return {clip.name: action_group(clip.action, clip.subject) for clip in load_clips(mocap)}


def view_groups(keypoints: np.ndarray, root: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups [N] by direction and by size of people with keypoints [N, 25, 3] m and pelvis orientation [N, 3, 3]
    in the optical frame of cameras K [N, 3, 3]."""
    rays = keypoints[..., :2] / keypoints[..., 2:]
    size_px = ((rays.max(1) - rays.min(1)) * K[:, [0, 1], [0, 1]]).max(-1)
    box = condition_from_rays(torch.as_tensor(rays).float(), torch.ones(rays.shape[:2]))
    yaw = np.abs(np.rad2deg(pelvis_yaw(root, box.R_camera_crop.numpy())))
    return (
        np.array(YAW_GROUPS)[np.searchsorted(YAW_BOUNDS, yaw, side="right")],
        np.array(SIZE_GROUPS)[sum((size_px < bound).astype(int) for bound in SIZE_BOUNDS)],
    )


def pelvis_yaw(root: np.ndarray, R_camera_crop: np.ndarray) -> np.ndarray:
    """[N] rad, where the pelvis faces in the crop frame: 0 into the camera, pi / 2 to the right of the image.

    ``root`` [N, 3, 3] turns the body frame into the optical frame.
    """
    turned = root_to_network(torch.as_tensor(root)[:, None].double(), torch.as_tensor(R_camera_crop).double())
    forward = turned[:, 0, :, 2].numpy()
    return np.arctan2(forward[:, 0], forward[:, 2])
