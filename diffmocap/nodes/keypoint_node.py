"""keypoint_node: finds a person's keypoints in the images of any camera driver."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import cv2
from diffmocap_msgs.msg import Keypoints2D as Keypoints2DMsg
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from diffmocap.camera.message_images import frame_from_compressed, frame_from_image, ns_from_stamp
from diffmocap.camera.missing_images import MissingImages
from diffmocap.errors import DiffmocapError, ImageError
from diffmocap.graph.description import camera_info_beside
from diffmocap.keypoints.draw import draw_keypoints
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.keypoints.person_ids import PersonIds
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.nodes.arrivals import Arrival, Arrivals
from diffmocap.nodes.health.diagnostics import ERROR, Diagnostics
from diffmocap.nodes.health.input_watch import InputWatch, Words
from diffmocap.nodes.images.image_messages import image_to_message
from diffmocap.nodes.images.image_transport import AUTO, TRANSPORTS, image_source
from diffmocap.nodes.images.mirrored_info import mirrored_camera_info
from diffmocap.nodes.images.qos import SUBSCRIPTION_CHOICES, ImageSubscription, sensor_qos
from diffmocap.nodes.messages import keypoints_to_message
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.nodes.parameters import from_settings, own
from diffmocap.nodes.publishers import publishers_of
from diffmocap.nodes.run import ManagedNode, run
from diffmocap.nodes.worker import LatestWorker
from diffmocap.settings import settings_of

#: So many missing images, in ten seconds, are worth a warning: a share, and a count.
MISSING_SHARE, MISSING_COUNT = 0.01, 3

#: Of the detector's settings, what may change while it runs.
_LIVE = ("search_small", "min_visibility")
_DETECTOR = DetectorSettings()

PARAMETERS = (
    own(
        "image_transport",
        AUTO,
        "Subscribe to image_raw, or to image_raw/compressed; auto: by the type of what is published.",
        choices=TRANSPORTS,
        live=False,
    ),
    own(
        "reliability",
        "auto",
        "Of the subscription to images: as their publishers offer it, or fixed.",
        choices=SUBSCRIPTION_CHOICES,
        live=False,
    ),
    *(from_settings(_DETECTOR, name, live=name in _LIVE) for name in settings_of(DetectorSettings)),
    own(
        "mirror",
        False,
        "The images of another driver show people as a mirror does: exchange left and right before the search, and "
        "keypoints/camera_info tells pose_node. camera_node has a parameter of its own.",
        live=False,
    ),
    own("annotated_image", False, "Publish annotated_image where somebody subscribes to it."),
    own("queue_depth", 2, "Images that may wait; when one more comes the oldest is dropped.", 1, 16),
)


class KeypointNode(ManagedNode):
    """Detects on a worker thread, in the newest image; publishes ``keypoints`` for every image it worked on."""

    def __init__(self) -> None:
        super().__init__("keypoint_node", PARAMETERS)
        self._detector: Detector | None = None
        self._diagnostics: Diagnostics | None = None
        self._worker: LatestWorker | None = None
        self._input: InputWatch | None = None
        self._info_subscription = None
        self._mirrored_info = None
        self._width = 0

    def configure(self) -> None:
        p = self.parameters
        settings = DetectorSettings(**{name: p[name] for name in settings_of(DetectorSettings)})
        started_s = time.monotonic()
        self._detector = Detector(settings)
        self.get_logger().info(f"{self._detector.name}, loaded in {time.monotonic() - started_s:.1f} s")
        self._keypoints = self.create_lifecycle_publisher(Keypoints2DMsg, "keypoints", 10)
        self._annotated = self.create_lifecycle_publisher(Image, "annotated_image", sensor_qos())
        if p["mirror"]:
            self._mirrored_info = self.create_lifecycle_publisher(
                CameraInfo, f"{self.resolve_topic_name('keypoints')}/camera_info", 10
            )
        self._diagnostics = Diagnostics(self, hardware_id="cpu")
        self._diagnostics.set("model", self._detector.name)
        self._diagnostics.set("device", "cpu")
        for counter in ("images", "missing", "dropped", "bad_images", "without_person"):
            self._diagnostics.count(counter, 0)

    def activate(self) -> None:
        p = self.parameters
        self._worker = LatestWorker(self._work, self._failed, p["queue_depth"], "keypoints")
        self._arrivals = Arrivals(self, self._diagnostics, "images")
        self._missing = MissingImages()
        self._ids = PersonIds()
        if p["mirror"]:
            self._info_subscription = self.create_subscription(
                CameraInfo, self._calibration_topic(), self._pass_on_mirrored, qos_profile_sensor_data
            )
        words = Words("images", "start a camera, or give image_topic its name (remap image_raw)", self._busy)
        subscribe = partial(ImageSubscription, self, reliability=p["reliability"])
        self._input = InputWatch(self, self._diagnostics, words, self._receive, self._image_source, subscribe)
        self._missing_timer = steady_timer(self, 1.0, self._report_missing)

    def deactivate(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None
            self.destroy_timer(self._missing_timer)
        if self._info_subscription is not None:
            self.destroy_subscription(self._info_subscription)
            self._info_subscription = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def cleanup(self) -> None:
        if self._detector is not None:
            self._detector.close()
            self._detector = None
        if self._diagnostics is not None:
            self._diagnostics.close()
            self._diagnostics = None
            self.destroy_lifecycle_publisher(self._keypoints)
            self.destroy_lifecycle_publisher(self._annotated)
            if self._mirrored_info is not None:
                self.destroy_lifecycle_publisher(self._mirrored_info)
                self._mirrored_info = None

    def parameters_changed(self, names: set[str]) -> None:
        if self._detector is not None:
            live = {name: self.parameters[name] for name in _LIVE}
            self._detector.settings = replace(self._detector.settings, **live)

    def _image_source(self) -> tuple[type[Image] | type[CompressedImage], str]:
        def types_of(topic: str) -> set[str]:
            return {publisher.kind for publisher in publishers_of(self, topic)}

        topic = self.resolve_topic_name("image_raw")
        return image_source(topic, self.parameters["image_transport"], types_of)

    def _busy(self) -> tuple[str, str]:
        item_s = max(self._worker.item_s, 1e-3)
        slow = f"an image takes {1e3 * item_s:.0f} ms, {1.0 / item_s:.2g} a second are worked on"
        return slow, "take smaller images, a lower rate of the camera, or a lighter model"

    def _report_missing(self) -> None:
        """Images that were lost, or that the driver skipped, are seen nowhere else."""
        subscription = self._input.subscription
        self._diagnostics.set("reliability", subscription.reliability)
        missing, expected = self._missing.recent
        if missing < max(MISSING_COUNT, MISSING_SHARE * expected):
            return
        text = (
            f"{missing} of the last {expected} images on {subscription.topic_name} are missing by their stamps: "
            "the driver skips them, or they get lost because its Fast DDS has no profile for images (see docs/ros.md)"
        )
        self._diagnostics.problem("missing", text)
        self.get_logger().warning(text, throttle_duration_sec=60.0)

    def _receive(self, message: Image | CompressedImage) -> None:
        self._diagnostics.tick("image")
        self._diagnostics.count("missing", self._missing.see(ns_from_stamp(message.header.stamp)))
        self._worker.depth = self._input.depth(self.parameters["queue_depth"])
        if dropped := self._worker.put((message, self._arrivals.note(message.header.stamp))):
            self._diagnostics.count("dropped", dropped)
            self._input.dropped(dropped)

    def _calibration_topic(self) -> str:
        """What camera_info is remapped to, else the one beside the images."""
        named = self.resolve_topic_name("camera_info")
        if named != self.resolve_topic_name("camera_info", only_expand=True):
            return named
        return camera_info_beside(self.resolve_topic_name("image_raw"))

    def _pass_on_mirrored(self, info: CameraInfo) -> None:
        """The calibration of the pictures that the keypoints are found in."""
        if info.width or self._width:
            self._mirrored_info.publish(mirrored_camera_info(info, self._width))

    def _work(self, item: tuple[Image | CompressedImage, Arrival]) -> None:
        message, arrival = item
        started_s = time.monotonic()
        frame = frame_from_image(message) if isinstance(message, Image) else frame_from_compressed(message)
        image = frame.image if self._mirrored_info is None else cv2.flip(frame.image, 1)
        frame = replace(frame, image=image, stamp_ns=arrival.stamp_ns)
        self._width = image.shape[1]
        decoded_s = time.monotonic()
        keypoints = self._ids.numbered(self._detector.detect(frame))
        detected_s = time.monotonic()
        frame_id = message.header.frame_id
        self._keypoints.publish(keypoints_to_message(keypoints, frame_id))
        diagnostics = self._diagnostics
        diagnostics.tick("keypoints")
        diagnostics.count("images")
        diagnostics.count("without_person", int(keypoints.visible == 0))
        diagnostics.latency("wait", 1e3 * (started_s - arrival.steady_s))
        diagnostics.latency("decode", 1e3 * (decoded_s - started_s))
        diagnostics.latency("detect", 1e3 * (detected_s - decoded_s))
        diagnostics.latency("capture_to_keypoints", diagnostics.clock.age_ms(frame.stamp_ns))
        if self.parameters["annotated_image"] and self._annotated.get_subscription_count() > 0:
            annotated = draw_keypoints(frame.image, keypoints)
            self._annotated.publish(image_to_message(annotated, frame.stamp_ns, frame_id))
            diagnostics.latency("annotate", 1e3 * (time.monotonic() - detected_s))

    def _failed(self, error: Exception) -> None:
        """A bad image is told and left behind; the next one is a new chance."""
        if not self.context.ok() or self._diagnostics is None:  # process or node is being ended under this thread
            return
        text = str(error)
        if not isinstance(error, DiffmocapError):
            text = "".join(traceback.format_exception(error))
        self._diagnostics.count("bad_images")
        summary = text if isinstance(error, ImageError) else f"detection failed: {error}"
        self._diagnostics.problem("bad_image", summary, ERROR)
        self.get_logger().error(text, throttle_duration_sec=5.0)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; returns the exit code."""
    return run(KeypointNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
