"""Camera intrinsics: from calibrations, for parts of a sensor and for other image sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from diffmocap.camera.lens import lens_of
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics

#: Fields of view that a lens may have across an image [degrees]; an ideal pinhole ends short of 180.
MIN_FOV_DEG, MAX_PINHOLE_FOV_DEG, MAX_FISHEYE_FOV_DEG = 0.5, 175.0, 360.0
#: Height over width of a pixel, or the inverse; binning of one axis alone gives 2.
MAX_PIXEL_ASPECT = 3.0
#: Share of a size that the principal point may lie beyond the image's border: rectified stereo moves it.
MAX_CENTRE_BEYOND = 0.5
#: Share of fx; calibrations have no skew.
MAX_SKEW = 0.05
#: Sizes of the same aspect ratio differ by rounding and by padding to whole blocks (1080 and 1088 rows).
ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Readout:
    """What a sensor delivers of its full resolution, as CameraInfo describes it.

    Attributes:
        x, y, width, height: window in pixels of the full resolution; a width or height of 0 reaches to the border.
        binning_x, binning_y: columns and rows that make one pixel of the image; 0 and 1 are the same.
    """

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0
    binning_x: int = 1
    binning_y: int = 1

    def size(self, full_width: int, full_height: int) -> tuple[int, int]:
        """(width, height) of the delivered image; the arguments are those of the full resolution.

        Raises:
            SettingsError: where the window does not lie in the full image.
        """
        width, height = self.width or full_width - self.x, self.height or full_height - self.y
        if width <= 0 or height <= 0 or self.x + width > full_width or self.y + height > full_height:
            raise SettingsError(
                f"the region of interest of {width} x {height} pixels at ({self.x}, {self.y}) does not lie in the full "
                f"resolution of {full_width} x {full_height}; set roi in camera_info to the window that is read out"
            )
        return max(width // self._columns, 1), max(height // self._rows, 1)

    def of(self, full: CameraIntrinsics) -> CameraIntrinsics:
        """The intrinsics of the delivered image; ``full`` those of the full resolution. Raises as :meth:`size`."""
        width, height = self.size(full.width, full.height)
        return replace(
            full,
            width=width,
            height=height,
            fx=full.fx / self._columns,
            fy=full.fy / self._rows,
            cx=(full.cx - self.x) / self._columns,
            cy=(full.cy - self.y) / self._rows,
        )

    @property
    def _columns(self) -> int:
        return max(self.binning_x, 1)

    @property
    def _rows(self) -> int:
        return max(self.binning_y, 1)

    def full_size(self, calibrated_size: tuple[int, int], image_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the full resolution: as calibrated where that is known, else the least that fits."""
        if all(calibrated_size):
            return calibrated_size
        if self.width and self.height:
            return self.x + self.width, self.y + self.height
        return self.x + image_size[0] * self._columns, self.y + image_size[1] * self._rows


def from_arrays(
    k: np.ndarray,
    distortion: np.ndarray,
    calibrated_size: tuple[int, int],
    image_size: tuple[int, int],
    distortion_model: str = "plumb_bob",
    vertical_fov_deg: float = 50.0,
    readout: Readout = Readout(),
) -> CameraIntrinsics:
    """Intrinsics for images of ``image_size`` from the fields of a CameraInfo message.

    Args:
        k: [3, 3] camera matrix in pixels; fx of zero means not calibrated.
        distortion: coefficients of ``distortion_model``; all zero or none for an ideal pinhole.
        calibrated_size: (width, height) of the full resolution, which ``k`` refers to; (0, 0) for that of the image.
        image_size: (width, height) of the images at hand; the intrinsics are fitted to it, see :func:`fitted`.
        vertical_fov_deg: field of view to assume where nobody calibrated the camera.
        readout: the part of the full resolution that the camera delivers.

    Returns:
        The intrinsics, with ``is_default`` set where nobody calibrated the camera.

    Raises:
        SettingsError: where no camera has such a ``k``, or the distortion cannot be used.
    """
    k = np.asarray(k, float)
    if k.shape != (3, 3):
        raise SettingsError(f"expected a camera matrix [3, 3], got {k.shape}")
    if k[0, 0] == 0.0:  # as the message says it
        return CameraIntrinsics.from_fov(*image_size, vertical_fov_deg)
    coefficients, fisheye = lens_of(distortion_model, distortion)
    width, height = readout.full_size(calibrated_size, image_size)
    _refuse_impossible(k, width, height, fisheye)
    full = CameraIntrinsics(
        width, height, float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), coefficients, fisheye=fisheye
    )
    return fitted(readout.of(full), *image_size)


def scaled(intrinsics: CameraIntrinsics, width: int, height: int) -> CameraIntrinsics:
    """The same camera delivering images of another size, scaled and not cropped."""
    if (width, height) == (intrinsics.width, intrinsics.height):
        return intrinsics
    sx, sy = width / intrinsics.width, height / intrinsics.height
    return replace(
        intrinsics,
        width=width,
        height=height,
        fx=intrinsics.fx * sx,
        fy=intrinsics.fy * sy,
        cx=intrinsics.cx * sx,
        cy=intrinsics.cy * sy,
    )


def fitted(intrinsics: CameraIntrinsics, width: int, height: int) -> CameraIntrinsics:
    """The same camera delivering images of another size: scaled where the aspect ratio is the same, else cropped.

    Cameras reach another aspect ratio by leaving out rows at the top and at the bottom alike, and scale what is left.
    So both focal lengths are scaled by the width, and the middle row stays the middle row. Only where width and height
    are exchanged the image was turned.
    """
    size = intrinsics.width, intrinsics.height
    if is_same_aspect(size, (width, height)):
        return scaled(intrinsics, width, height)
    if is_same_aspect(size, (height, width)):
        return scaled(_turned(intrinsics), width, height)
    scale = width / intrinsics.width
    return replace(
        intrinsics,
        width=width,
        height=height,
        fx=intrinsics.fx * scale,
        fy=intrinsics.fy * scale,
        cx=intrinsics.cx * scale,
        cy=(intrinsics.cy - intrinsics.height / 2) * scale + height / 2,
    )


def _turned(intrinsics: CameraIntrinsics) -> CameraIntrinsics:
    """The camera on its side. Which side is not known: what is not symmetric, which is little, is left out."""
    keep = range(4) if intrinsics.fisheye else (0, 1, 4, 5, 6, 7)  # not the tangential, prism and tilt terms
    return replace(
        intrinsics,
        width=intrinsics.height,
        height=intrinsics.width,
        fx=intrinsics.fy,
        fy=intrinsics.fx,
        cx=intrinsics.height / 2,
        cy=intrinsics.width / 2,
        distortion=tuple(value if i in keep else 0.0 for i, value in enumerate(intrinsics.distortion)),
    )


def is_same_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether both sizes (width, height) show the same part of a scene, but for rounding."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1.0) <= ASPECT_TOLERANCE


def crop_warning(calibrated_size: tuple[int, int], image_size: tuple[int, int]) -> str:
    """What to tell a user whose images have another aspect ratio than the calibration; empty where it is the same."""
    if is_same_aspect(calibrated_size, image_size):
        return ""
    (width, height), (image_width, image_height) = calibrated_size, image_size
    turned = is_same_aspect(calibrated_size, (image_height, image_width))
    taken = "to be turned" if turned else "to show the same width, with rows left out or added above and below"
    return (
        f"the calibration is of {width} x {height} pixels and the images have {image_width} x {image_height}, another "
        f"aspect ratio: they are taken {taken}. If that is not what the camera does, calibrate it at the size that is "
        "used"
    )


def _refuse_impossible(k: np.ndarray, width: int, height: int, fisheye: bool) -> None:
    """Raises SettingsError for a matrix that no camera with these pixels has."""
    fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    advice = "; calibrate the camera again, or leave K zero to use the default field of view"
    if not np.isfinite(k).all():
        raise SettingsError(f"the camera matrix must be finite, got {k.tolist()}{advice}")
    if not np.allclose(k[2], [0.0, 0.0, 1.0]) or k[1, 0] != 0.0:
        raise SettingsError(f"expected a camera matrix [fx 0 cx; 0 fy cy; 0 0 1], got {k.tolist()}{advice}")
    if not (fx > 0.0 and fy > 0.0):
        raise SettingsError(f"focal lengths must be positive and finite, got fx={fx:g}, fy={fy:g}{advice}")
    most_deg = MAX_FISHEYE_FOV_DEG if fisheye else MAX_PINHOLE_FOV_DEG
    fovs_deg = [
        math.degrees(size / f if fisheye else 2.0 * math.atan(0.5 * size / f))
        for size, f in ((width, fx), (height, fy))
    ]
    if not all(MIN_FOV_DEG <= fov_deg <= most_deg for fov_deg in fovs_deg):
        raise SettingsError(
            f"no camera has the focal lengths fx={fx:g} and fy={fy:g} for {width} x {height} pixels: a field of view "
            f"of {fovs_deg[0]:.4g} by {fovs_deg[1]:.4g} degrees, where {MIN_FOV_DEG:g} to {most_deg:g} are possible"
            f"{advice}"
        )
    if not 1.0 / MAX_PIXEL_ASPECT <= fy / fx <= MAX_PIXEL_ASPECT:
        raise SettingsError(
            f"no camera has the focal lengths fx={fx:g} and fy={fy:g}: pixels {fx / fy:.3g} times as high as wide"
            f"{advice}"
        )
    beyond = max(abs(cx / width - 0.5), abs(cy / height - 0.5)) - 0.5
    if beyond > MAX_CENTRE_BEYOND or (cx == 0.0 and cy == 0.0):
        where = "in the corner" if cx == 0.0 and cy == 0.0 else "far outside"
        raise SettingsError(
            f"the principal point cx={cx:g}, cy={cy:g} lies {where} of an image of {width} x {height} pixels{advice}"
        )
    if abs(k[0, 1]) > MAX_SKEW * fx:
        raise SettingsError(f"a camera matrix with a skew of {k[0, 1]:g} (fx={fx:g}) cannot be used{advice}")
