"""Reconstructs the motion of the person in a video, offline and at a better quality than live, and writes it to files.

Every image is looked at with what came before it and with what comes after it, the likeliest way through all poses is
taken, gravity and the floor are found in the whole motion, and physics refines overlapping windows of it, which are
joined without seams. With --diffphy a simulated body then follows the motion: its joints are driven, the ground alone
holds it up, and the file has the joint torques and contact forces that bring the motion about.

Each video becomes DIR/NAME.npz with AMASS's keys, several files where the person was out of sight for longer than
--bridge, and one file more for each --format. A video whose motion is there is skipped, and one that was interrupted
goes on with the keypoints that were found, and with the simulation where it was. A motion that is there gets the files
of formats that it lacks. No ROS is needed.

examples:
  diffmocap reconstruct walk.mp4 --out motions --format glb
  diffmocap reconstruct takes --out motions --quality best --jobs 2
  diffmocap reconstruct walk.mp4 --out motions --diffphy --camera-height 1.4 --camera-pitch 0.17
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmocap.cli.motions.bars import Bars
from diffmocap.cli.motions.export import FORMATS, TOOLS, chosen_formats
from diffmocap.cli.options.pose_options import CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL, MIRROR, TASK_FILE
from diffmocap.cli.options.setting_option import SettingOption
from diffmocap.errors import SettingsError
from diffmocap.reconstruct.recipe import Recipe, is_identity_of
from diffmocap.reconstruct.settings import QUALITIES, ReconstructSettings

if TYPE_CHECKING:
    from diffmocap.motion.motion_npz import Provenance
    from diffmocap.reconstruct.outcome import Outcome
    from diffmocap.reconstruct.work import Reconstructor

SUMMARY = "the motion in a video, as files that other tools open"
_DEFAULTS = ReconstructSettings()
OF_QUALITY = "by the quality"
FPS = SettingOption("--fps", _DEFAULTS, "fps", "HZ", "the video's")
SOLVER = SettingOption("--solver", _DEFAULTS, "solver", default=_DEFAULTS.solver)
EVALUATIONS = SettingOption("--evaluations", _DEFAULTS, "evaluations", "N", OF_QUALITY)
SAMPLES = SettingOption("--samples", _DEFAULTS, "samples", "N", OF_QUALITY)
HEIGHT = SettingOption("--height", _DEFAULTS, "height_m", "M", "the mean body's")
BRIDGE = SettingOption("--bridge", _DEFAULTS, "longest_bridge_s", "S", f"{_DEFAULTS.longest_bridge_s:g}")
PHYSICS = SettingOption("--physics", _DEFAULTS, "physics", default="on")
LOCK_FEET = SettingOption("--lock-feet", _DEFAULTS, "lock_feet", default="on")
DIFFPHY = SettingOption(
    "--diffphy", _DEFAULTS, "diffphy", default="off", explanation="needs a floor that feet show or options give"
)
_OPTIONS = (FPS, SOLVER, EVALUATIONS, SAMPLES, HEIGHT, BRIDGE, PHYSICS, LOCK_FEET, DIFFPHY)
FRAMES = ("world", "camera")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "videos", metavar="VIDEO", nargs="+",
        help="video file, folder of videos or images, img_%%04d.jpg, ROS bag, or a folder of `diffmocap live --record`",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("motions"), metavar="DIR", help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--quality", choices=QUALITIES, default="fast",
        help="best: poses are sampled, too, and Optimus refines them longer; takes nearly twice as long (default: "
        "%(default)s)",
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
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="videos at a time, each in a process of its own (default: 1; with --ray: one per core)",
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS",
        help="share the videos out over a Ray cluster: the HOST:PORT of its head, or auto for the one that runs here; "
        "all machines see videos and --out by the same paths (pip install ray)",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="process videos whose motion file exists, too")
    group = parser.add_argument_group("person and camera")
    for option in (HEIGHT, CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL, MIRROR):
        option.add(group)
    group.add_argument(
        "--calibration", type=Path, metavar="YAML", help="calibration, as `diffmocap calibrate` writes it"
    )
    group.add_argument(
        "--fov", type=float, default=0.0, metavar="DEG",
        help="vertical field of view (default: by the focal length in the file, or the bag's camera_info, else 50)",
    )  # fmt: skip
    group.add_argument("--topic", metavar="NAME", help="of a bag's images (default: the only one with images)")
    group = parser.add_argument_group("reconstruction")
    for option in (FPS, SOLVER, EVALUATIONS, SAMPLES, BRIDGE, PHYSICS, LOCK_FEET, DIFFPHY, TASK_FILE):
        option.add(group)
    group.add_argument("--weights", type=Path, metavar="FILE", help="lifting weights (default: the shipped ones)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout, all else on stderr")


def run(args: argparse.Namespace) -> int:
    """Reconstructs every video; those that fail are told at the end, the others are kept."""
    settings, formats = settings_of(args), chosen_formats(args.formats)
    videos = [each for video in args.videos for each in _in_folder(video)]
    names = _names(videos)
    if args.jobs is not None and args.jobs < 1:
        raise SettingsError(f"--jobs must be at least 1, got {args.jobs}")
    for option, path in (("--calibration", args.calibration), ("--weights", args.weights)):
        if path is not None and not path.is_file():
            raise SettingsError(f"there is no file '{path}', given as {option}")
    from diffmocap.reconstruct.outcome import line, size

    _folder(args.out)
    recipe = Recipe(
        settings, args.out, weights=args.weights,
        calibration=args.calibration, vertical_fov_deg=args.fov, world=args.frame == "world",
        mirror=bool(MIRROR.value(args)), task_file=TASK_FILE.value(args) or "", topic=args.topic or "",
        formats=tuple(formats), tool=args.tool,
    )  # fmt: skip
    exporter = None
    if formats:  # what they need is said before a video is looked at
        from diffmocap.reconstruct.work import Reconstructor

        exporter = Reconstructor(recipe)
    todo, results = _planned(list(zip(videos, names, strict=True)), recipe, args.overwrite, exporter)
    failed = sum("error" in told or "not_exported" in told for told in results)
    for outcome in _outcomes(recipe, todo, args):
        results.append(outcome.as_json())
        failed += bool(outcome.error or outcome.not_exported)
        for error in (outcome.error, *outcome.not_exported):
            if error:
                print(f"diffmocap reconstruct: error: {outcome.video}: {error}", file=sys.stderr)
        for path, motion in zip(outcome.files, outcome.motions, strict=True):
            print(line(path, motion), file=sys.stderr)
        for path in outcome.exports:
            print(size(path), file=sys.stderr)
    if args.json:
        print(json.dumps({"results": results, "failed": failed}))
    return 1 if failed else 0


#: What a motion that was made without simulation is told by.
UNSIMULATED = ", without simulation"


def _planned(
    videos: list[tuple[str, str]], recipe: Recipe, overwrite: bool, exporter: Reconstructor | None
) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Which videos, each with its name, are to be processed, and what became of the others, which is said, too.

    A motion file that is there is the video's own, or an error; one's own gets the files of formats that it lacks.
    """
    from diffmocap.reconstruct.outcome import size

    todo, results = [], []
    for video, name in videos:
        there = recipe.written(name)
        made = provenances(there)
        how = how_made(made, recipe)
        other = next((one.video for one in made if not is_identity_of(one.video, video)), None)
        if not there or overwrite or (other is None and recipe.settings.diffphy and how == UNSIMULATED):
            todo.append((video, name))
            continue
        if other is not None:
            errors = [
                f"{there[0]} is the motion of another video ({other}); name another folder with --out, or give "
                "--overwrite to replace it"
            ]
            results.append({"video": video, "files": [], "error": errors[0]})
        else:
            print(f"{video}: skipped, {there[0]} is there already{how} (--overwrite does it again)", file=sys.stderr)
            exported, errors = exporter.export_missing(there) if exporter else ([], [])
            for path in exported:
                print(size(str(path)), file=sys.stderr)
            results.append({"video": video, "files": [str(p) for p in there], "skipped": True})
            results[-1] |= {"not_exported": errors} if errors else {}
        for error in errors:
            print(f"diffmocap reconstruct: error: {video}: {error}", file=sys.stderr)
    return todo, results


def provenances(files: list[Path]) -> list[Provenance]:
    """How a video's motion files were made; none where one of them is damaged."""
    from diffmocap.errors import MotionFileError
    from diffmocap.motion.motion_npz import stored_provenance

    try:
        return [stored_provenance(file) for file in files]
    except MotionFileError:
        return []


def how_made(made: list[Provenance], recipe: Recipe) -> str:
    """How a video's motions differ from those that the recipe makes, in words; empty where they do not, or where they
    do not say."""
    if not made:
        return ""
    simulated = all(one.simulated for one in made)
    if simulated != recipe.settings.diffphy:
        return ", simulated" if simulated else UNSIMULATED
    return ", made with other settings" if any(one.recipe not in ("", recipe.key) for one in made) else ""


def _folder(out: Path) -> None:
    """Makes the folder of the motions.

    Raises:
        SettingsError: it cannot be made; said before a video is looked at.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file is in the way" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror
        raise SettingsError(f"--out {out} must be a folder, and it cannot be made: {reason}") from None


def _outcomes(recipe: Recipe, todo: list[tuple[str, str]], args: argparse.Namespace) -> Iterator[Outcome]:
    """One video after the other, or several at a time."""
    from diffmocap.reconstruct.outcome import attempt

    if not todo:
        return
    jobs = min(args.jobs or 1, len(todo))
    if jobs == 1 and args.ray is None:
        from diffmocap.reconstruct.work import Reconstructor

        work = Reconstructor(recipe)
        for video, name in todo:
            with Bars(video) as bars:
                outcome = attempt(work, video, name, bars)
            yield outcome
        return
    from tqdm import tqdm

    from diffmocap.reconstruct.ray_workers import ray_workers
    from diffmocap.reconstruct.workers import local_workers, outcomes_of

    if args.ray is None:
        workers = local_workers(recipe, jobs)
    else:
        # Workers on other machines have folders of their own to begin in.
        todo = [(str(Path(video).absolute()), name) for video, name in todo]
        workers = ray_workers(recipe.absolute(), args.ray, min(args.jobs or len(todo), len(todo)))
    with tqdm(total=len(todo), desc="reconstructing", unit="video", file=sys.stderr, dynamic_ncols=True) as bar:
        for outcome in outcomes_of(todo, workers):
            bar.update()
            with tqdm.external_write_mode(sys.stderr):
                yield outcome


def settings_of(args: argparse.Namespace, options: tuple[SettingOption, ...] = _OPTIONS) -> ReconstructSettings:
    """The settings that the options of a command, a quality and a camera's place describe.

    Raises:
        SettingsError: one is outside its range.
    """
    from diffmocap.refinement.stream.known_ground import KnownGround

    given = {option.path: value for option in options if (value := option.value(args)) is not None}
    settings = replace(QUALITIES[args.quality], **given)
    if SOLVER.path in given:
        settings = replace(settings, simulation=replace(settings.simulation, solver=given[SOLVER.path]))
    height, pitch, roll = (option.value(args) for option in (CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL))
    if height is not None or pitch is not None or roll is not None:
        settings = replace(settings, ground=KnownGround.from_camera(height or None, pitch or 0.0, roll or 0.0))
    return settings


def _in_folder(video: str) -> list[str]:
    """The videos of a folder that holds some; what else is named stays."""
    from diffmocap.camera.devices import VIDEO_ENDINGS

    path = Path(video)
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else []
    found = [str(each) for each in files if each.suffix.lower() in VIDEO_ENDINGS and not each.name.startswith(".")]
    return found or [video]


def _names(videos: list[str]) -> list[str]:
    """What the files are called, by the videos' own names.

    Raises:
        SettingsError: two videos have the same one, or one that a part of the other's motion may have.
    """
    names = [_own_name(Path(v)).replace("%", "") or "motion" for v in videos]
    double = next((n for n in names if names.count(n) > 1), None)
    if double is not None:
        raise SettingsError(f"two videos would both become {double}.npz; give them other names, or another --out each")
    part = next((n for n in names if (of := re.fullmatch(r"(.+)_part[0-9]+", n)) and of[1] in names), None)
    if part is not None:
        raise SettingsError(
            f"{part}.npz may be a part of {part.rsplit('_part', 1)[0]}'s motion or the video {part}; give one of both "
            "another name, or another --out each"
        )
    return names


def _own_name(path: Path) -> str:
    """What a video, or a folder that stands for one, is called; a dot in a folder's name begins no suffix."""
    return path.name if path.is_dir() else path.stem
