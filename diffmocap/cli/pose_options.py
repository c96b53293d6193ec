"""Options that ``demo`` and ``live`` share, and the node parameters that follow from them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from diffmocap.errors import ModelFileError, SettingsError
from diffmocap.middleware.network import LOCAL, NETWORK_DESCRIPTION, NETWORKS


def add_pose_arguments(parser: argparse.ArgumentParser) -> None:
    """How poses are sampled; what is not given stays as the parameter file says."""
    group = parser.add_argument_group("keypoints")
    group.add_argument(
        "--task-file", type=Path, metavar="FILE",
        help="the detector's bundle (.task), see `diffmocap models` (default: the shipped one)",
    )  # fmt: skip
    group = parser.add_argument_group("poses")
    group.add_argument("--device", default="", help="where the models run: cpu, cuda or cuda:N (default: cpu)")
    group.add_argument("--guidance", type=float, metavar="W", help="weight of classifier-free guidance, 0 to 10")
    group.add_argument("--steps", type=int, metavar="N", help="sampler steps a frame")
    group.add_argument("--hypotheses", type=int, metavar="K", help="poses sampled a frame")
    group.add_argument(
        "--weights", type=Path, metavar="FILE",
        help="lifting weights; student: the shipped few-step sampler (default: the shipped ones)",
    )  # fmt: skip
    group.add_argument("--body-model", type=Path, metavar="FILE", help="SMPL body as .npz (default: the shipped body)")
    group = parser.add_argument_group("camera")
    group.add_argument(
        "--calibration", type=Path, metavar="YAML",
        help="calibration of the camera, as `diffmocap calibrate` and ROS's camera_calibration write it",
    )  # fmt: skip
    group = parser.add_argument_group("physics")
    group.add_argument(
        "--physics", action=argparse.BooleanOptionalAction,
        help="refine poses by physics: contacts, forces, joint torques (default: as the parameter file says)",
    )  # fmt: skip
    group.add_argument("--lag", type=int, metavar="N", help="publish poses N frames late, smoother and surer")
    group.add_argument(
        "--camera-height", type=float, metavar="M", help="height above the floor (default: found from the motion)"
    )
    group.add_argument(
        "--camera-pitch", type=float, metavar="RAD",
        help="positive looks down, 0 is level (default: not given; level beside a height, else found from the motion)",
    )  # fmt: skip


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """How the source is read."""
    parser.add_argument(
        "--mirror", action="store_true", help="the source shows people as a mirror does: exchange left and right"
    )
    parser.add_argument(
        "--fps", type=float, metavar="HZ",
        help="rate of images in files, to ask of a camera, or of a video without times (default: 30)",
    )  # fmt: skip


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """How the graph runs and what is printed."""
    group = parser.add_argument_group("run")
    group.add_argument("--domain-id", type=_domain_id, metavar="N", help="ROS domain (see the ROS_DOMAIN_ID of ROS 2)")
    group.add_argument("--network", choices=NETWORKS, default=LOCAL, help=f"{NETWORK_DESCRIPTION} Default: {LOCAL}")
    group.add_argument("--verbose", action="store_true", help="show all that the nodes log, not their warnings alone")
    group.add_argument("--json", action="store_true", help="end with one line of JSON on stdout, all else on stderr")


def detector_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters of keypoint_node for these options.

    Raises:
        ModelFileError: the bundle is missing or none.
    """
    if args.task_file is None:
        return {}
    from diffmocap.keypoints.pose_landmarker import check_task_file

    check_task_file(args.task_file.expanduser())
    return {"task_file": str(args.task_file.expanduser().resolve())}


def pose_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters of pose_node for these options; what is wrong with them shows here, before any node starts.

    Raises:
        SettingsError: a value outside its range.
        DeviceError: no such device.
        ModelFileError: a model file is missing or cannot be used.
    """
    from diffmocap.body.model import BodyModel
    from diffmocap.device import resolve_device
    from diffmocap.lifting.lifter import LiftingSettings
    from diffmocap.lifting.network.weights import SHIPPED, load_weights

    parameters: dict[str, Any] = {
        name: value for name in ("guidance", "steps", "hypotheses") if (value := getattr(args, name)) is not None
    }
    LiftingSettings(**parameters)
    parameters |= _physics_parameters(args)
    if args.device:
        resolve_device(args.device)
    for name, load in (("weights", load_weights), ("body_model", BodyModel.load)):
        path = getattr(args, name)
        if path is None:
            continue
        shipped = name == "weights" and str(path) in SHIPPED
        if not shipped and not path.is_file():
            option = f"--{name.replace('_', '-')}"
            raise ModelFileError(f"there is no file '{path}' (looked in {Path.cwd()}), given as {option}")
        load(path)
        parameters[name] = str(path if shipped else path.resolve())
    return parameters


def camera_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters of camera_node for these options.

    Raises:
        SettingsError: the calibration cannot be used, or a rate outside its range.
    """
    from diffmocap.camera.calibration.calibration_file import load_calibration

    parameters: dict[str, Any] = {"mirror": True} if args.mirror else {}
    if args.fps is not None:
        if not 0.0 < args.fps <= 1000.0:
            raise SettingsError(f"--fps must lie in (0, 1000] images a second, got {args.fps}")
        parameters["fps"] = args.fps
    if args.calibration is not None:
        load_calibration(args.calibration)
        parameters["calibration_file"] = str(args.calibration.expanduser().resolve())
    return parameters


def camera_arguments(args: argparse.Namespace) -> dict[str, float]:
    """Arguments of the graph about where the camera stands, as far as they are given."""
    return {name: value for name in ("camera_height", "camera_pitch") if (value := getattr(args, name)) is not None}


def _physics_parameters(args: argparse.Namespace) -> dict[str, Any]:
    from diffmocap.refinement.stream.settings import MOST_FRAMES, LiveSettings

    if args.camera_height is not None and not 0.0 < args.camera_height <= 100.0:
        raise SettingsError(f"--camera-height must lie in (0, 100] m, got {args.camera_height}")
    if args.camera_pitch is not None and not abs(args.camera_pitch) <= 1.57:
        raise SettingsError(f"--camera-pitch must lie in [-1.57, 1.57] rad, got {args.camera_pitch}")
    parameters: dict[str, Any] = {} if args.physics is None else {"physics": args.physics}
    if args.lag is not None:
        # A parameter file may ask for a longer window; the node compares both then.
        most = (MOST_FRAMES if getattr(args, "params_file", None) else LiveSettings().window_frames) - 1
        if not 0 <= args.lag <= most:
            raise SettingsError(f"--lag must lie in [0, {most}] frames, got {args.lag}")
        parameters["refinement_lag"] = args.lag
    return parameters


def _domain_id(text: str) -> int:
    if not text.isdigit() or int(text) > 232:
        raise argparse.ArgumentTypeError(f"a ROS domain is a number from 0 to 232, got '{text}'")
    return int(text)
