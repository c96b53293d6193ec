"""Does the graph's memory grow while it runs for hours? ``python -m benchmarks.soak`` takes one; ``--minutes`` others.

The bundled clip plays in a loop through camera_node, keypoint_node and pose_node as processes of their own, at its own
rate. The memory of each is read every ten seconds, and a line is fitted to what comes after a warm-up: its slope is the
median of the slopes between all pairs of samples (Theil-Sen), which single steps do not move.

"own" is the anonymous memory that a process holds, its heaps and stacks: a leak shows there. Resident memory also
counts what processes share: pages of libraries, which the kernel takes and brings back as it needs room, and those
pages of the other nodes' shared-memory segments, 34 MB each, that a process has looked at. They exist anyway, and
their number grows until the process has touched every page in use.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy.stats import theilslopes
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser
from benchmarks.page.report import REPOSITORY, RESULTS, Page, page_arguments, provenance

NODES = ("camera_node", "keypoint_node", "pose_node")
#: Growth that is asked for at most [MB/h].
MOST_MB_PER_HOUR = {"keypoint_node": 5.0, "pose_node": 1.0}
PERIOD_S = 10.0
MB = 1e6


@dataclass
class Memory:
    """Samples of one node: seconds since the graph was up, and megabytes."""

    times_s: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    own_mb: list[float] = field(default_factory=list)

    def sample(self, now_s: float, pid: int) -> None:
        """Reads the memory of a process."""
        self.times_s.append(now_s)
        self.resident_mb.append(psutil.Process(pid).memory_info().rss / MB)
        self.own_mb.append(_anonymous_bytes(pid) / MB)


@dataclass(frozen=True)
class Growth:
    """Slope after the warm-up [MB/h] with the bounds of its 95 % confidence interval."""

    per_hour: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.per_hour:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def growth(times_s: list[float], megabytes: list[float], warm_up_s: float) -> Growth | None:
    """The line through the samples after ``warm_up_s``; None where there are fewer than three."""
    after = np.asarray(times_s) >= warm_up_s
    if after.sum() < 3:
        return None
    hours = np.asarray(times_s)[after] / 3600.0
    slope, _, low, high = theilslopes(np.asarray(megabytes)[after], hours)
    return Growth(float(slope), float(low), float(high))


def _anonymous_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("the kernel does not say how much memory is anonymous (RssAnon); Linux 4.5 or newer is needed")


def soak(minutes: float, nodes: dict[str, dict[str, Any]], folder: Path) -> tuple[dict[str, Memory], dict[str, int]]:
    """Runs the graph; memory by node, and how many messages of each topic came out."""
    from diffmocap.cli.play import BRING_UP_TIMEOUT_S, free_domain_id
    from diffmocap.cli.supervisor import Supervisor
    from diffmocap.graph.description import replay

    os.environ["ROS_DOMAIN_ID"] = str(free_domain_id())
    clip = str(REPOSITORY / "media" / "demo.mp4")
    memory = {name: Memory() for name in NODES}
    with Supervisor(replay(), {"video": clip, "on_end": "loop", "rviz": False}, folder, nodes) as supervisor:
        counts = _listen(supervisor.node)
        supervisor.bring_up(BRING_UP_TIMEOUT_S)
        start_s = due_s = time.monotonic()
        with tqdm(total=round(minutes), unit="min", desc="soaking") as bar:
            while (now_s := time.monotonic()) - start_s < 60.0 * minutes:
                supervisor.spin_once(0.2)
                if now_s >= due_s:
                    due_s += PERIOD_S
                    for name in NODES:
                        memory[name].sample(now_s - start_s, supervisor.running[name].process.pid)
                    pose = memory["pose_node"]
                    bar.set_postfix_str(f"pose_node {pose.own_mb[-1]:.1f} MB, {counts['joint_states']} poses")
                    bar.update(int((now_s - start_s) / 60.0) - bar.n)
    return memory, counts


def _listen(node: Any) -> dict[str, int]:
    """Subscribes to what viewers and robots use, so that it is published; counts the messages."""
    from diagnostic_msgs.msg import DiagnosticArray
    from diffmocap_msgs.msg import BodyPose, Keypoints2D
    from sensor_msgs.msg import JointState
    from tf2_msgs.msg import TFMessage
    from visualization_msgs.msg import MarkerArray

    topics = {
        "keypoints": Keypoints2D, "joint_states": JointState, "body_pose": BodyPose, "/tf": TFMessage,
        "markers": MarkerArray, "/diagnostics": DiagnosticArray,
    }  # fmt: skip
    counts = dict.fromkeys(topics, 0)

    def count(topic: str) -> Any:
        def received(message: Any) -> None:
            counts[topic] += 1

        return received

    for topic, message_type in topics.items():
        node.create_subscription(message_type, topic, count(topic), 100)
    return counts


def page(memory: dict[str, Memory], counts: dict[str, int], minutes: float, warm_up_s: float) -> list[str]:
    """The Markdown page."""
    lines = [
        f"# Memory over {minutes:g} minutes",
        "",
        *provenance("benchmarks.soak", "the bundled clip in a loop, 640x480, 30 Hz"),
        "",
        f"Slopes after {warm_up_s / 60.0:g} minutes of warm-up, with 95 % confidence intervals. Messages received: "
        + ", ".join(f"{topic} {count}" for topic, count in counts.items()) + ".",
        "",
        "Own is the anonymous memory that a process holds: a leak would show there. Resident also counts libraries and "
        "those pages of the other nodes' shared-memory segments that a process has looked at, which exist anyway.",
        "",
        "| node | own [MB/h] | asked for at most | resident [MB/h] | own [MB], first, after warm-up, last |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, m in memory.items():
        warm = next((mb for t, mb in zip(m.times_s, m.own_mb) if t >= warm_up_s), m.own_mb[-1])
        slopes = [growth(m.times_s, values, warm_up_s) for values in (m.own_mb, m.resident_mb)]
        own, resident = (str(slope or "too short") for slope in slopes)
        lines.append(
            f"| {name} | {own} | {MOST_MB_PER_HOUR.get(name, '')} | {resident} "
            f"| {m.own_mb[0]:.1f}, {warm:.1f}, {m.own_mb[-1]:.1f} |"
        )
    lines += [
        "",
        "Own memory, and resident memory, over time [MB]:",
        "",
        "| minute | " + " | ".join(NODES) + " |",
        "|---|---|---|---|",
    ]
    step = max(1, round(minutes / 20.0))
    for minute in range(0, int(minutes) + 1, step):
        at = [int(np.argmin(np.abs(np.asarray(m.times_s) - 60.0 * minute))) for m in memory.values()]
        row = " | ".join(f"{m.own_mb[i]:.1f}, {m.resident_mb[i]:.1f}" for m, i in zip(memory.values(), at))
        lines.append(f"| {minute} | {row} |")
    return [*lines, ""]


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to run (default: 60)")
    parser.add_argument(
        "--warm-up", type=float, default=None, metavar="MIN", help="minutes left out (default: a sixth of the time)"
    )
    parser.add_argument("--out", type=Path, help="page to write (default: results/<date>-soak.md)")
    args = page_arguments(parser)
    if args.minutes <= 0:
        parser.error(f"--minutes must be positive, got {args.minutes}")
    warm_up_s = 60.0 * (args.minutes / 6.0 if args.warm_up is None else args.warm_up)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        memory, counts = soak(args.minutes, {"camera_node": {"pacing": "realtime"}}, Path(folder))
    lines = page(memory, counts, args.minutes, warm_up_s)
    print("\n".join(lines))
    out = args.out or Page.of_today("soak", RESULTS).path
    out.write_text("\n".join(lines))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
