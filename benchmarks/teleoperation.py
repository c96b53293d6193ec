"""How soon does a robot hold when something fails, and what is it commanded? ``python -m benchmarks.teleoperation``.

Somebody of the bundled clip stands, and then moves the arms, before camera_node, keypoint_node, pose_node and
retarget_node, each in its own process. A robot that does as it is told says where it is 100 times a second. It follows;
and while its joints move, a node is killed (SIGKILL), or the robot is let go by service, by the Joy button, or by a
joystick that falls silent. Times count from then to when a listener hears that the robot holds (``hold_s``), and to the
first command that moves nothing (``rest_s``); asked is 0.1 s after ``max_gap`` for what falls silent, and at once for
what is let go. Of all commands are counted those outside the robot's limits of position, velocity and acceleration,
judged by the differences of consecutive messages (``limits_broken``, of ``commands``), and their fastest joint
(``speed``, share of its limit). Latencies and rates are those that retarget_node tells in its diagnostics while it
follows.

``--json`` ends with one JSON line: what was done to the figures, beside ``latency``.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY

KILLED = ("camera_node", "keypoint_node", "pose_node")
LET_GO = ("release", "joy_released", "joy_silent")
#: The clip's frame in which somebody stands, for so many frames, and the last of what comes then.
STANDS, FOR_FRAMES, UNTIL = 504, 210, 700
#: How long to wait for what has to come, and to listen after it was ended [s].
PATIENCE_S, LISTEN_S = 120.0, 4.0
#: The robot moves when its fastest joint does so [rad/s].
MOVES = 0.5
#: Rounding of stamps and messages, as a share of a limit.
ROUNDING = 1e-3


def stand_then_move(path: Path) -> Path:
    """Writes the film."""
    reader = cv2.VideoCapture(str(REPOSITORY / "media" / "demo.mp4"))
    reader.set(cv2.CAP_PROP_POS_FRAMES, STANDS)
    frames = [reader.read()[1] for _ in range(UNTIL - STANDS)]
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (width, height))
    for frame in [frames[0]] * FOR_FRAMES + frames:
        writer.write(frame)
    writer.release()
    return path


class Robot:
    """Does as it is told, tells where it is, and notes what comes; it holds the Joy button where ``button`` is set."""

    def __init__(self, node: Any, robot: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from diffmocap_msgs.msg import Engagement
        from sensor_msgs.msg import JointState, Joy

        from diffmocap.robots.description import read_description
        from diffmocap.robots.model import load_model

        self.model = load_model(read_description(robot))
        self.at = self.model.rest[self.model.first :].copy()
        self.commands: list[tuple[float, Any]] = []
        self.said: list[tuple[float, Any]] = []
        self.values: dict[str, str] = {}
        self.button: bool | None = None
        self._joints, self._joy = (
            node.create_publisher(k, t, 10) for k, t in ((JointState, "/joint_states"), (Joy, "joy"))
        )
        node.create_subscription(JointState, "robot/joint_command", self._obey, 100)
        node.create_subscription(Engagement, "robot/engagement", lambda m: self.said.append((time.monotonic(), m)), 50)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 50)
        self._message, self._joy_message = JointState(name=self.model.joint_names), Joy
        node.create_timer(0.01, self._tell)
        node.create_timer(0.05, self.press)

    @property
    def state(self) -> str:
        """Of the engagement, by its name."""
        from diffmocap.robots.live.engagement import State

        return State(self.said[-1][1].state).name if self.said else ""

    @property
    def speed(self) -> float:
        """Of the fastest joint in the last command [rad/s]."""
        return float(np.abs(self.commands[-1][1].velocity).max()) if self.commands else 0.0

    def press(self) -> None:
        """What the joystick says now."""
        if self.button is not None:
            self._joy.publish(self._joy_message(buttons=[0, 0, 0, 0, int(self.button)]))

    def broken(self) -> int:
        """How many commands are outside a limit."""
        m = self.model
        stamps = np.array([c.header.stamp.sec * 10**9 + c.header.stamp.nanosec for _, c in self.commands])
        p = np.array([c.position for _, c in self.commands])
        dt = 1e-9 * np.diff(stamps)[:, None]
        v = np.diff(p, axis=0) / dt
        a = np.diff(v, axis=0) / dt[1:]
        outside = ((p < m.low - 1e-9) | (p > m.high + 1e-9)).any(1)
        outside[1:] |= (np.abs(v) > m.velocity * (1 + ROUNDING)).any(1)
        outside[2:] |= (np.abs(a) > m.acceleration * (1 + ROUNDING) + 2e-9 / dt[1:] ** 2 * m.velocity).any(1)
        return int(outside.sum())

    def _obey(self, message: Any) -> None:
        self.commands.append((time.monotonic(), message))
        self.at = np.array(message.position)

    def _tell(self) -> None:
        self._message.position, self._message.velocity = self.at.tolist(), [0.0] * len(self.at)
        self._joints.publish(self._message)

    def _diagnosed(self, message: Any) -> None:
        for status in message.status:
            if status.name.endswith("retarget_node") and self.state == "ENGAGED":
                self.values = {pair.key: pair.value for pair in status.values}


def held(what: str, robot_name: str, film: Path, gap_s: float, folder: Path) -> dict[str, Any]:
    """One robot that follows until ``what`` is done to it."""
    from std_srvs.srv import Trigger

    from diffmocap.cli.play import BRING_UP_TIMEOUT_S, free_domain_id
    from diffmocap.cli.supervisor import Supervisor
    from diffmocap.graph.description import replay

    os.environ["ROS_DOMAIN_ID"] = str(free_domain_id())
    nodes = {
        "camera_node": {"pacing": "realtime"}, "pose_node": {"max_gap": gap_s, "profile": "robot"},
        "retarget_node": {"pose_timeout": gap_s, "allow_assumed_fov": True, "engage_distance": 1.0,
                          "robot_timeout": 1.0,
                          "following_error": 2.0},
    }  # fmt: skip
    arguments = {"video": str(film), "on_end": "loop", "rviz": False, "retarget": robot_name}
    with Supervisor(replay(), arguments, folder, nodes) as supervisor:
        robot = Robot(supervisor.node, robot_name)
        by_joy = what.startswith("joy")
        robot.button = False if by_joy else None
        supervisor.bring_up(BRING_UP_TIMEOUT_S)
        client = supervisor.node.create_client(Trigger, "retarget_node/engage")
        release = supervisor.node.create_client(Trigger, "retarget_node/release")
        _make_follow(supervisor, robot, by_joy, client)
        when_s = time.monotonic()
        if what in KILLED:
            supervisor.running[what].process.send_signal(signal.SIGKILL)
        elif what == "release":
            release.call_async(Trigger.Request())
        else:
            robot.button = False if what == "joy_released" else None
            robot.press()
        while time.monotonic() < when_s + LISTEN_S:
            _spin_on(supervisor)
        hold = [t for t, m in robot.said if t > when_s and m.state == 5]
        rest = [t for t, c in robot.commands if t > when_s and np.abs(c.velocity).max() < 1e-3]
        velocity = np.abs([c.velocity for _, c in robot.commands]) / robot.model.velocity
        row = {
            "hold_s": min(hold, default=np.nan) - when_s, "rest_s": min(rest, default=np.nan) - when_s,
            "reason": next((m.reason for t, m in robot.said if t > when_s and m.state == 5), ""),
            "commands": len(robot.commands), "limits_broken": robot.broken(), "speed": float(velocity.max()),
        }  # fmt: skip
        keys = [f"{k}_{p}" for k in ("capture_to_command", "retarget", "command") for p in ("p50_ms", "p99_ms")]
        return row | {"latency": {k: float(robot.values[k]) for k in (*keys, "command_hz") if k in robot.values}}


def _make_follow(supervisor: Any, robot: Robot, by_joy: bool, client: Any) -> None:
    """Asks, again where a busy computer made the robot hold, until it has followed for a while and moves."""
    from std_srvs.srv import Trigger

    deadline_s, asked_s, engaged_s = time.monotonic() + PATIENCE_S, 0.0, None
    while True:
        now_s = time.monotonic()
        if now_s > deadline_s:
            said = robot.said[-1][1] if robot.said else None
            raise SystemExit(f"the robot did not follow within {PATIENCE_S:g} s: {said}")
        engaged_s = (engaged_s or now_s) if robot.state == "ENGAGED" else None
        if engaged_s is not None and now_s > engaged_s + 1.5 and robot.speed > MOVES:
            return
        if robot.state in ("READY", "HOLDING") and now_s > asked_s + 1.0:
            if by_joy and robot.button:
                robot.button = False  # to be pressed again
            elif not robot.said[-1][1].refusal:
                asked_s = now_s
                if by_joy:
                    robot.button = True
                else:
                    client.call_async(Trigger.Request())
        supervisor.spin_once(0.005)


def _spin_on(supervisor: Any) -> None:
    """Callbacks alone: the supervisor's own way to spin minds that a node has died."""
    from diffmocap.errors import GraphError

    try:
        supervisor.spin_once(0.005)
    except GraphError:
        pass


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--robot", default="g1", help="of those whose descriptions ship, or a YAML (default: g1)")
    parser.add_argument(
        "--max-gap", type=float, default=0.5, help="of pose_node and retarget_node (default: %(default)s s)"
    )
    parser.add_argument(
        "--do", nargs="+", choices=(*KILLED, *LET_GO), default=[*KILLED, *LET_GO], help="default: one after the other"
    )
    shared_options(parser, "json")
    args = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="teleoperation-") as folder:
        film = stand_then_move(Path(folder) / "film.mp4")
        for what in args.do:
            logs = Path(folder) / what
            logs.mkdir()
            found[what] = row = held(what, args.robot, film, args.max_gap, logs)
            asked = f"{args.max_gap + 0.1:g} s" if what in KILLED else "at once" if what != "joy_silent" else "0.35 s"
            print(
                f"{what}: holds after {row['hold_s']:.3f} s (asked: {asked}), at rest after {row['rest_s']:.3f} s, "
                f"{row['limits_broken']} of {row['commands']} commands outside the limits, fastest joint at "
                f"{100 * row['speed']:.0f} % of its limit: {row['reason']}"
            )
            print("  " + ", ".join(f"{key} {value:g}" for key, value in row["latency"].items()))
    end_with_json(args, found)


if __name__ == "__main__":
    main()
