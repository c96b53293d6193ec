"""The formats that a motion is exported to, and one call that writes any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.files.whole_file import whole_file
from diffmocap.motion.export.animated_skeleton import animated_skeleton, skin_of
from diffmocap.motion.export.bvh import write_bvh
from diffmocap.motion.export.csv_table import write_csv
from diffmocap.motion.export.fbx import blender_command, write_fbx
from diffmocap.motion.export.gltf import write_glb
from diffmocap.motion.export.opensim import GroundForces, write_ground_forces, write_mot, write_trc
from diffmocap.motion.export.options import UNITS, ExportOptions
from diffmocap.motion.export.prepare import prepared
from diffmocap.motion.export.usd import write_usd
from diffmocap.motion.motion import Motion


@dataclass(frozen=True)
class Means:
    """What some formats need beside the motion: Blender, and what computes the forces of the ground."""

    blender: str | None = None
    forces: Callable[[Motion, BodyModel], GroundForces] | None = None


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        suffix: of its files.
        what: it is for, in a few words.
        fixed: options that the format itself decides, with their values.
        fitting: values of options that it takes where nothing else is asked for.
        ignores: options that mean nothing in it.
        write: takes the path, the prepared motion, the body, the options, the name and the means.
        refused: why a motion cannot be written with these options, in words; empty where it can.
    """

    suffix: str
    what: str
    write: Callable[[Path, Motion, BodyModel, ExportOptions, str, Means], None]
    fixed: dict[str, str]
    fitting: dict[str, str]
    ignores: tuple[str, ...] = ()
    refused: Callable[[Motion, ExportOptions], str] = lambda motion, options: ""


def _bvh(path, motion, body, options, name, means) -> None:
    skeleton = animated_skeleton(motion, body, options)
    write_bvh(path, skeleton, skin_of(skeleton, motion, body))


def _glb(path, motion, body, options, name, means) -> None:
    skeleton = animated_skeleton(motion, body, options)
    write_glb(path, skeleton, skin_of(skeleton, motion, body), name)


def _csv(path, motion, body, options, name, means) -> None:
    tracked = None if motion.tracked is None else motion.tracked.numpy()
    write_csv(path, animated_skeleton(motion, body, options), tracked, options.unit)


def _trc(path, motion, body, options, name, means) -> None:
    write_trc(path, motion, body, options.unit, 1.0 / UNITS[options.unit], f"{name}.trc")


def _mot(path, motion, body, options, name, means) -> None:
    write_mot(path, motion, name)


def _grf(path, motion, body, options, name, means) -> None:
    if means.forces is None:
        raise SettingsError("grf needs forces; give `export_motion` what computes them")
    write_ground_forces(path, means.forces(motion, body), motion.fps, name)


def _refused_as_grf(motion: Motion, options: ExportOptions) -> str:
    if options.in_place:
        return "ground forces come from the way through the room; export grf without in_place"
    if options.fps is not None and abs(options.fps - motion.fps) > 1e-6:
        return f"forces follow accelerations, which no other rate keeps; export grf at {motion.fps:g} Hz"
    if motion.frame == "optical":
        return "forces need gravity: the motion is in the camera's frame; reconstruct with --frame world"
    return ""


def _fbx(path, motion, body, options, name, means) -> None:
    command = blender_command(means.blender)
    skeleton = animated_skeleton(motion, body, replace(options, up="y"))
    write_fbx(path, skeleton, skin_of(skeleton, motion, body), options.up, UNITS[options.unit], name, command)


def _usd(path, motion, body, options, name, means) -> None:
    skeleton = animated_skeleton(motion, body, options)
    write_usd(path, skeleton, skin_of(skeleton, motion, body), options.up, UNITS[options.unit])


_OPENSIM = ("skeleton", "root_motion")
FORMATS = {
    "bvh": Format(".bvh", "skeleton and angles, for every animation tool", _bvh, {}, {}),
    "glb": Format(".glb", "skinned body with animation (glTF): Blender, Unity, Godot, web pages", _glb,
                  {"up": "y", "unit": "m"}, {}),
    "csv": Format(".csv", "joint places and turns as a table", _csv, {}, {}),
    "trc": Format(".trc", "joints as OpenSim's markers", _trc, {"up": "y"}, {"unit": "mm"}, _OPENSIM),
    "mot": Format(".mot", "joint angles in degrees, as OpenSim's coordinates", _mot, {"up": "y", "unit": "m"}, {},
                  _OPENSIM),
    "grf": Format(".grf.mot", "forces of the ground on both feet, as OpenSim's external loads", _grf,
                  {"up": "y", "unit": "m"}, {}, _OPENSIM, _refused_as_grf),
    "fbx": Format(".fbx", "skinned body with animation: Unreal, Unity, Maya (needs Blender)", _fbx, {},
                  {"unit": "cm"}),
    "usd": Format(".usd", "skinned body with animation (needs the package usd-core)", _usd, {}, {}),
}  # fmt: skip


def options_for(name: str, preset: ExportOptions | None, asked: dict[str, object]) -> ExportOptions:
    """What holds for one format: what is asked for, before what a tool expects, before what is usual for the format.

    Args:
        name: of the format.
        preset: of a tool, see :data:`~diffmocap.motion.export.options.PRESETS`.
        asked: option -> value that was named by the caller.

    Raises:
        SettingsError: a value is asked for that the format cannot have.
    """
    form = FORMATS[name]
    for option, value in asked.items():
        if option in form.fixed and value != form.fixed[option]:
            raise SettingsError(
                f"{name} always has {option} {form.fixed[option]}, and not {value}; leave --{option} away or export "
                f"{name} by itself"
            )
    base = preset if preset is not None else replace(ExportOptions(), **form.fitting)
    return replace(base, **{**asked, **form.fixed})


def export_motion(
    motion: Motion,
    body: BodyModel,
    path: str | Path,
    name: str,
    options: ExportOptions,
    blender: str | None = None,
    forces: Callable[[Motion, BodyModel], GroundForces] | None = None,
) -> None:
    """Writes one file; a file that stood there before stays until the new one is whole.

    Args:
        motion: in any frame.
        body: the body model that its betas belong to.
        path: of the file.
        name: of the format.
        options: of :func:`options_for`.
        blender: Blender or a Python with bpy, for FBX; None looks for one.
        forces: computes the forces of the ground on a motion with y up, for grf.

    Raises:
        SettingsError: the options leave nothing that makes sense in the format.
        SetupError: what the format needs is not installed.
        MotionFileError: the file could not be made.
        OSError: it cannot be written.
    """
    if why := FORMATS[name].refused(motion, options):
        raise SettingsError(why)
    ready = prepared(motion, body, options.fps, options.in_place)
    with whole_file(path) as partial:
        FORMATS[name].write(partial, ready, body, options, Path(path).stem, Means(blender, forces))
