"""Do other tools find the joints of an exported motion where this package has them?

A motion (default: the bundled clip's truth) is exported to every format, each file is opened by the programs it is for,
left at their own settings, and the joints that these find are compared with our kinematics, frame by frame. Khronos's
validator and Pixar's say what is wrong with the glTF and USD files. A judge that is not installed is named and left
out:

    pip install -r requirements/export.txt                       bvhio, usd-core
    DIFFMOCAP_BLENDER=PATH                                       Blender, or a Python with `bpy<5`
    DIFFMOCAP_GLTF_VALIDATOR=FOLDER                              where `npm install gltf-validator` was run

Asked for: below 0.1 mm, and no error and no warning of the validators. ``--json`` has ``import_error_mm`` by format and
judge, ``gltf_errors``, ``gltf_warnings`` and ``usd_problems``.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.export import judges, pictures
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, Page, page_arguments, provenance
from diffmocap.body.model import BodyModel
from diffmocap.motion.export.animated_skeleton import animated_skeleton, file_axes, skin_of
from diffmocap.motion.export.formats import export_motion, options_for
from diffmocap.motion.export.joint_names import SKELETONS
from diffmocap.motion.export.opensim import OPENSIM_FROM_Y_UP
from diffmocap.motion.export.options import PRESETS, UNITS, ExportOptions
from diffmocap.motion.export.prepare import prepared
from diffmocap.motion.motion import Motion
from diffmocap.motion.motion_npz import read_motion, write_motion

#: Each file that is made: format, and the tool whose preset it has.
FILES = (
    ("npz", None), ("bvh", None), ("bvh", "unreal"), ("glb", None), ("glb", "unity"), ("fbx", "unity"),
    ("fbx", "unreal"), ("usd", None), ("usd", "unreal"), ("csv", None), ("trc", None),
)  # fmt: skip
ASKED_MM = 0.1


@dataclass
class Figures:
    """What was found."""

    import_error_mm: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    gltf_errors: int | None = None
    gltf_warnings: int | None = None
    usd_problems: int | None = None


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--motion", type=Path, default=REPOSITORY / "media" / "demo.npz", help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="the first N alone (default: all)")
    parser.add_argument("--no-pictures", action="store_true", help="draw none")
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser)
    body = BodyModel.load()
    motion = read_motion(args.motion, body)
    motion = shortened(motion, args.frames or len(motion))
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        for name, tool in tqdm(FILES, unit="file"):
            judge_file(figures, Path(folder), name, tool, motion, body)
        if not args.no_page:
            page = Page.of_today("export", args.out)
            drawn = None
            if not args.no_pictures:
                drawn = pictures.draw(page.beside(".png"), Path(folder), motion.fps, figures.missing)
            print(page.write(page_lines(args, motion, body, figures, drawn)))
    print("\n".join(table(figures)))
    end_with_json(args, {**vars(figures), "missing": sorted(figures.missing)})


def shortened(motion: Motion, frames: int) -> Motion:
    """The first frames alone."""
    return Motion(motion.fps, motion.rotations[:frames], motion.pelvis[:frames], motion.betas, motion.frame)


def judge_file(
    figures: Figures, folder: Path, name: str, tool: str | None, motion: Motion, body: BodyModel
) -> None:  # fmt: skip
    """Exports one file and lets all judges of its format open it."""
    label = name if tool is None else f"{name} for {tool}"
    path = folder / f"{tool or 'plain'}.{name}"
    if name == "npz":
        write_motion(path, motion, body)
        found = read_motion(path, body).joints(body).double().numpy()
        figures.import_error_mm[f"{label}: read_motion"] = error_mm(found, motion.joints(body).double().numpy())
        figures.import_error_mm[f"{label}: smplx"] = error_mm(smplx_joints(path, body), motion.joints(body).numpy())
        figures.megabytes[label] = path.stat().st_size / 1e6
        return
    options = options_for(name, PRESETS[tool] if tool else None, {})
    start_s = time.process_time()
    try:
        if name == "fbx":
            judges.blender()
        export_motion(motion, body, path, name, options)
    except judges.NotInstalled as reason:
        figures.missing.add(str(reason))
        return
    figures.seconds[label] = time.process_time() - start_s
    figures.megabytes[label] = path.stat().st_size / 1e6
    truth = prepared(motion, body).joints(body).double().numpy()
    for judge, joints in opened(figures, path, name, options, motion.fps):
        figures.import_error_mm[f"{label}: {judge}"] = error_mm(joints, truth)


def opened(figures: Figures, path: Path, name: str, options: ExportOptions, fps: float):
    """Joints [T, 24, 3] with y up [m] by each judge of the file."""
    names = SKELETONS[options.skeleton]
    in_metres = UNITS[options.unit]
    plain = [joint.replace(":", "_") for joint in names]
    axes = file_axes(options.up)
    reads = {
        "bvh": [("bvhio", lambda: judges.joints_in_bvhio(path, names) * in_metres @ axes)],
        "usd": [("UsdSkel", lambda: judges.joints_in_usd(path, plain) * in_metres @ axes)],
        "csv": [("NumPy", lambda: judges.joints_in_csv(path, names, options.unit) * in_metres @ axes)],
        "trc": [("NumPy", lambda: judges.joints_in_trc(path, SKELETONS["smpl"]) * in_metres @ OPENSIM_FROM_Y_UP)],
    }.get(name, [])  # fmt: skip
    # Blender's importer of BVH takes the file to be in metres with y up, which a file for Unreal is not.
    if name in ("glb", "fbx", "usd") or (name == "bvh" and (options.up, options.unit) == ("y", "m")):
        reads.append(("Blender", lambda: judges.joints_in_blender(path, plain if name == "usd" else names, fps)))
    for judge, read in reads:
        try:
            yield judge, read()
        except judges.NotInstalled as reason:
            figures.missing.add(str(reason))
    try:
        if name == "glb":
            issues = judges.gltf_issues(path)
            figures.gltf_errors = (figures.gltf_errors or 0) + issues["numErrors"]
            figures.gltf_warnings = (figures.gltf_warnings or 0) + issues["numWarnings"]
        if name == "usd":
            figures.usd_problems = (figures.usd_problems or 0) + len(judges.problems_in_usd(path))
    except judges.NotInstalled as reason:
        figures.missing.add(str(reason))


def smplx_joints(path: Path, body: BodyModel) -> np.ndarray:
    """[T, 24, 3] joints that SMPL's reference implementation makes of a motion file's parameters."""
    import torch

    from tests.body.smplx_layer import smplx_layer

    with np.load(path, allow_pickle=False) as data:
        poses, trans, betas = (torch.from_numpy(data[key]) for key in ("poses", "trans", "betas"))
    layer = smplx_layer(body, len(poses))
    posed = layer(global_orient=poses[:, :3], body_pose=poses[:, 3:], transl=trans, betas=betas.expand(len(poses), -1))
    return posed.joints[:, :24].detach().numpy()


def error_mm(joints: np.ndarray, truth: np.ndarray) -> float:
    """Largest distance of a joint from where it is, over all frames."""
    if joints.shape != truth.shape:
        raise RuntimeError(f"{joints.shape[0]} frames of {joints.shape[1]} joints came back of {truth.shape[:2]}")
    return float(1e3 * np.linalg.norm(joints - truth, axis=-1).max())


def skin_difference_mm(motion: Motion, body: BodyModel, frames: int = 20) -> tuple[float, float]:
    """Mean and largest distance [mm] of the exported skin, four joints per vertex at most, from the body's."""
    ready = prepared(motion, body)
    skeleton = animated_skeleton(ready, body, ExportOptions())
    skin = skin_of(skeleton, ready, body)
    weights = np.zeros(body.skin_weights.shape, np.float32)
    np.add.at(weights, (np.arange(len(weights))[:, None], skin.joints), skin.weights)
    import copy

    import torch

    exported = copy.copy(body)
    exported.skin_weights, exported.pose_dirs = torch.from_numpy(weights), None
    chosen = np.linspace(0, len(ready) - 1, min(frames, len(ready))).round().astype(int)
    pose = (ready.rotations[chosen], ready.pelvis[chosen], ready.betas[None])
    distance = 1e3 * (exported.vertices(*pose) - body.vertices(*pose)).norm(dim=-1)
    return float(distance.mean()), float(distance.max())


def table(figures: Figures) -> list[str]:
    """Markdown rows: file, judge, largest error."""
    rows = ["| file | opened by | largest error of a joint, mm | |", "|---|---|---:|---|"]
    for key, error in figures.import_error_mm.items():
        label, _, judge = key.partition(": ")
        rows.append(f"| {label} | {judge} | {error:.4f} | {'below 0.1' if error < ASKED_MM else '**missed**'} |")
    return rows


def page_lines(args, motion: Motion, body: BodyModel, figures: Figures, drawn: Path | None) -> list[str]:
    mean, most = skin_difference_mm(motion, body)
    shown = args.motion.resolve()
    data = shown.relative_to(REPOSITORY) if shown.is_relative_to(REPOSITORY) else shown.name
    lines = [
        "# Exported motions in other tools", "",
        *provenance("benchmarks.export", f"`{data}`, {len(motion)} frames at {motion.fps:g} a second"), "",
        "Each file is opened by the program named, with its importer's own settings. The error is the largest distance "
        "of a joint there from where our kinematics has it, over all frames and 24 joints. "
        f"Asked for: below {ASKED_MM} mm. FBX is written by Blender, too: there its importer is no independent judge.",
        "",
        *table(figures), "",
    ]  # fmt: skip
    if figures.gltf_errors is not None:
        lines += [f"Khronos's glTF validator: {figures.gltf_errors} errors, {figures.gltf_warnings} warnings.", ""]
    if figures.usd_problems is not None:
        lines += [f"Pixar's USD validators: {figures.usd_problems} problems.", ""]
    lines += [
        f"Skin of glTF, FBX and USD, whose vertices follow four joints at most, against the body's: {mean:.2f} mm in "
        f"the mean, {most:.1f} mm at most over 20 frames.", "",
        "| file | processor time of writing, s | MB |", "|---|---:|---:|",
        *(f"| {label} | {figures.seconds[label]:.1f} | {figures.megabytes[label]:.2f} |" for label in figures.seconds),
        "", "Blender's own time, a process of its own, is not in these.", "",
    ]  # fmt: skip
    if figures.missing:
        lines += ["Left out, as it is not installed:", "", *(f"- {reason}" for reason in sorted(figures.missing)), ""]
    if drawn is not None:
        lines += [
            f"![the clip in Blender]({drawn.name})", "",
            "Above: the `.glb`, below: the `.bvh`, imported into Blender and drawn by its renderer at three times.",
        ]  # fmt: skip
    return lines


if __name__ == "__main__":
    main()
