"""`diffmocap calibrate` from pictures, a video and a camera to the file that a camera node reads."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from diffmocap.camera.calibration.calibration_file import load_calibration
from diffmocap.camera.calibration.chessboard import Board
from diffmocap.cli import calibrate
from diffmocap.cli.calibration_preview import WIDTH, painted
from diffmocap.cli.main import main
from diffmocap.types import CameraIntrinsics, Frame
from tests.board_scene import pictures

BOARD = Board(9, 6, 0.025)
CAMERA = CameraIntrinsics(480, 360, 390.0, 395.0, 244.0, 177.0, (-0.25, 0.06, 0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return pictures(CAMERA, BOARD, 16)


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(images):
        cv2.imwrite(str(made / f"view_{number:02d}.png"), image)
    (made / "broken.jpg").write_bytes(b"no picture")
    (made / "notes.txt").write_text("not a picture, and not named like one")
    cv2.imwrite(str(made / "wide.png"), np.zeros((360, 640, 3), np.uint8))
    return made


@pytest.fixture(scope="module")
def few(images, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("few")
    for number in range(4):
        cv2.imwrite(str(made / f"{number}.png"), images[number])
    return made


def assert_calibrated(path: Path, tolerance: float = 0.01) -> None:
    made = load_calibration(path)
    assert (made.width, made.height) == (480, 360)
    assert np.allclose([made.fx, made.fy], [CAMERA.fx, CAMERA.fy], rtol=tolerance)
    assert np.allclose([made.cx, made.cy], [CAMERA.cx, CAMERA.cy], atol=4.0)


def test_pictures_in_a_folder(folder, tmp_path, capsys):
    out = tmp_path / "new" / "camera.yaml"
    assert main(["calibrate", "--source", str(folder), "--out", str(out), "--name", "webcam", "--json"]) == 0
    assert_calibrated(out)
    assert "camera_name: webcam" in out.read_text()
    printed, told = capsys.readouterr()
    summary = json.loads(printed)
    assert summary["rms_px"] < 0.2 and summary["views"] == 16 and 0.4 < summary["coverage"] <= 1.0
    assert summary["horizontal_fov_deg"] == pytest.approx(69.3, abs=1.0)
    assert "broken.jpg is no picture" in told and "wide.png" in told
    assert "reprojection error" in told and "field of view" in told and "covered" in told


def test_a_video(images, tmp_path, capsys):
    """Each view for half a second: a look now and then is enough, and the same view counts once."""
    path = tmp_path / "board.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (480, 360))
    for image in images:
        for _ in range(5):
            writer.write(image)
    writer.release()
    out = tmp_path / "camera.yaml"
    assert main(["calibrate", "--source", str(path), "--out", str(out)]) == 0
    assert_calibrated(out)
    printed, told = capsys.readouterr()
    assert "16 views" in printed and "40 of 40 images" in told


class Camera:
    """A camera that shows each picture twice, as a board that is moved and then held still; once, as one in motion."""

    live = True
    mode = "480 x 360 at 30 frames a second"

    class source:
        label = "camera 0"

    def __init__(self, images: list[np.ndarray], then: BaseException | None = None, times: int = 2) -> None:
        self._images, self._then, self._times = images, then, times
        self.closed = False

    def __call__(self, source, settings, **options):
        self.asked = settings
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def __iter__(self):
        for image in self._images:
            for _ in range(self._times):
                yield Frame(image, 0)
        if self._then is not None:
            raise self._then


@pytest.fixture
def camera(monkeypatch):
    def made(*arguments) -> Camera:
        camera = Camera(*arguments)
        monkeypatch.setattr("diffmocap.camera.capture.Capture", camera)
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        return camera

    return made


def test_a_camera_until_ctrl_c(images, camera, tmp_path, capsys):
    """Only views of a board that is held still are kept; what was found until then is calibrated."""
    used = camera(images, KeyboardInterrupt())
    out = tmp_path / "camera.yaml"
    assert main(["calibrate", "--out", str(out), "--size", "480x360"]) == 0
    assert_calibrated(out)
    assert used.closed and (used.asked.width, used.asked.height) == (480, 360)
    printed, told = capsys.readouterr()
    assert "16 views" in printed and "16 of 25 views" in told and "the search was ended" in told


def test_a_moving_board_is_not_kept(images, camera, tmp_path, capsys):
    camera(images[:3] * 2, None, 1)
    assert main(["calibrate", "--out", str(tmp_path / "camera.yaml")]) == 1
    told = capsys.readouterr().err
    assert "hold it still" in told and "0 different views" in told


def test_a_second_ctrl_c_ends_the_command(images, camera, tmp_path, monkeypatch):
    camera(images, KeyboardInterrupt())

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("diffmocap.camera.calibration.calibrating.calibrate", interrupted)
    assert main(["calibrate", "--out", str(tmp_path / "camera.yaml")]) == 130
    assert not (tmp_path / "camera.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--board", "9"], "like 9x6"),
        (["--square", "25"], "a square's edge must lie in [0.001, 1] m"),
        (["--views", "3"], "--views must lie in [10, 80]"),
        (["--radial", "4"], "--radial must lie in [1, 3]"),
        (["--size", "large"], "--size takes WIDTHxHEIGHT"),
        (["--source", "{empty}"], "there are no pictures in"),
        (["--source", "nowhere.mp4"], "nowhere.mp4"),
        (["--out", "{there}"], "is there already; give another --out, or --overwrite"),
        (["--out", "{empty}", "--overwrite"], "is a folder"),
        (["--print-board", "board.png"], ".svg or .pdf"),
        (["--source", "{few}", "--board", "8x5"], "no board of 8x5 inner corners was found in 4 images"),
        (["--source", "{few}"], "4 different views of the board, expected 10 at least"),
    ],
)
def test_what_cannot_work_is_told_in_a_line(few, tmp_path, capsys, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    places = {"empty": tmp_path / "empty", "there": tmp_path / "there.yaml", "few": few}
    places["empty"].mkdir()
    places["there"].write_text("precious")
    assert main(["calibrate", *(argument.format(**places) for argument in arguments)]) == 1
    assert says in capsys.readouterr().err
    assert places["there"].read_text() == "precious" and not (tmp_path / "camera.yaml").exists()


def test_a_board_to_print(tmp_path, capsys):
    assert main(["calibrate", "--board", "7x5", "--square", "0.03", "--print-board", str(tmp_path / "b.pdf")]) == 0
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF") and "A3" in capsys.readouterr().out


def test_the_preview_is_a_mirror(images):
    from diffmocap.camera.calibration.board_search import BoardSearch

    search = BoardSearch(BOARD, 0.1)
    corners = search.look(images[0])
    assert corners[:, 0].mean() < 200, "the board is on the left"
    drawn = painted(images[0], corners, search, "1 of 25 views")
    assert drawn.shape == (720, WIDTH, 3)
    coloured = np.ptp(drawn[60:].astype(int), axis=-1) > 60
    assert np.nonzero(coloured)[1].mean() > WIDTH / 2


def test_the_help_shows_how(capsys):
    with pytest.raises(SystemExit):
        main(["calibrate", "--help"])
    text = capsys.readouterr().out
    assert "diffmocap calibrate --source 0 --board 9x6 --square 0.025 --out camera.yaml" in text
    assert calibrate.SUMMARY in " ".join(text.split()) or "chessboard" in text
