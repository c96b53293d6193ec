"""Calibrates a camera from views of a chessboard, and writes the YAML file that `calibration_file` reads.

Print a board, glue it to something flat, and show it to the camera near and far, in all corners of the image and
tilted to all sides. Views that differ enough are stored automatically; the line below says what is still missing.
Where there is a display a window shows the camera's image. The first Ctrl-C (or q in the window) ends the search and
calibrates with the views so far, a second one ends the command.

Pictures in a folder and videos of a board do as well. The file is that of ROS's camera_calibration: camera drivers,
image_proc and `camera_node calibration_file` read it.

  diffmocap calibrate --print-board board.pdf
  diffmocap calibrate --source 0 --board 9x6 --square 0.025 --out camera.yaml
  diffmocap calibrate --source pictures/ --board 9x6 --square 0.025 --out camera.yaml --fisheye
  diffmocap live --source 0 --calibration camera.yaml
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from diffmocap.errors import CalibrationError, SettingsError

if TYPE_CHECKING:
    import numpy as np

    from diffmocap.camera.calibration.board_search import BoardSearch
    from diffmocap.camera.calibration.calibrating import CalibrationResult

SUMMARY = "a camera's calibration from a chessboard"

#: Images searched per second of a video; those between differ little.
VIDEO_LOOKS_HZ = 5.0
#: More views take longer and add no accuracy.
MAX_VIEWS = 80
#: The user selected the pictures in a folder; only duplicates are left out.
SAME_PICTURE = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--source", default="0", metavar="SOURCE",
        help="camera index or device, URL, video file, or folder of pictures (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--board", default="9x6", metavar="CxR",
        help="inner corners of the board, where four squares meet: a board of 10 by 7 squares is 9x6 (default: 9x6)",
    )  # fmt: skip
    parser.add_argument(
        "--square", type=float, default=0.025, metavar="M", help="edge of a square in metres (default: 0.025)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("camera.yaml"), metavar="YAML", help="file to write (default: camera.yaml)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--name", default="camera", help="camera_name in the file, which some drivers compare with theirs"
    )
    parser.add_argument(
        "--size", default="640x480", metavar="WxH",
        help="image size to ask of a camera: the one that it is used with (default: 640x480)",
    )  # fmt: skip
    parser.add_argument("--views", type=int, default=25, metavar="N", help="views wanted of a camera (default: 25)")
    parser.add_argument(
        "--fisheye", action="store_true", help="fit a fisheye lens (ROS: equidistant), for lenses beyond 120 degrees"
    )
    parser.add_argument(
        "--radial", type=int, default=2, metavar="N", help="radial coefficients of other lenses, 1 to 3 (default: 2)"
    )
    parser.add_argument("--no-preview", action="store_true", help="show no window")
    parser.add_argument(
        "--print-board", type=Path, metavar="FILE", help="write the board to print (.pdf or .svg) and do nothing else"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout, all else on stderr")


def run(args: argparse.Namespace) -> int:
    """Looks for the board, calibrates, writes the file."""
    from diffmocap.camera.calibration.calibrating import MIN_VIEWS, calibrate
    from diffmocap.camera.calibration.calibration_file import write_calibration
    from diffmocap.camera.calibration.chessboard import Board

    board = Board.parse(args.board, args.square)
    if args.print_board is not None:
        return _print_board(args, board)
    if not MIN_VIEWS <= args.views <= MAX_VIEWS:
        raise SettingsError(f"--views must lie in [{MIN_VIEWS}, {MAX_VIEWS}], got {args.views}")
    if not 1 <= args.radial <= 3:
        raise SettingsError(f"--radial must lie in [1, 3], got {args.radial}")
    _require_place(args.out, args.overwrite)
    search = _search(args, board)
    if search.other_size:
        _say(f"{len(search.other_size)} pictures of another size were left out, the first is {search.other_size[0]}")
    if search.views is None or not search.found:
        raise CalibrationError(
            f"no board of {board.columns}x{board.rows} inner corners was found in {search.searched} images; --board "
            "counts the places where four squares meet, all of the board must be seen with white around it, lit evenly"
        )
    _say(f"calibrating with {len(search.views)} views ...")
    result = calibrate(search.views, args.fisheye, args.radial)
    write_calibration(args.out, result.intrinsics, args.name)
    _report(args, result, search)
    return 0


def _print_board(args: argparse.Namespace, board) -> int:
    from diffmocap.camera.calibration.board_picture import write_board

    sheet = write_board(args.print_board, board)
    print(
        f"wrote {args.print_board}: print it on {sheet} at 100 %, measure a square, and give its edge as --square "
        f"(wanted: {board.square_m:g} m)"
    )
    return 0


def _require_place(out: Path, overwrite: bool) -> None:
    """Checks that the file can be written, before the user spends minutes in front of the camera."""
    if out.exists() and not overwrite:
        raise SettingsError(f"'{out}' is there already; give another --out, or --overwrite to replace it")
    if out.is_dir():
        raise SettingsError(f"'{out}' is a folder, expected a file to write like camera.yaml")
    out.parent.mkdir(parents=True, exist_ok=True)


def _search(args: argparse.Namespace, board) -> BoardSearch:
    from diffmocap.camera.calibration.board_search import BoardSearch, folder_pictures
    from diffmocap.camera.calibration.board_views import MIN_DIFFERENCE

    folder = Path(args.source).expanduser()
    if folder.is_dir():
        search = BoardSearch(board, SAME_PICTURE, thorough=True)
        paths = folder_pictures(folder)
        _look_through(search, _pictures(paths), len(paths))
        return search
    width, height = _size(args.size)
    from diffmocap.camera.capture import Capture
    from diffmocap.camera.settings import CaptureSettings

    settings = CaptureSettings(width=width, height=height)
    with Capture(args.source, settings, realtime=False, event=lambda _, text: _say(text)) as capture:
        search = BoardSearch(board, MIN_DIFFERENCE, still=capture.live, thorough=False)
        if capture.live:
            _look_live(search, capture, args.views, not args.no_preview)
        else:
            stride = max(1, round(capture.mode.fps / VIDEO_LOOKS_HZ))
            frames = ((f"frame {frame.index}", frame.image) for frame in capture if frame.index % stride == 0)
            _look_through(search, frames, math.ceil(capture.mode.frames / stride))
    return search


def _pictures(paths: list[Path]) -> Iterator[tuple[str, np.ndarray]]:
    from diffmocap.camera.calibration.board_search import read_pictures

    for name, image in read_pictures(paths):
        if image is None:
            _say(f"{name} is no picture that OpenCV can read: left out")
        else:
            yield name, image


def _look_through(search: BoardSearch, pictures: Iterable[tuple[str, np.ndarray]], total: int) -> None:
    progress = _Progress()
    for name, image in pictures:
        search.look(image, name)
        progress.show(f"{search.searched} of {total} images: {_state(search)}")
        if len(search.views) >= MAX_VIEWS:
            break
    progress.end()


def _look_live(search: BoardSearch, capture, wanted: int, preview_wanted: bool) -> None:
    from diffmocap.cli.calibration_preview import Preview

    progress, preview = _Progress(), Preview(preview_wanted)
    _say(f"{capture.source.label}, {capture.mode}: show it the board; Ctrl-C ends the search")
    try:
        for frame in capture:
            corners = search.look(frame.image)
            views = search.views
            enough = len(views) >= wanted and (not views.missing or len(views) >= min(2 * wanted, MAX_VIEWS))
            text = f"{len(views)} of {wanted} views, {_state(search, live=True)}"
            progress.show(text)
            if enough or not preview.show(frame.image, corners, search, text):
                return
    except KeyboardInterrupt:
        _say("\nthe search was ended")
    finally:
        progress.end()
        preview.close()


def _state(search: BoardSearch, live: bool = False) -> str:
    views = search.views
    text = f"{100 * views.coverage:.0f} % of the image covered"
    if not live:
        return f"{len(views)} different views, {text}"
    hint = "hold it still" if search.moving else next(iter(views.missing), "move it on")
    return f"{text}; {hint}"


def _report(args: argparse.Namespace, result: CalibrationResult, search: BoardSearch) -> None:
    k = result.intrinsics
    across, down = result.field_of_view_deg
    for name, error in result.left_out:
        why = f"its error was {error:.1f} px" if math.isfinite(error) else "it does not determine the lens"
        _say(f"left out {name or 'a view'}: {why}")
    if search.views.missing:
        _say(f"it would be better still with more views: {'; '.join(search.views.missing)}")
    summary = {
        "file": str(args.out),
        "width": k.width,
        "height": k.height,
        "views": len(result.used),
        "left_out": len(result.left_out),
        "coverage": round(search.views.coverage, 3),
        "rms_px": round(result.rms_px, 4),
        "fx": k.fx,
        "fy": k.fy,
        "cx": k.cx,
        "cy": k.cy,
        "distortion": list(k.distortion),
        "horizontal_fov_deg": round(across, 2),
        "vertical_fov_deg": round(down, 2),
    }
    print(
        f"wrote {args.out}: {k.width} x {k.height}, {len(result.used)} views, {100 * search.views.coverage:.0f} % of "
        f"the image covered\n"
        f"  reprojection error  {result.rms_px:.3f} px (root mean square)\n"
        f"  field of view       {across:.1f} by {down:.1f} degrees\n"
        f"  focal lengths       {k.fx:.1f}, {k.fy:.1f} px; principal point {k.cx:.1f}, {k.cy:.1f} px\n"
        f"  use it              diffmocap live --calibration {args.out}, or `calibration_file` of camera_node",
        file=sys.stderr if args.json else sys.stdout,
    )
    if args.json:
        print(json.dumps(summary))


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and 0 < int(part) <= 16384 for part in parts):
        raise SettingsError(f"--size takes WIDTHxHEIGHT like 640x480, got '{text}'")
    return int(parts[0]), int(parts[1])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Progress:
    """One line that is written over on a terminal; elsewhere a line for each change of what counts."""

    def __init__(self) -> None:
        self._shown = ""
        self._terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        if text == self._shown:
            return
        self._shown = text
        if self._terminal:
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print("" if self._terminal else self._shown, file=sys.stderr, flush=True)
        self._shown = ""
