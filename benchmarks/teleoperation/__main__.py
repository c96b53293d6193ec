"""How soon does a robot hold when something fails, and what is it commanded? ``python -m benchmarks.teleoperation``.

Somebody of the bundled clip stands, and then moves the arms, before camera_node, keypoint_node, pose_node and
retarget_node, each in its own process. A robot that does as it is told says where it is 100 times a second. It follows;
and while its joints move, a node is killed (SIGKILL), or the robot is let go by service, by the Joy button, or by a
joystick that falls silent. Times count from then to when a listener hears that the robot holds (``hold_s``), and to the
first command that moves nothing (``rest_s``); asked is 0.1 s after ``max_gap`` for what falls silent, and at once for
what is let go. Of all commands are counted those outside the robot's limits of position, velocity and acceleration,
judged by the differences of consecutive messages (``limits_broken``, of ``commands``), and their fastest joint
(``speed``, share of its limit).

Latencies are those that the nodes tell in their diagnostics of the last ten seconds in which it follows: from the image
to the command (``capture_to_command``), to the pose on its way there (``capture_to_publish``), and the detector's own
part (``detect``), of which what exceeds 12 ms is added to what is asked: 45 ms in the median, 90 ms in 99 of 100.
Other work on the machine shows in all of them: ``load`` is the mean number of processes that wanted to run in the last
minute before, and ``--realtime`` gives the nodes' threads precedence over it.

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
from benchmarks.page.report import REPOSITORY, Page, page_arguments, provenance
from benchmarks.teleoperation.robot import Robot

KILLED = ("camera_node", "keypoint_node", "pose_node")
LET_GO = ("release", "joy_released", "joy_silent")
#: The clip's frame in which somebody stands, for so many frames, and the last of what comes then.
STANDS, FOR_FRAMES, UNTIL = 504, 210, 700
#: How long to wait for what has to come, and to listen after it was ended [s].
PATIENCE_S, LISTEN_S = 120.0, 4.0
#: The robot moves when its fastest joint does so [rad/s].
MOVES = 0.5
#: How long the robot follows before anything is done to it [s]: the window of the nodes' diagnostics.
FOLLOWS_S = 10.0
#: Asked of the way from image to command in the median and in 99 of 100, and the detector's time in that [ms].
ASKED_MS, DETECTOR_MS = (45.0, 90.0), 12.0
#: What the nodes tell of it.
LATENCIES = (
    ("retarget_node", "capture_to_command"), ("keypoint_node", "detect"), ("keypoint_node", "capture_to_keypoints"),
    ("pose_node", "capture_to_publish"), ("retarget_node", "retarget"), ("retarget_node", "command"),
)  # fmt: skip
RATES = (("retarget_node", "body_pose_hz"), ("retarget_node", "command_hz"))
_COLUMNS = ("hold_s", "rest_s", "commands", "limits_broken", "load")
_MS = ("capture_to_command_p50_ms", "capture_to_command_p99_ms", "detect_p50_ms", "body_pose_hz", "command_hz")


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


def held(what: str, robot_name: str, film: Path, gap_s: float, folder: Path, realtime: bool = False) -> dict[str, Any]:
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
        load = os.getloadavg()[0]
        if realtime:
            give_precedence([own.process.pid for own in supervisor.running.values()])
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
        told = {f"{k}_{p}_ms": robot.value(node, f"{k}_{p}_ms") for node, k in LATENCIES for p in ("p50", "p99")}
        return row | {"load": round(load, 2), "latency": told | {key: robot.value(node, key) for node, key in RATES}}


def give_precedence(processes: list[int]) -> None:
    """Has all threads of processes run before all other work on the machine.

    Raises:
        SystemExit: the user may not.
    """
    try:
        for process in processes:
            for thread in os.listdir(f"/proc/{process}/task"):
                os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(5))
    except PermissionError:
        raise SystemExit("--realtime needs the right to it: run as root, or raise `ulimit -r`") from None


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
        if engaged_s is not None and now_s > engaged_s + FOLLOWS_S and robot.speed > MOVES:
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
    parser.add_argument(
        "--realtime", action="store_true",
        help="give the nodes precedence over other work on the machine (Linux; as root, or with `ulimit -r`)",
    )  # fmt: skip
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser, arguments)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="teleoperation-") as folder:
        film = stand_then_move(Path(folder) / "film.mp4")
        for what in args.do:
            logs = Path(folder) / what
            logs.mkdir()
            found[what] = row = held(what, args.robot, film, args.max_gap, logs, args.realtime)
            print(
                f"{what}: holds after {row['hold_s']:.3f} s (asked: {asked(what, args.max_gap)}), at rest after "
                f"{row['rest_s']:.3f} s, {row['limits_broken']} of {row['commands']} commands outside the limits, "
                f"fastest joint at {100 * row['speed']:.0f} % of its limit: {row['reason']}"
            )
            p50, p99 = asked_ms(row["latency"])
            print(f"  from image to command asked p50 {p50:.1f} ms, p99 {p99:.1f} ms; load {row['load']:g}")
            print("  " + ", ".join(f"{key} {value:g}" for key, value in row["latency"].items()), flush=True)
    if not args.no_page:
        head = provenance("benchmarks.teleoperation", "the bundled clip")
        Page.of_today("teleoperation", args.out).write(page(found, args.max_gap, head))
    end_with_json(args, found)


def asked(what: str, gap_s: float) -> str:
    """Of the time until the robot holds."""
    return f"{gap_s + 0.1:g} s" if what in KILLED else "at once" if what != "joy_silent" else "0.35 s"


def asked_ms(latency: dict[str, float]) -> tuple[float, float]:
    """Of the way from image to command, in the median and in 99 of 100 [ms]."""
    excess = max(latency["detect_p50_ms"] - DETECTOR_MS, 0.0)
    return ASKED_MS[0] + excess, ASKED_MS[1] + excess


def page(found: dict[str, Any], gap_s: float, head: list[str]) -> str:
    """The page in Markdown."""
    lines = ["# A robot that holds", "", *head, "", (__doc__ or "").split("\n\n", 1)[1].rsplit("\n\n", 1)[0], ""]
    lines += ["| done | asked [s] | " + " | ".join(_COLUMNS) + " | reason |", "|" + "---|" * (len(_COLUMNS) + 3)]
    for what, row in found.items():
        values = (f"{row[key]:.3f}" if key.endswith("_s") else str(row[key]) for key in _COLUMNS)
        lines.append(f"| {what} | {asked(what, gap_s)} | " + " | ".join(values) + f" | {row['reason']} |")
    lines += ["", "| while it followed, until | asked p50, p99 [ms] | " + " | ".join(_MS) + " |",
              "|" + "---|" * (len(_MS) + 2)]  # fmt: skip
    for what, row in found.items():
        values = " | ".join(f"{row['latency'][key]:.1f}" for key in _MS)
        lines.append("| {} | {:.1f}, {:.1f} | {} |".format(what, *asked_ms(row["latency"]), values))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
