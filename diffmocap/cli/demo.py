"""Runs the whole ROS 2 graph on the bundled video, or on another one.

camera_node, keypoint_node and pose_node start as processes of their own, in a ROS domain of their own that stays on
this machine, and exchange real messages over DDS: images become 2D keypoints, 3D poses, lifted by the diffusion model
and refined by physics, and joint states of a human URDF. In the end you see rates, latencies and losses, the error
where the true motion lies beside the video (same name, ending .npz), and a video of the input beside the body that the
joint states describe.

The video is played as fast as the graph keeps up and every frame is processed; --realtime plays it at its own rate.

With --robot a robot in MuJoCo follows the motion in the video instead, by position and driven by torques:
docs/robots.md.

Figures of --json: fps (joint states a second from the first to the last), latency_p50_ms and latency_p99_ms (from the
image to the receipt of its joint state), frames, poses, dropped (frames after the first pose that got no joint state:
no_person, where too few keypoints were visible, plus lost, where the graph did not keep up), refined_frames,
physics_frames (poses that the physics made better, by its loss), optimizer, hypotheses and guidance as pose_node had
them, frames_with_step (share of the frames refined by physics in which there was time for a step), rss_mb (all nodes
together, at most), start_s (until the first pose), stages; beside a truth mpjpe_mm and pa_mpjpe_mm over 24 joints,
pixel_error (projected keypoints, over the image size) and frames_improved (share of the frames whose pose is nearer to
the truth than what the filter alone makes of the same keypoints); and the paths of video and picture, which are drawn
after this line is printed. Where a node fails, the line holds what was measured until then and "error", and the exit
code is 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmocap.cli.options.pose_options import (
    add_pose_arguments,
    add_run_arguments,
    add_source_arguments,
    camera_arguments,
    camera_parameters,
    detector_parameters,
    pose_parameters,
)
from diffmocap.errors import CameraError, GraphError

if TYPE_CHECKING:
    import numpy as np

    from diffmocap.camera.capture import Capture
    from diffmocap.camera.devices import Source
    from diffmocap.cli.drawing.pictures import Pictures
    from diffmocap.cli.ground_truth import GroundTruth
    from diffmocap.cli.recording import RecordedFrame, Recording

#: Steps of the refinement in each frame of a video that is played as fast as possible.
ITERATIONS = 1
SUMMARY = "the whole graph on the bundled video, or on another one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--source", metavar="FILE", help="video file, folder of images, or img_%%04d.jpg (default: the bundled clip)"
    )
    add_source_arguments(parser)
    parser.add_argument("--realtime", action="store_true", help="play at the video's own rate, as a camera would")
    parser.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help="folder for video, picture and logs (default: out)"
    )
    parser.add_argument("--no-video", action="store_true", help="do not draw the video and the picture")
    parser.add_argument(
        "--robot", metavar="ROBOT",
        help="instead, have a simulated robot follow the motion in the video, reconstructed offline: g1, h1, t1, "
        "talos, tiago_pro, or the YAML file of your own (docs/robots.md)",
    )  # fmt: skip
    add_pose_arguments(parser)
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the graph on a video, prints the figures, writes video and picture; returns the exit code."""
    if args.robot is not None:
        from diffmocap.cli.robot_demo import run_robot

        return run_robot(args, args.source or str(bundled_clip()))
    from diffmocap.camera.devices import hidden_source
    from diffmocap.cli.ground_truth import beside
    from diffmocap.cli.improvement import frames_improved, lifting_of
    from diffmocap.cli.play import Play, free_domain_id, play
    from diffmocap.cli.recording import Recording
    from diffmocap.cli.summary import summarise, tell_figures, unquoted
    from diffmocap.graph.description import replay

    source = args.source or str(bundled_clip())
    video = opened_video(source, args.fps or 0.0)
    mode, label = video.mode, video.source.label
    truth = beside(source)
    parameters = node_parameters(args, truth)
    domain_id = args.domain_id if args.domain_id is not None else free_domain_id()
    recording = Recording()
    out = args.out / name_of(video.source)
    say(f"{label}: {mode}; ROS domain {domain_id}, logs in {out}-logs")
    draws = not args.no_video and can_draw()
    arguments = {"video": hidden_source(source), "on_end": "exit", "rviz": False, "device": args.device}
    failure = None
    try:
        play(
            Play(
                replay(),
                {**arguments, **camera_arguments(args)},
                log_folder=Path(f"{out}-logs"),
                parameters=parameters,
                frames=mode.frames,
                domain_id=domain_id,
                network=args.network,
                verbose=args.verbose,
            ),
            recording,
        )
    except GraphError as error:  # print what was measured so far before the error
        failure, draws = error, False

    frames = indexed(recording, mode.fps, exact_stamps=not args.realtime, times_s=video.times_s)
    complete = {i: f.pose for i, f in frames.items() if f.pose and f.pose.complete}
    accuracy = truth.accuracy(complete, args.body_model) if truth else {}
    if accuracy and recording.by_physics and recording.intrinsics is not None:
        lifting = lifting_of(args)
        improved = frames_improved(frames, truth, recording.intrinsics, lifting, args.weights, args.body_model)
        accuracy |= {} if improved is None else {"frames_improved": improved}
    summary = summarise(recording, unquoted(label), video_stamps=not args.realtime, accuracy=accuracy)
    draws = draws and bool(frames) and recording.intrinsics is not None
    tell_figures(summary, planned_pictures(out) if draws else {}, failure, args.json)
    if failure is not None:
        raise failure
    if draws:
        pictures = draw(frames, recording, source, mode.fps, out, bool(args.mirror))
        thinned = f", 1 in {pictures.stride}" if pictures.stride > 1 else ""
        print(f"\nto look at: {pictures.video} ({pictures.frames} frames{thinned}) and {pictures.sheet}",
              file=sys.stderr if args.json else sys.stdout)  # fmt: skip
    return 0


def can_draw() -> bool:
    """Whether the body can be drawn; says once why not."""
    if find_spec("pybullet") is not None:
        return True
    say("PyBullet is not installed, so neither video nor picture will be drawn (there are wheels for Python 3.11)")
    return False


def planned_pictures(out: Path) -> dict[str, str]:
    """Where video and picture will be."""
    from diffmocap.cli.drawing.pictures import picture_paths

    return dict(zip(("video", "picture"), map(str, picture_paths(out)), strict=True))


def bundled_clip() -> Path:
    """The clip that ships.

    Raises:
        CameraError: it is not there.
    """
    from diffmocap.resources import share_path

    path = share_path("media", "demo.mp4")
    if not path.is_file():
        raise CameraError(f"the bundled clip {path} is missing; reinstall diffmocap, or name a video: --source FILE")
    return path


def opened_video(source: str, fps: float = 0.0) -> Capture:
    """A video file or image files, closed again: size, rate, length and times are known.

    Raises:
        CameraError: no such file, or no video.
    """
    from diffmocap.camera.capture import Capture
    from diffmocap.camera.devices import parse_source
    from diffmocap.camera.settings import CaptureSettings

    if parse_source(source).kind == "device":
        raise CameraError(f"demo plays a video file, '{source}' is a camera; use `diffmocap live --source {source}`")
    with Capture(source, CaptureSettings(fps=fps), realtime=False) as capture:
        return capture


def name_of(source: Source) -> str:
    """What the results of a source are called."""
    shown = source.label if source.kind == "url" else str(source.target)
    name = re.sub(r"[^\w.-]+", "_", Path(shown.partition("?")[0]).stem).strip("_.")
    return name or "video"


def node_parameters(args: argparse.Namespace, truth: GroundTruth | None) -> dict[str, dict[str, Any]]:
    """Parameters on top of the parameter file."""
    camera: dict[str, Any] = {"pacing": "realtime" if args.realtime else "fast"}
    pose = pose_parameters(args)
    if not args.realtime:
        # Motion, smoothing and refinement then do not depend on how fast this machine is.
        camera["stamps"] = "video"
        # With such stamps there is no latency to keep a budget of, and no clock that they would have to be near.
        pose |= {"max_stamp_offset": 0.0, "budget_ms": 0.0}
        pose |= {"refinement_budget_ms": 0.0, "refinement_iterations": ITERATIONS}
    if truth is not None and truth.vertical_fov_deg:
        camera["vertical_fov_deg"] = truth.vertical_fov_deg
    cameras = camera | camera_parameters(args)
    return {"camera_node": cameras, "keypoint_node": detector_parameters(args), "pose_node": pose}


def indexed(
    recording: Recording, fps: float, exact_stamps: bool, times_s: np.ndarray | None = None
) -> dict[int, RecordedFrame]:
    """The recorded frames by their index in the source."""
    from diffmocap.cli.recording import source_indices

    frames = recording.frames
    indices = source_indices([frame.stamp_ns for frame in frames], fps, exact_stamps, recording.skipped, times_s)
    return dict(zip(indices, frames, strict=True))


def draw(
    frames: dict[int, RecordedFrame], recording: Recording, source: str, fps: float, out: Path, mirror: bool = False
) -> Pictures:
    """Video and contact sheet of the recorded states."""
    from tqdm import tqdm

    from diffmocap.cli.drawing.pictures import PictureFrame, write_pictures
    from diffmocap.cli.drawing.render import PosedBody
    from diffmocap.cli.play import bar_interval_s

    def body(frame: RecordedFrame) -> PosedBody | None:
        pose = frame.pose
        if pose is None or not pose.complete:
            return None
        angles = dict(zip(recording.joint_names, pose.angles_rad.tolist(), strict=True))
        return PosedBody(angles, pose.root_position_m.tolist(), pose.root_xyzw.tolist())

    shown = [PictureFrame(index, frame.keypoints, body(frame)) for index, frame in frames.items()]

    def progress(pairs, total):
        return tqdm(pairs, total=total, unit="frame", desc="drawing", file=sys.stderr, dynamic_ncols=True,
                    mininterval=bar_interval_s())  # fmt: skip

    return write_pictures(shown, source, recording.intrinsics, fps, out, progress, mirror)


def say(text: str) -> None:
    """Prints a text for people to stderr; stdout is reserved for the result."""
    print(text, file=sys.stderr, flush=True)
