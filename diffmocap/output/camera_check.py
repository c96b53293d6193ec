"""Calibrations that no camera has: poses from them would be metres off, or of giants."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from diffmocap.types import VERTICAL_FOV, CameraIntrinsics

#: Focal lengths of the two axes differ by no more than this factor, pixels being square or nearly so (anamorphic 1.78).
_MOST_ASPECT = 2.0
#: The principal point lies within the image, or outside by this share of its size (a cut out region of interest).
_OUTSIDE = 0.5
#: A picture as wide as a fisheye lens's needs its own model; a pinhole's, however distorted, stays below [degrees].
_MOST_PINHOLE_DEG = 170.0
#: Share of the image of which the distortion gives no direction; the widest fisheye lenses lose half of it.
_MOST_LOST = 0.8


@lru_cache(maxsize=8)
def absurd_calibration(intrinsics: CameraIntrinsics) -> str:
    """What about a calibration cannot be, in words; empty where it may be a camera's."""
    c = intrinsics
    fov_deg = math.degrees(2.0 * math.atan(0.5 * c.height / c.fy))
    wide_deg = math.degrees(2.0 * math.atan(0.5 * c.width / c.fx))
    limit = 360.0 if c.fisheye else _MOST_PINHOLE_DEG
    if fov_deg < 0.2 * VERTICAL_FOV.low or max(fov_deg, wide_deg) > limit:
        return f"a field of view of {wide_deg:.3g} x {fov_deg:.3g} degrees (fx {c.fx:.4g}, fy {c.fy:.4g})"
    if max(c.fx / c.fy, c.fy / c.fx) > _MOST_ASPECT:
        return f"focal lengths of {c.fx:.4g} and {c.fy:.4g} pixels: no camera's pixels are so far from square"
    for name, centre, size in (("cx", c.cx, c.width), ("cy", c.cy, c.height)):
        if not -_OUTSIDE * size <= centre <= (1.0 + _OUTSIDE) * size:
            return f"a principal point far outside of the image ({name} {centre:.4g} of {size} pixels)"
    if c.distortion and (lost := _lost_share(c)) > _MOST_LOST:
        coefficients = ", ".join(f"{coefficient:.3g}" for coefficient in c.distortion)
        return f"distortion coefficients ({coefficients}) by which {100.0 * lost:.0f} % of the image shows nothing"
    return ""


def _lost_share(intrinsics: CameraIntrinsics) -> float:
    """Share of the pixels that no direction belongs to, 0 to 1."""
    from diffmocap.camera.lens import undistort  # needs OpenCV, the rest here does not

    u, v = np.meshgrid(*(np.linspace(0.0, size, 9) for size in (intrinsics.width, intrinsics.height)))
    return float(np.isnan(undistort(np.stack([u, v], -1).reshape(-1, 2), intrinsics)).any(-1).mean())
