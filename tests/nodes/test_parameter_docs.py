"""docs/parameters.md and the comments of config/diffmocap.yaml are those of the settings."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diffmocap.nodes.parameters import from_settings, own
from diffmocap.settings import setting
from tools import parameter_docs
from tools.parameter_docs import commented, main, page


@dataclass(frozen=True)
class Arm:
    reach: float = setting(
        0.8, "How far the arm reaches from its shoulder when nothing stands in its way.", 0.1, 2.0, "m"
    )


PARAMETERS = {
    "arm_node": {"Geometry": (from_settings(Arm(), "reach"),), "Output": (own("names", "", "Names.", live=False),)}
}
FILE = """\
# Parameters of the arm.

/**/arm_node:
  ros__parameters:
    # Geometry
    reach: 1.5  # an old comment
                                    # and the rest of it
    names: "a # b"

"""


def test_the_committed_files_are_what_the_settings_say(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_an_old_file_is_told_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parameter_docs, "ROOT", tmp_path)
    for name in ("CONFIG", "PAGE"):
        path = tmp_path / getattr(parameter_docs, name).name
        path.write_text(
            getattr(parameter_docs, name).read_text().replace("0 to 10 ", "0 to 11 ").replace("[0 to 10]", "")
        )
        monkeypatch.setattr(parameter_docs, name, path)
    assert main(["--check"]) == 1 and capsys.readouterr().err.count("is not up to date") == 2
    assert main([]) == 0 and main(["--check"]) == 0


def test_comments_are_written_and_nothing_else():
    text = commented(FILE, PARAMETERS)
    assert (
        text
        == """\
# Parameters of the arm.

/**/arm_node:
  ros__parameters:
    # Geometry
    reach: 1.5                      # How far the arm reaches from its shoulder when nothing stands in its way.
                                    # [0.1 to 2 m]
    names: "a # b"                  # (configure) Names.

"""
    )
    assert commented(text, PARAMETERS) == text
    with pytest.raises(ValueError, match="speed: the node has no such parameter"):
        commented(FILE.replace("names", "speed"), PARAMETERS)


def test_the_page_has_default_range_meaning_and_what_the_file_has_instead():
    text = page(PARAMETERS, {"/**/arm_node": {"ros__parameters": {"reach": 1.5}}})
    assert "### Geometry" in text
    assert "| `reach` | `0.8`, file: `1.5` | 0.1 to 2 m | How far the arm" in text
    assert '| `names` * | `""` | | Names. |' in text
