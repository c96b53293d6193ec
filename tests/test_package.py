"""The package as colcon and pip see it: metadata, entry points, data files, messages, pins."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import diffmocap
from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from diffmocap.output.tracking_state import TrackEvent, TrackingState

ROOT = Path(__file__).resolve().parents[1]
NODES = ("camera_node", "hri_node", "keypoint_node", "pose_node", "retarget_node", "sonic_node", "viewer_node")
MESSAGE_FIELDS = {
    "Keypoints2D": [
        ("std_msgs/Header", "header"), ("uint32", "id"), ("uint32", "width"), ("uint32", "height"),
        ("float32[50]", "points"),
        ("float32[25]", "confidence"), ("float32[25]", "depth"),
    ],
    "BodyPose": [
        ("std_msgs/Header", "header"), ("uint8", "tracking_state"), ("uint8", "events"), ("uint32", "track_id"),
        ("float32", "confidence"), ("geometry_msgs/Pose", "root_pose"), ("geometry_msgs/Twist", "root_twist"),
        ("float64[36]", "root_covariance"), ("geometry_msgs/Quaternion[24]", "rotations"),
        ("geometry_msgs/Point[24]", "joint_positions"), ("bool[24]", "observed"), ("float64", "height"),
        ("float64[10]", "betas"), ("float64[216]", "rotation_covariance"), ("string[]", "contacts"),
        ("geometry_msgs/Point[]", "contact_points"), ("geometry_msgs/Vector3[]", "contact_forces"),
        ("float32", "loss_before"), ("float32", "loss_after"), ("float32", "score"), ("uint8", "hypotheses"),
    ],
    "Engagement": [
        ("std_msgs/Header", "header"), ("uint8", "state"), ("string", "reason"), ("string", "refusal"),
        ("string", "robot"), ("bool", "commanding"), ("bool", "held_by_joy"), ("uint32", "track_id"),
        ("float32", "pose_age"), ("float32", "stood"), ("float32", "torso_lean"), ("float32", "height_offset"),
        ("float32", "blend"), ("string", "farthest_joint"), ("float32", "distance"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def setup_arguments() -> dict:
    """The keyword arguments that setup.py hands to setuptools."""
    script = (
        "import json, runpy, setuptools; given = {}; setuptools.setup = lambda **kw: given.update(kw);"
        "runpy.run_path('setup.py', run_name='__main__'); print(json.dumps(given))"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def manifests() -> list[Path]:
    return [
        ROOT / "package.xml",
        *sorted((ROOT / "ros_ws/src").rglob("package.xml")),
        ROOT / "tools/hri_msgs/package.xml",
        ROOT / "tools/tf2_msgs/package.xml",
    ]


# --- setup.py and package.xml -----------------------------------------------------------------------------------


def test_console_scripts_resolve(setup_arguments: dict) -> None:
    scripts = dict(line.replace(" ", "").split("=") for line in setup_arguments["entry_points"]["console_scripts"])
    assert set(scripts) == {"diffmocap", *NODES}
    for name, target in scripts.items():
        module, function = target.split(":")
        if name in NODES:
            pytest.importorskip("rclpy", reason="the nodes import ROS 2")
        assert callable(getattr(importlib.import_module(module), function)), target


def test_every_python_package_is_installed(setup_arguments: dict) -> None:
    found = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in (ROOT / "diffmocap").rglob("*.py")}
    assert set(setup_arguments["packages"]) == found


def test_data_files_exist_and_none_is_forgotten(setup_arguments: dict) -> None:
    installed = {path: target for target, paths in setup_arguments["data_files"] for path in paths}
    assert all((ROOT / path).is_file() for path in installed)
    for folder in ("config", "launch", "models"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(ROOT)
                assert installed[str(relative)] == f"share/diffmocap/{relative.parent}"
    assert installed["package.xml"] == "share/diffmocap"
    assert installed["resource/diffmocap"] == "share/ament_index/resource_index/packages"


def test_one_version_everywhere(setup_arguments: dict) -> None:
    versions = {path: ElementTree.parse(path).findtext("version") for path in manifests()}
    assert set(versions.values()) == {setup_arguments["version"]} == {diffmocap.__version__}


@pytest.mark.parametrize("path", manifests(), ids=lambda path: str(path.relative_to(ROOT)))
def test_package_xml_is_valid(path: Path) -> None:
    catkin = pytest.importorskip("catkin_pkg.package", reason="comes with the ROS 2 wheels or ROS 2 itself")
    warnings: list[str] = []
    package = catkin.parse_package(str(path), warnings=warnings)
    assert package.package_format == 3 and not warnings
    package.validate()


def test_package_xml_names_every_ros_package_that_is_imported_or_started() -> None:
    declared = {element.text for element in ElementTree.parse(ROOT / "package.xml").iter("exec_depend")}
    used, started = set(), set()
    for folder in ("diffmocap", "launch"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    used.add(node.module.split(".")[0])
                elif isinstance(node, ast.Import):
                    used |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.keyword) and node.arg == "package" and isinstance(node.value, ast.Constant):
                    started.add(node.value.value)
    assert started - {"diffmocap"} <= declared, f"package.xml lacks {sorted(started - declared)}"
    others = ("rclpy", "launch", "launch_ros", "std_srvs")
    ros = {name for name in used if name.endswith(("_msgs", "_interfaces")) or name in others}
    assert ros <= declared, f"package.xml lacks {sorted(ros - declared)}"


# --- messages ---------------------------------------------------------------------------------------------------


def message_lines(name: str) -> list[str]:
    text = (ROOT / f"ros_ws/src/diffmocap_msgs/msg/{name}.msg").read_text()
    return [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]


@pytest.mark.parametrize("name", MESSAGE_FIELDS)
def test_message_definition(name: str) -> None:
    assert [tuple(line.split()) for line in message_lines(name) if "=" not in line] == MESSAGE_FIELDS[name]


def test_indices_in_the_messages_follow_the_skeleton() -> None:
    def constants(name: str) -> dict[str, int]:
        pairs = (line.split()[1].split("=") for line in message_lines(name) if "=" in line)
        return {key: int(value) for key, value in pairs}

    states = {state.name: int(state) for state in TrackingState}
    events = {f"EVENT_{event.name}": int(event) for event in TrackEvent if event}
    joints = {joint.upper(): index for index, joint in enumerate(JOINT_NAMES)}
    assert constants("BodyPose") == {**states, **events, **joints}

    def spelled(keypoint: str) -> str:  # RBigToe -> RIGHT_BIG_TOE
        words = re.findall("[A-Z][a-z]*", keypoint)
        return "_".join({"R": "RIGHT", "L": "LEFT"}.get(word, word.upper()) for word in words)

    assert constants("Keypoints2D") == {spelled(name): index for index, name in enumerate(KEYPOINT_NAMES)}


def test_generated_messages_are_those_of_the_source() -> None:
    messages = pytest.importorskip("diffmocap_msgs.msg", reason="needs ROS 2: run `make test`, or build ros_ws")
    to_idl = {"float32": "float", "float64": "double", "bool": "boolean"}
    for name, fields in MESSAGE_FIELDS.items():
        expected = {}
        for kind, field in fields:
            base, _, size = kind.partition("[")
            base = to_idl.get(base, base)
            expected[field] = f"sequence<{base}>" if size == "]" else base + (f"[{size}" if size else "")
        assert getattr(messages, name).get_fields_and_field_types() == expected


def test_our_tf_message_is_the_one_of_every_ros_2() -> None:
    """The type hash of tf2_msgs/msg/TFMessage in Jazzy and newer; rviz2 and robot_state_publisher compare it."""
    share = Path(sys.prefix) / "share/tf2_msgs/msg/TFMessage.json"
    if not share.is_file():
        pytest.skip("tf2_msgs comes from a ROS 2 install here")
    hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(share.read_text())["type_hashes"]}
    assert hashes["tf2_msgs/msg/TFMessage"] == "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"


# --- colcon and requirements ------------------------------------------------------------------------------------


def test_colcon_finds_our_packages_and_no_others() -> None:
    yaml = pytest.importorskip("yaml")
    defaults = yaml.safe_load((ROOT / "ros_ws/colcon_defaults.yaml").read_text())
    assert all(section["base-paths"] == ["..", "src"] for section in defaults.values()) and "build" in defaults
    assert (ROOT / "tools/tf2_msgs/COLCON_IGNORE").is_file(), "colcon must not build a second tf2_msgs"


def pins(name: str) -> dict[str, str]:
    text = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ")
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return dict(line.split()[0].split("==") for line in lines if line)


def test_what_pip_installs_is_what_is_tested(setup_arguments: dict) -> None:
    """Every package that the command asks for admits the pinned version, and no import of it is forgotten."""
    requirements = pytest.importorskip("packaging.requirements")
    pinned: dict[str, str] = {}
    for path in (ROOT / "requirements").glob("*.txt"):
        pinned |= pins(path.stem)
    asked = [requirements.Requirement(text) for text in setup_arguments["install_requires"]]
    optional = [requirements.Requirement(t) for texts in setup_arguments["extras_require"].values() for t in texts]
    for requirement in (*asked, *optional):
        assert requirement.specifier.contains(pinned[requirement.name]), f"{requirement} and {pinned[requirement.name]}"
    names = {requirement.name for requirement in (*asked, *optional)}
    from diffmocap.cli.main import PACKAGES

    imported = set()
    for path in (ROOT / "diffmocap").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
    assert {package for module, package in PACKAGES.items() if module in imported} <= names
    assert set(PACKAGES.values()) <= names | {"smplx", "pybullet"}
    assert setup_arguments["python_requires"] == ">=3.11,<3.15"


def test_every_requirement_is_pinned_once() -> None:
    seen: dict[str, str] = {}
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for name, version in pins(path.stem).items():
            assert re.fullmatch(r"[0-9][0-9A-Za-z.]*", version), f"{path.name}: {name}=={version}"
            assert name not in seen, f"{name} is pinned in {seen[name]} and in {path.name}"
            seen[name] = path.name
    assert [name for name in seen if name.startswith("opencv")] == ["opencv-contrib-python"]
    assert list(pins("torch")) == ["torch"]
    assert seen["anny"] == "body.txt", "anny compiles kernels on import: only the body generator installs it"


def test_every_requirement_but_torch_has_hashes() -> None:
    """Of torch there are builds that are not on PyPI, so its file lists none and says why."""
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for line in path.read_text().replace("\\\n", " ").splitlines():
            if "==" in line and not line.startswith("#"):
                hashes = re.findall(r" --hash=sha256:[0-9a-f]{64}(?= |$)", line)
                assert bool(hashes) == (path.stem != "torch"), f"{path.name}: {line[:60]}"
    assert "hash" in (ROOT / "requirements/torch.txt").read_text()


def test_pins_serve_every_supported_python() -> None:
    """One version for all; a pin that leaves a Python out is one of what is optional there."""
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for line in path.read_text().splitlines():
            if "python_full_version <" in line and "3.15" not in line:
                assert re.match(r"(pybullet|backports-zstd)==", line), line


def test_committed_files_stay_below_16_mb() -> None:
    result = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in result.stdout.split("\0") if name]
    assert not [str(path) for path in paths if path.is_file() and path.stat().st_size >= 16e6]
