"""What the wheels' ROS 2 needs is set, what the user set stays, and a real ROS 2 is left alone."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path

import pytest

from diffmocap.errors import SetupError
from diffmocap.middleware import ros_environment


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros_environment, "rclpy_from_wheels", lambda: True)


def test_a_real_ros_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros_environment, "rclpy_from_wheels", lambda: False)
    monkeypatch.setattr(ros_environment, "home_defaults", lambda environment: {})
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
    assert Path(environment["FASTDDS_DEFAULT_PROFILES_FILE"]).name in ("fastdds.xml", "fastdds_small_shm.xml")


def test_it_is_idempotent(wheels: None) -> None:
    once = ros_environment.child_environment({})
    assert ros_environment.child_environment(once) == once


def test_what_the_user_set_stays(wheels: None) -> None:
    own = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "FASTDDS_DEFAULT_PROFILES_FILE": "/home/someone/profile.xml"}
    assert own.items() <= ros_environment.child_environment(own).items()


def test_prepare_process_changes_the_mapping_it_is_given(wheels: None) -> None:
    environment = {"AMENT_PREFIX_PATH": "/somewhere"}
    ros_environment.prepare_process(environment)
    assert environment["AMENT_PREFIX_PATH"].split(":") == [sys.prefix, "/somewhere"]


def test_missing_ros_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros_environment, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="make setup"):
        ros_environment.require_ros()
    found = importlib.machinery.ModuleSpec("rclpy", None)
    monkeypatch.setattr(ros_environment, "find_spec", lambda name: found if name == "rclpy" else None)
    with pytest.raises(SetupError, match=r"diffmocap_msgs, tf2_msgs.*colcon"):
        ros_environment.require_ros()
