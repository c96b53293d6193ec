"""What the wheels' ROS 2 needs is set, what the user set stays, and a real ROS 2 is left alone."""

from __future__ import annotations

import importlib.machinery
import sys
import xml.etree.ElementTree as ElementTree
from collections import namedtuple
from pathlib import Path

import pytest

from diffmocap import ros_environment
from diffmocap.errors import SetupError
from diffmocap.resources import share_path

PROFILES = ("fastdds.xml", "fastdds_small_shm.xml")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros_environment, "rclpy_from_wheels", lambda: True)


def test_a_real_ros_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros_environment, "rclpy_from_wheels", lambda: False)
    base = {"AMENT_PREFIX_PATH": "/opt/ros/jazzy", "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    assert ros_environment.child_environment(base) == base


def test_rclpy_of_a_sourced_install_is_not_taken_for_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.machinery.ModuleSpec("rclpy", None, origin=str(tmp_path / "rclpy/__init__.py"))
    monkeypatch.setattr(ros_environment, "find_spec", lambda name: spec)
    assert not ros_environment.rclpy_from_wheels()


def test_wheels_get_their_prefix_profile_and_this_machine_only(wheels: None) -> None:
    environment = ros_environment.child_environment({"HOME": "/home/someone"})
    assert environment["HOME"] == "/home/someone"
    assert environment["AMENT_PREFIX_PATH"] == sys.prefix
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert Path(environment["FASTDDS_DEFAULT_PROFILES_FILE"]).name in PROFILES


def test_it_is_idempotent(wheels: None) -> None:
    once = ros_environment.child_environment({})
    assert ros_environment.child_environment(once) == once


def test_what_the_user_set_stays(wheels: None) -> None:
    own = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "FASTDDS_DEFAULT_PROFILES_FILE": "/home/someone/profile.xml"}
    assert own.items() <= ros_environment.child_environment(own).items()


@pytest.mark.parametrize("wider", [{"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, {"ROS_STATIC_PEERS": "10.0.0.2"}])
def test_who_asks_for_other_machines_is_not_bound_to_the_loopback(wheels: None, wider: dict[str, str]) -> None:
    environment = ros_environment.child_environment(wider)
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in environment
    assert environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == wider.get("ROS_AUTOMATIC_DISCOVERY_RANGE")


def test_prepare_process_changes_the_mapping_it_is_given(wheels: None) -> None:
    environment = {"AMENT_PREFIX_PATH": "/somewhere"}
    ros_environment.prepare_process(environment)
    assert environment["AMENT_PREFIX_PATH"].split(":") == [sys.prefix, "/somewhere"]


def test_the_segments_fit_the_free_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_free(free: int) -> str:
        monkeypatch.setattr(ros_environment.shutil, "disk_usage", lambda path: Usage(free, 0, free))
        return ros_environment.fastdds_profile().name

    assert with_free(64 << 20) == "fastdds_small_shm.xml"
    assert with_free(1 << 30) == "fastdds.xml"
    monkeypatch.undo()
    assert ros_environment.fastdds_profile(Path("/nowhere")).name == "fastdds_small_shm.xml"


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_hold_images_and_stay_on_the_loopback(name: str) -> None:
    space = "{http://www.eprosima.com}"
    root = ElementTree.parse(share_path("config", name)).getroot()
    transports = {t.findtext(f"{space}transport_id"): t for t in root.iter(f"{space}transport_descriptor")}
    by_type = {t.findtext(f"{space}type"): t for t in transports.values()}
    assert set(by_type) == {"SHM", "UDPv4"}
    assert [e.text for e in by_type["UDPv4"].iter(f"{space}address")] == ["127.0.0.1"]
    vga_bytes = 640 * 480 * 3
    assert int(by_type["SHM"].findtext(f"{space}segment_size")) >= 8 * vga_bytes
    assert int(by_type["SHM"].findtext(f"{space}maxMessageSize")) >= 1920 * 1080 * 3
    participant = next(root.iter(f"{space}participant"))
    assert participant.get("is_default_profile") == "true"
    assert participant.find(f".//{space}useBuiltinTransports").text == "false"
    assert {e.text for e in participant.iter(f"{space}transport_id")} == set(transports)


def test_missing_ros_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros_environment, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="make setup"):
        ros_environment.require_ros()
    found = importlib.machinery.ModuleSpec("rclpy", None)
    monkeypatch.setattr(ros_environment, "find_spec", lambda name: found if name == "rclpy" else None)
    with pytest.raises(SetupError, match=r"diffmocap_msgs, tf2_msgs.*colcon"):
        ros_environment.require_ros()
