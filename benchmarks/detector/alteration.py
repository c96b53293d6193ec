"""Images altered in ways that change nobody in them, and what a detector finds in them taken back to the plain ones."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from diffmocap.keypoints.body25 import LANDMARK_NAMES

#: Landmark on the other side of the body.
LANDMARK_MIRROR = [
    LANDMARK_NAMES.index(name.replace("left", "right") if "left" in name else name.replace("right", "left"))
    for name in LANDMARK_NAMES
]


@dataclass(frozen=True)
class Alteration:
    """``mirrored`` first, then turned counterclockwise about the middle and scaled."""

    mirrored: bool = False
    turned_deg: float = 0.0
    scale: float = 1.0

    def matrix(self, width: int, height: int) -> np.ndarray:
        """[2, 3] from pixels of the plain image to the altered one's; a mirror's columns run from 0 to width - 1."""
        about = cv2.getRotationMatrix2D((width / 2, height / 2), self.turned_deg, self.scale)
        mirror = np.diag([-1.0, 1.0, 1.0]) if self.mirrored else np.eye(3)
        mirror[0, 2] = width - 1 if self.mirrored else 0.0
        return about @ mirror

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The altered image [H, W, 3], of the same size."""
        height, width = image.shape[:2]
        return cv2.warpAffine(image, self.matrix(width, height), (width, height), flags=cv2.INTER_AREA)

    def undo(self, found: dict[str, np.ndarray], width: int, height: int) -> dict[str, np.ndarray]:
        """``landmarks_px`` [T, 33, 2], ``visibility`` [T, 33] and ``world`` [T, 33, 3] of altered images as those of
        the plain ones."""
        back = cv2.invertAffineTransform(self.matrix(width, height))
        turn = back[:, :2] / np.sqrt(abs(np.linalg.det(back[:, :2])))
        order = LANDMARK_MIRROR if self.mirrored else np.arange(len(LANDMARK_MIRROR))
        points, world = found["landmarks_px"] @ back[:, :2].T + back[:, 2], found["world"].copy()
        world[..., :2] = world[..., :2] @ turn.T
        return {
            "landmarks_px": points[:, order].astype(np.float32), "visibility": found["visibility"][:, order],
            "world": world[:, order].astype(np.float32),
        }  # fmt: skip
