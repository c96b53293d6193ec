"""A camera whose pictures show people as a mirror does, and the same camera with left and right exchanged again.

The pictures are ``width`` wide with x from 0 at the left edge to ``width`` at the right one, as everywhere here, so
that a point at x lies at ``width - x`` in the other picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from diffmocap.types import CameraIntrinsics

#: Which of OpenCV's coefficients k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tx, ty change their sign with x: the
#: tangential p2, the thin prism's share along x, and the sensor's tilt about y.
_ODD = (3, 8, 9, 13)


def mirrored(intrinsics: CameraIntrinsics) -> CameraIntrinsics:
    """The camera of the pictures with left and right exchanged; mirroring twice gives the first one back."""
    distortion = mirrored_distortion(intrinsics.distortion, intrinsics.fisheye)
    return replace(intrinsics, cx=intrinsics.width - intrinsics.cx, distortion=distortion)


def mirrored_distortion(coefficients: Sequence[float], fisheye: bool) -> tuple[float, ...]:
    """The coefficients of the same lens behind a mirror; those of a fisheye are all radial and stay."""
    odd = () if fisheye else _ODD
    return tuple(-value if index in odd else value for index, value in enumerate(coefficients))
