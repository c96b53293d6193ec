"""How soon is it told that nothing comes any more? ``python -m benchmarks.output_safety.silence``.

The bundled clip plays in a loop through camera_node, keypoint_node and pose_node as processes of their own. Once poses
come, a node is killed (SIGKILL), and the topics are listened to for ten seconds: when does ``body_pose`` say LOST
(``tracking_state``), when do the diagnostics say ERROR, does an old pose come as a new one? Times count from the kill,
as a listener receives the messages. ``--json`` ends with one JSON line: by node ``lost_s``, ``error_s`` and
``poses_after``.

Where ``BodyPose`` has no ``tracking_state`` nothing can be told, and ``lost_s`` is null.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY

VICTIMS = ("camera_node", "keypoint_node")
#: How long is listened after the kill, and how long poses may take to come before it [s].
SILENCE_S, PATIENCE_S = 10.0, 120.0
#: Poses that are on their way when a node dies may still come [s]: two images of latency and a busy machine's.
ON_THE_WAY_S = 0.2
#: Level of diagnostics from which on something is wrong.
ERROR = 2


@dataclass
class Heard:
    """What came, with the monotonic time of its receipt [s].

    ``states``: tracking states of ``body_pose``. ``levels``: of pose_node's diagnostics. ``joint_states``: times alone.
    """

    states: list[tuple[float, int | None]] = field(default_factory=list)
    levels: list[tuple[float, int]] = field(default_factory=list)
    joint_states: list[float] = field(default_factory=list)


def silence(victim: str, gap_s: float, folder: Path) -> dict[str, Any]:
    """What is told after ``victim`` was killed, with the parameter ``max_gap`` at ``gap_s``."""
    from diffmocap.cli.play import BRING_UP_TIMEOUT_S, free_domain_id
    from diffmocap.cli.supervisor import Supervisor
    from diffmocap.graph.description import replay

    os.environ["ROS_DOMAIN_ID"] = str(free_domain_id())
    clip = str(REPOSITORY / "media" / "demo.mp4")
    nodes = {"camera_node": {"pacing": "realtime"}, "pose_node": {"max_gap": gap_s}}
    arguments = {"video": clip, "on_end": "loop", "rviz": False}
    with Supervisor(replay(), arguments, folder, nodes) as supervisor:
        heard = _listen(supervisor.node)
        supervisor.bring_up(BRING_UP_TIMEOUT_S)
        _wait_for_poses(supervisor, heard)
        killed_s = time.monotonic()
        supervisor.running[victim].process.send_signal(signal.SIGKILL)
        while time.monotonic() < killed_s + SILENCE_S:
            _spin_on(supervisor)
    from diffmocap_msgs.msg import BodyPose

    return figures(heard, killed_s, getattr(BodyPose, "LOST", None))


def figures(heard: Heard, killed_s: float, lost_state: int | None) -> dict[str, Any]:
    """When LOST and ERROR were told after the kill [s], None where they were not; how many poses came too late.

    ``lost_state``: the number of LOST in the message; None where the message has no such field.
    """
    lost = [t - killed_s for t, state in heard.states if t > killed_s and state == lost_state is not None]
    error = [t - killed_s for t, level in heard.levels if t > killed_s and level >= ERROR]
    return {
        "lost_s": min(lost, default=None),
        "error_s": min(error, default=None),
        "poses_after": sum(t > killed_s + ON_THE_WAY_S for t in heard.joint_states),
        "has_tracking_state": lost_state is not None,
    }


def _listen(node: Any) -> Heard:
    from diagnostic_msgs.msg import DiagnosticArray
    from diffmocap_msgs.msg import BodyPose
    from sensor_msgs.msg import JointState

    heard = Heard()

    def diagnosed(message: DiagnosticArray) -> None:
        now = time.monotonic()
        heard.levels += [(now, ord(s.level)) for s in message.status if "pose_node" in s.name]

    def posed(message: BodyPose) -> None:
        heard.states.append((time.monotonic(), getattr(message, "tracking_state", None)))

    node.create_subscription(BodyPose, "body_pose", posed, 100)
    node.create_subscription(JointState, "joint_states", lambda m: heard.joint_states.append(time.monotonic()), 100)
    node.create_subscription(DiagnosticArray, "/diagnostics", diagnosed, 50)
    return heard


def _wait_for_poses(supervisor: Any, heard: Heard, count: int = 30) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while len(heard.joint_states) < count:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{len(heard.joint_states)} poses came within {PATIENCE_S:g} s; expected {count}")
        supervisor.spin_once(0.05)


def _spin_on(supervisor: Any) -> None:
    """Callbacks alone: the supervisor's own way to spin minds that a node has died."""
    from diffmocap.errors import GraphError

    try:
        supervisor.spin_once(0.02)
    except GraphError:
        pass


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    from diffmocap.timing.track_clock import ClockSettings

    parser = benchmark_parser(__doc__)
    parser.add_argument("--max-gap", type=float, default=ClockSettings().max_gap_s, help="default: %(default)s s")
    parser.add_argument(
        "--kill", nargs="+", choices=VICTIMS, default=list(VICTIMS), help="default: one after the other"
    )
    shared_options(parser, "json")
    args = parser.parse_args(arguments)
    found = {}
    for victim in args.kill:
        with tempfile.TemporaryDirectory(prefix="silence-") as folder:
            found[victim] = silence(victim, args.max_gap, Path(folder))
        row = found[victim]
        lost = "never" if row["lost_s"] is None else f"after {row['lost_s']:.2f} s"
        error = "never" if row["error_s"] is None else f"after {row['error_s']:.2f} s"
        asked = f"asked: {args.max_gap + 0.1:g} s"
        if not row["has_tracking_state"]:
            asked += "; this BodyPose has no tracking_state, so that nothing can say it"
        print(f"{victim} killed: LOST {lost} ({asked}), ERROR {error}, {row['poses_after']} poses after")
    end_with_json(args, found)


if __name__ == "__main__":
    main()
