"""pose_node: keypoints in, joint states, body pose, transforms and markers out."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from diffmocap_msgs.msg import BodyPose
from diffmocap_msgs.msg import Keypoints2D as Keypoints2DMsg
from geometry_msgs.msg import Pose, TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from diffmocap.body.skeleton import ROOT_LINK
from diffmocap.compiler import compiling_told
from diffmocap.device import resolve_device
from diffmocap.errors import AbandonedError, DeviceError, DiffmocapError, KeypointError, StampError
from diffmocap.graph.frames import OPTICAL_FRAME, prefixed
from diffmocap.graph.robot_description import robot_description
from diffmocap.lifting.lifter import Lifter
from diffmocap.nodes.arrivals import Arrival, Arrivals
from diffmocap.nodes.health.diagnostics import ERROR, OK, Diagnostics
from diffmocap.nodes.health.input_watch import InputWatch, PlainSubscription, Words
from diffmocap.nodes.health.output_watch import OutputWatch
from diffmocap.nodes.images.calibration import Calibration, image_topics_behind
from diffmocap.nodes.messages import keypoints_from_message, stamp_from_ns
from diffmocap.nodes.parameters import Parameters
from diffmocap.nodes.pose.affordable import at_level, given_up, levels_of, refined_ms, spare_ms
from diffmocap.nodes.pose.ground_frame import GroundFrame
from diffmocap.nodes.pose.image_frame_watch import ImageFrameWatch
from diffmocap.nodes.pose.link_frames import LinkFrames
from diffmocap.nodes.pose.motion_report import MotionReport
from diffmocap.nodes.pose.pose_markers import pose_markers
from diffmocap.nodes.pose.pose_messages import (
    body_pose_message,
    joint_state_message,
    root_transform,
    track_message,
)
from diffmocap.nodes.pose.pose_settings import PARAMETERS, pipeline_settings
from diffmocap.nodes.pose.refinement_report import RefinementReport
from diffmocap.nodes.pose.step_budget import StepBudget, refinement_end_ms
from diffmocap.nodes.pose.track_report import TrackReport
from diffmocap.nodes.pose.track_watch import TrackWatch
from diffmocap.nodes.run import ManagedNode, run
from diffmocap.nodes.static_frames import STATIC_FRAMES
from diffmocap.nodes.worker import LatestWorker
from diffmocap.output.tracking_state import TrackStatus
from diffmocap.pipeline.pose_pipeline import PosePipeline, load_lifter
from diffmocap.pipeline.result import Outcome, PoseResult
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.stream.known_ground import KnownGround

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: What a pose costs is decided by these; one that takes longer than this when they change is not waited for [s].
COSTLY, LONG_S = {"steps", "hypotheses", "sampler", "guidance", "budget_ms"}, 0.5


class PoseNode(ManagedNode):
    """Works on the newest keypoints on a thread of its own; the executor only receives."""

    parameters: Parameters | None = None
    _pipeline: PosePipeline | None = None
    _next_lifter: Lifter | None = None

    def __init__(self) -> None:
        super().__init__("pose_node", PARAMETERS)
        self._diagnostics: Diagnostics | None = None
        self._worker: LatestWorker | None = None
        self._subscriptions_: list = []
        self._input: InputWatch | None = None
        self._output: OutputWatch | None = None
        self._track_watch: TrackWatch | None = None
        self._budget = StepBudget()
        self._asked: PipelineSettings | None = None  # what the parameters ask for
        self._asked_by: tuple[dict[str, Any], KnownGround] | None = None  # those parameters, and the ground
        self._ground = GroundFrame()
        self._link_frames: LinkFrames | None = None
        self._dropped = 0
        self._markers_due_s = 0.0

    def validate(self, values: dict[str, Any]) -> None:
        """Also loads the model on another device, so that a device that fails is refused and nothing changes."""
        pipeline_settings(values)
        prefixed(ROOT_LINK, values["frame_prefix"])
        if self.parameters is None or values["device"] == self.parameters["device"]:
            return  # at the start configure will tell, so that the node lives
        resolve_device(values["device"])
        if self._pipeline is not None:
            try:
                self._next_lifter = load_lifter(values["weights"], values["body_model"], values["device"])
            except RuntimeError as error:  # of a driver, or where a GPU's memory is full
                raise DeviceError(f"the model cannot be loaded on '{values['device']}': {error}") from error

    def parameters_changed(self, names: set[str]) -> None:
        if self._worker is not None and names & COSTLY and self._worker.in_work_s > LONG_S:
            self._pipeline.abandon()
        if self._pipeline is not None and "device" in names:
            self._pipeline.replace_lifter(self._next_lifter)
            self._next_lifter = None
            self._tell_device()

    def configure(self) -> None:
        p = self.parameters
        torch.set_num_threads(p["torch_threads"])
        started_s = time.monotonic()
        self._pipeline = PosePipeline.load(p["weights"], p["body_model"], p["device"], pipeline_settings(p.values()))
        with compiling_told(self.get_logger().info):
            self._pipeline.warm_up()
        self._link_frames = None  # of another body, or prefix
        self._create_publishers()
        self._diagnostics = Diagnostics(self)
        for counter in ("poses", "bad_keypoints", "refused", "dropped", "tracks", "reinitialised", "switched"):
            self._diagnostics.count(counter, 0)
        weights, body = p["weights"] or "shipped weights", p["body_model"] or "shipped body"
        self._diagnostics.set("model", f"{weights}, {body}")
        self._tell_device()
        self.get_logger().info(f"{weights} and {body} loaded on {p['device']} in {time.monotonic() - started_s:.1f} s")

    def activate(self) -> None:
        self._pipeline.reset(camera_moved=True)
        self._budget, self._refinement = StepBudget(), RefinementReport(self._diagnostics)
        self._ground = GroundFrame()
        self._image_frame = ImageFrameWatch(self._diagnostics, self.get_logger().warning, self._ground.frames)
        self._dropped = 0
        self._diagnostics.solved("calibration")
        topic = self.resolve_topic_name("keypoints")
        self._calibration = Calibration(
            self._warn_of_calibration,
            lambda: self._diagnostics.solved("calibration"),
            lambda: image_topics_behind(self, topic),
        )
        self._worker = LatestWorker(self._work, self._failed, self.parameters["queue_depth"], "pose")
        self._subscriptions_ = [
            self.create_subscription(CameraInfo, "camera_info", self._calibration.receive, qos_profile_sensor_data),
            self.create_subscription(CameraInfo, f"{topic}/camera_info", self._calibration.receive_of_keypoints, 10),
            self.create_subscription(TFMessage, "/tf_static", self._ground.frames.receive, STATIC_FRAMES),
        ]
        self._track_report = TrackReport(self._diagnostics, self.get_logger().warning)
        self._motion_report = MotionReport(self._diagnostics)
        self._arrivals = Arrivals(self, self._diagnostics, "keypoints")
        start = "start keypoint_node in this namespace, and see what it says of its images"
        words = Words("keypoints", start, self._busy)
        source, subscribe = (Keypoints2DMsg, "keypoints"), partial(PlainSubscription, self)
        self._input = InputWatch(self, self._diagnostics, words, self._receive, lambda: source, subscribe)
        self._output = OutputWatch(self, self._diagnostics, "joint_states")
        self._frame = prefixed(OPTICAL_FRAME, self.parameters["frame_prefix"])
        self._track_watch = TrackWatch(
            self, self._diagnostics, self._pipeline.lose, self._publish_track, lambda: self.parameters["max_gap"]
        )

    def deactivate(self) -> None:
        for subscription in self._subscriptions_:
            self.destroy_subscription(subscription)
        self._subscriptions_ = []
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        for watch in (self._input, self._output, self._track_watch):
            if watch is not None:
                watch.close()
        self._input = self._output = self._track_watch = None

    def cleanup(self) -> None:
        self._pipeline = self._next_lifter = None
        if self._diagnostics is not None:
            self._diagnostics.close()
            self._diagnostics = None
            for publisher in self._lifecycle_publishers:
                self.destroy_lifecycle_publisher(publisher)
            self.destroy_publisher(self._description)

    def _create_publishers(self) -> None:
        text = robot_description()
        self._joint_states = self.create_lifecycle_publisher(JointState, "joint_states", 10)
        self._body_pose = self.create_lifecycle_publisher(BodyPose, "body_pose", 10)
        self._tf = self.create_lifecycle_publisher(TFMessage, "/tf", 100)
        self._markers = self.create_lifecycle_publisher(MarkerArray, "markers", 10)
        self._processed = self.create_lifecycle_publisher(Header, "processed", 100)
        self._lifecycle_publishers = (
            self._joint_states, self._body_pose, self._tf, self._markers, self._processed,
        )  # fmt: skip
        # Not managed: viewers may have the body before anybody is tracked.
        self._description = self.create_publisher(String, "robot_description", LATCHED)
        self._description.publish(String(data=text))

    def _receive(self, message: Keypoints2DMsg) -> None:
        self._diagnostics.tick("keypoints")
        self._track_watch.received()
        self._worker.depth = self._input.depth(self.parameters["queue_depth"])
        if dropped := self._worker.put((message, self._arrivals.note(message.header.stamp))):
            self._diagnostics.count("dropped", dropped)
            self._input.dropped(dropped)

    def _work(self, item: tuple[Keypoints2DMsg, Arrival]) -> None:
        """One set of keypoints, on the worker's thread."""
        message, arrival = item
        started_s = time.monotonic()
        p = self.parameters
        if torch.get_num_threads() != p["torch_threads"]:
            torch.set_num_threads(p["torch_threads"])  # counts for the thread that calls it
        frame = message.header.frame_id or prefixed(OPTICAL_FRAME, p["frame_prefix"])
        watch = self._track_watch
        watch.working = True
        try:
            keypoints = replace(keypoints_from_message(message), stamp_ns=arrival.stamp_ns)
            arrival.require_near(p["max_stamp_offset"])
            intrinsics = self._calibration.intrinsics(
                keypoints.width, keypoints.height, p["vertical_fov_deg"], p["rectified"]
            )
            self._pipeline.settings = self._affordable_settings(started_s, frame)
            result = self._pipeline.step(keypoints, intrinsics, self._refinement_deadline_s(keypoints.stamp_ns))
            self._track_report.tell(result, intrinsics)
            if result.state is not None:
                header = Header(stamp=stamp_from_ns(result.stamp_ns), frame_id=frame)
                self._publish(result, header)
                self._motion_report.tell(result, p["profile"])
                self._image_frame.tell(frame, p["ground_frame"])
                if not result.motion.predicted:
                    self._measure(result, keypoints.stamp_ns, arrival.steady_s, started_s)
            self._tell_track(watch, result, frame, keypoints.stamp_ns, arrival.steady_s)
        except AbandonedError:
            self._diagnostics.count("dropped")
            return
        finally:
            watch.working = False
            self._processed.publish(message.header)  # whatever came of it, the camera may send the next image
        if result.state is not None:
            self._publish_markers(result, header)

    def _affordable_settings(self, now_s: float, frame: str):
        values = self.parameters.values()
        asked_by = values, self._ground.known(values, frame)
        if asked_by != self._asked_by:
            self._asked, self._asked_by = pipeline_settings(*asked_by), asked_by
        asked = self._asked
        floor = 0 if asked.refinement.enabled else 1
        return at_level(asked, self._budget.steps(now_s, levels_of(asked), values["budget_ms"], floor))

    def _refinement_deadline_s(self, stamp_ns: int) -> float | None:
        """When the refinement of this image has to be done, on the pipeline's clock."""
        budget_ms = self.parameters["budget_ms"]
        if budget_ms <= 0.0:
            return None
        # The refinement's steps are worth more than hypotheses and the correction's second step: room is kept for
        # steps of the sampler alone.
        all_steps = self._pipeline.settings.lifting.steps >= self._asked.lifting.steps
        return time.perf_counter() + 1e-3 * refinement_end_ms(self._age_ms(stamp_ns), budget_ms, all_steps)

    def _age_ms(self, stamp_ns: int) -> float:
        return self._diagnostics.clock.age_ms(stamp_ns)

    def _busy(self) -> tuple[str, str]:
        """How slow this node is, and what to do where it does not take all keypoints."""
        p, item_s = self.parameters, max(self._worker.item_s, 1e-3)
        slow = f"a pose takes {1e3 * item_s:.0f} ms, {1.0 / item_s:.2g} a second come out"
        if p["budget_ms"] <= 0.0 and p["steps"] > 1:
            return slow, f"budget_ms is 0, so that no step is given up: lower steps ({p['steps']}), or set budget_ms"
        return slow, "lower steps, hypotheses or refinement_iterations, or the rate of the camera"

    def _publish(self, result: PoseResult, header: Header) -> None:
        body_pose = body_pose_message(result, header, self._pipeline.body.height_m)
        joint_states = joint_state_message(result, header)
        transforms = self._transforms(result, header, body_pose.root_pose)
        # Whoever is sent a message wakes, and may take this thread's processor: all of them are made before.
        self._body_pose.publish(body_pose)  # robots wait for it
        self._joint_states.publish(joint_states)
        if transforms:
            self._tf.publish(TFMessage(transforms=transforms))

    def _tell_track(self, watch: TrackWatch, result: PoseResult, frame: str, stamp_ns: int, received_s: float) -> None:
        """What an image leads to where no pose of it is published."""
        if result.outcome is Outcome.DELAYED:
            watch.used()
        elif result.outcome is not Outcome.STALE:
            self._frame = frame
            watch.worked(result.track, result.state is not None, stamp_ns, received_s)

    def _publish_track(self, status: TrackStatus, stamp_ns: int) -> None:
        header = Header(stamp=stamp_from_ns(stamp_ns), frame_id=self._frame)
        self._body_pose.publish(track_message(status, header))

    def _transforms(self, result: PoseResult, header: Header, root: Pose) -> list[TransformStamped]:
        """What the parameters ask for; nothing else is computed."""
        p = self.parameters
        made = []
        if p["publish_tf"]:
            made.append(root_transform(root, header, prefixed(ROOT_LINK, p["frame_prefix"])))
        if p["publish_link_tf"]:
            if self._link_frames is None:
                self._link_frames = LinkFrames(self._pipeline.body.rest_joints()[0], p["frame_prefix"])
            made += self._link_frames.transforms(result.joint_angles, header.stamp)
        return made

    def _publish_markers(self, result: PoseResult, header: Header) -> None:
        now_s = time.monotonic()
        p = self.parameters
        if not p["publish_markers"] or now_s < self._markers_due_s or not self._markers.get_subscription_count():
            return
        self._markers_due_s = now_s + 1.0 / p["markers_rate"]
        tracked = result.tracked
        drawn = slice(-tracked.drawn, None)
        poses = tracked.poses
        _, ghosts = self._pipeline.body.forward_kinematics(poses.rotations[drawn], poses.pelvis[drawn])
        self._markers.publish(pose_markers(result.state, ghosts, tracked.weights[drawn], header, p["ground_frame"]))

    def _measure(self, result: PoseResult, stamp_ns: int, received_s: float, started_s: float) -> None:
        """Diagnostics of one published pose, and what the step budget learns from the image that brought it."""
        p, d = self.parameters, self._diagnostics
        processing_ms = 1e3 * (time.monotonic() - started_s)
        d.tick("pose")
        d.count("poses")
        d.count("tracks", int(result.outcome is not Outcome.TRACKED))
        d.count("reinitialised", int(result.outcome is Outcome.RESTARTED))
        d.count("switched", int(result.tracked.switched))
        d.latency("wait", 1e3 * (started_s - received_s))
        for stage in ("lift", "refine", "angles"):
            d.latency(stage, result.timings_ms[stage])
        d.latency("publish", processing_ms - result.timings_ms["total"])
        d.latency("capture_to_publish", self._age_ms(result.stamp_ns))
        self._refinement.tell(result.state, self._pipeline.settings.refinement, self._ground.missing)

        dropped = self._worker.dropped
        used = self._pipeline.settings
        self._budget.observe(
            self._age_ms(stamp_ns), processing_ms, dropped - self._dropped, spare_ms(result.state, used),
            refined_ms(result.state),
        )  # fmt: skip
        self._dropped = dropped
        d.set("steps", f"{used.lifting.steps} of {p['steps']}")
        d.set("hypotheses", used.lifting.hypotheses)
        d.set("guidance", p["guidance"])
        d.set("budget_ms", p["budget_ms"])
        d.set("camera", self._calibration.source)
        if self._budget.overrun:
            d.problem("budget", f"behind the budget of {p['budget_ms']:g} ms with a single sampler step")
        elif lacking := given_up(self._asked, used):
            d.problem("budget", f"{lacking}, to keep the budget of {p['budget_ms']:g} ms")
        else:
            d.solved("budget")

    def _tell_device(self) -> None:
        device = torch.device(self.parameters["device"])
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self._diagnostics.set("device", self.parameters["device"])
        self._diagnostics.hardware_id = name

    def _warn_of_calibration(self, summary: str, text: str) -> None:
        self.get_logger().warning(text)
        self._diagnostics.problem("calibration", summary, OK, hold_s=float("inf"))

    def _failed(self, error: Exception) -> None:
        """Bad keypoints are told and left behind; the next ones are a new chance."""
        if not self.context.ok() or self._diagnostics is None:  # process or node is being ended under this thread
            return
        text = str(error)
        if not isinstance(error, DiffmocapError):
            text = "an unexpected error:\n" + "".join(traceback.format_exception(error))
        kinds = {KeypointError: "bad_keypoints", StampError: "refused"}
        self._diagnostics.count(kinds.get(type(error), "failed"))
        summary = f"keypoints refused: {error}" if type(error) in kinds else str(error)
        self._diagnostics.problem("failed", summary, ERROR)
        self.get_logger().error(text, throttle_duration_sec=5.0)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; returns the exit code."""
    return run(PoseNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
