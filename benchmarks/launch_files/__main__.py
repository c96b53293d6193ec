"""Runs ``ros2 launch`` of the launch files on ROS 2 installs and writes the dated page.

    python -m benchmarks.launch_files --kilted PREFIX [--jazzy PREFIX] [--isolated] [--parts images,bag]

PREFIX is what colcon installed diffmocap into (``ros_ws/install``); its ``setup.bash`` sources ROS 2 too. Nothing else
of the caller's environment reaches the launches. ``--isolated`` (as root) runs everything in a network namespace with
nothing but the loopback interface, so that what is started by hand may keep an install's default of discovery.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.launch_files.bag import bag
from benchmarks.launch_files.case import Part, Row, Work
from benchmarks.launch_files.failures import failures, interruptions
from benchmarks.launch_files.files import files
from benchmarks.launch_files.images import images
from benchmarks.launch_files.install import Install
from benchmarks.launch_files.namespaces import namespaces
from benchmarks.launch_files.recovery import recovery
from benchmarks.page.command import benchmark_parser, shared_options
from benchmarks.page.report import REPOSITORY, Page, page_arguments, provenance

PARTS = (
    Part("files", "The three launch files", files),
    Part("images", "Images received by keypoint_node of images published, 30 Hz", images),
    Part("bag", "A bag of 8 s", bag),
    Part("failures", "Bring-up that fails", failures),
    Part("interruptions", "Ctrl-C", interruptions),
    Part("recovery", "kill -9 with respawn:=true", recovery),
    Part("namespaces", "Two people in one domain", namespaces),
)
ISOLATED = "DIFFMOCAP_BENCHMARK_ISOLATED"


def main() -> int:
    parser = benchmark_parser(__doc__)
    for distribution in ("jazzy", "kilted", "other"):
        parser.add_argument(f"--{distribution}", type=Path, metavar="PREFIX", help="install on that distribution")
    parser.add_argument("--parts", default=",".join(part.name for part in PARTS), help="default: %(default)s")
    parser.add_argument("--isolated", action="store_true", help="in a network namespace of its own")
    shared_options(parser, "out")
    arguments = page_arguments(parser)
    prefixes = [prefix for prefix in (arguments.jazzy, arguments.kilted, arguments.other) if prefix is not None]
    wanted = arguments.parts.split(",")
    if not prefixes:
        parser.error("name at least one install, such as --kilted ros_ws/install")
    if unknown := set(wanted) - {part.name for part in PARTS}:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    if arguments.isolated and ISOLATED not in os.environ:
        return _isolated()
    page = _page_head(prefixes)
    met = True
    for prefix in prefixes:
        with tempfile.TemporaryDirectory(prefix="diffmocap-launch-") as folder:
            install = Install.sourced(prefix.resolve(), not arguments.isolated, Path(folder) / "ros_logs")
            work = Work(install, Path(folder), REPOSITORY / "media/demo.mp4")
            page += [f"## {install.name}", ""]
            for part in PARTS:
                if part.name not in wanted:
                    continue
                print(f"{install.name}: {part.title}", file=sys.stderr, flush=True)
                rows = _measured(part, work)
                met &= all(row.met is not False for row in rows)
                page += [f"### {part.title}", "", *_table(rows), ""]
    print(Page.of_today("launch-files", arguments.out).write(page))
    return 0 if met else 1


def _measured(part: Part, work: Work) -> list[Row]:
    """The rows of a part; what cannot be measured is a row that is missed, with the reason on stderr."""
    rows = []
    try:
        for row in part.measure(work):
            print(f"    {row.what}: {row.measured}", file=sys.stderr, flush=True)
            rows.append(row)
    except RuntimeError as error:
        print(f"    {error}", file=sys.stderr, flush=True)
        rows.append(Row("the rest", f"could not be measured: {str(error).splitlines()[0]}", "", False))
    return rows


def _isolated() -> int:
    """This command again, where no packet can leave the machine."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        raise SystemExit("--isolated needs root and unshare (util-linux)")
    inner = [sys.executable, "-m", "benchmarks.launch_files", *sys.argv[1:]]
    command = ["unshare", "--net", "bash", "-c", 'ip link set lo up && exec "$@"', "bash", *inner]
    return subprocess.run(command, env={**os.environ, ISOLATED: "1"}).returncode


def _page_head(prefixes: list[Path]) -> list[str]:
    stand_ins = REPOSITORY / "benchmarks/launch_files/stand_ins/__init__.py"
    return [
        "# The launch files on ROS 2 installs",
        "",
        *provenance("benchmarks.launch_files", "the bundled clip (726 frames of 640x480 at 30 Hz)"),
        "",
        "`ros2 launch` is the real one (launch, launch_ros and ros2cli of the distribution), and so are rclpy and Fast "
        "DDS. Where a prefix holds stand-ins for what has no wheel (robot_state_publisher, static_transform_publisher, "
        f"RViz, the sliders, `ros2 bag play`), they are those of `{stand_ins.parent.relative_to(REPOSITORY)}`. The "
        "variables of the caller's shell reach no launch. “Missing by the stamps” is what keypoint_node itself says.",
        "",
    ]


def _table(rows: list[Row]) -> list[str]:
    verdicts = {True: "met", False: "**missed**", None: "–"}
    lines = ["| | measured | asked | |", "|---|---|---|---|"]
    return lines + [f"| {r.what} | {r.measured} | {r.asked or '–'} | {verdicts[r.met]} |" for r in rows]


if __name__ == "__main__":
    sys.exit(main())
