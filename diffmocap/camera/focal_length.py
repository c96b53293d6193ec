"""The focal length that a phone or camera wrote into its photo or video, as an estimate of its intrinsics."""

from __future__ import annotations

import math
from pathlib import Path

from diffmocap.camera.containers.reading import read_container
from diffmocap.camera.devices import Source
from diffmocap.camera.image_files import image_paths
from diffmocap.types import CameraIntrinsics

#: Diagonal of 36 x 24 mm film, to which equivalent focal lengths refer (CIPA DCG-001).
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
#: Range of plausible equivalent focal lengths [mm], from a fisheye to a long telephoto lens.
_SHORTEST_MM, _LONGEST_MM = 5.0, 2000.0
#: EXIF: the equivalent for film, and the true one with the sensor's resolution (EXIF 2.32, tables 7 and 8).
_EXIF_IFD, _FOCAL_LENGTH_35MM, _FOCAL_LENGTH = 0x8769, 0xA405, 0x920A
_X_RESOLUTION, _RESOLUTION_UNIT, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA20E, 0xA210, 0xA002, 0xA003
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}


def focal_length_35mm(source: Source) -> float:
    """35 mm equivalent focal length [mm] from the metadata of a file; 0 where it has none."""
    if source.kind == "images":
        found = _of_photo(image_paths(str(source.target))[0])
    elif source.kind == "file":
        found = read_container(str(source.target)).focal_length_35mm
    else:
        return 0.0
    return found if _SHORTEST_MM <= found <= _LONGEST_MM else 0.0


def estimated_intrinsics(focal_length_mm: float, width: int, height: int) -> CameraIntrinsics:
    """A pinhole with the diagonal angle of view of this equivalent focal length and its centre in the middle.

    It is an estimate: stabilisation and the modes of a video leave out borders of the sensor that the number counts.
    """
    focal_px = focal_length_mm * math.hypot(width, height) / FILM_DIAGONAL_MM
    return CameraIntrinsics(width, height, focal_px, focal_px, width / 2.0, height / 2.0)


def _of_photo(path: Path) -> float:
    try:
        from PIL import Image
    except ImportError:  # Pillow comes with MediaPipe's requirements; without it there is no estimate
        return 0.0
    try:
        with Image.open(path) as photo:  # reads the header alone
            values = photo.getexif().get_ifd(_EXIF_IFD)
            size = photo.size
        if (equivalent := float(values.get(_FOCAL_LENGTH_35MM) or 0.0)) > 0.0:
            return equivalent
        focal_mm, resolution = float(values.get(_FOCAL_LENGTH) or 0.0), float(values.get(_X_RESOLUTION) or 0.0)
        unit_mm = _UNIT_MM.get(int(values.get(_RESOLUTION_UNIT) or 2), 0.0)
        if focal_mm <= 0.0 or resolution <= 0.0 or unit_mm <= 0.0:
            return 0.0
        # The resolution counts the pixels that the sensor gave, of which the photo may be a smaller copy.
        taken = float(values.get(_PIXEL_WIDTH) or size[0]), float(values.get(_PIXEL_HEIGHT) or size[1])
        diagonal_mm = math.hypot(*taken) * unit_mm / resolution
        return focal_mm * FILM_DIAGONAL_MM / diagonal_mm
    except (OSError, ValueError, TypeError, ArithmeticError, SyntaxError):  # what Pillow raises for damaged EXIF data
        return 0.0
