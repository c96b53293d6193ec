"""viewer_node: the graph in a web browser. It listens only while somebody looks, and never makes the graph wait."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from diffmocap_msgs.msg import BodyPose
from diffmocap_msgs.msg import Keypoints2D as Keypoints2DMsg
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from diffmocap.nodes.images.calibration import Calibration, image_topics_behind
from diffmocap.nodes.images.image_transport import AUTO, image_source
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.nodes.publishers import publishers_of
from diffmocap.nodes.run import PlainNode, run
from diffmocap.nodes.static_frames import STATIC_FRAMES, StaticFrames
from diffmocap.nodes.viewer.pictures import Pictures
from diffmocap.nodes.viewer.pose_reading import floor, floor_of_frames, ghosts, viewed_pose
from diffmocap.nodes.viewer.remote_parameters import RemoteParameters
from diffmocap.nodes.viewer.viewer_settings import PARAMETERS, viewer_settings
from diffmocap.types import DEFAULT_FOV_DEG
from diffmocap.viewer.body import Skin
from diffmocap.viewer.controls import Control
from diffmocap.viewer.feet_level import FeetLevel
from diffmocap.viewer.loopback import is_loopback
from diffmocap.viewer.pace import Pace
from diffmocap.viewer.panel import Panel
from diffmocap.viewer.plots import limb_deviations, stage_values
from diffmocap.viewer.pose import ViewedPose
from diffmocap.viewer.priority import lower_priority
from diffmocap.viewer.scene import FIRST_VIEW, USUAL_PLACE, VIEW_FOV_RAD, Scene
from diffmocap.viewer.server import address_of, open_server
from diffmocap.viewer.settings import LOOPBACK
from diffmocap.viewer.status import Health, Status
from diffmocap.viewer.world import World

#: The newest message alone, and a publisher that never waits for this reader.
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
#: Looking whether somebody is there, and the side bar [s].
LOOK_S, PANEL_S = 0.1, 0.25
#: Where no image comes, its topic and type are looked for again [s].
SEARCH_S = 2.0
#: A node that has said nothing for so long is not shown any more [s].
FORGET_S = 5.0


class ViewerNode(PlainNode):
    """Shows what a graph publishes, and hands what is set on the page on to pose_node."""

    def __init__(self) -> None:
        super().__init__("viewer_node", PARAMETERS)
        lower_priority()
        p = self.parameters
        skin = Skin.load(p["body_model"])
        self._server = open_server(p["host"], p["port"])
        self._skin, self._scene = skin, Scene(self._server, skin)
        self._panel = Panel(self._server, self._scene, self._set_parameter)
        camera = self._server.initial_camera
        camera.position, camera.look_at, camera.fov = USUAL_PLACE + FIRST_VIEW, USUAL_PLACE, VIEW_FOV_RAD
        self._unplaced: list[Any] = []  # clients that have not seen a person yet
        self._server.on_client_connect(self._unplaced.append)
        self._pose_pace, self._pictures = Pace(p["rate"]), Pictures(p["picture_rate"], p["picture_width"])
        self._watching = False
        self._listening: list[Any] = []
        self._panel_due_s = 0.0
        self._timer = steady_timer(self, LOOK_S, self._look)
        self._tell_address()

    def validate(self, values: dict[str, Any]) -> None:
        viewer_settings(values)

    def parameters_changed(self, names: set[str]) -> None:
        p = self.parameters
        self._pose_pace.rate_hz = p["rate"]
        self._pictures.pace.rate_hz, self._pictures.width = p["picture_rate"], p["picture_width"]

    def close(self) -> None:
        """Ends the page."""
        self._stop()
        self._server.stop()

    def _tell_address(self) -> None:
        address, wanted, host = address_of(self._server), self.parameters["port"], self.parameters["host"]
        if wanted not in (0, self._server.get_port()):
            self.get_logger().warning(f"port {wanted} is taken, {self._server.get_port()} is used")
        self.get_logger().info(f"the viewer is at {address}")
        if not is_loopback(host):
            self.get_logger().warning(
                f"host is '{host}': everybody who reaches this computer at {address} sees the camera's pictures and "
                "can change the parameters of pose_node. There is no password and no encryption. To look from one "
                f"other computer, leave host at {LOOPBACK} and forward the port: ssh -L 8080:{LOOPBACK}:8080"
            )

    # --- what is listened to, and when --------------------------------------------------------------------------------

    def _look(self) -> None:
        now_s = time.monotonic()
        watched = bool(self._server.get_clients())
        if watched != self._watching:
            (self._start if watched else self._stop)(now_s)
        if not self._watching:
            return
        self._remote.advance()
        self._find_images(now_s)
        if now_s >= self._panel_due_s:
            self._panel_due_s = now_s + PANEL_S
            self._update_panel(now_s)

    def _start(self, now_s: float) -> None:
        self._watching = True
        self._pose: ViewedPose | None = None
        self._pose_s = self._images_s = now_s
        self._image_source: tuple[Any, str] | None = None
        self._images: Any = None
        self._health: dict[str, tuple[float, Health]] = {}
        self._frames, self._found_floor, self._feet = StaticFrames(), None, FeetLevel(self._skin)
        self._panel.latencies.clear()
        self._panel.deviations.clear()
        self._remote = RemoteParameters(self, "pose_node", self._offer, self._panel.controls.tell, self._refused)
        self._values: dict[str, Any] = {}
        topic = self.resolve_topic_name("keypoints")
        self._mirrors = f"{topic}/camera_info"
        behind = partial(image_topics_behind, self, topic)
        self._calibration = Calibration(lambda summary, text: None, image_topics=behind)
        listen = self.create_subscription
        self._listening = [
            listen(BodyPose, "body_pose", self._receive_pose, NEWEST),
            listen(MarkerArray, "markers", self._receive_markers, NEWEST),
            listen(Keypoints2DMsg, "keypoints", self._receive_keypoints, NEWEST),
            listen(CameraInfo, "camera_info", self._calibration.receive, NEWEST),
            listen(CameraInfo, self._mirrors, self._calibration.receive_of_keypoints, NEWEST),
            listen(DiagnosticArray, "/diagnostics", self._receive_diagnostics, 10),
            listen(TFMessage, "/tf_static", self._frames.receive, STATIC_FRAMES),
        ]
        self._find_images(now_s + SEARCH_S)

    def _stop(self, now_s: float = 0.0) -> None:
        """Nobody looks: nothing is listened to."""
        if not self._watching:
            return
        self._watching = False
        self._unplaced.clear()
        self._remote.close()
        for subscription in (*self._listening, self._images):
            if subscription is not None:
                self.destroy_subscription(subscription)
        self._listening, self._images = [], None
        self._pictures.clear()

    def _find_images(self, now_s: float) -> None:
        """Subscribes to images, or to others where none come; serialized, since most are not shown."""
        if self.parameters["picture_rate"] <= 0.0:
            if self._images is not None:
                self.destroy_subscription(self._images)
                self._images = self._image_source = None
            return
        if now_s - self._images_s < SEARCH_S:
            return
        self._images_s = now_s
        source = image_source(self.resolve_topic_name("image_raw"), AUTO, self._types_of)
        if source != self._image_source:
            if self._images is not None:
                self.destroy_subscription(self._images)
            kind, topic = self._image_source = source
            self._images = self.create_subscription(kind, topic, partial(self._receive_image, kind), NEWEST, raw=True)

    def _types_of(self, topic: str) -> set[str]:
        return {publisher.kind for publisher in publishers_of(self, topic)}

    # --- what is heard ------------------------------------------------------------------------------------------------

    def _receive_pose(self, message: BodyPose) -> None:
        now_s = self._pose_s = time.monotonic()
        if not self._pose_pace.due(now_s):
            return
        self._pose = pose = viewed_pose(message)
        self._stand()
        self._scene.show(pose)
        if not pose.drawable:
            return
        while self._unplaced:
            self._panel.look_from(self._unplaced.pop(), FIRST_VIEW)

    def _receive_markers(self, message: MarkerArray) -> None:
        if self._pose is None:
            return
        if (found := ghosts(message)) is not None:
            self._scene.show_ghosts(*found)
        self._found_floor = floor(message, self._pose.frame)

    def _receive_image(self, kind: type[Image] | type[CompressedImage], data: bytes) -> None:
        self._images_s = time.monotonic()
        self._pictures.take(data, kind)

    def _receive_keypoints(self, message: Keypoints2DMsg) -> None:
        # keypoint_node publishes a calibration where it looks at pictures with left and right exchanged.
        mirrored = self.count_publishers(self._mirrors) > 0
        drawn = self._pictures.draw(message, time.monotonic(), mirrored)
        if drawn is not None:
            picture, width, height = drawn
            fov_deg = self._values.get("vertical_fov_deg", DEFAULT_FOV_DEG)
            rectified = self._values.get("rectified", "auto")
            self._scene.show_picture(picture, self._calibration.intrinsics(width, height, fov_deg, rectified))

    def _receive_diagnostics(self, message: DiagnosticArray) -> None:
        now_s = time.monotonic()
        for status in message.status:
            group, _, name = status.name.rpartition("/")
            if group != self.get_namespace().strip("/"):
                continue  # another graph's, in the same domain
            values = {pair.key: pair.value for pair in status.values}
            self._health[name] = (now_s, Health(status.level[0], status.message, values))
            if name == "pose_node":
                every = {node: health.values for node, (_, health) in self._health.items()}
                self._panel.latencies.add(now_s, stage_values(every))

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _stand(self) -> None:
        """Upright on the floor, as far as it is known."""
        world = self._found_floor
        if world is None:
            T_map_optical = self._frames.transform(self.parameters["map_frame"], self._pose.frame)
            world = self._feet.world(floor_of_frames(T_map_optical) or World.guessed(), self._pose.joints_m)
        self._scene.stand(world)

    def _update_panel(self, now_s: float) -> None:
        self._health = {node: found for node, found in self._health.items() if now_s - found[0] < FORGET_S}
        health = {node: found for node, (_, found) in self._health.items()}
        if self._pictures.problem:
            health["viewer_node"] = Health(1, self._pictures.problem, {})
        status = Status(self._pose, now_s - self._pose_s, health, self._scene.world.source)
        if status.stale:
            self._scene.lost(status.word)
        elif self._pose is not None:
            self._panel.deviations.add(now_s, limb_deviations(self._pose.deviations_deg))
        self._panel.update(status, now_s)

    # --- the parameters of pose_node ----------------------------------------------------------------------------------

    def _set_parameter(self, name: str, value: Any) -> None:
        """From a thread of the page's."""
        if self._watching:
            self._remote.set(name, value)

    def _offer(self, controls: list[Control]) -> None:
        self._values = {control.name: control.value for control in controls}
        self._panel.controls.offer(controls)

    def _refused(self, name: str, reason: str) -> None:
        self.get_logger().warning(f"{name} was not set: {reason}")
        for client in self._server.get_clients().values():
            client.add_notification(f"{name} was not set", reason, color="red", auto_close_seconds=8.0)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; returns the exit code."""
    return run(ViewerNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
