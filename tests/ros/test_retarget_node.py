"""retarget_node over DDS: when a robot follows a person's poses, how it holds, and what its commands keep."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="robots need MuJoCo: pip install 'diffmocap[robots]', or run `make test`")
pytest.importorskip("mink", reason="robots need mink: pip install 'diffmocap[robots]', or run `make test`")
pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")

from diffmocap.errors import RobotError  # noqa: E402
from diffmocap.robots.description import read_description  # noqa: E402
from diffmocap.robots.model import load_model  # noqa: E402
from tests.robots.standing_person import Person  # noqa: E402

#: A short stand, so that the tests are; and patience with a busy computer.
QUICK = {
    "stand_time": 0.5, "blend_time": 0.4, "robot_timeout": 5.0, "joy_timeout": 5.0, "pose_timeout": 5.0,
    "max_stall": 5.0,
    "max_age": 0.0, "following_error": 6.3,
}  # fmt: skip
OPTICAL_FROM_WORLD = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def waving(t: float, size: float = 1.0) -> dict:
    a, b = size * math.sin(6.0 * t), size * math.sin(4.0 * t + 1.0)
    return {
        "left_shoulder": (0.0, 0.6 * a, -1.0 + 0.6 * b), "right_shoulder": (0.0, 0.4 * b, 1.0 + 0.5 * a),
        "left_elbow": (0.0, -0.7 + 0.7 * a, 0.0), "right_elbow": (0.0, 0.7 + 0.6 * b, 0.0),
    }  # fmt: skip


class Stage:
    """A person's poses, a robot that does as it is told and says so, a joystick and a camera."""

    def __init__(self, graph) -> None:
        from diffmocap_msgs.msg import BodyPose, Engagement
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from sensor_msgs.msg import CameraInfo, JointState, Joy
        from trajectory_msgs.msg import JointTrajectory

        self.graph, self.person = graph, Person()
        self.robot = load_model(read_description("g1"))
        create, listen = graph.node.create_publisher, graph.node.create_subscription
        self.poses, self.joints = create(BodyPose, "body_pose", 10), create(JointState, "/joint_states", 10)
        self.joy, self.infos = create(Joy, "joy", 10), create(CameraInfo, "camera_info", 10)
        self.commands, self.trajectories, self.said = [], [], []
        listen(JointState, "robot/joint_command", self._obey, 100)
        listen(JointTrajectory, "robot/joint_trajectory", self.trajectories.append, 100)
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        listen(Engagement, "robot/engagement", lambda m: self.said.append((time.monotonic(), m)), latched)
        self.at = self.robot.rest[self.robot.first :].copy()
        self.turns, self.sends, self.tracking, self.track_id = {}, True, BodyPose.TRACKED, 1
        self.button: int | None = None
        self._began_s = time.monotonic()
        self._timers = [graph.node.create_timer(1 / 30, self._show), graph.node.create_timer(1 / 50, self._tell)]

    def _obey(self, message) -> None:
        self.commands.append((time.monotonic(), message))
        self.at = np.array(message.position)

    def _tell(self) -> None:
        from sensor_msgs.msg import JointState, Joy

        self.joints.publish(JointState(name=self.robot.joint_names, position=self.at, velocity=0.0 * self.at))
        if self.button is not None:
            buttons = [0] * 8
            if self.button >= 0:
                buttons[self.button] = 1
            self.joy.publish(Joy(buttons=buttons))

    def message(self, turns: dict):
        """A `body_pose` of the person, three metres before a level camera."""
        from diffmocap_msgs.msg import BodyPose
        from geometry_msgs.msg import Point, Quaternion
        from scipy.spatial.transform import Rotation

        local, frame = self.person.local(turns), self.person.frame(turns, yaw=math.pi)
        local[0] = OPTICAL_FROM_WORLD @ frame.rotations[0]
        joints = frame.positions @ OPTICAL_FROM_WORLD.T + [0.0, 1.0, 3.0]
        made = BodyPose(
            tracking_state=self.tracking, track_id=self.track_id, height=self.person.height,
            rotations=[Quaternion(x=x, y=y, z=z, w=w) for x, y, z, w in Rotation.from_matrix(local).as_quat().tolist()],
            joint_positions=[Point(x=x, y=y, z=z) for x, y, z in joints.tolist()],
            contacts=["left_heel", "right_heel"],
        )  # fmt: skip
        made.header.stamp = self.graph.node.get_clock().now().to_msg()
        made.header.frame_id = "camera_optical_frame"
        return made

    def _show(self) -> None:
        if self.sends:
            turns = self.turns(time.monotonic() - self._began_s) if callable(self.turns) else self.turns
            self.poses.publish(self.message(turns))

    def calibrated(self) -> None:
        from sensor_msgs.msg import CameraInfo

        self.infos.publish(CameraInfo(width=640, height=480, k=[600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1.0]))

    def ask(self, request: str):
        from std_srvs.srv import Trigger

        return self.graph.call(Trigger, f"retarget_node/{request}", Trigger.Request())

    @property
    def state(self) -> int:
        return self.said[-1][1].state if self.said else -1

    def until(self, name: str) -> float:
        """Waits for a state; returns when it was said first."""
        from diffmocap_msgs.msg import Engagement

        wanted = getattr(Engagement, name)
        self.graph.spin_until(lambda: self.state == wanted, 30.0, f"the state {name}")
        when = None
        for said_s, message in reversed(self.said):
            if message.state != wanted:
                break
            when = said_s
        return when

    def engage(self) -> None:
        """Asks until it is granted: what is said a moment before may be old."""
        deadline_s, answer = time.monotonic() + 60.0, None
        while answer is None or not answer.success:
            assert time.monotonic() < deadline_s, answer
            self.graph.spin_until(self._ready, 30.0, "that nothing speaks against engaging")
            answer = self.ask("engage")
        self.until("ENGAGED")

    def _ready(self) -> bool:
        if self.said and "field of view" in self.said[-1][1].refusal:
            self.calibrated()
        return bool(self.said) and not self.said[-1][1].refusal

    def require_limits(self, tolerance: float = 1e-6) -> np.ndarray:
        """Positions, velocities and their changes are inside the robot's limits; returns each joint's top speed."""
        r = self.robot
        stamps = np.array([m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for _, m in self.commands])
        stamps = 1e-9 * (stamps - stamps[0])
        p, v = (np.array([getattr(m, name) for _, m in self.commands]) for name in ("position", "velocity"))
        assert (p >= r.low - tolerance).all() and (p <= r.high + tolerance).all()
        assert (np.abs(v) <= r.velocity).all()
        dt = np.diff(stamps)[:, None]
        assert (dt > 0.0).all()
        assert (np.abs(np.diff(v, axis=0) / dt) <= r.acceleration * (1 + 1e-3)).all()
        # One message or the other is lost on a busy computer: then there is a mean of two velocities.
        assert (np.abs(np.diff(p, axis=0) / dt) <= r.velocity).all()
        exact = np.abs(np.diff(p, axis=0) - dt * v[1:]).max(1) < 1e-6
        assert exact.mean() > 0.8
        return np.abs(v).max(0)


@pytest.fixture
def stage(graph) -> Stage:
    try:
        return Stage(graph)
    except RobotError as error:  # the G1's model is a package of its own
        pytest.skip(str(error))


def started(graph, **parameters):
    node = graph.start("retarget_node", QUICK | parameters)
    graph.bring_up("retarget_node")
    return node


def test_a_robot_follows_holds_and_stops(graph, stage) -> None:
    """One session as a user would have it."""
    from diffmocap_msgs.msg import Engagement
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from scipy.spatial.transform import Rotation
    from tf2_msgs.msg import TFMessage

    diagnostics = graph.diagnostics()
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    frames = graph.collect(TFMessage, "/tf_static", latched)
    node = started(graph)
    graph.spin_until(lambda: stage.said and "field of view is assumed" in stage.said[-1][1].refusal, 30.0, "the word")
    refused = stage.ask("engage")
    assert not refused.success and "diffmocap calibrate" in refused.message
    stage.engage()
    first = stage.commands[0][1]
    assert np.allclose(first.position, stage.robot.rest[stage.robot.first :], atol=0.02), "it begins where it is"

    # Where the person stood, three metres before the camera and one below it, looking at it.
    graph.spin_until(lambda: frames, 30.0, "the stage's frame")
    (told,) = frames[-1].transforms
    assert (told.header.frame_id, told.child_frame_id) == ("camera_optical_frame", "stage")
    t, q = told.transform.translation, told.transform.rotation
    assert np.allclose((t.x, t.y, t.z), (0.0, 1.0, 3.0), atol=0.02)
    axes = Rotation.from_quat((q.x, q.y, q.z, q.w)).as_matrix()
    assert np.allclose(axes, [[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]], atol=0.02)

    stage.turns = lambda t: waving(t, 0.6)
    graph.spin_for(1.5)
    assert stage.state == Engagement.ENGAGED, stage.said[-1][1].reason
    assert (stage.require_limits() > 0.5).sum() >= 4, "the arms move"

    # A robot that hears nothing more comes to rest: every trajectory ends there.
    for trajectory in stage.trajectories:
        last = trajectory.points[-1]
        assert not np.any(last.velocities)
        assert (np.array(last.positions) >= stage.robot.low - 1e-6).all()
        assert (np.array(last.positions) <= stage.robot.high + 1e-6).all()
    assert max(len(t.points) for t in stage.trajectories) >= 2

    assert stage.ask("release").success
    stage.until("HOLDING")
    graph.spin_for(0.5)
    held = stage.commands[-1][1]
    assert np.abs(held.velocity).max() < 1e-3
    graph.spin_for(0.5)
    assert np.array_equal(held.position, stage.commands[-1][1].position), "it holds although the person moves"

    stage.turns = {}
    stage.engage()
    assert stage.ask("stop").success
    stage.until("STOPPED")
    refused = stage.ask("engage")
    assert not refused.success and "reset" in refused.message
    graph.spin_until(lambda: diagnostics.get("retarget_node", {}).get("state") == "STOPPED", 30.0, "the diagnostics")
    assert diagnostics["retarget_node"]["level"] == 1
    assert stage.ask("reset").success
    stage.until("HOLDING")
    assert stage.ask("disengage").success
    stage.until("READY")
    count = len(stage.commands)
    graph.spin_for(0.3)
    assert len(stage.commands) == count
    stage.require_limits()

    # A node that is taken down brakes the robot first.
    stage.engage()
    stage.turns = lambda t: waving(t, 0.6)
    graph.spin_for(0.7)
    assert graph.transition("retarget_node", "deactivate")
    graph.spin_for(0.2)
    assert np.abs(stage.commands[-1][1].velocity).max() < 1e-3
    stage.require_limits()
    assert stage.ask("stop").success and not stage.ask("engage").success
    assert graph.transition("retarget_node", "activate")
    stage.until("STOPPED")
    assert node.end() == 0, node.log


def test_a_pose_is_answered_at_once_whatever_the_rate(graph, stage) -> None:
    """Ten commands a second, and one with each of thirty poses."""
    from diffmocap_msgs.msg import Engagement

    started(graph, rate=10.0)
    stage.engage()
    stage.turns = lambda t: waving(t, 0.3)
    graph.spin_for(0.5)
    stage.commands.clear()
    graph.spin_for(2.0)
    assert stage.state == Engagement.ENGAGED, stage.said[-1][1].reason
    assert len(stage.commands) > 30
    stage.require_limits()


def test_silence_loss_and_another_track_hold_the_robot(graph, stage) -> None:
    from diffmocap_msgs.msg import BodyPose

    started(graph, pose_timeout=0.4, allow_assumed_fov=True)
    stage.engage()
    stage.sends = False  # as a pose_node that was killed
    silent_s = time.monotonic()
    held_s = stage.until("HOLDING")
    assert held_s - silent_s > 0.3
    assert "pose_timeout" in stage.said[-1][1].reason
    stage.sends = True
    graph.spin_for(1.0)
    stage.until("HOLDING")  # nobody asked

    stage.engage()
    stage.tracking = BodyPose.LOST
    stage.until("HOLDING")
    assert "was lost" in stage.said[-1][1].reason
    stage.tracking = BodyPose.TRACKED
    stage.engage()
    stage.track_id = 2
    stage.until("HOLDING")
    assert "another" in stage.said[-1][1].reason
    stage.engage()  # who has stood again
    stage.tracking = BodyPose.PREDICTED
    stage.until("HOLDING")
    assert "max_predicted" in stage.said[-1][1].reason
    stage.require_limits()


def test_the_joystick_lets_the_robot_follow_while_its_button_is_held(graph, stage) -> None:
    node = started(graph, allow_assumed_fov=True)
    stage.button = -1
    graph.spin_until(stage._ready, 30.0, "that nothing speaks against engaging")
    stage.button = 4
    stage.until("ENGAGED")
    assert stage.said[-1][1].held_by_joy
    stage.button = -1
    released_s = time.monotonic()
    held_s = stage.until("HOLDING")
    assert held_s >= released_s and "let go" in stage.said[-1][1].reason
    stage.button = 4
    stage.until("ENGAGED")
    stage.button = 1
    stage.until("STOPPED")
    stage.button = 4
    graph.spin_for(0.3)
    stage.until("STOPPED")

    # A node that is ended brakes the robot first.
    stage.button = -1
    assert stage.ask("reset").success
    stage.engage()
    stage.turns = lambda t: waving(t, 0.6)
    graph.spin_until(lambda: np.abs(stage.commands[-1][1].velocity).max() > 0.5, 30.0, "that the robot moves")
    assert node.end() == 0, node.log
    graph.spin_for(0.3)
    assert np.abs(stage.commands[-1][1].velocity).max() < 1e-3
    stage.require_limits()


def test_what_is_no_pose_leads_nowhere(graph, stage) -> None:
    """NaN, quaternions that are none, wild poses, states that do not exist: the node lives, the limits hold."""
    node = started(graph, allow_assumed_fov=True, engage_distance=6.3)
    stage.engage()
    g = np.random.default_rng(3)
    stage.sends = False
    for n in range(150):
        wild = {name: tuple(g.normal(0.0, 2.0, 3)) for name in ("left_shoulder", "right_elbow", "pelvis", "left_hip")}
        message = stage.message(wild)
        match n % 10:
            case 1:
                message.joint_positions[20].x = math.nan
            case 3:
                message.rotations[16].w = 7.0
            case 5:
                message.height = 40.0
            case 7:
                message.tracking_state = 9
            case 9:
                message.header.stamp.sec += int(g.integers(-1000, 1000))
        stage.poses.publish(message)
        graph.spin_for(0.01)
    assert node.process.poll() is None
    assert stage.require_limits().max() > 1.0
    stage.sends, stage.turns = True, {}
    stage.until("HOLDING") if stage.state == 5 else None
    graph.spin_for(0.5)
    stage.require_limits()


def test_the_command_line_asks_and_is_answered(graph, stage, ros_env, capsys) -> None:
    """`diffmocap robot`, in this process: the node answers from its own."""
    from diffmocap.cli.main import main

    started(graph)
    assert main(["robot", "stop", "--namespace", "/"]) == 0
    assert "stopped" in capsys.readouterr().out
    assert main(["robot", "engage", "--namespace", "/"]) == 1
    assert "engage is refused: the software stop is on" in capsys.readouterr().err

    from diffmocap.nodes.retarget.asking import Asking

    lines: list[str] = []
    with Asking("/") as asking:
        asking.watch(lines.append, lambda: bool(lines))
    assert lines[0].startswith("STOPPED: the software stop is on")


def test_a_robot_that_is_not_there_is_told(graph) -> None:
    node = graph.start("retarget_node", {"robot": "r2d2"})
    assert not graph.transition("retarget_node", "configure")
    assert "there is no robot 'r2d2'; name one of" in node.log
