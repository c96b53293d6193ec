"""keypoint_node: finds a person's keypoints in the images of any camera driver."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace

from diffmocap_msgs.msg import Keypoints2D as Keypoints2DMsg
from sensor_msgs.msg import CompressedImage, Image

from diffmocap.camera.missing_images import MissingImages
from diffmocap.errors import DiffmocapError, ImageError
from diffmocap.keypoints.draw import draw_keypoints
from diffmocap.keypoints.mediapipe_detector import Detector, DetectorSettings
from diffmocap.nodes.diagnostics import ERROR, Diagnostics
from diffmocap.nodes.messages import (
    frame_from_compressed,
    frame_from_image,
    image_to_message,
    keypoints_to_message,
    ns_from_stamp,
)
from diffmocap.nodes.parameters import Setting
from diffmocap.nodes.qos import SUBSCRIPTION_CHOICES, ImageSubscription, sensor_qos
from diffmocap.nodes.run import ManagedNode, run
from diffmocap.nodes.worker import LatestWorker

#: A camera that says nothing for this long is worth a warning.
SILENCE_S = 5.0
#: So many missing images, in ten seconds, are worth a warning: a share, and a count.
MISSING_SHARE, MISSING_COUNT = 0.01, 3

_DEFAULTS = DetectorSettings()

SETTINGS = (
    Setting(
        "image_transport",
        "raw",
        "Subscribe to image_raw, or to image_raw/compressed.",
        choices=("raw", "compressed"),
        live=False,
    ),
    Setting(
        "reliability",
        "auto",
        "Of the subscription to images: as their publishers offer it, or fixed.",
        choices=SUBSCRIPTION_CHOICES,
        live=False,
    ),
    Setting(
        "task_file",
        _DEFAULTS.task_file,
        "Pose landmarker bundle (.task); empty: the model inside MediaPipe's wheel.",
        live=False,
    ),
    Setting(
        "min_detection_confidence",
        _DEFAULTS.min_detection_confidence,
        "Score from which a person counts as found.",
        0.0,
        1.0,
        live=False,
    ),
    Setting(
        "min_tracking_confidence",
        _DEFAULTS.min_tracking_confidence,
        "Score under which tracking gives up and detection starts again.",
        0.0,
        1.0,
        live=False,
    ),
    Setting("smooth", _DEFAULTS.smooth, "Let MediaPipe filter the landmarks over time.", live=False),
    Setting(
        "min_visibility",
        _DEFAULTS.min_visibility,
        "Keypoints less visible than this count as missing.",
        0.0,
        1.0,
    ),
    Setting(
        "calibrated",
        _DEFAULTS.calibrated,
        "Move MediaPipe's landmarks to the body model's keypoints; false: each is the landmark of its name.",
        live=False,
    ),
    Setting("annotated_image", False, "Publish annotated_image where somebody subscribes to it."),
    Setting("queue_depth", 2, "Images that may wait; when one more comes the oldest is dropped.", 1, 16),
)


class KeypointNode(ManagedNode):
    """Detects on a worker thread, in the newest image; publishes ``keypoints`` for every image it worked on."""

    def __init__(self) -> None:
        super().__init__("keypoint_node", SETTINGS)
        self._detector: Detector | None = None
        self._diagnostics: Diagnostics | None = None
        self._worker: LatestWorker | None = None
        self._subscription = None
        self._watch = None

    def configure(self) -> None:
        p = self.parameters
        settings = DetectorSettings(
            task_file=p["task_file"],
            min_detection_confidence=p["min_detection_confidence"],
            min_tracking_confidence=p["min_tracking_confidence"],
            min_visibility=p["min_visibility"],
            smooth=p["smooth"],
            calibrated=p["calibrated"],
        )
        started_s = time.monotonic()
        self._detector = Detector(settings)
        self.get_logger().info(f"{self._detector.name}, loaded in {time.monotonic() - started_s:.1f} s")
        self._keypoints = self.create_lifecycle_publisher(Keypoints2DMsg, "keypoints", 10)
        self._annotated = self.create_lifecycle_publisher(Image, "annotated_image", sensor_qos())
        self._diagnostics = Diagnostics(self, hardware_id="cpu")
        self._diagnostics.set("model", self._detector.name)
        self._diagnostics.set("device", "cpu")
        for counter in ("images", "missing", "dropped", "bad_images", "without_person"):
            self._diagnostics.count(counter, 0)

    def activate(self) -> None:
        p = self.parameters
        self._worker = LatestWorker(self._work, self._failed, p["queue_depth"], "keypoints")
        kind, topic = Image, "image_raw"
        if p["image_transport"] == "compressed":
            # As image_transport does it: the suffix follows what the base topic is remapped to, where it is not in it.
            base = self.resolve_topic_name("image_raw").removesuffix("/compressed")
            kind, topic = CompressedImage, f"{base}/compressed"
        self._subscription = ImageSubscription(self, kind, topic, self._receive, p["reliability"])
        self._missing = MissingImages()
        self._last_image_s = time.monotonic()
        self._watch = self.create_timer(1.0, self._watch_input)

    def deactivate(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        if self._watch is not None:
            self.destroy_timer(self._watch)
            self._watch = None
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

    def parameters_changed(self, names: set[str]) -> None:
        if self._worker is not None:
            self._worker.depth = self.parameters["queue_depth"]
        if self._detector is not None:
            self._detector.settings = replace(self._detector.settings, min_visibility=self.parameters["min_visibility"])

    def _watch_input(self) -> None:
        """Silence has a reason that a user cannot see: nobody publishes, or with other topic names."""
        self._report_missing()
        silent_s = time.monotonic() - self._last_image_s
        if silent_s < SILENCE_S:
            return
        topic = self._subscription.topic_name
        publishers = self.count_publishers(topic)
        text = f"no image on {topic} for {silent_s:.0f} s: " + (
            f"{publishers} publishers are known; are they active, and reliable where the parameter asks for it?"
            if publishers
            else "nobody publishes it; start a camera or remap image_raw"
        )
        self._diagnostics.problem("input", text)
        self.get_logger().warning(text, throttle_duration_sec=60.0)

    def _report_missing(self) -> None:
        """Images that were lost, or that the driver skipped, are seen nowhere else."""
        self._diagnostics.set("reliability", self._subscription.reliability)
        missing, expected = self._missing.recent
        if missing < max(MISSING_COUNT, MISSING_SHARE * expected):
            return
        text = (
            f"{missing} of the last {expected} images on {self._subscription.topic_name} are missing by their stamps: "
            "the driver skips them, or they get lost because its Fast DDS has no profile for images (see README)"
        )
        self._diagnostics.problem("missing", text)
        self.get_logger().warning(text, throttle_duration_sec=60.0)

    def _receive(self, message: Image | CompressedImage) -> None:
        self._last_image_s = time.monotonic()
        self._diagnostics.tick("image")
        self._diagnostics.count("missing", self._missing.see(ns_from_stamp(message.header.stamp)))
        if dropped := self._worker.put(message):
            self._diagnostics.count("dropped", dropped)

    def _work(self, message: Image | CompressedImage) -> None:
        started_s = time.monotonic()
        frame = frame_from_image(message) if isinstance(message, Image) else frame_from_compressed(message)
        decoded_s = time.monotonic()
        keypoints = self._detector.detect(frame)
        detected_s = time.monotonic()
        frame_id = message.header.frame_id
        self._keypoints.publish(keypoints_to_message(keypoints, frame_id))
        diagnostics = self._diagnostics
        diagnostics.tick("keypoints")
        diagnostics.count("images")
        diagnostics.count("without_person", int(keypoints.visible == 0))
        diagnostics.latency("decode", 1e3 * (decoded_s - started_s))
        diagnostics.latency("detect", 1e3 * (detected_s - decoded_s))
        diagnostics.latency("capture_to_keypoints", (self.get_clock().now().nanoseconds - frame.stamp_ns) / 1e6)
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
