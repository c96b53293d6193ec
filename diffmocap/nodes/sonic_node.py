"""sonic_node: the tracked person as SONIC, NVIDIA's whole-body controller of a G1, takes SMPL over ZMQ."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from diffmocap_msgs.msg import BodyPose
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from diffmocap.nodes.health.diagnostics import OK, WARN, Diagnostics
from diffmocap.nodes.health.input_watch import InputWatch, PlainSubscription, Words
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.nodes.retarget.camera_knowledge import CameraKnowledge
from diffmocap.nodes.retarget.person_intake import PersonIntake
from diffmocap.nodes.run import ManagedNode, run
from diffmocap.nodes.sonic.pose_socket import PoseSocket
from diffmocap.nodes.sonic.sonic_settings import PARAMETERS, engagement_settings, stream_settings
from diffmocap.nodes.static_frames import STATIC_FRAMES
from diffmocap.robots.live.engagement import Answer
from diffmocap.robots.sonic.messages import pose_message
from diffmocap.robots.sonic.session import SonicSession, State
from diffmocap.viewer.loopback import is_loopback

#: Of poses only the newest goes out.
NEWEST = QoSProfile(depth=1)
#: How often silence is looked for [s].
LOOK_S = 0.05


class SonicNode(ManagedNode):
    """One thread does it all: a pose takes a fraction of a millisecond."""

    parameters: Any = None

    def __init__(self) -> None:
        super().__init__("sonic_node", PARAMETERS)
        self._session: SonicSession | None = None
        self._socket: PoseSocket | None = None
        self._diagnostics: Diagnostics | None = None
        self._told: tuple[State, str] | None = None
        self._services_: list = []
        self._listening: list = []
        self._watches: list = []
        self._timer = None

    def validate(self, values: dict[str, Any]) -> None:
        engagement_settings(values)
        stream_settings(values)

    def parameters_changed(self, names: set[str]) -> None:
        if self._session is not None:
            values = self.parameters.values()
            self._session.take(engagement_settings(values), stream_settings(values))

    # --- transitions --------------------------------------------------------------------------------------------------

    def configure(self) -> None:
        p = self.parameters
        self._socket = PoseSocket(p["host"], p["port"])
        self._session = SonicSession(engagement_settings(p.values()), stream_settings(p.values()))
        self._diagnostics = d = Diagnostics(self, hardware_id=self._socket.address)
        for counter in ("poses", "bad_poses", "messages", "unsent"):
            d.count(counter, 0)
        self._services_ = [
            self.create_service(Trigger, "~/engage", partial(self._asked, self._engage)),
            self.create_service(Trigger, "~/release", partial(self._asked, self._release_)),
        ]
        self.get_logger().info(f"SONIC finds poses at {self._socket.address}, topic '{p['topic']}'")
        if not is_loopback(p["host"]):
            self.get_logger().warning(f"everybody who reaches {self._socket.address} is told the person's poses")

    def activate(self) -> None:
        d = self._diagnostics
        self._intake = PersonIntake(self, d, self.parameters["map_frame"])
        self._reader = self._intake.reader
        self._camera = CameraKnowledge(self)
        words = Words("poses", "start pose_node in this namespace, and see what it says", self._busy)
        source, subscribe = (BodyPose, "body_pose"), partial(PlainSubscription, self, qos=NEWEST)
        self._watches = [InputWatch(self, d, words, self._receive_pose, lambda: source, subscribe)]
        self._listening = [
            self.create_subscription(TFMessage, "/tf_static", self._reader.frames.receive, STATIC_FRAMES)
        ]
        self._timer = steady_timer(self, LOOK_S, self._look)

    def deactivate(self) -> None:
        if self._session is not None:
            self._session.hold("the node is not active")
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        for watch in (*self._watches, *([self._camera] if self._listening else [])):
            watch.close()
        for subscription in self._listening:
            self.destroy_subscription(subscription)
        self._watches, self._listening = [], []
        self._tell()

    def cleanup(self) -> None:
        for service in self._services_:
            self.destroy_service(service)
        self._services_ = []
        if self._diagnostics is not None:
            self._diagnostics.close()
            self._diagnostics = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._session = self._told = None

    # --- what is heard ------------------------------------------------------------------------------------------------

    def _receive_pose(self, message: BodyPose) -> None:
        now_s, d, session = time.monotonic(), self._diagnostics, self._session
        session.camera_fault = self._camera.fault
        heard = self._intake.take(message)
        if heard.sighting is None:
            session.bad_pose(heard.fault)
            return
        if self._reader.moved:
            session.forget_person()
        chunk = session.sight(heard.sighting, 1e-9 * heard.stamp_ns, now_s)
        if chunk is not None:
            captured_s = now_s - min(max(heard.age_s, 0.0), 1.0)
            sent = self._socket.send(pose_message(self.parameters["topic"], chunk.first, chunk.poses, captured_s))
            d.tick("message")
            d.count("messages" if sent else "unsent")
            d.set("frame", chunk.first + len(chunk.poses) - 1)
            d.latency("capture_to_message", d.clock.age_ms(heard.stamp_ns))
        self._tell()

    def _look(self) -> None:
        self._session.look(time.monotonic())
        self._tell()

    def _asked(self, do: Any, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        answer = do() if self.active else Answer(False, "sonic_node is not active")
        if not answer.granted:
            self.get_logger().warning(f"refused: {answer.text}")
        self._tell()
        response.success, response.message = answer.granted, answer.text
        return response

    def _engage(self) -> Answer:
        return self._session.engage(time.monotonic())

    def _release_(self) -> Answer:
        self._session.hold("released")
        return Answer(True, "no more frames: the robot keeps the last one")

    # --- what is said -------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """The state, in the diagnostics, and in the log where it is another one."""
        session, d = self._session, self._diagnostics
        if session is None or d is None:
            return
        streaming = session.state is State.STREAMING
        refusal = "" if streaming else session.refusal(time.monotonic())
        d.set("state", session.state.value)
        d.set("refusal", refusal)
        text = f"{session.state.value}: {session.reason}"
        if streaming:
            d.solved("stream")
        else:
            more = f"; before it can begin: {refusal}" if refusal else "; it may begin"
            d.problem("stream", text + more, WARN if session.state is State.HOLDING else OK)
        if self._told != (session.state, session.reason):
            self._told = (session.state, session.reason)
            self.get_logger().info(text)
            d.publish()

    def _busy(self) -> tuple[str, str]:
        return "poses come faster than they are sent", "lower the rate of the camera"


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; returns the exit code."""
    return run(SonicNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
