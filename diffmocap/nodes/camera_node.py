"""camera_node: publishes the images of a camera, a video file or a stream."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from sensor_msgs.srv import SetCameraInfo
from std_msgs.msg import Header

from diffmocap.camera.capture import Capture
from diffmocap.camera.message_images import ns_from_stamp
from diffmocap.camera.settings import CaptureSettings
from diffmocap.errors import CameraError
from diffmocap.graph.frames import OPTICAL_FRAME
from diffmocap.nodes.flow_control import FlowControl
from diffmocap.nodes.health.diagnostics import ERROR, OK, Diagnostics
from diffmocap.nodes.images.camera_calibration import CameraCalibration
from diffmocap.nodes.images.image_messages import image_to_compressed_message, image_to_message
from diffmocap.nodes.images.qos import RELIABILITY_CHOICES, sensor_qos
from diffmocap.nodes.messages import camera_info_to_message
from diffmocap.nodes.parameters import from_settings, own
from diffmocap.nodes.run import ManagedNode, run
from diffmocap.settings import settings_of
from diffmocap.types import VERTICAL_FOV, Frame

#: Between seeing a subscriber and its seeing us.
DISCOVERY_GRACE_S = 0.3
#: How long a file that ends the process leaves its last image to be fetched.
LINGER_S = 1.0

_CAPTURE = CaptureSettings()

PARAMETERS = (
    own(
        "source",
        "0",
        "Camera index or device, video file, folder of images, img_%04d.jpg, URL of a stream, or $NAME of an "
        "environment variable that holds one of them, for a URL with a password.",
        live=False,
    ),
    *(from_settings(_CAPTURE, name, live=False) for name in settings_of(CaptureSettings)),
    own(
        "pacing",
        "realtime",
        "How a file is played: at its own rate, or as fast as the pose node acknowledges frames on 'processed'.",
        choices=("realtime", "fast"),
        live=False,
    ),
    own(
        "on_end",
        "stop",
        "At the end of a file: stay without images, start it again, or end the process.",
        choices=("stop", "loop", "exit"),
        live=False,
    ),
    own(
        "stamps",
        "clock",
        "What stamps a file's images with pacing fast: the clock when they are read, or the time of the video "
        "(velocities are then true and latencies meaningless; set max_stamp_offset of pose_node to 0).",
        choices=("clock", "video"),
        live=False,
    ),
    own(
        "max_in_flight",
        2,
        "Largest number of frames in flight with pacing fast; above the queue_depth of the nodes some are dropped.",
        1,
        16,
    ),
    own("ack_timeout_s", 2.0, "Time after which pacing fast counts a frame as lost.", 0.05, 60.0, "s"),
    own("wait_for_subscribers_s", 10.0, "How long a file waits for a subscriber before it plays.", 0.0, 600.0, "s"),
    own("frame_id", OPTICAL_FRAME, "Frame of the images.", live=False),
    own(
        "calibration_file",
        "",
        "YAML of `diffmocap calibrate` or camera_calibration; empty: what set_camera_info saved for this camera.",
        live=False,
    ),
    own(
        "vertical_fov_deg",
        0.0,
        f"Known vertical field of view of a camera without a calibration, from {VERTICAL_FOV.low:g}; 0: unknown.",
        0.0,
        VERTICAL_FOV.high,
        VERTICAL_FOV.unit,
        live=False,
    ),
    own(
        "reliability",
        "reliable",
        "Of the images: reliable reaches every subscriber (REP-2003), best_effort those that ask for no more.",
        choices=RELIABILITY_CHOICES,
        live=False,
    ),
    own("jpeg_quality", 90, "Quality of image_raw/compressed, which is made only while somebody subscribes.", 1, 100),
)


class CameraNode(ManagedNode):
    """Reads on a thread of its own and publishes ``image_raw`` with a ``camera_info`` of the same stamp.

    ``image_raw/compressed`` is made while somebody subscribes to it; ``set_camera_info`` takes a calibration.
    """

    def __init__(self) -> None:
        super().__init__("camera_node", PARAMETERS)
        self._capture: Capture | None = None
        self._calibration: CameraCalibration | None = None
        self._diagnostics: Diagnostics | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._flow: FlowControl | None = None
        self._skipped = 0
        self._acknowledgements = None

    def validate(self, values: dict[str, Any]) -> None:
        """A field of view is one that a camera can have, or not given."""
        if values["vertical_fov_deg"]:
            VERTICAL_FOV.check("parameter 'vertical_fov_deg'", values["vertical_fov_deg"])

    def configure(self) -> None:
        p = self.parameters
        self._calibration = None
        self._open()
        qos = sensor_qos(p["reliability"])
        self._images = self.create_lifecycle_publisher(Image, "image_raw", qos)
        self._infos = self.create_lifecycle_publisher(CameraInfo, "camera_info", qos)
        self._compressed = self.create_lifecycle_publisher(
            CompressedImage, f"{self.resolve_topic_name('image_raw')}/compressed", qos
        )
        self._set_camera_info = self.create_service(SetCameraInfo, "set_camera_info", self._take_calibration)
        self._diagnostics = Diagnostics(self, hardware_id=self._capture.source.label)
        self._diagnostics.set("source", self._capture.source.label)
        self._diagnostics.set("mode", self._capture.mode)
        self._diagnostics.set("calibration", self._calibration.origin)
        for counter in ("frames", "skipped", "unacknowledged"):
            self._diagnostics.count(counter, 0)
        self.get_logger().info(f"{self._capture.source.label}: {self._capture.mode}")

    def activate(self) -> None:
        if self._capture.ended:
            self._open()
        self._diagnostics.solved("end")
        self._skipped = self._capture.skipped  # a camera runs from configure on, and nobody reads before
        self._stop = threading.Event()
        self._flow = None
        if self.parameters["pacing"] == "fast" and not self._capture.live:
            self._flow = FlowControl(lambda: self.parameters["max_in_flight"], lambda: self.parameters["ack_timeout_s"])
            self._acknowledgements = self.create_subscription(
                Header, "processed", self._acknowledge, QoSProfile(depth=100)
            )
        self._thread = threading.Thread(target=self._work, args=(self._stop,), name="camera", daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)
        self._thread = None
        if self._acknowledgements is not None:
            self.destroy_subscription(self._acknowledgements)
            self._acknowledgements = None

    def cleanup(self) -> None:
        if self._capture is not None:
            self._capture.close()
            self._capture = None
        if self._diagnostics is not None:
            self._diagnostics.close()
            self._diagnostics = None
            self.destroy_lifecycle_publisher(self._images)
            self.destroy_lifecycle_publisher(self._infos)
            self.destroy_lifecycle_publisher(self._compressed)
            self.destroy_service(self._set_camera_info)

    def _open(self) -> None:
        p = self.parameters
        self._capture = Capture(
            p["source"],
            CaptureSettings(**{name: p[name] for name in settings_of(CaptureSettings)}),
            realtime=p["pacing"] == "realtime",
            loop=p["on_end"] == "loop",
            clock=self._now_ns,
            event=self._capture_event,
        )
        if self._calibration is None:
            log = self.get_logger()
            self._calibration = CameraCalibration(
                p["calibration_file"], p["vertical_fov_deg"], p["mirror"], self._capture.source, log.info, log.warning
            )
        self._intrinsics = self._calibration.intrinsics(self._capture.mode.width, self._capture.mode.height)

    def _work(self, stop: threading.Event) -> None:
        try:
            self._wait_for_subscribers(stop)
            while not stop.is_set():
                if self._flow is not None:
                    has_room = self._flow.wait_for_room(stop)
                    self._report_unacknowledged()
                    if not has_room:
                        continue
                frame = self._capture.read(timeout_s=0.2)
                if frame is not None:
                    self._publish(frame)
                elif self._capture.ended:
                    self._end(stop)
                    return
        except CameraError as error:
            self.get_logger().error(str(error))
            self._diagnostics.problem("camera", str(error), ERROR, hold_s=float("inf"))
        except Exception:
            if self.context.ok():  # else the process is being ended under this thread
                self.get_logger().error(f"the camera thread failed:\n{traceback.format_exc()}")
                self._diagnostics.problem("camera", "the camera thread failed", ERROR, hold_s=float("inf"))

    def _publish(self, frame: Frame) -> None:
        stamp_ns = frame.stamp_ns
        if self._flow is not None:
            if self.parameters["stamps"] == "clock":
                stamp_ns = self._now_ns()
            self._flow.sent(stamp_ns)
        height, width = frame.image.shape[:2]
        if (width, height) != (self._intrinsics.width, self._intrinsics.height):
            self._intrinsics = self._calibration.intrinsics(width, height)
            self._diagnostics.set("mode", self._capture.mode)
        frame_id = self.parameters["frame_id"]
        self._infos.publish(camera_info_to_message(self._intrinsics, stamp_ns, frame_id))
        self._images.publish(image_to_message(frame.image, stamp_ns, frame_id))
        if self._compressed.get_subscription_count() > 0:
            quality = self.parameters["jpeg_quality"]
            self._compressed.publish(image_to_compressed_message(frame.image, stamp_ns, frame_id, quality))
        self._diagnostics.tick("image")
        self._diagnostics.count("frames")
        skipped, self._skipped = self._skipped, self._capture.skipped
        self._diagnostics.count("skipped", self._skipped - skipped)
        if self._flow is None or self.parameters["stamps"] == "clock":
            self._diagnostics.latency("capture_to_publish", (self._now_ns() - stamp_ns) / 1e6)

    def _take_calibration(
        self, request: SetCameraInfo.Request, response: SetCameraInfo.Response
    ) -> SetCameraInfo.Response:
        """The service that calibrators call; its answer is shown to their user."""
        size = self._intrinsics.width, self._intrinsics.height
        response.success, response.status_message = self._calibration.set(request.camera_info, *size)
        self._intrinsics = self._calibration.intrinsics(*size)
        self._diagnostics.set("calibration", self._calibration.origin)
        text, log = f"set_camera_info: {response.status_message}", self.get_logger()
        if response.success:  # rclpy raises an error where one line logs with two severities
            log.info(text)
        else:
            log.error(text)
        return response

    def _wait_for_subscribers(self, stop: threading.Event) -> None:
        """A file that starts before anybody listens would lose its beginning."""
        patience_s = self.parameters["wait_for_subscribers_s"]
        if self._capture.live or not patience_s:
            return
        give_up_s = time.monotonic() + patience_s
        while not self._somebody_listens():
            if time.monotonic() > give_up_s:
                self.get_logger().warning(
                    f"nobody listens to {self.resolve_topic_name('image_raw')} after {patience_s:g} s; playing anyway"
                )
                return
            if stop.wait(0.05):
                return
        stop.wait(DISCOVERY_GRACE_S)

    def _somebody_listens(self) -> bool:
        return self._images.get_subscription_count() + self._compressed.get_subscription_count() > 0 and (
            self._flow is None or self.count_publishers(self.resolve_topic_name("processed")) > 0
        )

    def _acknowledge(self, message: Header) -> None:
        self._flow.acknowledged(ns_from_stamp(message.stamp))

    def _report_unacknowledged(self) -> None:
        lost = self._flow.take_lost()
        if not lost:
            return
        self._diagnostics.count("unacknowledged", lost)
        text = f"no acknowledgement on {self.resolve_topic_name('processed')} for {lost} frames; is pose_node active?"
        self._diagnostics.problem("unacknowledged", text)
        self.get_logger().warning(text, throttle_duration_sec=10.0)

    def _capture_event(self, level: int, text: str) -> None:
        if level >= logging.WARNING:
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)
        if self._diagnostics is not None and self._capture is not None:
            if self._capture.lost:
                self._diagnostics.problem("lost", text, ERROR, hold_s=float("inf"))
            else:
                self._diagnostics.solved("lost")

    def _end(self, stop: threading.Event) -> None:
        if self._flow is not None:
            self._flow.wait_until_empty(stop)
            self._report_unacknowledged()
        self.get_logger().info(f"{self._capture.source.label} is at its end")
        self._diagnostics.problem("end", "end of file", OK, hold_s=float("inf"))
        self._diagnostics.publish()
        if self.parameters["on_end"] == "exit":
            stop.wait(LINGER_S)
            self.request_exit(0)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; returns the exit code."""
    return run(CameraNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
