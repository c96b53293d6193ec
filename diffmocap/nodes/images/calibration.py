"""The newest camera_info, what to assume until one comes, and whether the images are rectified."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from diffmocap.camera.intrinsics import crop_warning
from diffmocap.camera.message_info import intrinsics_from_camera_info, is_rectified_name, readout_of
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics

#: A calibration that comes later than the first images is not worth a warning.
PATIENCE_S = 2.0
#: How often to ask for the topic of the images: until it is known, and then.
SEARCH_S, RECHECK_S = 0.2, 2.0
#: How long a calibration of the keypoints' own counts, of which there is one with every image.
KEYPOINTS_SAY_S = 5.0
#: Values of the parameter ``rectified``.
RECTIFIED_CHOICES = ("auto", "true", "false")

_IMAGE_TYPES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}


class Calibration:
    """Intrinsics for the images at hand.

    Without a usable calibration the default field of view stands in, and ``warn`` says so once and loudly.

    Args:
        warn: gets a few words for diagnostics and a whole text for the log; called again only after a calibration
            came and another fault began.
        solved: called when a calibration comes that takes the warning back.
        image_topics: names of the topics that the keypoints come from, as far as they are known.

    Attributes:
        source: in words, what the intrinsics come from.
    """

    def __init__(
        self,
        warn: Callable[[str, str], None],
        solved: Callable[[], None] = lambda: None,
        image_topics: Callable[[], Iterable[str]] = lambda: (),
    ) -> None:
        self._warn, self._solved, self._image_topics = warn, solved, image_topics
        self._warned = ""
        self._info: CameraInfo | None = None
        self._keypoints_say_until_s = 0.0
        self._started_s = time.monotonic()
        self._cached: tuple[tuple, CameraIntrinsics] | None = None
        self._topics: tuple[str, ...] = ()
        self._topics_due_s = 0.0
        self.source = ""

    def receive(self, info: CameraInfo) -> None:
        """A camera_info message; the newest counts."""
        if time.monotonic() > self._keypoints_say_until_s:
            self._info = info

    def receive_of_keypoints(self, info: CameraInfo) -> None:
        """A calibration from who found the keypoints, in pictures other than the published ones; it counts then."""
        self._keypoints_say_until_s = time.monotonic() + KEYPOINTS_SAY_S
        self._info = info

    def intrinsics(self, width: int, height: int, vertical_fov_deg: float, rectified: str = "auto") -> CameraIntrinsics:
        """For images of this size [px]; ``is_default`` where nothing better than the field of view is known."""
        info = self._info
        by_projection = info is not None and self._is_rectified(info, rectified)
        key = (width, height, vertical_fov_deg, by_projection, None if info is None else _content(info))
        if self._cached is None or self._cached[0] != key:
            self._cached = (key, self._made(info, width, height, vertical_fov_deg, by_projection))
        if info is None and time.monotonic() - self._started_s > PATIENCE_S:
            self._say_assumed("no camera_info has come", vertical_fov_deg)
        return self._cached[1]

    def _is_rectified(self, info: CameraInfo, wanted: str) -> bool:
        if wanted != "auto":
            return wanted == "true"
        if info.k[0] == 0.0 and info.p[0] != 0.0:
            return True  # of a driver that knows its rectified images alone
        now_s = time.monotonic()
        if now_s >= self._topics_due_s:
            self._topics = tuple(self._image_topics())
            self._topics_due_s = now_s + (RECHECK_S if self._topics else SEARCH_S)
        return any(is_rectified_name(topic) for topic in self._topics)

    def _made(
        self, info: CameraInfo | None, width: int, height: int, vertical_fov_deg: float, rectified: bool
    ) -> CameraIntrinsics:
        self.source = f"assumed field of view of {vertical_fov_deg:g} degrees"
        assumed = CameraIntrinsics.from_fov(width, height, vertical_fov_deg)
        if info is None:
            return assumed
        try:
            made = intrinsics_from_camera_info(info, width, height, vertical_fov_deg, rectified)
        except SettingsError as error:
            self._say_assumed(str(error), vertical_fov_deg, "the calibration cannot be used")
            return assumed
        if made.is_default:
            self._say_assumed("the camera is not calibrated (K is zero)", vertical_fov_deg)
            return made
        self.source = "camera_info: P, of rectified images" if rectified else "camera_info: K and D, of raw images"
        readout = readout_of(info)
        delivered = readout.size(*readout.full_size((info.width, info.height), (width, height)))
        if warning := crop_warning(delivered, (width, height)):
            self._say("the calibration has another aspect ratio", warning)
        elif self._warned:
            self._warned = ""
            self._solved()
        return made

    def _say_assumed(self, fault: str, vertical_fov_deg: float, summary: str = "the camera is not calibrated") -> None:
        self._say(
            summary,
            f"{fault}: assuming a vertical field of view of {vertical_fov_deg:g} degrees. Distances and the tilt of "
            "the body depend on it: calibrate with `diffmocap calibrate` or camera_calibration, or set the parameter "
            "vertical_fov_deg",
        )

    def _say(self, summary: str, text: str) -> None:
        if self._warned != text:
            self._warned = text
            self._warn(summary, text)


def image_topics_behind(node: Node, keypoint_topic: str) -> set[str]:
    """Names of the image topics that the publishers of ``keypoint_topic`` subscribe to, as far as they are known."""
    topics = set()
    for publisher in node.get_publishers_info_by_topic(keypoint_topic):
        try:
            subscribed = node.get_subscriber_names_and_types_by_node(publisher.node_name, publisher.node_namespace)
        except RuntimeError:  # not discovered yet, or gone
            continue
        topics |= {name for name, types in subscribed if not _IMAGE_TYPES.isdisjoint(types)}
    return topics


def _content(info: CameraInfo) -> tuple:
    size = (info.width, info.height, info.distortion_model)
    return (*size, tuple(info.k), tuple(info.d), tuple(info.p), readout_of(info))
