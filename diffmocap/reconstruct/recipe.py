"""What is asked of a reconstruction: light to load, and to send to other processes, which then load the models."""

from __future__ import annotations

import glob
import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from diffmocap.reconstruct.settings import ReconstructSettings

#: Files of a session and of a bag that are written once; beside them there may be motions made of them.
_RECORDED = re.compile(r"part-[0-9]+\.npz|.*\.(mcap|db3)(\.zstd)?")


def identity_of(video: str) -> str:
    """Name and size of a video, by which a motion file tells whose it is; of a session or a bag the size of what was
    recorded, and of a folder of images the name alone."""
    path = Path(video)
    if path.is_dir():
        sizes = [each.stat().st_size for each in path.iterdir() if _RECORDED.fullmatch(each.name)]
        return f"{path.name}, {sum(sizes)} bytes" if sizes else path.name
    return f"{path.name}, {path.stat().st_size} bytes" if path.is_file() else path.name


def is_identity_of(told: str, video: str) -> bool:
    """Whether a motion file that tells ``told`` may be of the video; earlier ones tell nothing, or a folder's name."""
    return told in ("", identity_of(video)) or (told == Path(video).name and Path(video).is_dir())


@dataclass(frozen=True)
class Recipe:
    """How videos become files.

    Attributes:
        settings: of the reconstruction.
        out: the folder.
        weights: of the lifting, None: the shipped ones.
        calibration, vertical_fov_deg: see :func:`~diffmocap.reconstruct.watching.camera_of`.
        world: write motions in the world frame, else in the camera's.
        mirror: images are flipped back.
        task_file: the detector's bundle, empty: the shipped one.
        topic: of a bag's images, empty: the only one.
        formats: of files beside the motion's, see :mod:`diffmocap.motion.export.formats`, as ``tool`` expects them.
    """

    settings: ReconstructSettings = field(default_factory=ReconstructSettings)
    out: Path = Path("motions")
    weights: Path | None = None
    calibration: Path | None = None
    vertical_fov_deg: float = 0.0
    world: bool = True
    mirror: bool = False
    task_file: str = ""
    topic: str = ""
    formats: tuple[str, ...] = ()
    tool: str | None = None

    @property
    def key(self) -> str:
        """What a motion of these settings is known by: 16 hexadecimal digits of all that its poses follow from."""
        origin = (self.settings, self.weights, self.calibration, self.vertical_fov_deg, self.mirror, self.task_file,
                  self.topic)  # fmt: skip
        return hashlib.sha256(repr(origin).encode()).hexdigest()[:16]

    def absolute(self) -> Recipe:
        """The same with paths that hold wherever a process begins."""
        paths = {name: getattr(self, name) for name in ("out", "weights", "calibration")}
        named = {name: path.absolute() for name, path in paths.items() if path is not None}
        return replace(self, **named, task_file=str(Path(self.task_file).absolute()) if self.task_file else "")

    def found(self, name: str) -> Path:
        """File of a video's keypoints, which is there while its motions are not."""
        return self.out / f".{name}.keypoints.npz"

    def simulation(self, name: str, number: int) -> Path:
        """File of the progress of a motion's simulation, which is there while that is not finished."""
        return self.out / f".{name}.simulation{number + 1}.npz"

    def begun(self, name: str) -> Path:
        """File of the keypoints of a video's first images, which is there while not all have been looked at."""
        return self.out / f".{name}.keypoints.begun.npz"

    def written(self, name: str) -> list[Path]:
        """Files of a video whose motions are all there; none where it was interrupted."""
        single = self.out / f"{name}.npz"
        part = re.compile(re.escape(name) + r"_part[0-9]+")
        files = sorted(self.out.glob(f"{glob.escape(name)}_part*.npz")) if self.out.is_dir() else []
        several = [file for file in files if part.fullmatch(file.stem)]
        try:
            if self.found(name).exists():
                return []
            return [single] if single.is_file() else several
        except OSError:  # a name that is too long for a file's; it is told where the file is to be written
            return []
