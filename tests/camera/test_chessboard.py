"""A chessboard: its corners in rendered pictures, views that differ, the picture to print."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from diffmocap.camera.calibration.board_picture import write_board
from diffmocap.camera.calibration.board_views import BoardViews
from diffmocap.camera.calibration.chessboard import Board, BoardView
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics
from tests.board_scene import picture, rays

BOARD = Board(7, 5, 0.03)
CAMERA = CameraIntrinsics(640, 480, 520.0, 520.0, 320.0, 240.0)


@pytest.fixture(scope="module")
def directions() -> np.ndarray:
    return rays(CAMERA)


def seen_corners(rotation, centre_m) -> np.ndarray:
    centred = BOARD.points_m - BOARD.points_m.mean(0)
    seen, _ = cv2.projectPoints(centred, np.array(rotation, float), np.array(centre_m, float), CAMERA.matrix, None)
    return seen.reshape(-1, 2)


@pytest.mark.parametrize("rotation, centre_m", [((0, 0, 0), (0.0, 0.0, 0.5)), ((0.4, -0.3, 0.2), (0.1, -0.05, 0.6))])
def test_corners_are_found_to_a_tenth_of_a_pixel(directions, rotation, centre_m):
    image = picture(CAMERA, BOARD, rotation, np.array(centre_m), directions)
    # A large image is searched in a small copy, and its corners are refined in itself.
    for wide, limit in ((image, 0.1), (cv2.resize(image, (1920, 1440), interpolation=cv2.INTER_CUBIC), 0.2)):
        corners = BOARD.find(wide)
        scale = wide.shape[1] / 640
        expected = (seen_corners(rotation, centre_m) + 0.5) * scale - 0.5
        error = min(np.abs(corners - other).max() for other in (expected, expected[::-1]))
        assert corners.dtype == np.float32 and error < limit * scale


def test_no_board_no_corners(directions):
    image = picture(CAMERA, BOARD, (0, 0, 0), np.array([0.0, 0.0, 0.5]), directions)
    assert BOARD.find(np.full((480, 640, 3), 128, np.uint8), thorough=True) is None
    assert Board(9, 6, 0.03).find(image) is None, "another board"


def test_a_blurred_board_is_found_where_there_is_time(directions):
    image = picture(CAMERA, BOARD, (0.2, 0.3, 0), np.array([0.0, 0.0, 0.9]), directions)
    image = cv2.GaussianBlur(image, (0, 0), 5.0)
    assert BOARD.find(image) is None and BOARD.find(image, thorough=True) is not None


def test_a_view_knows_where_how_large_and_how_tilted_the_board_is():
    def view(rotation, centre_m) -> BoardView:
        return BoardView.of(BOARD, seen_corners(rotation, centre_m).astype(np.float32), 640, 480)

    frontal = view((0.0, 0.0, 0.0), (0.0, 0.0, 0.6))
    assert np.allclose(frontal.position, 0.5) and np.abs(frontal.tilt).max() < 0.02
    assert frontal.size == pytest.approx(np.sqrt(6 * 4 * 0.03**2 * 520**2 / 0.6**2 / (640 * 480)), rel=0.01)
    turned = view((0.0, 0.5, 0.0), (0.0, 0.0, 0.6))
    assert abs(turned.tilt[0]) == pytest.approx(np.sin(0.5), abs=0.1) and abs(turned.tilt[1]) < 0.05
    assert np.sign(view((0.0, -0.5, 0.0), (0.0, 0.0, 0.6)).tilt[0]) == -np.sign(turned.tilt[0])
    # A board that is read from its other end is the same one.
    same = BoardView.of(BOARD, turned.corners_px[::-1].copy(), 640, 480)
    assert turned.difference(same) < 0.05
    aside = view((0.0, 0.0, 0.0), (0.2, 0.0, 0.6))
    assert frontal.difference(aside) == pytest.approx(0.2 * 520 / 0.6 / 640, rel=0.05)


def test_views_that_say_the_same_are_kept_once():
    views = BoardViews(BOARD, 640, 480)
    first = seen_corners((0, 0.3, 0), (0, 0, 0.6)).astype(np.float32)
    assert views.add(first) and not views.add(first + 2.0)
    assert views.add(seen_corners((0, 0.3, 0), (0.2, 0, 0.6)).astype(np.float32))
    assert len(views) == 2


def test_what_is_missing_is_said_until_nothing_is():
    views = BoardViews(BOARD, 640, 480)
    assert views.coverage == 0.0 and any("tilt" in hint for hint in views.missing)
    corners = [seen_corners((a, b, 0), (x, y, 0.28)) for x in (-0.09, 0.09) for y in (-0.06, 0.06)
               for a, b in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]  # fmt: skip
    left = [c for c in corners if c[:, 0].mean() < 320]
    for view in left:
        views.add(view.astype(np.float32))
    assert "right" in views.missing[0], "the empty side comes first"
    for view in corners:
        views.add(view.astype(np.float32))
    assert views.missing == () and views.coverage > 0.7


@pytest.mark.parametrize("text", ["9", "9x", "9x6x3", "axb", "9,6", ""])
def test_a_board_that_cannot_be_read(text):
    with pytest.raises(SettingsError, match="like 9x6"):
        Board.parse(text, 0.025)


def test_boards_that_make_no_sense():
    assert Board.parse(" 9X6 ", 0.025) == Board(9, 6, 0.025)
    for sizes, why in (((2, 6, 0.025), "3 to 40"), ((9, 41, 0.025), "3 to 40"), ((9, 6, 25.0), "in metres|1] m"),
                       ((9, 6, 0.0), "1] m")):  # fmt: skip
        with pytest.raises(SettingsError, match=why):
            Board(*sizes)


def test_the_svg_has_the_boards_squares_in_millimetres(tmp_path):
    assert write_board(tmp_path / "board.svg", Board(9, 6, 0.025)) == "A4"
    text = (tmp_path / "board.svg").read_text()
    assert 'width="297.0000mm" height="210.0000mm"' in text
    squares = [
        tuple(map(float, m)) for m in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="(25\.0+)" height="25', text)
    ]
    assert len(squares) == 35  # half of 10 x 7
    x, y = np.array(squares)[:, :2].T
    assert (x.min(), x.max() + 25, y.min(), y.max() + 25) == (23.5, 273.5, 17.5, 192.5)


def test_the_pdf_shows_the_board_in_true_size(tmp_path):
    """Its rectangles drawn here, the board is found in them."""
    board = Board(7, 5, 0.025)
    write_board(tmp_path / "board.pdf", board)
    content = (tmp_path / "board.pdf").read_bytes()
    assert content.startswith(b"%PDF-1.4") and content.endswith(b"%%EOF\n")
    box = re.search(rb"MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    width, height = (float(value) / 72 * 25.4 for value in box.groups())
    assert (width, height) == pytest.approx((297, 210), abs=0.01)
    # Every entry of the table of contents leads to its object.
    start = int(re.search(rb"startxref\n(\d+)", content)[1])
    assert content[start:].startswith(b"xref")
    for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", content), 1):
        assert content[int(offset) :].startswith(b"%d 0 obj" % number)
    image = np.full((2100, 2970), 255, np.uint8)  # a tenth of a millimetre a pixel
    for x, y, w, h in re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re f", content):
        left, low = round(10 * float(x)), round(10 * float(y))
        image[2100 - low - round(10 * float(h)) : 2100 - low, left : left + round(10 * float(w))] = 0
    corners = board.find(image)
    assert np.allclose(np.linalg.norm(np.diff(corners.reshape(5, 7, 2), axis=1), axis=-1), 250, atol=0.5)


def test_a_large_board_takes_a_larger_sheet_and_other_endings_are_refused(tmp_path):
    assert write_board(tmp_path / "board.pdf", Board(9, 6, 0.05)) == "A2"
    assert "mm" in write_board(tmp_path / "board.svg", Board(30, 20, 0.1))
    with pytest.raises(SettingsError, match=r"\.svg or \.pdf"):
        write_board(tmp_path / "board.png", BOARD)
