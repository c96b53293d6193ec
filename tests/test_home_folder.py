"""A home that cannot be written keeps nothing from running."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from diffmocap.middleware.home_folder import home_defaults, log_folder
from diffmocap.middleware.ros_environment import child_environment, prepare_process


@pytest.fixture
def no_home(tmp_path, monkeypatch) -> str:
    """A path below a file: nobody can make that folder, root included."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "file").write_text("no folder")
    return str(tmp_path / "file" / "home")


def test_a_home_that_can_be_written_is_used(tmp_path):
    assert home_defaults({"HOME": str(tmp_path)}) == {}
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_without_a_home_files_go_to_a_temporary_folder(no_home):
    for environment in ({"HOME": no_home}, {}, {"HOME": ""}):
        changes = home_defaults(environment)
        assert set(changes) == {"ROS_LOG_DIR", "MPLCONFIGDIR"}
        for folder in changes.values():
            (Path(folder) / "probe").write_text("can be written")
        assert home_defaults(environment | changes) == {}, "children of this process are not told again"


def test_what_the_user_chose_stands_where_it_can_be_written(no_home, tmp_path):
    chosen = {"HOME": no_home, "ROS_LOG_DIR": str(tmp_path / "logs"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert home_defaults(chosen) == {}
    assert log_folder({"HOME": "/h", "ROS_HOME": "/r"}) == Path("/r/log") and log_folder({}) is None
    assert "ROS_LOG_DIR" in home_defaults({"HOME": str(tmp_path), "ROS_HOME": no_home})


def test_a_process_says_once_where_its_logs_go(no_home, capsys):
    environment = {"HOME": no_home}
    prepare_process(environment)
    assert Path(environment["ROS_LOG_DIR"]).is_dir()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and environment["ROS_LOG_DIR"] in said and no_home in said
    prepare_process(environment)
    assert capsys.readouterr().err == ""
    assert Path(child_environment({"HOME": no_home})["ROS_LOG_DIR"]).is_dir()
