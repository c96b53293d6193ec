"""Options that ``demo`` and ``live`` share, and the node parameters that follow from them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffmocap.camera.settings import CaptureSettings
from diffmocap.cli.options.setting_option import SettingOption
from diffmocap.errors import ModelFileError, SettingsError
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.middleware.network import LOCAL, NETWORK_DESCRIPTION, NETWORKS
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.refinement.stream.known_ground import CameraPlacement
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.viewer.settings import ViewerSettings

_LIFTING, _LIVE, _PLACEMENT, _CAPTURE = LiftingSettings(), LiveSettings(), CameraPlacement(), CaptureSettings()
#: Parameters of pose_node of the same names.
LIFTING_OPTIONS = (
    SettingOption("--guidance", _LIFTING, "guidance", "W"),
    SettingOption("--steps", _LIFTING, "steps", "N"),
    SettingOption("--hypotheses", _LIFTING, "hypotheses", "K"),
)
PHYSICS = SettingOption("--physics", PhysicsSettings(), "enabled")
LAG = SettingOption("--lag", _LIVE, "lag_frames", "N")
CAMERA_HEIGHT = SettingOption("--camera-height", _PLACEMENT, "height_m", "M", "not known, found from the motion")
CAMERA_PITCH = SettingOption(
    "--camera-pitch", _PLACEMENT, "pitch_rad", "RAD",
    "not given; level beside a height or a roll, else found from the motion", "0 is level",
)  # fmt: skip
CAMERA_ROLL = SettingOption(
    "--camera-roll", _PLACEMENT, "roll_rad", "RAD",
    "not given; none beside a height or a pitch, else found from the motion", "0 is upright",
)  # fmt: skip
TASK_FILE = SettingOption("--task-file", DetectorSettings(), "task_file", "FILE", "the shipped one")
MIRROR = SettingOption("--mirror", _CAPTURE, "mirror")
FPS = SettingOption("--fps", _CAPTURE, "fps", "HZ")
_VIEWER = ViewerSettings()
VIEW_HOST = SettingOption("--view-host", _VIEWER, "host", "ADDRESS")
VIEW_PORT = SettingOption("--view-port", _VIEWER, "port", "N")


def add_pose_arguments(parser: argparse.ArgumentParser) -> None:
    """How poses are sampled; what is not given stays as the parameter file says."""
    group = parser.add_argument_group("keypoints")
    TASK_FILE.add(group)
    group = parser.add_argument_group("poses")
    group.add_argument("--device", default="", help="where the models run: cpu, cuda or cuda:N (default: cpu)")
    for option in LIFTING_OPTIONS:
        option.add(group)
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
    for option in (PHYSICS, LAG, CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL):
        option.add(group)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """How the source is read."""
    MIRROR.add(parser)
    FPS.add(parser)


def add_graph_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Where the graph is; returns their group."""
    group = parser.add_argument_group("run")
    group.add_argument("--domain-id", type=_domain_id, metavar="N", help="ROS domain (see the ROS_DOMAIN_ID of ROS 2)")
    group.add_argument("--network", choices=NETWORKS, default=LOCAL, help=f"{NETWORK_DESCRIPTION} Default: {LOCAL}")
    return group


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """How the graph runs and what is printed."""
    group = add_graph_arguments(parser)
    group.add_argument("--verbose", action="store_true", help="show everything that the nodes log, not only warnings")
    group.add_argument("--json", action="store_true", help="end with one line of JSON on stdout, all else on stderr")


def detector_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters of keypoint_node for these options.

    Raises:
        ModelFileError: the bundle is missing or none.
    """
    if args.task_file is None:
        return {}
    from diffmocap.keypoints.pose_landmarker import check_task_file

    path = Path(args.task_file).expanduser()
    check_task_file(path)
    return {"task_file": str(path.resolve())}


def pose_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters of pose_node for these options; what is wrong with them shows here, before any node starts.

    Raises:
        SettingsError: a value outside its range.
        DeviceError: no such device.
        ModelFileError: a model file is missing or cannot be used.
    """
    from diffmocap.body.model import BodyModel
    from diffmocap.device import resolve_device
    from diffmocap.lifting.network.weights import SHIPPED, load_weights

    parameters: dict[str, Any] = {
        option.path: value for option in LIFTING_OPTIONS if (value := option.value(args)) is not None
    }
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

    parameters: dict[str, Any] = {
        option.path: value for option in (MIRROR, FPS) if (value := option.value(args)) is not None
    }
    if args.calibration is not None:
        load_calibration(args.calibration)
        parameters["calibration_file"] = str(args.calibration.expanduser().resolve())
    return parameters


def viewer_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters of viewer_node for these options.

    Raises:
        SettingsError: a port outside its range.
    """
    parameters: dict[str, Any] = {
        option.path: value for option in (VIEW_HOST, VIEW_PORT) if (value := option.value(args)) is not None
    }
    if args.body_model is not None:
        parameters["body_model"] = str(args.body_model.resolve())
    return parameters


def camera_arguments(args: argparse.Namespace) -> dict[str, float]:
    """Arguments of the graph about where the camera stands, as far as they are given."""
    names = ("camera_height", "camera_pitch", "camera_roll")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _physics_parameters(args: argparse.Namespace) -> dict[str, Any]:
    if CAMERA_HEIGHT.value(args) == 0.0:
        raise SettingsError("--camera-height 0 would say that it is not known; leave it out, or give the height in m")
    CAMERA_PITCH.value(args)
    CAMERA_ROLL.value(args)
    parameters: dict[str, Any] = {} if args.physics is None else {"physics": args.physics}
    if args.lag is not None:
        # A parameter file may ask for a longer window; the node compares both then.
        longest = LAG.setting.high if getattr(args, "params_file", None) else _LIVE.window_frames - 1
        replace(LAG.setting, high=longest).check("--lag", args.lag)
        parameters["refinement_lag"] = args.lag
    return parameters


def _domain_id(text: str) -> int:
    if not text.isdigit() or int(text) > 232:
        raise argparse.ArgumentTypeError(f"a ROS domain is a number from 0 to 232, got '{text}'")
    return int(text)
