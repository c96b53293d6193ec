"""Converts a motion into files that other tools open.

MOTION.npz is a file that this package wrote, an AMASS file, or a clip collection (--clip names one of its clips). Each
format becomes a file beside it, of the same name (NAME_CLIP with --clip), unless --out says otherwise:

  bvh   skeleton and angles as text         every animation tool
  glb   skinned body, glTF                  Blender, Unity, Godot, three.js, web pages
  fbx   skinned body                        Unreal, Unity, Maya, MotionBuilder; Blender writes it (--blender)
  usd   skinned body                        Omniverse, Houdini, Maya, Blender; needs `pip install usd-core`
  csv   joint places and turns              spreadsheets, scripts
  trc   joints as markers                   OpenSim: scaling, inverse kinematics
  mot   joint angles in degrees             OpenSim, gait analysis
  grf   forces of the ground on both feet   OpenSim's external loads
  film  the body on a floor, from a camera  to look at and to show; beside its video with --video

--for TOOL sets up axis, unit, joint names and root bone as the tool's importer expects them; options given beside it
hold. --skeleton changes names alone: bones keep the body's lengths and its rest pose, a T-pose. Putting the motion on
another character (retargeting) is left to the tool, which knows the names.

A motion in the camera's frame is put on the floor where its feet rest, with the camera taken to be level.

examples:
  diffmocap export walk.npz --format glb
  diffmocap export walk.npz --format bvh glb csv --out exported/
  diffmocap export walk.npz --format fbx --for unreal
  diffmocap export walk.npz --format film --video walk.mp4
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffmocap.cli.motions.motion_file import add_motion_options, called, require_motion_file
from diffmocap.errors import DiffmocapError, SettingsError

SUMMARY = "a motion as BVH, glTF, FBX, USD, CSV or OpenSim's files"
#: A film that browsers play; the command line draws it, all other formats are written by diffmocap.motion.export.
FILM, FILM_SUFFIX = "film", ".webm"
FORMATS = ("bvh", "glb", "fbx", "usd", "csv", "trc", "mot", "grf")
TOOLS = ("blender", "unity", "unreal", "maya")
#: Options that a file is made by, as the command line and the export name them.
OPTIONS = ("up", "unit", "skeleton", "root_motion", "in_place", "fps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("motion", type=Path, metavar="MOTION.npz", help="motion file")
    parser.add_argument(
        "--format", nargs="+", required=True, metavar="FORMAT", dest="formats",
        help=f"one or more of {', '.join((*FORMATS, FILM))}; a comma between them does as well",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="PATH",
        help="the file, or a folder for several formats (default: beside MOTION.npz, same name)",
    )  # fmt: skip
    parser.add_argument("--for", choices=TOOLS, dest="tool", help="set the options that this tool expects")
    parser.add_argument("--up", choices=("y", "z"), help="axis that points up (default: y)")
    parser.add_argument("--unit", choices=("m", "cm", "mm"), help="unit of lengths (default: m; trc: mm; fbx: cm)")
    parser.add_argument(
        "--skeleton", choices=("smpl", "mixamo", "metahuman", "vrm"), help="naming of the joints (default: smpl)"
    )
    parser.add_argument(
        "--root-motion", choices=("hips", "bone"),
        help="what moves through the room; hips: the pelvis; bone: a bone named root on the floor "
        "(default: hips)",
    )  # fmt: skip
    parser.add_argument(
        "--in-place", action="store_true", default=None, help="leave out horizontal travel; heights and turns stay"
    )
    parser.add_argument("--fps", type=float, metavar="N", help="frames a second (default: the motion's)")
    parser.add_argument(
        "--video", metavar="VIDEO", help="for a film: the video of the same motion, to be shown beside it"
    )
    add_motion_options(parser)
    parser.add_argument(
        "--blender", metavar="PATH",
        help="Blender, or a Python with the module bpy, for fbx (default: $DIFFMOCAP_BLENDER, else what is found)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Reads the motion and writes each format; says what was written."""
    known = (*FORMATS, FILM)
    chosen = chosen_formats(args.formats, known)
    if not chosen:
        raise SettingsError(f"--format is empty; expected one or more of {', '.join(known)}")
    names = [name for name in chosen if name != FILM]
    if args.video is not None and FILM not in chosen:
        raise SettingsError("--video is shown beside a film; give --format film, too")
    asked = {name: value for name in OPTIONS if (value := getattr(args, name)) is not None}
    if asked and not names:
        option = f"--{next(iter(asked)).replace('_', '-')}"
        raise SettingsError(f"{option} is of the other formats; a film shows the motion as it is, at up to 30 Hz")
    require_motion_file(args.motion)

    from tqdm import tqdm

    from diffmocap.body.model import BodyModel
    from diffmocap.motion.export import formats
    from diffmocap.motion.export.fbx import blender_command
    from diffmocap.motion.export.options import PRESETS
    from diffmocap.motion.motion_npz import read_motion
    from diffmocap.reconstruct.ground_forces import ground_forces

    preset = PRESETS[args.tool] if args.tool else None
    # All that can be wrong with the options is said before a file is written.
    options = {name: formats.options_for(name, preset, asked) for name in names}
    suffixes = {name: formats.FORMATS[name].suffix for name in names} | ({FILM: FILM_SUFFIX} if FILM in chosen else {})
    source = called(args.motion, args.clip)
    paths = {name: path_of(source, args.out, suffix, len(chosen)) for name, suffix in suffixes.items()}
    if "fbx" in names:
        blender_command(args.blender)
    body = BodyModel.load(args.body_model)
    motion = read_motion(args.motion, body, args.clip)
    print(
        f"{args.motion}: {len(motion)} frames at {motion.fps:g} a second, {motion.duration_s:.1f} s, "
        f"frame {motion.frame}", file=sys.stderr,
    )  # fmt: skip
    failed: dict[str, DiffmocapError] = {}
    with tqdm(total=len(names), unit="file", file=sys.stderr, disable=len(names) <= 1, dynamic_ncols=True) as bar:
        for name in names:
            bar.set_description(name)
            with _collected(failed, name, alone=len(chosen) == 1):
                formats.export_motion(motion, body, paths[name], name, options[name], args.blender, ground_forces)
            bar.update()
    if FILM in chosen:
        from diffmocap.cli.drawing.motion_film import write_motion_film
        from diffmocap.cli.motions.view import pictures_of

        with _collected(failed, FILM, alone=len(chosen) == 1):
            pictures = None if args.video is None else pictures_of(args.video, motion)
            write_motion_film(paths[FILM], motion, body, pictures)
            print(f"{paths[FILM]}  {paths[FILM].stat().st_size / 1e6:.2f} MB")
    for name in names:
        if name not in failed:
            print(f"{paths[name]}  {paths[name].stat().st_size / 1e6:.2f} MB  {described(name, options[name])}")
    for name, error in failed.items():
        print(f"diffmocap export: error: {paths[name]} was not made: {error}", file=sys.stderr)
    return 1 if failed else 0


@contextmanager
def _collected(failed: dict[str, DiffmocapError], name: str, alone: bool) -> Iterator[None]:
    """Keeps why a format was not made, so that the others are; of one that is asked for alone it is the command's."""
    try:
        yield
    except DiffmocapError as error:
        if alone:
            raise
        failed[name] = error


def chosen_formats(words: list[str], known: tuple[str, ...] = FORMATS) -> list[str]:
    """Names of formats in the order given, each once; ``known``: those that there are.

    Raises:
        SettingsError: one is unknown.
    """
    names = [name for word in words for name in word.lower().replace(",", " ").split()]
    if unknown := [name for name in names if name not in known]:
        if unknown[0] == "npz":
            raise SettingsError("--format npz is not needed: the motion file itself is the .npz")
        raise SettingsError(f"--format {unknown[0]} is unknown; expected one or more of {', '.join(known)}")
    return list(dict.fromkeys(names))


def path_of(motion: Path, out: Path | None, suffix: str, count: int) -> Path:
    """Where a format's file goes.

    Raises:
        SettingsError: ``out`` is one file's name, and there are several formats or another suffix.
    """
    if out is None:
        return motion.with_suffix(suffix)
    if out.is_dir() or not out.suffix:
        return out / f"{motion.stem}{suffix}"
    if count > 1:
        raise SettingsError(f"--out {out} names one file, and {count} formats are asked for; name a folder")
    if not out.name.lower().endswith(suffix) and not (suffix == ".usd" and out.suffix.lower() in (".usda", ".usdc")):
        raise SettingsError(f"--out {out} ends in {out.suffix}, and the format's files end in {suffix}")
    return out


def described(name: str, options) -> str:
    """The options that a file was written with."""
    from diffmocap.motion.export.formats import FORMATS as KNOWN

    words = [f"{options.up} up, {options.unit}"]
    if "skeleton" not in KNOWN[name].ignores:
        words.append(f"{options.skeleton} names")
        if options.root_motion == "bone":
            words.append("root bone")
    if options.in_place:
        words.append("in place")
    if options.fps is not None:
        words.append(f"{options.fps:g} frames a second")
    return ", ".join(words)
