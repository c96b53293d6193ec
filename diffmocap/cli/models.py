"""Makes a detector's bundle (.task) of another size, from a file that you download: nothing is fetched here.

Three sizes of MediaPipe's landmark network were published. full ships with diffmocap. lite is faster and less accurate;
heavy takes about 2.4 times as long and confuses left and right less often. FILE is one of

  mediapipe-pose-0.5.*.tgz     of `npm pack @mediapipe/pose` (41 MB; lite, full and heavy), or the folder it unpacks to
  mediapipe-0.10.21-*.whl      of `pip download --no-deps --only-binary=:all: --python-version 3.12 mediapipe==0.10.21`
                               (36 MB; full alone)
  pose_landmark_heavy.tflite   the network itself

all of them under the Apache-2.0 licence. For example:

  npm pack @mediapipe/pose
  diffmocap models heavy mediapipe-pose-0.5.1675469404.tgz
  diffmocap live --task-file pose_landmarker_heavy.task
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

SUMMARY = "make the detector's bundle lite or heavy from a downloaded file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("size", choices=("lite", "full", "heavy"), help="size of the landmark network")
    parser.add_argument("file", type=Path, metavar="FILE", help="archive, folder or .tflite that holds it, see above")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the bundle goes (default: pose_landmarker_SIZE.task here)"
    )


def run(args: argparse.Namespace) -> int:
    """Makes the bundle, tries it, and says how to use it."""
    from diffmocap.errors import ModelFileError
    from diffmocap.keypoints.pose_bundle import make_bundle
    from diffmocap.keypoints.pose_landmarker import PoseLandmarker
    from diffmocap.resources import sha256_of

    name = f"pose_landmarker_{args.size}.task"
    out = args.out or Path(name)
    out = (out / name if out.is_dir() else out).resolve()
    if out.suffix != ".task":
        raise ModelFileError(f"--out {args.out}: a bundle's name ends in .task, or give a folder that exists")
    if not out.parent.is_dir():
        raise ModelFileError(f"--out {args.out}: there is no folder '{out.parent}'; make it first")
    origin = make_bundle(args.size, args.file.expanduser(), out)
    PoseLandmarker(str(out)).close()
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {origin}, sha256 {sha256_of(out)}\n")
    print(f"use it:\n\n  diffmocap live --task-file {shlex.quote(str(out))}\n")
    print("or with ROS 2, in the file that you give as params_file:=...\n")
    print(f"  /**/keypoint_node:\n    ros__parameters:\n      task_file: {json.dumps(str(out), ensure_ascii=False)}")
    return 0
