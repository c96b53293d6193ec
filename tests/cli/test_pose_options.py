"""What of the options reaches the nodes."""

from __future__ import annotations

import pytest

from diffmocap.camera.calibration.calibration_file import write_calibration
from diffmocap.cli.main import main
from diffmocap.types import CameraIntrinsics


class Started(Exception):
    """Instead of the nodes."""


@pytest.mark.parametrize("command", ["live", "demo"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {}),
        (["--camera-pitch", "0"], {"camera_pitch": 0.0, "ground_from": "parameters"}),
        (["--camera-pitch", "0.2", "--camera-height", "1.4"],
         {"camera_pitch": 0.2, "camera_height": 1.4, "ground_from": "parameters"}),
        (["--camera-height", "1.4"], {"camera_height": 1.4}),
        (["--camera-roll", "0"], {"camera_roll": 0.0, "ground_from": "parameters"}),
        (["--camera-pitch", "0.2", "--camera-roll", "-1.5"],
         {"camera_pitch": 0.2, "camera_roll": -1.5, "ground_from": "parameters"}),
    ],
)  # fmt: skip
def test_where_the_camera_stands_reaches_the_node_and_a_level_one_too(
    monkeypatch, tiny_video, tmp_path, command, options, expected
):
    def play(what, recording) -> None:
        graph = what.graph.resolve(what.arguments)
        (node,) = (node for node in graph.nodes if node.name == "pose_node")
        raise Started({k: v for k, v in node.parameters.items() if k.startswith(("camera_", "ground_"))})

    monkeypatch.setattr("diffmocap.cli.play.play", play)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Started) as started:
        main([command, "--source", str(tiny_video), *options])
    assert started.value.args == (expected,)


@pytest.mark.parametrize("command", ["live", "demo"])
def test_a_calibration_reaches_the_camera(monkeypatch, tiny_video, tmp_path, command):
    def play(what, recording) -> None:
        raise Started(what.parameters["camera_node"].get("calibration_file"))

    path = tmp_path / "camera.yaml"
    write_calibration(path, CameraIntrinsics.from_fov(160, 120), "webcam")
    monkeypatch.setattr("diffmocap.cli.play.play", play)
    monkeypatch.chdir(tmp_path)
    for options, expected in (([], None), (["--calibration", "camera.yaml"], str(path))):
        with pytest.raises(Started) as started:
            main([command, "--source", str(tiny_video), *options])
        assert started.value.args == (expected,)


@pytest.mark.parametrize("command", ["live", "demo"])
@pytest.mark.parametrize(("options", "network"), [([], "local"), (["--network", "lan"], "lan")])
def test_the_network_is_handed_on(monkeypatch, tiny_video, tmp_path, command, options, network):
    def play(what, recording) -> None:
        raise Started(what.network)

    monkeypatch.setattr("diffmocap.cli.play.play", play)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Started, match=network):
        main([command, "--source", str(tiny_video), *options])


def test_what_is_not_given_is_said_to_be_so(capsys):
    with pytest.raises(SystemExit):
        main(["live", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "0 is level (default: not given" in text and "0 is upright (default: not given" in text
