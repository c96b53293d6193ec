"""The checks behind ``diffmocap doctor``: each checks one thing and returns its finding."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from diffmocap.cli.remedies import Remedy
from diffmocap.errors import DiffmocapError
from diffmocap.keypoints.pose_bundle import SHIPPED_BUNDLE
from diffmocap.resources import manifest, share_path, verified_model

#: Distribution -> what it is for; all of them are needed.
_PACKAGES = {
    "numpy": "arrays",
    "roma": "rotations",
    "safetensors": "weights files",
    "scipy": "linear algebra",
    "pyyaml": "parameter files",
    "tqdm": "progress bars",
    "pygltflib": "glTF files",
    "psutil": "memory of the nodes",
}
_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless")
#: Oldest and newest Python that all packages have wheels for.
PYTHONS = ((3, 11), (3, 14))
_COMPILER_PROBE = """
import numba, numpy
from numba.np.linalg import ensure_blas
ensure_blas()
@numba.njit
def length(x):
    return numpy.sqrt((x @ x))
print(length(numpy.array([3.0, 4.0])))
"""
#: Messages that the nodes exchange: import them in a process of its own, with their native libraries.
_ROS_PROBE = """
import json, rclpy
from rclpy.type_support import check_for_type_support
from diffmocap_msgs.msg import BodyPose, Keypoints2D
from tf2_msgs.msg import TFMessage
from sensor_msgs.msg import CameraInfo, Image, JointState
from visualization_msgs.msg import MarkerArray
from diagnostic_msgs.msg import DiagnosticArray
for message in (BodyPose, Keypoints2D, TFMessage, Image, CameraInfo, JointState, MarkerArray, DiagnosticArray):
    check_for_type_support(message)
print(json.dumps({"rclpy": rclpy.__file__, "rmw": rclpy.get_rmw_implementation_identifier()}))
"""


@dataclass(frozen=True)
class Check:
    """One finding: ``status`` is ok, note (fine, or optional and absent) or missing (the demo cannot run).

    ``remedy`` is what the command that fixes all of them does about this one.
    """

    name: str
    status: str
    detail: str
    advice: str = ""
    remedy: Remedy = Remedy()

    def as_json(self) -> dict[str, str]:
        """Plain values."""
        return {"name": self.name, "status": self.status, "detail": self.detail, "advice": self.advice}


def all_checks() -> Iterator[Check]:
    """Every check, in the order in which a newcomer would mend things."""
    yield python()
    yield torch()
    for name, purpose in _PACKAGES.items():
        yield package(name, purpose)
    yield compiler()
    yield opencv()
    yield mediapipe()
    yield ros()
    yield fast_dds()
    yield from models()
    yield robot()
    yield demo_clip()
    yield pybullet()
    yield viewer()
    yield tensorboard()
    yield cameras()
    yield smpl()


def python() -> Check:
    """Version of the interpreter."""
    version = f"{platform.python_version()} ({sys.executable})"
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        low, high = (".".join(map(str, bound)) for bound in PYTHONS)
        advice = f"Python {low} to {high} is needed: for others packages have no wheels"
        return Check("Python", "missing", version, advice)
    return Check("Python", "ok", version)


def torch() -> Check:
    """PyTorch, and what it can compute on."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("PyTorch", "missing", str(error), _pip("torch", "torch"), Remedy(pip=("torch",)))
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Check("PyTorch", "ok", f"{torch.__version__}, GPU: {names}", "")
    return Check("PyTorch", "ok", f"{torch.__version__}, no GPU: models run on the CPU, {os.cpu_count()} cores")


def package(name: str, purpose: str) -> Check:
    """A Python package that the pipeline imports."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "missing", f"not installed ({purpose})", _pip(name), Remedy(pip=(name,)))
    return Check(name, "ok", version)


def compiler() -> Check:
    """Numba, which compiles the physics and the correction of lifted poses; without it live poses are filtered only.

    It is really asked to compile, in a process of its own: one that does not know this NumPy is installed all the same.
    """
    slower = "no live physics, no correction of lifted poses, and DiffPhy runs some ten times slower"
    remedy = Remedy(pip=("numba",))
    if find_spec("numba") is None:
        return Check("numba", "note", f"not installed: {slower}", _pip("numba"), remedy)
    version = _version("numba") or "of unknown version"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _COMPILER_PROBE], capture_output=True, text=True, timeout=300, check=False
        )
        why = (probe.stderr.strip().splitlines() or ["no output"])[-1]
    except subprocess.TimeoutExpired:
        why = "it takes more than five minutes"
    else:
        if probe.returncode == 0 and probe.stdout.strip() == "5.0":
            return Check("numba", "ok", f"{version}, compiles the physics")
    return Check("numba", "note", f"{version} does not compile ({why}): {slower}", _pip("numba"), remedy)


def opencv() -> Check:
    """OpenCV: one wheel only, since a second one overwrites the files of the first."""
    found = {name: version for name in _OPENCV if (version := _version(name))}
    if len(found) > 1:
        surplus = [name for name in found if name != "opencv-contrib-python"]
        advice = (
            f"pip uninstall -y {' '.join(found)} && pip install opencv-contrib-python=="
            f"{found.get('opencv-contrib-python', max(found.values()))} (MediaPipe brings contrib; "
            f"{' and '.join(surplus)} must go)"
        )
        removal = f"{sys.executable} -m pip uninstall -y {' '.join(found)}"
        remedy = Remedy(before=(removal,), pip=("opencv-contrib-python",))
        return Check("OpenCV", "missing", f"{len(found)} wheels in one place: {', '.join(found)}", advice, remedy)
    try:
        import cv2
    except (ImportError, OSError) as error:
        libraries = ("libgl1", "libglib2.0-0")
        remedy = Remedy(apt=libraries) if found else Remedy(pip=("opencv-contrib-python",), apt=libraries)
        return Check(
            "OpenCV", "missing", str(error), "on Debian: apt install libgl1 libglib2.0-0; then `make setup`", remedy
        )
    return Check("OpenCV", "ok", f"{cv2.__version__} ({next(iter(found), 'of the system')})")


def mediapipe() -> Check:
    """MediaPipe, and the libraries of the system that it loads; its networks are among the models."""
    spec, version = find_spec("mediapipe"), _version("mediapipe")
    if spec is None:
        remedy = Remedy(pip=("mediapipe",))
        return Check("MediaPipe", "missing", "not installed (2D keypoints)", _pip("mediapipe"), remedy)
    absent = []
    if sys.platform == "linux":
        for library, debian in (("libEGL.so.1", "libegl1"), ("libGLESv2.so.2", "libgles2")):
            try:
                ctypes.CDLL(library)
            except OSError:
                absent.append((library, debian))
    if absent:
        libraries, packages = (" and ".join(names) for names in zip(*absent))
        advice = f"on Debian and Ubuntu: apt install {packages.replace(' and', '')}"
        remedy = Remedy(apt=tuple(debian for _, debian in absent))
        return Check("MediaPipe", "missing", f"{version} needs {libraries}", advice, remedy)
    return Check("MediaPipe", "ok", f"{version}, sends no reports; networks: models/{SHIPPED_BUNDLE}")


def ros() -> Check:
    """rclpy and the message packages, really imported, in a process of their own."""
    from diffmocap.middleware.ros_environment import child_environment, rclpy_from_wheels, require_ros

    try:
        require_ros()
    except DiffmocapError as error:
        return Check("ROS 2", "missing", "not there", str(error), Remedy(setup=True))
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _ROS_PROBE], env=child_environment(), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Check("ROS 2", "missing", "importing it takes more than a minute", "try `python -c 'import rclpy'`")
    if probe.returncode != 0:
        last = (probe.stderr.strip().splitlines() or ["no output"])[-1]
        advice = "without a ROS 2 install: `make setup` again; with one: rebuild ros_ws with colcon and source it"
        return Check("ROS 2", "missing", f"cannot be imported: {last}", advice, Remedy(setup=True))
    told = json.loads(probe.stdout.strip().splitlines()[-1])
    if rclpy_from_wheels():
        origin = f"wheels from PyPI (rclpy {_version('ros-rclpy')})"
    else:
        origin = f"{os.environ.get('ROS_DISTRO', 'an install')}, {Path(told['rclpy']).parents[1]}"
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return Check("ROS 2", "ok", f"{origin}, {told['rmw']}, diffmocap_msgs and tf2_msgs; domain {domain}")


def fast_dds() -> Check:
    """Whether images fit into the shared memory of Fast DDS, in what the launch files and this command start."""
    from diffmocap.middleware.network import LOCAL, given_profile, network, profile_variable, uses_fast_dds
    from diffmocap.middleware.ros_environment import child_environment

    environment = child_environment()
    if not uses_fast_dds(environment):
        return Check("Fast DDS profile", "ok", f"not needed: the middleware is {environment['RMW_IMPLEMENTATION']}")
    chosen = network(LOCAL, environment)
    given = given_profile(environment)
    if given is not None and not Path(given[1]).is_file():
        return Check("Fast DDS profile", "missing", f"{given[1]} does not exist", f"unset {given[0]}")
    if chosen.remarks:
        return Check("Fast DDS profile", "note", chosen.remarks[0])
    own = given_profile({**environment, **chosen.variables})
    if own is None:
        advice = f"export {profile_variable(environment)}={share_path('config', 'fastdds.xml')} where images get lost"
        return Check("Fast DDS profile", "note", "none: the transports are set by other means", advice)
    try:
        free_mb = f"{shutil.disk_usage('/dev/shm').free / 1e6:.0f} MB free in /dev/shm"
    except OSError:
        free_mb = "no /dev/shm"
    if Path(own[1]).name.endswith("_small_shm.xml"):
        advice = "more shared memory makes large images cheaper; in Docker: --shm-size=512m"
        return Check("Fast DDS profile", "note", f"{own[1]}, {free_mb}", advice)
    if given is None:
        advice = f"camera drivers started by themselves need it too: export {own[0]}={own[1]}"
        return Check("Fast DDS profile", "ok", f"{own[1]} in what diffmocap starts, {free_mb}", advice)
    return Check("Fast DDS profile", "ok", f"{own[1]}, {free_mb}")


def models() -> Iterator[Check]:
    """The shipped model files against the manifest's sha256."""
    advice = "git checkout -- models, or reinstall diffmocap"
    try:
        names = sorted(manifest()["files"])
    except (DiffmocapError, KeyError) as error:
        yield Check("models", "missing", str(error), advice)
        return
    for name in dict.fromkeys(("lifting.safetensors", "body_anny.npz", *names)):
        try:
            path = verified_model(name)
        except DiffmocapError as error:
            yield Check(name, "missing", str(error), advice)
        else:
            yield Check(name, "ok", f"{path.stat().st_size / 1e6:.1f} MB, sha256 as in the manifest")


def robot() -> Check:
    """The URDF and its meshes."""
    from diffmocap.body.skeleton import JOINT_NAMES

    try:
        urdf, folder = share_path("models", "human.urdf"), share_path("models", "meshes")
    except DiffmocapError as error:
        return Check("human.urdf", "missing", str(error), "reinstall diffmocap")
    absent = [name for name in JOINT_NAMES if not (folder / f"{name}.stl").is_file()]
    if not urdf.is_file() or absent:
        what = "models/human.urdf" if not urdf.is_file() else f"models/meshes/{absent[0]}.stl"
        return Check("human.urdf", "missing", f"{what} is not there", "python -m diffmocap.body.urdf writes them")
    return Check("human.urdf", "ok", f"{urdf}, {len(JOINT_NAMES)} meshes")


def demo_clip() -> Check:
    """The bundled video."""
    path = share_path("media", "demo.mp4")
    if not path.is_file():
        advice = "reinstall diffmocap, or diffmocap demo --source FILE"
        return Check("demo clip", "missing", f"{path} is not there", advice)
    return Check("demo clip", "ok", f"{path}, {path.stat().st_size / 1e6:.1f} MB")


def pybullet() -> Check:
    """PyBullet draws the demo's video."""
    if find_spec("pybullet") is None:
        absent = "not installed: the demo draws no video"
        if sys.version_info >= (3, 12):
            return Check("PyBullet", "note", f"{absent}; there are wheels for Python 3.11 alone")
        return Check("PyBullet", "note", absent, _pip("pybullet", "render"), Remedy(pip=("pybullet",)))
    return Check("PyBullet", "ok", f"{_version('pybullet')} (draws the demo's video)")


def viewer() -> Check:
    """viser serves the viewer's page."""
    if find_spec("viser") is None:
        return Check("viser", "note", "not installed: no `live --view`", _pip("viser"), Remedy(pip=("viser",)))
    return Check("viser", "ok", f"{_version('viser')} (serves `live --view`)")


def tensorboard() -> Check:
    """TensorBoard shows the curves of training runs; releases before 2.21 import what newer setuptools lack."""
    if find_spec("tensorboard") is None:
        return Check("TensorBoard", "note", "not installed: training runs without curves", _pip("tensorboard", "train"))
    probe = subprocess.run(
        [sys.executable, "-m", "tensorboard.main", "--version"], capture_output=True, text=True, check=False
    )
    if probe.returncode != 0:
        why = (probe.stderr.strip().splitlines() or ["no output"])[-1]
        advice, remedy = _pip("'tensorboard>=2.21'", "train"), Remedy(pip=("tensorboard",), training=True)
        return Check("TensorBoard", "note", f"{_version('tensorboard')} does not start: {why}", advice, remedy)
    return Check("TensorBoard", "ok", f"{_version('tensorboard')} (python -m tensorboard.main --logdir runs)")


def cameras() -> Check:
    """Video devices of this machine."""
    from diffmocap.camera.devices import list_devices

    devices = list_devices()
    if not devices:
        return Check("cameras", "note", "none found: the demo needs none, live takes a file or a URL too")
    denied = [path for path, _ in devices if not os.access(path, os.R_OK | os.W_OK)]
    listed = ", ".join(f"{path} ({name})" for path, name in devices)
    if denied:
        advice = f"no permission for {denied[0]}: sudo usermod -aG video $USER, log in again"
        return Check("cameras", "note", listed, advice)
    return Check("cameras", "ok", listed)


def smpl() -> Check:
    """The licensed body model is the user's to bring."""
    return Check(
        "SMPL", "note", "optional; the licence-free body that ships is used",
        "https://smpl.is.tue.mpg.de, convert with python -m diffmocap.body.convert_smpl, set the parameter body_model",
    )  # fmt: skip


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _pip(what: str, requirements: str = "base") -> str:
    return f"make setup; or pip install {what} (pinned in requirements/{requirements}.txt)"
