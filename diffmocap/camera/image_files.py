"""Folders of images, numbered images and patterns, played as a video."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from diffmocap.errors import CameraError

#: Endings of the images that are looked for in a folder.
IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".avif",
)  # fmt: skip
#: Photos that OpenCV has no decoder for, with what makes a JPEG of them.
_OTHER_PHOTOS = {
    ".heic": "heif-convert IMG.heic IMG.jpg", ".heif": "heif-convert IMG.heif IMG.jpg",
    ".dng": "dcraw_emu or darktable-cli IMG.dng IMG.jpg", ".cr2": "darktable-cli IMG.cr2 IMG.jpg",
    ".cr3": "darktable-cli IMG.cr3 IMG.jpg", ".nef": "darktable-cli IMG.nef IMG.jpg",
    ".arw": "darktable-cli IMG.arw IMG.jpg",
}  # fmt: skip
_NUMBER = re.compile(r"%0?(\d*)d")
#: Two sizes have the same shape where their aspects differ by less than this share.
_SAME_SHAPE = 0.01


def is_image_pattern(text: str) -> bool:
    """Whether a name stands for many files: ``img_%04d.jpg`` or ``frames/*.png``."""
    return bool(_NUMBER.search(Path(text).name)) or glob.has_magic(text)


def is_image(path: Path) -> bool:
    """By its ending, photos included that cannot be decoded here."""
    return path.suffix.lower() in (*IMAGE_ENDINGS, *_OTHER_PHOTOS)


def image_paths(text: str) -> list[Path]:
    """The images of a folder, a pattern, or the one that is named, in the order of the numbers in their names.

    Raises:
        CameraError: there are none, or they are of a kind that cannot be decoded.
    """
    path = Path(text).expanduser()
    where = f"the folder '{path}'" if path.is_dir() else f"'{path}'"
    try:
        found = _named_by(path)
    except OSError as error:
        raise CameraError(f"{where} cannot be read: {error.strerror}; change its permissions (chmod +rx)") from error
    images = sorted((each for each in found if is_image(each)), key=_in_natural_order)
    if not images:
        raise CameraError(f"{where} has no images; expected {', '.join(IMAGE_ENDINGS)}")
    for each in images:
        if each.suffix.lower() in _OTHER_PHOTOS and not cv2.haveImageReader(str(each)):
            raise CameraError(
                f"'{each}' is a {each.suffix[1:].upper()} photo, which this OpenCV cannot decode; make a JPEG of it: "
                f"{_OTHER_PHOTOS[each.suffix.lower()]}"
            )
    return images


class ImageFiles:
    """Images in files with the interface of ``cv2.VideoCapture``, upright as their EXIF data say.

    What cannot be read, or has another shape than the first image, is left out with a word; another size of the same
    shape is scaled.

    Args:
        paths: in the order of playing.
        fps: images a second.
        event: called with a ``logging`` level and a text.
    """

    def __init__(self, paths: Sequence[Path], fps: float, event: Callable[[int, str], None]) -> None:
        self._paths, self._fps, self._event = list(paths), fps, event
        self._index = -1
        self._size: tuple[int, int] | None = None
        self._told_scaled = False

    def isOpened(self) -> bool:  # noqa: N802, OpenCV's name
        """Whether there are images."""
        return bool(self._paths)

    def grab(self) -> bool:
        """Goes on to the next image."""
        self._index += 1
        return self._index < len(self._paths)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        """Decodes the image at hand."""
        path = self._paths[self._index]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            self._event(logging.WARNING, f"'{path}' is no image that can be read, or damaged; it is left out")
            return False, None
        size = (image.shape[1], image.shape[0])
        self._size = self._size or size
        if size == self._size:
            return True, image
        if abs(size[0] * self._size[1] / (size[1] * self._size[0]) - 1.0) > _SAME_SHAPE:
            self._event(
                logging.WARNING,
                f"'{path}' has {size[0]} x {size[1]} pixels, another shape than the {self._size[0]} x {self._size[1]} "
                "of the first image; it is left out",
            )
            return False, None
        if not self._told_scaled:
            self._told_scaled = True
            told = f"'{path}' has {size[0]} x {size[1]} pixels: scaled to the {self._size[0]} x {self._size[1]} of the"
            self._event(logging.WARNING, f"{told} first image, as any other of that shape")
        return True, cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)

    def read(self) -> tuple[bool, np.ndarray | None]:
        """The next image that can be read; (False, None) after the last."""
        while self.grab():
            ok, image = self.retrieve()
            if ok:
                return True, image
        return False, None

    def get(self, name: int) -> float:
        """Rate, number of images and the position of the image at hand [ms]; 0 for all else."""
        return {
            cv2.CAP_PROP_FPS: self._fps,
            cv2.CAP_PROP_FRAME_COUNT: float(len(self._paths)),
            cv2.CAP_PROP_POS_MSEC: 1e3 * self._index / self._fps,
        }.get(name, 0.0)

    def set(self, name: int, value: float) -> bool:
        """Nothing can be set."""
        return False

    def release(self) -> None:
        """There is nothing to release."""


def _named_by(path: Path) -> list[Path]:
    """The files of a folder, a pattern, or the one that is named."""
    if path.is_dir():
        return [each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")]
    if path.is_file():
        return [path]
    if _NUMBER.search(path.name):
        return _numbered(path)
    return [Path(each) for each in glob.glob(str(path))]


def _numbered(pattern: Path) -> list[Path]:
    """Files beside ``pattern`` whose names have a number where it has %d; of at least its digits."""
    before, digits, after = _NUMBER.split(pattern.name, maxsplit=1)
    wanted = re.compile(re.escape(before) + rf"(\d{{{int(digits or 1)},}})" + re.escape(after))
    folder = pattern.parent
    return [path for path in folder.iterdir() if wanted.fullmatch(path.name)] if folder.is_dir() else []


def _in_natural_order(path: Path) -> list[tuple[int, int, str]]:
    """img_9 before img_10."""
    parts = re.split(r"(\d+)", path.name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part.lower()) for part in parts]
