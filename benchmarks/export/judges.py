"""Where foreign programs find the joints of an exported file, and what they find wrong with it.

Each judge is optional; one that is not installed raises :class:`NotInstalled`, whose words say how to get it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffmocap.errors import SetupError
from diffmocap.motion.export.fbx import VARIABLE, blender_command

HERE = Path(__file__).resolve().parent
#: [3, 3] takes vectors of Blender's world (z up) into axes with y up.
Y_UP_FROM_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
#: Folder that `npm install gltf-validator` was run in.
VALIDATOR_VARIABLE = "DIFFMOCAP_GLTF_VALIDATOR"
_VALIDATE = """
const validator = require(process.argv[1]), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2]))).then(
  report => console.log(JSON.stringify(report)), error => { console.error(String(error)); process.exit(1); });
"""


class NotInstalled(Exception):
    """A judge is not there; the message says how to get it."""


def blender() -> list[str]:
    """How to start Blender with a script.

    Raises:
        NotInstalled: there is none.
    """
    try:
        return blender_command()
    except SetupError as error:
        raise NotInstalled(
            f'Blender was not found: make a Python 3.11 environment with `pip install "bpy<5"` and set {VARIABLE} to '
            "its python, or to an installed Blender"
        ) from error


def run_in_blender(script: str, *arguments: str) -> None:
    """Runs one of this folder's scripts inside Blender."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    told = subprocess.run(
        [*blender(), str(HERE / script), "--", *arguments], capture_output=True, text=True, env=environment,
    )  # fmt: skip
    if told.returncode:
        raise RuntimeError(f"Blender failed:\n{told.stdout[-2000:]}\n{told.stderr[-2000:]}")


def joints_in_blender(path: Path, names: Sequence[str], fps: float) -> np.ndarray:
    """[T, J, 3] joints of these names in a .bvh, .glb, .fbx or .usd that Blender imported, y up [m]."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "joints.json"
        run_in_blender("blender_joints.py", str(path.resolve()), repr(fps), str(out))
        told = json.loads(out.read_text())
    if abs(told["fps"] - fps) > 1e-3:
        raise RuntimeError(f"Blender takes {path} to have {told['fps']} frames a second, not {fps}")
    order = [told["names"].index(name) for name in names]
    return np.array(told["joints"])[:, order] @ Y_UP_FROM_BLENDER.T


def joints_in_bvhio(path: Path, names: Sequence[str]) -> np.ndarray:
    """[T, J, 3] joints of these names in a .bvh, as bvhio poses it, in the file's axes and unit."""
    try:
        import bvhio
    except ModuleNotFoundError as error:
        raise NotInstalled("bvhio is not installed: pip install -r requirements/export.txt") from error
    frames = bvhio.readAsBvh(str(path)).FrameCount
    root = bvhio.readAsHierarchy(str(path))
    joints = {joint.Name: joint for joint, _, _ in root.layout()}
    found = np.empty((frames, len(names), 3))
    for frame in range(frames):
        root.loadPose(frame)
        found[frame] = [tuple(joints[name].PositionWorld) for name in names]
    return found


def joints_in_usd(path: Path, names: Sequence[str]) -> np.ndarray:
    """[T, J, 3] joints of these names in a USD file, as UsdSkel poses it, in the file's axes and unit."""
    try:
        from pxr import Usd, UsdSkel
    except ModuleNotFoundError as error:
        raise NotInstalled("usd-core is not installed: pip install -r requirements/export.txt") from error
    stage = Usd.Stage.Open(str(path))
    cache = UsdSkel.Cache()
    root = UsdSkel.Root(stage.GetDefaultPrim())
    cache.Populate(root, Usd.PrimDefaultPredicate)
    (rig,) = [UsdSkel.Skeleton(prim) for prim in stage.Traverse() if prim.IsA(UsdSkel.Skeleton)]
    query = cache.GetSkelQuery(rig)
    leaves = [str(joint).rpartition("/")[2] for joint in query.GetJointOrder()]
    order = [leaves.index(name) for name in names]
    found = []
    for frame in range(int(stage.GetStartTimeCode()), int(stage.GetEndTimeCode()) + 1):
        transforms = query.ComputeJointSkelTransforms(Usd.TimeCode(frame))
        found.append([tuple(transforms[j].ExtractTranslation()) for j in order])
    return np.array(found)


def problems_in_usd(path: Path) -> list[str]:
    """What Pixar's own checker finds wrong with a USD file."""
    try:
        from pxr import Usd, UsdValidation
    except ModuleNotFoundError as error:
        raise NotInstalled("usd-core is not installed: pip install -r requirements/export.txt") from error
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    errors = UsdValidation.ValidationContext(validators).Validate(Usd.Stage.Open(str(path)))
    return [f"{error.GetName()}: {error.GetMessage()}" for error in errors]


def gltf_issues(path: Path) -> dict:
    """The ``issues`` of Khronos's validator: ``numErrors``, ``numWarnings``, ``numInfos``, ``messages``."""
    node = shutil.which("node")
    folder = os.environ.get(VALIDATOR_VARIABLE, "")
    module = Path(folder, "node_modules", "gltf-validator")
    if node is None or not folder or not module.is_dir():
        raise NotInstalled(
            f"Khronos's validator is not installed: run `npm install gltf-validator` in a folder, and set "
            f"{VALIDATOR_VARIABLE} to that folder"
        )
    told = subprocess.run(
        [node, "-e", _VALIDATE, str(module.resolve()), str(path.resolve())], capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)["issues"]


def joints_in_csv(path: Path, names: Sequence[str], unit: str) -> np.ndarray:
    """[T, J, 3] joints of these names in a .csv."""
    with open(path, encoding="utf-8") as f:
        header = f.readline().strip().split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    return np.stack([table[:, [header.index(f"{name}_{a}_{unit}") for a in "xyz"]] for name in names], 1)


def joints_in_trc(path: Path, names: Sequence[str]) -> np.ndarray:
    """[T, J, 3] markers of these names in a .trc, in its axes and unit."""
    lines = path.read_text().splitlines()
    labels = lines[3].split("\t")
    table = np.array([[float(value) for value in line.split("\t")] for line in lines[6:] if line.strip()])
    columns = [labels.index(name) for name in names]
    return np.stack([table[:, c : c + 3] for c in columns], 1)
