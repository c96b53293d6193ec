"""Reconstructs the motion of the person in a video, offline and at a better quality than live, and writes it to files.

Every image is looked at with what came before it and with what comes after it, the likeliest way through all poses is
taken, gravity and the floor are found in the whole motion, and physics refines overlapping windows of it, which are
joined without seams. Each video becomes DIR/NAME.npz with AMASS's keys, several files where the person was out of
sight for longer than --bridge, and one file more for each --format. A video whose motion is there is skipped, and
one that was interrupted goes on with the keypoints that were found. No ROS is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmocap.cli.motions.export import FORMATS, TOOLS, chosen_formats
from diffmocap.cli.options.pose_options import CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL, MIRROR, TASK_FILE
from diffmocap.cli.options.setting_option import SettingOption
from diffmocap.errors import DiffmocapError, SettingsError
from diffmocap.reconstruct.settings import QUALITIES, ReconstructSettings

if TYPE_CHECKING:
    from diffmocap.reconstruct.reconstruction import ReconstructedMotion

SUMMARY = "the motion in a video, as files that other tools open"
_DEFAULTS = ReconstructSettings()
OF_QUALITY = "by the quality"
FPS = SettingOption("--fps", _DEFAULTS, "fps", "HZ", "the video's")
SOLVER = SettingOption("--solver", _DEFAULTS, "solver", default=OF_QUALITY)
EVALUATIONS = SettingOption("--evaluations", _DEFAULTS, "evaluations", "N", OF_QUALITY)
SAMPLES = SettingOption("--samples", _DEFAULTS, "samples", "N", OF_QUALITY)
HEIGHT = SettingOption("--height", _DEFAULTS, "height_m", "M", "the mean body's")
BRIDGE = SettingOption("--bridge", _DEFAULTS, "longest_bridge_s", "S", f"{_DEFAULTS.longest_bridge_s:g}")
PHYSICS = SettingOption("--physics", _DEFAULTS, "physics", default="on")
LOCK_FEET = SettingOption("--lock-feet", _DEFAULTS, "lock_feet", default="on")
_OPTIONS = (FPS, SOLVER, EVALUATIONS, SAMPLES, HEIGHT, BRIDGE, PHYSICS, LOCK_FEET)
FRAMES = ("world", "camera")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "videos", metavar="VIDEO", nargs="+",
        help="video file, folder of images, img_%%04d.jpg, or a folder of `diffmocap live --record`",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("motions"), metavar="DIR", help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--quality", choices=QUALITIES, default="fast",
        help="fast: L-BFGS refines; best: poses are sampled, too, and Optimus refines, longer (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--frame", choices=FRAMES, default="world",
        help="world: z up, 0 on the floor, the origin below the person's first place; camera: its optical frame "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--format", nargs="+", default=[], metavar="FORMAT", dest="formats",
        help=f"also export to {', '.join(FORMATS)}; `diffmocap export --help` says what each is for",
    )  # fmt: skip
    parser.add_argument("--for", choices=TOOLS, dest="tool", help="set the options of exports that this tool expects")
    parser.add_argument("--overwrite", action="store_true", help="also videos whose motion is there already")
    group = parser.add_argument_group("person and camera")
    for option in (HEIGHT, CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL, MIRROR):
        option.add(group)
    group.add_argument(
        "--calibration", type=Path, metavar="YAML", help="calibration, as `diffmocap calibrate` writes it"
    )
    group.add_argument(
        "--fov", type=float, default=0.0, metavar="DEG",
        help="vertical field of view (default: by the focal length that the file tells, else 50)",
    )  # fmt: skip
    group = parser.add_argument_group("reconstruction")
    for option in (FPS, SOLVER, EVALUATIONS, SAMPLES, BRIDGE, PHYSICS, LOCK_FEET, TASK_FILE):
        option.add(group)
    group.add_argument("--weights", type=Path, metavar="FILE", help="lifting weights (default: the shipped ones)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout, all else on stderr")


def run(args: argparse.Namespace) -> int:
    """Reconstructs every video; those that fail are told at the end, the others are kept."""
    settings, formats = settings_of(args), chosen_formats(args.formats)
    names = _names(args.videos)
    for option, path in (("--calibration", args.calibration), ("--weights", args.weights)):
        if path is not None and not path.is_file():
            raise SettingsError(f"there is no file '{path}', given as {option}")
    from diffmocap.reconstruct.work import Reconstructor

    work = Reconstructor(
        settings, args.out, weights=args.weights, calibration=args.calibration, vertical_fov_deg=args.fov,
        world=args.frame == "world", mirror=bool(MIRROR.value(args)), task_file=TASK_FILE.value(args) or "",
        formats=formats, tool=args.tool,
    )  # fmt: skip
    results, failed = [], 0
    for video, name in zip(args.videos, names, strict=True):
        if (there := work.written(name)) and not args.overwrite:
            print(f"{video}: skipped, {there[0]} is there already (--overwrite does it again)", file=sys.stderr)
            results.append({"video": video, "files": [str(p) for p in there], "skipped": True})
            continue
        begin = time.monotonic()
        try:
            with _Bars(video) as bars:
                motions = work.reconstruct(video, name, bars)
        except DiffmocapError as error:
            failed += 1
            results.append({"video": video, "files": [], "error": str(error)})
            print(f"diffmocap reconstruct: error: {video}: {error}", file=sys.stderr)
            continue
        seconds = time.monotonic() - begin
        results.append({"video": video, "seconds": round(seconds, 2), **_told(motions)})
        for path, motion in motions:
            print(_line(path, motion), file=sys.stderr)
            for other in work.exports(path):
                print(f"{other}: {other.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    if args.json:
        print(json.dumps({"results": results, "failed": failed}))
    return 1 if failed else 0


def settings_of(args: argparse.Namespace) -> ReconstructSettings:
    """The settings that the options describe.

    Raises:
        SettingsError: one is outside its range.
    """
    from diffmocap.refinement.stream.known_ground import KnownGround

    given = {option.path: value for option in _OPTIONS if (value := option.value(args)) is not None}
    settings = replace(QUALITIES[args.quality], **given)
    height, pitch, roll = (option.value(args) for option in (CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL))
    if height is not None or pitch is not None or roll is not None:
        settings = replace(settings, ground=KnownGround.from_camera(height or None, pitch or 0.0, roll or 0.0))
    return settings


def _names(videos: list[str]) -> list[str]:
    """What the files are called, by the videos' own names.

    Raises:
        SettingsError: two videos have the same one.
    """
    names = [Path(v.rstrip("/")).stem.replace("%", "") or "motion" for v in videos]
    double = next((n for n in names if names.count(n) > 1), None)
    if double is not None:
        raise SettingsError(f"two videos would both become {double}.npz; give them other names, or another --out each")
    return names


def _told(motions: list[tuple[Path, ReconstructedMotion]]) -> dict[str, Any]:
    return {
        "files": [str(path) for path, _ in motions],
        "motions": [
            {
                "first": m.first, "frames": len(m.pelvis), "fps": m.fps, "tracked": float(m.tracked.float().mean()),
                "floor": m.floor.ground.source, "floor_trusted": m.floor.trusted,
            } for _, m in motions
        ],
    }  # fmt: skip


def _line(path: Path, motion: ReconstructedMotion) -> str:
    seconds = len(motion.pelvis) / motion.fps
    bridged = int((~motion.tracked).sum())
    gaps = f", {bridged} of its {len(motion.pelvis)} frames bridged" if bridged else ""
    floor = motion.floor.ground.source if motion.floor.trusted else (
        "a rough guess: feet have not rested in places far enough apart; --camera-pitch and --camera-height tell it"
    )  # fmt: skip
    return f"{path}: {seconds:.1f} s at {motion.fps:g} Hz{gaps}; floor: {floor}"


class _Bars:
    """One bar a stage, with the time left."""

    def __init__(self, video: str) -> None:
        self._name = Path(video).name
        self._bar = None
        self._stage = ""

    def __call__(self, stage: str, done: float, total: float) -> None:
        """``done`` of ``total``, which is 0 where that is not known."""
        from tqdm import tqdm

        if stage != self._stage:
            self.close()
            self._stage = stage
            whole = stage == "detecting"
            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(
                total=total or None, desc=f"{self._name}: {stage}", unit="image", file=sys.stderr, dynamic_ncols=True,
                bar_format=None if whole else form, mininterval=0.5,
            )  # fmt: skip
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
