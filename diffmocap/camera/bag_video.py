"""The images of a ROS bag as those of a video file, without ROS; of ROS 1 or 2, raw or compressed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diffmocap.camera.bags import bag_at
from diffmocap.camera.message_images import frame_from_compressed, frame_from_image
from diffmocap.camera.message_info import intrinsics_from_camera_info, is_rectified_name
from diffmocap.camera.mirror import mirrored
from diffmocap.errors import CameraError, ImageError
from diffmocap.types import CameraIntrinsics, Frame

_IMAGES = {"sensor_msgs/msg/Image": frame_from_image, "sensor_msgs/msg/CompressedImage": frame_from_compressed}
_INFO = "sensor_msgs/msg/CameraInfo"
_COMPRESSED = "/compressed"


class BagVideo:
    """A context manager around an open bag; iterate over it for its images, in their order and at their own times,
    or where those are zero at the times when they were recorded.

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
            from rosbags.highlevel import AnyReader, AnyReaderError
            from rosbags.typesys import Stores, get_typestore
        except ImportError as missing:
            raise CameraError(
                f"'{path}' is a bag, and reading it here needs the package rosbags: pip install rosbags"
            ) from missing
        self._path, self._mirror = path, mirror
        folder = path.parent if path.is_file() and path.suffix != ".bag" else path
        if folder != path and len(parts := [each for each in folder.iterdir() if bag_at(each)]) > 1:
            raise CameraError(f"'{path}' is one of {len(parts)} files of a bag; give the folder '{folder}'")
        try:
            # Bags of ROS 2 before Jazzy do not hold the definitions of their messages.
            self._reader = AnyReader([folder], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
            self._reader.open()
        except (AnyReaderError, OSError, ValueError) as error:
            raise CameraError(
                f"the bag '{path}' cannot be read: {error}; `ros2 bag info {folder}` may say more, and "
                f"`ros2 bag reindex {folder}` writes a metadata.yaml that is missing"
            ) from error
        try:
            self.topic = self._chosen(topic)
        except CameraError:
            self._reader.close()
            raise
        self._connections = self._of(self.topic)
        self.count = sum(connection.msgcount for connection in self._connections)

    def __iter__(self) -> Iterator[Frame]:
        last_ns = None
        for connection, received_ns, raw in self._reader.messages(self._connections):
            message = self._message(raw, connection.msgtype)
            try:
                frame = _IMAGES[connection.msgtype](message)
            except ImageError as error:
                raise CameraError(f"the images of {self.topic} in the bag '{self._path}': {error}") from error
            image = np.ascontiguousarray(frame.image[:, ::-1]) if self._mirror else frame.image
            # A driver that does not stamp its images leaves zeros; an image that is there twice, or late, is left out.
            stamp_ns = frame.stamp_ns or received_ns
            if last_ns is None or stamp_ns > last_ns:
                last_ns = stamp_ns
                yield Frame(image, stamp_ns)

    def intrinsics(self, width: int, height: int) -> CameraIntrinsics | None:
        """What the bag says of the camera of images of this size, or None.

        Raises:
            SettingsError: what it says cannot be used.
        """
        topic = f"{self.topic.removesuffix(_COMPRESSED).rpartition('/')[0]}/camera_info"
        found = [c for c in self._reader.connections if c.topic == topic and c.msgtype == _INFO]
        for connection, _, raw in self._reader.messages(found) if found else ():
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
            kinds = ", ".join(sorted({c.msgtype for c in self._reader.connections})) or "nothing"
            raise CameraError(
                f"the bag '{self._path}' has no images, but {kinds}; record the camera's image topic, too"
            )
        if len(once) > 1:
            raise CameraError(f"the bag '{self._path}' has images of several topics; name one with --topic: {told}")
        return once[0]
