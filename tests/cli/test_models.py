from __future__ import annotations

import zipfile

import pytest

from diffmocap.cli.main import main
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.resources import verified_model


@pytest.fixture()
def network(tmp_path):
    """A folder with the landmark network as it was published."""
    with zipfile.ZipFile(verified_model("pose_landmarker_full.task")) as bundle:
        content = bundle.read("pose_landmarks_detector.tflite")
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "pose_landmark_full.tflite").write_bytes(content[content.index(b"TFL3", 8) - 4 :])
    return folder


def test_a_bundle_is_made_and_a_detector_takes_it(network, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["models", "full", str(network)]) == 0
    told = capsys.readouterr().out
    out = tmp_path / "pose_landmarker_full.task"
    assert f"--task-file {out}" in told and "9.4 MB" in told and "task_file" in told
    with Detector(DetectorSettings(task_file=str(out))) as detector:
        assert "pose_landmarker_full.task" in detector.name
    (tmp_path / "there").mkdir()
    assert main(["models", "full", str(network), "--out", "there"]) == 0
    assert (tmp_path / "there/pose_landmarker_full.task").read_bytes() == out.read_bytes()


def test_what_cannot_be_made_is_one_line(network, tmp_path, capsys):
    for arguments, message in (
        (["heavy", str(network)], "no pose_landmark_heavy.tflite"),
        (["full", str(tmp_path / "none")], "npm pack @mediapipe/pose"),
        (["full", str(network), "--out", str(tmp_path / "a.bin")], "name ends in .task"),
        (["full", str(network), "--out", str(tmp_path / "no/a.task")], "there is no folder"),
    ):
        assert main(["models", *arguments]) == 1
        told = capsys.readouterr().err
        assert told.startswith("diffmocap models: error: ") and told.count("\n") == 1 and message in told
    with pytest.raises(SystemExit) as ended:
        main(["models", "huge", "x"])
    assert ended.value.code == 2


def test_a_task_file_that_is_none_stops_live_before_any_node(repo_root, tmp_path, capsys):
    (tmp_path / "a.task").write_text("no")
    for command in (["live", "--source", str(repo_root / "media/demo.mp4")], ["demo"]):
        assert main([*command, "--task-file", str(tmp_path / "a.task")]) == 1
        assert "no task bundle" in capsys.readouterr().err
