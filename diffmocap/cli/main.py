"""The ``diffmocap`` command: one subcommand per module, each imported in full only when it runs."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from diffmocap import __version__
from diffmocap.cli import calibrate, demo, doctor, evaluate, live, models, robot
from diffmocap.cli.motions import export, reconstruct, refine, retarget, view
from diffmocap.errors import DiffmocapError

DESCRIPTION = """\
Full-body 3D motion capture from a camera: 2D keypoints, 3D poses lifted by a diffusion model and refined by physics,
and joint states of a human URDF, exchanged by real ROS 2 nodes.
"""
EPILOG = """\
start here:
  diffmocap doctor                   is everything there?
  diffmocap demo                     the whole graph on the bundled video
  diffmocap live --source 0          your own camera
  diffmocap COMMAND --help           what a command does and takes

Errors say what to do; exit codes: 0 success, 1 an error, 2 a wrong command line, 130 interrupted.
"""

#: Module -> package on PyPI, of all that the commands need.
PACKAGES = {
    "PIL": "pillow", "cv2": "opencv-contrib-python", "daqp": "daqp", "mediapipe": "mediapipe", "mink": "mink",
    "mujoco": "mujoco", "numba": "numba", "numpy": "numpy",
    "psutil": "psutil", "pybullet": "pybullet", "pygltflib": "pygltflib", "roma": "roma", "safetensors": "safetensors",
    "scipy": "scipy", "smplx": "smplx", "torch": "torch", "tqdm": "tqdm", "viser": "viser",
    "websockets": "websockets", "yaml": "pyyaml",
}  # fmt: skip
#: What to do about what the system says.
ADVICE = {
    errno.ENOSPC: "; free some space, or choose another folder",
    errno.EDQUOT: "; free some space, or choose another folder",
    errno.EROFS: "; choose a folder that can be written",
    errno.EACCES: "; choose a folder that can be written",
    errno.EPERM: "; choose a folder that can be written",
}
COMMANDS = (demo, live, robot, reconstruct, refine, export, retarget, view, calibrate, evaluate, models, doctor)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="diffmocap", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"diffmocap {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        subparser = subparsers.add_parser(
            name,
            help=module.SUMMARY,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        code = args.run(args)
        sys.stdout.flush()  # here, where a reader that went away can be dealt with
        return code
    except DiffmocapError as error:
        if args.debug:
            raise
        print(f"diffmocap {args.command}: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        if args.debug or (package := package_of(error)) is None:
            raise
        advice = f"run `pip install {package}`, or `diffmocap doctor` for all that is missing"
        print(f"diffmocap {args.command}: error: the package {package} is not installed; {advice}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that may not be written
        if args.debug:
            raise
        print(f"diffmocap {args.command}: error: {system_error(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ndiffmocap {args.command}: interrupted", file=sys.stderr)
        return 130


def package_of(error: ModuleNotFoundError) -> str | None:
    """The package on PyPI whose absence is the error; None where it is none of those that the command needs."""
    module = (error.name or "").split(".")[0]
    return PACKAGES.get(module)


def system_error(error: OSError) -> str:
    """What the system said, on which file, and what to do about it."""
    what = error.strerror or " ".join(str(error).split())
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{what}{ADVICE.get(error.errno or 0, '')}"


if __name__ == "__main__":
    raise SystemExit(main())
