"""retarget_node: `body_pose` in, commands of a robot's joints out, while somebody wants it and nothing is wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from diffmocap_msgs.msg import BodyPose, Engagement
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from diffmocap.errors import RobotError, SettingsError
from diffmocap.nodes.health.diagnostics import OK, Diagnostics
from diffmocap.nodes.health.input_watch import InputWatch, PlainSubscription, Words
from diffmocap.nodes.health.output_watch import OutputWatch
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.nodes.retarget.camera_knowledge import CameraKnowledge
from diffmocap.nodes.retarget.command_messages import SteadyStamps, base_pose, joint_command, joint_trajectory
from diffmocap.nodes.retarget.engagement_report import EngagementReport
from diffmocap.nodes.retarget.joystick import Joystick
from diffmocap.nodes.retarget.person_intake import PersonIntake
from diffmocap.nodes.retarget.retarget_settings import PARAMETERS, engagement_settings
from diffmocap.nodes.retarget.stage_frame import StageFrame
from diffmocap.nodes.run import ManagedNode, run
from diffmocap.nodes.static_frames import STATIC_FRAMES
from diffmocap.robots.live.engagement import Answer, Request

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: Of poses only the newest is followed.
NEWEST = QoSProfile(depth=1)
#: What the robot is told of, and what tells of it; the launch arguments give them other names.
COMMAND, TRAJECTORY, BASE, STATE = (
    f"robot/{x}" for x in ("joint_command", "joint_trajectory", "base_pose", "engagement")
)
ROBOT_STATES = "/joint_states"
#: A robot that is let go brakes for so long at most [s].
_LONGEST_BRAKE_S = 1.0


class RetargetNode(ManagedNode):
    """One thread does it all: a pose takes milliseconds, a command a fraction of one."""

    parameters: Any = None

    def __init__(self) -> None:
        super().__init__("retarget_node", PARAMETERS)
        self._machine = None
        self._diagnostics: Diagnostics | None = None
        self._publishers_: list = []
        self._services_: list = []
        self._subscriptions_: list = []
        self._watches: list = []
        self._timer = None

    def validate(self, values: dict[str, Any]) -> None:
        settings = engagement_settings(values)
        machine = getattr(self, "_machine", None)
        if machine is not None and machine.engagement.commanding:
            if settings.robot_state != machine.settings.robot_state:
                raise SettingsError("robot_state cannot change while the robot gets commands: disengage first")

    def parameters_changed(self, names: set[str]) -> None:
        if self._machine is not None:
            self._machine.settings = engagement_settings(self.parameters.values())

    # --- transitions --------------------------------------------------------------------------------------------------

    def configure(self) -> None:
        p, started_s = self.parameters, time.monotonic()
        self._robot, self._machine = _loaded(p["robot"], engagement_settings(p.values()))
        self._joint_command = self.create_lifecycle_publisher(JointState, COMMAND, 10)
        self._trajectory = self.create_lifecycle_publisher(JointTrajectory, TRAJECTORY, 10)
        self._base = self.create_lifecycle_publisher(PoseStamped, BASE, 10)
        self._state = self.create_publisher(Engagement, STATE, LATCHED)
        self._publishers_ = [self._joint_command, self._trajectory, self._base]
        self._diagnostics = d = Diagnostics(self, hardware_id=self._robot.description.name)
        for counter in ("poses", "bad_poses", "commands"):
            d.count(counter, 0)
        self._stage = StageFrame(self, p["stage_frame"])
        self._report = EngagementReport(self, d, self._state, self._robot.description.name)
        self._services_ = [
            self.create_service(Trigger, f"~/{request.value}", partial(self._asked, request)) for request in Request
        ]
        joints = len(self._robot.joint_names)
        self.get_logger().info(
            f"{self._robot.description.name} with {joints} joints loaded in {time.monotonic() - started_s:.1f} s"
        )

    def activate(self) -> None:
        d, p = self._diagnostics, self.parameters
        self._intake = PersonIntake(self, d, p["map_frame"])
        self._reader = self._intake.reader
        self._camera = CameraKnowledge(self)
        self._joystick = Joystick(d, self._held, partial(self._ask, Request.STOP))
        words = Words("poses", "start pose_node in this namespace, and see what it says", self._busy)
        source, subscribe = (BodyPose, "body_pose"), partial(PlainSubscription, self, qos=NEWEST)
        self._watches = [
            InputWatch(self, d, words, self._receive_pose, lambda: source, subscribe),
            OutputWatch(self, d, COMMAND),
            OutputWatch(self, d, TRAJECTORY),
        ]
        self._subscriptions_ = [
            self.create_subscription(JointState, ROBOT_STATES, self._receive_robot, qos_profile_sensor_data),
            self.create_subscription(Joy, "joy", self._receive_joy, 10),
            self.create_subscription(TFMessage, "/tf_static", self._reader.frames.receive, STATIC_FRAMES),
        ]
        self._newest_ns = self._commanded_ns = 0
        self._stamps = SteadyStamps(d.clock.now_ns)
        self._timer = steady_timer(self, 1.0 / p["rate"], self._tick)

    def deactivate(self) -> None:
        self._let_go()
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        for subscription in self._subscriptions_:
            self.destroy_subscription(subscription)
        for watch in (*self._watches, *([self._camera] if self._subscriptions_ else [])):
            watch.close()
        self._subscriptions_, self._watches = [], []

    def cleanup(self) -> None:
        for service in self._services_:
            self.destroy_service(service)
        self._services_ = []
        if self._diagnostics is not None:
            self._diagnostics.close()
            self._diagnostics = None
            for publisher in self._publishers_:
                self.destroy_lifecycle_publisher(publisher)
            self.destroy_publisher(self._state)
            self._stage.close()
        self._machine = None

    def _let_go(self) -> None:
        """The robot comes to rest before its commands end, and is nobody's then."""
        machine = self._machine
        if machine is None or self._timer is None:
            return
        machine.engagement.hold("the node is deactivated")
        until_s, period_s = time.monotonic() + _LONGEST_BRAKE_S, 1.0 / self.parameters["rate"]
        while machine.engagement.commanding and self.context.ok():
            self._tick()
            if machine.at_rest or time.monotonic() > until_s:
                break
            time.sleep(period_s)
        machine.leave("the node is not active")
        self._report.tell(machine, time.monotonic())

    # --- what is heard ------------------------------------------------------------------------------------------------

    def _receive_pose(self, message: BodyPose) -> None:
        now_s, d, machine = time.monotonic(), self._diagnostics, self._machine
        machine.camera_fault = self._camera.fault
        heard = self._intake.take(message)
        if heard.sighting is None:
            machine.no_pose(heard.fault)
            return
        if self._reader.moved:
            machine.forget_person()
        machine.sight(heard.sighting, now_s)
        if heard.sighting.frame is not None:
            d.latency("retarget", 1e3 * (time.monotonic() - now_s))
            self._newest_ns = heard.stamp_ns
            stand, placement = machine.stand.stand, self._reader.placement
            self._stage.tell(stand, placement, message.header.frame_id, message.header.stamp)
            if machine.engagement.following:  # at once, and the next one a period after it: waiting would be latency
                if self._tick():
                    self._timer.reset()
        self._tell_camera()
        self._report.tell(machine, time.monotonic())

    def _receive_robot(self, message: JointState) -> None:
        self._machine.joint_states(message.name, message.position, message.velocity, time.monotonic())

    def _receive_joy(self, message: Joy) -> None:
        self._joystick.receive(message, self.parameters["engage_button"], self.parameters["stop_button"])

    def _held(self, held: bool) -> None:
        was = self._machine.engagement.state
        answer = self._machine.joystick(held, time.monotonic())
        if answer is not None and not answer.granted:
            self.get_logger().warning(f"the Joy button engages nothing: {answer.text}")
        if self._machine.engagement.state is not was:
            self._tick()

    def _asked(self, request: Request, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        answer = self._ask(request)
        response.success, response.message = answer.granted, answer.text
        return response

    def _ask(self, request: Request) -> Answer:
        """A service or the stop button; all but the stop are the active node's."""
        if not self.active and request is not Request.STOP:
            return Answer(False, "retarget_node is not active")
        answer = self._machine.request(request, time.monotonic())
        if not answer.granted:
            self.get_logger().warning(f"{request.value} is refused: {answer.text}")
        if self.active:
            self._tick()
        else:
            self._report.tell(self._machine, time.monotonic())
        return answer

    # --- what is said -------------------------------------------------------------------------------------------------

    def _tick(self) -> bool:
        """Commands what is due; whether that was anything."""
        now_s, machine = time.monotonic(), self._machine
        command = machine.tick(now_s)
        self._report.tell(machine, now_s)
        if command is None:
            return False
        stamp, robot = self._stamps.at(now_s), self._robot
        self._joint_command.publish(joint_command(command, stamp))
        if self._trajectory.get_subscription_count():
            self._trajectory.publish(
                joint_trajectory(command, 1.0 / self.parameters["rate"], robot.acceleration, robot.low, robot.high)
            )
        if robot.description.floating and self._base.get_subscription_count():
            self._base.publish(base_pose(command, stamp, self.parameters["stage_frame"]))
        d = self._diagnostics
        d.tick("command")
        d.count("commands")
        d.latency("command", 1e3 * (time.monotonic() - now_s))
        if self._newest_ns != self._commanded_ns:
            self._commanded_ns = self._newest_ns
            d.latency("capture_to_command", d.clock.age_ms(self._newest_ns))
        return True

    def _tell_camera(self) -> None:
        if not self._reader.placed:
            text = f"the camera is taken to be level: no static transform leads from {self._reader.map_frame} to it"
            self._diagnostics.problem("camera", text, OK)  # the stand finds how it is tilted
        self._diagnostics.set("camera", self._camera.fault or "calibrated")

    def _busy(self) -> tuple[str, str]:
        return "poses come faster than they are followed", "lower the rate of the commands or of the camera"


def _loaded(robot: str, settings: Any) -> tuple[Any, Any]:
    """A robot's model and its teleoperation; what they need is imported here, so that its lack is told as an error."""
    try:
        from diffmocap.robots.description import read_description
        from diffmocap.robots.live.teleoperation import Teleoperation
        from diffmocap.robots.model import load_model
        from diffmocap.robots.retargeting import Retargeter
    except ImportError as error:
        raise RobotError(f"retargeting needs {error.name}: pip install 'diffmocap[robots]'") from error
    model = load_model(read_description(robot))
    return model, Teleoperation(model, Retargeter(model), settings)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; returns the exit code."""
    return run(RetargetNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
