"""Runs the graph on a camera, a stream or a file in real time, until Ctrl-C or the source's end.

The nodes join the ROS domain of this shell (ROS_DOMAIN_ID), so that other programs hear joint_states, body_pose and
/tf. One line shows the rate and the latency from the image to its joint state; the end brings a summary.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from diffmocap.cli.options.pose_options import (
    VIEW_HOST,
    VIEW_PORT,
    add_pose_arguments,
    add_run_arguments,
    add_source_arguments,
    camera_arguments,
    camera_parameters,
    detector_parameters,
    pose_parameters,
    viewer_parameters,
)
from diffmocap.errors import CameraError, GraphError, MotionFileError, SettingsError
from diffmocap.graph.description import NAMESPACE

if TYPE_CHECKING:
    from diffmocap.reconstruct.session import SessionWriter

SUMMARY = "a camera, a stream or a file in real time"

#: Frames that the summary's percentiles cover: an hour at 30 a second.
KEPT_FRAMES = 108_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--source", default="0", metavar="SOURCE", help="camera index or device, video file, folder of images, "
        "img_%%04d.jpg, URL, or $NAME of a variable that holds it (default: 0)",
    )  # fmt: skip
    add_source_arguments(parser)
    parser.add_argument("--duration", type=float, default=0.0, metavar="S", help="stop after so many seconds of images")
    parser.add_argument(
        "--namespace", default=NAMESPACE, metavar="NAME",
        help="namespace of all nodes and topics, / for none (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--frame-prefix", default="", metavar="PREFIX",
        help="prefix of the names of all frames, such as alice/ for a second person in the same ROS domain",
    )  # fmt: skip
    parser.add_argument(
        "--link-tf", action="store_true",
        help="publish the frames of all links on /tf, where no robot_state_publisher does (publish_link_tf)",
    )  # fmt: skip
    parser.add_argument(
        "--view", action="store_true",
        help="show the body, the camera's picture, latencies and live parameters in a web browser, at the address "
        "that is printed",
    )  # fmt: skip
    VIEW_HOST.add(parser)
    VIEW_PORT.add(parser)
    parser.add_argument("--params-file", type=Path, metavar="YAML", help="parameter file of all nodes")
    parser.add_argument(
        "--record", type=Path, metavar="DIR",
        help="keep the session in this folder as it goes: keypoints, and the motion as published (DIR/motion.npz); "
        "`diffmocap reconstruct DIR` makes the best of it",
    )  # fmt: skip
    parser.add_argument(
        "--robot",
        default="",
        metavar="ROBOT",
        help="start retarget_node, too: commands for this robot, by the short name of one that ships, such as g1, or "
        "the path of its YAML file (docs/teleoperation.md says how it begins to follow)",
    )
    parser.add_argument(
        "--hri",
        action="store_true",
        help="start hri_node, too: the person on /humans/bodies, as REP-155 (ROS4HRI) does",
    )
    parser.add_argument(
        "--sonic",
        action="store_true",
        help="start sonic_node, too: the person for SONIC, a whole-body controller of the G1 (docs/robots.md says how)",
    )
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the nodes' logs in this folder")
    parser.add_argument("--respawn", action="store_true", help="restart a node that has died instead of ending")
    add_pose_arguments(parser)
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Plays until told to stop and prints the summary."""
    from diffmocap.camera.devices import explain_device, hidden_source, parse_source
    from diffmocap.cli.play import Play, play
    from diffmocap.cli.recording import Recording
    from diffmocap.cli.summary import summarise, tell_figures, unquoted
    from diffmocap.graph.description import replay, webcam

    if args.duration < 0:
        raise SettingsError(f"--duration must be positive, got {args.duration}")
    source = parse_source(args.source)
    parameters = {
        "camera_node": camera_parameters(args),
        "keypoint_node": detector_parameters(args),
        "pose_node": pose_parameters(args),
    }
    arguments = {"rviz": False, "device": args.device, "namespace": args.namespace, "respawn": args.respawn}
    arguments |= {"frame_prefix": args.frame_prefix, **camera_arguments(args)}
    if args.link_tf:
        arguments["publish_link_tf"] = True
    if args.hri:
        arguments["hri"] = True
    if args.sonic:
        arguments["sonic"] = True
    if args.robot:
        # Of a file the nodes need to know where it is.
        arguments["retarget"] = str(Path(args.robot).resolve()) if Path(args.robot).is_file() else args.robot
    if args.view:
        arguments["view"] = True
        parameters["viewer_node"] = viewer_parameters(args)
    elif args.view_host is not None or args.view_port is not None:
        raise SettingsError("--view-host and --view-port say where the viewer is: add --view")
    if args.params_file is not None:
        if not args.params_file.is_file():
            raise SettingsError(f"there is no parameter file '{args.params_file}'; config/diffmocap.yaml is an example")
        arguments["params_file"] = str(args.params_file.resolve())
    if source.kind == "device":
        path = Path(f"/dev/video{source.target}" if isinstance(source.target, int) else source.target)
        if sys.platform == "linux" and not path.exists():
            raise CameraError(explain_device(source))
        graph, arguments = webcam(), arguments | {"source": hidden_source(args.source)}
    else:
        graph, arguments = replay(), arguments | {"video": hidden_source(args.source), "on_end": "exit"}
    session = None
    if args.record is not None:
        from diffmocap.reconstruct.session import SessionWriter

        session = SessionWriter(args.record, _warn)
    recording = Recording(max_frames=KEPT_FRAMES, keep_poses=False, sink=session)
    with tempfile.TemporaryDirectory(prefix="diffmocap-") as folder:
        what = Play(
            graph,
            arguments,
            log_folder=args.logs or Path(folder),
            parameters=parameters,
            duration_s=args.duration,
            domain_id=args.domain_id,
            network=args.network,
            verbose=args.verbose,
        )
        print(f"{source.label}: Ctrl-C ends it", file=sys.stderr, flush=True)
        failure = None
        try:
            play(what, recording)
        except KeyboardInterrupt:
            if not recording.images:  # nothing was measured: as for any other command
                raise
        except GraphError as error:  # print what was measured so far before the error
            failure = error
    if session is not None and recording.images:
        try:
            _tell_session(session)
        except OSError as error:  # the summary first
            failure = failure or MotionFileError(
                f"the end of the session could not be written to {session.folder}: {error.strerror or error}; "
                f"`diffmocap reconstruct {session.folder}` takes what is there"
            )
    summary = summarise(recording, unquoted(source.label), video_stamps=False)
    tell_figures(summary, {}, failure, args.json)
    if failure is not None:
        raise failure
    return 0


def _warn(text: str) -> None:
    """Beside the line that shows the rate."""
    from tqdm import tqdm

    tqdm.write(f"diffmocap live: warning: {text}", file=sys.stderr)


def _tell_session(session: SessionWriter) -> None:
    """Ends a recorded session and says what can be done with it."""
    motion = session.close()
    if motion is None:
        print(f"{session.folder}: nobody was seen, so there is no motion", file=sys.stderr)
        return
    print(
        f"{motion}: the motion as published; `diffmocap reconstruct {session.folder}` makes a better one, "
        f"`diffmocap export {motion} --format glb` another file of it",
        file=sys.stderr,
    )
