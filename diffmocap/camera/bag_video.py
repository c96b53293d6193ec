"""The images of a ROS bag as those of a video file, without ROS; of ROS 1 or 2, raw or compressed."""

from __future__ import annotations

import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from diffmocap.camera.cut_mcap import CutMcap, is_cut
from diffmocap.camera.message_images import frame_from_compressed, frame_from_image
from diffmocap.camera.message_info import intrinsics_from_camera_info, is_rectified_name
from diffmocap.camera.mirror import mirrored
from diffmocap.errors import CameraError, ImageError
from diffmocap.timing.stamps import SetClock
from diffmocap.types import CameraIntrinsics, Frame

_IMAGES = {"sensor_msgs/msg/Image": frame_from_image, "sensor_msgs/msg/CompressedImage": frame_from_compressed}
_INFO = "sensor_msgs/msg/CameraInfo"
_COMPRESSED = "/compressed"
#: How files of bags of ROS 2 end that are read without a description, and the number of a part.
_STORED = (".mcap", ".db3")
_PART = re.compile(r"_[0-9]+$")


class BagVideo:
    """A context manager around an open bag; iterate over it for its images, in their order and at their own times,
    or where those are zero at the times when they were recorded.

    Where the clock of the images was set in between, the recorder's tells how much time passed. A bag whose writer was
    killed is read as far as it goes, and images that cannot be decoded are left out.

    Args:
        path: a folder of rosbag2, one ``.mcap`` or ``.db3`` file of it, or a ``.bag`` of ROS 1.
        topic: of the images; empty for the only one that the bag has. Raw images are read rather than the same ones
            compressed.
        mirror: images are flipped back.

    Attributes:
        topic: that is read. count: of its images.

    Raises:
        CameraError: the bag cannot be read, has no images, or several topics with images and none is named; or the
            package rosbags is not installed.
    """

    def __init__(self, path: Path, topic: str = "", mirror: bool = False) -> None:
        try:
            import rosbags.highlevel  # noqa: F401 - whether it is there
        except ImportError as missing:
            raise CameraError(
                f"'{path}' is a bag, and reading it here needs the package rosbags: pip install rosbags"
            ) from missing
        self._path, self._mirror = path, mirror
        self._reader = _opened(path)
        try:
            self.topic = self._chosen(topic)
        except CameraError:
            self._reader.close()
            raise
        self._connections = self._of(self.topic)
        self.count = sum(connection.msgcount for connection in self._connections)

    def __iter__(self) -> Iterator[Frame]:
        last_ns, clock, refused = None, SetClock(), None
        for connection, received_ns, raw in self._messages(self._connections):
            message = self._message(raw, connection.msgtype)
            try:
                frame = _IMAGES[connection.msgtype](message)
            except ImageError as error:  # one that was broken on its way is as good as missing
                refused = refused or error
                continue
            image = np.ascontiguousarray(frame.image[:, ::-1]) if self._mirror else frame.image
            # A driver that does not stamp its images leaves zeros; an image that is there twice, or late, is left out.
            stamp_ns = clock.stamp_ns(frame.stamp_ns or received_ns, received_ns)
            if last_ns is None or stamp_ns > last_ns:
                last_ns = stamp_ns
                yield Frame(image, stamp_ns)
        if last_ns is None and refused is not None:
            raise CameraError(f"the images of {self.topic} in the bag '{self._path}': {refused}") from refused

    def intrinsics(self, width: int, height: int) -> CameraIntrinsics | None:
        """What the bag says of the camera of images of this size, or None.

        Raises:
            SettingsError: what it says cannot be used.
        """
        topic = f"{self.topic.removesuffix(_COMPRESSED).rpartition('/')[0]}/camera_info"
        found = [c for c in self._reader.connections if c.topic == topic and c.msgtype == _INFO]
        for connection, _, raw in self._messages(found) if found else ():
            info = self._message(raw, connection.msgtype)
            made = intrinsics_from_camera_info(info, width, height, rectified=is_rectified_name(self.topic))
            if made.is_default:
                return None
            return mirrored(made) if self._mirror else made
        return None

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()

    def __enter__(self) -> BagVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _messages(self, connections: list[Any]) -> Iterator[tuple[Any, int, bytes]]:
        read = 0
        try:
            for each in self._reader.messages(connections):
                yield each
                read += 1
        except Exception as error:  # of SQLite, of a decompressor, of the library itself
            raise CameraError(
                f"the bag '{self._path}' is damaged after {read} of its messages ({error}); copy it again, or cut it "
                "there"
            ) from error

    def _message(self, raw: bytes, kind: str) -> Any:
        try:
            return self._reader.deserialize(raw, kind)
        except Exception as error:  # whatever a damaged message makes of the library
            raise CameraError(f"a message of {self.topic} in the bag '{self._path}' is damaged: {error}") from error

    def _of(self, topic: str) -> list[Any]:
        return [c for c in self._reader.connections if c.topic == topic and c.msgtype in _IMAGES]

    def _chosen(self, topic: str) -> str:
        counts: dict[str, int] = {}
        for c in self._reader.connections:
            if c.msgtype in _IMAGES and c.msgcount:
                counts[c.topic] = counts.get(c.topic, 0) + c.msgcount
        told = ", ".join(f"{name} ({count} images)" for name, count in sorted(counts.items()))
        if topic:
            name = topic if topic.startswith("/") else f"/{topic}"
            if name not in counts:
                raise CameraError(f"the bag '{self._path}' has no images on {name}; it has {told or 'none at all'}")
            return name
        once = [n for n in counts if not (n.endswith(_COMPRESSED) and n.removesuffix(_COMPRESSED) in counts)]
        if not once:
            kinds = ", ".join(sorted({c.msgtype for c in self._reader.connections if c.msgcount}))
            what = f"has no images, but {kinds}; record the camera's image topic, too" if kinds else "holds no message"
            raise CameraError(f"the bag '{self._path}' {what}")
        if len(once) > 1:
            raise CameraError(f"the bag '{self._path}' has images of several topics; name one with --topic: {told}")
        return once[0]


def _parts(path: Path) -> list[Path]:
    """The files of the same bag as a file of it, by the names that rosbag2 gives: ``NAME_0.mcap``, ``NAME_1.mcap``."""
    name, suffix = _PART.sub("", path.stem), path.suffix
    return [p for p in path.parent.iterdir() if p.suffix == suffix and _PART.sub("", p.stem) == name and p.is_file()]


def _recover(database: Path) -> None:
    """What a writer that was killed left beside its database is brought in or rolled back, as SQLite does whenever one
    is opened to be written to; rosbags looks at the database alone."""
    if any(database.with_name(f"{database.name}{ending}").exists() for ending in ("-wal", "-journal")):
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as db,
        ):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            db.execute("SELECT count(*) FROM sqlite_master").fetchall()


def _opened(path: Path) -> Any:
    """An open reader of a bag, or of its files where they have no description or end in the middle.

    Raises:
        CameraError: neither can be read, or the path is one of several files of a bag.
    """
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    def reader_of(paths: list[Path]) -> Any:
        # Bags of ROS 2 before Jazzy do not hold the definitions of their messages.
        reader = AnyReader(paths, default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
        return reader

    alone = path.is_file()
    for database in [path] if alone else path.glob("*.db3"):
        _recover(database)
    if alone and path.suffix != ".bag" and len(parts := _parts(path)) > 1:
        raise CameraError(f"'{path}' is one of {len(parts)} files of a bag; give the folder '{path.parent}'")
    described = path.parent if alone and (path.parent / "metadata.yaml").is_file() and path.suffix != ".bag" else path
    try:
        return reader_of([described])
    except Exception as error:  # whatever a damaged file makes of the library
        refused = error
    files = [path] if alone else sorted(p for p in path.iterdir() if p.suffix in _STORED)
    if len({_PART.sub("", p.stem) for p in files}) > 1:
        names = ", ".join(map(str, files))
        raise CameraError(f"'{path}' holds several bags, and no metadata.yaml; name one of {names}")
    try:
        return reader_of([CutMcap(p) if p.suffix == ".mcap" and is_cut(p) else p for p in files])
    except Exception:  # the first error says more
        where = shlex.quote(str(path if path.suffix == ".bag" or not alone else path.parent))
        advice = f"`ros2 bag info {where}` may say more, and `ros2 bag reindex {where}` writes a metadata.yaml anew"
        if path.suffix == ".bag":
            advice = f"`rosbag reindex {where}`, of ROS 1, repairs one whose writer was killed"
        raise CameraError(f"the bag '{path}' cannot be read: {' '.join(str(refused).split())}; {advice}") from refused
