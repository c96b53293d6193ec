"""FBX, written by Blender in a process of its own: the format is Autodesk's and has no free writer beside Blender's.

Blender is GPL and is never loaded into this process. Any of these serves: an installed Blender, or a Python that has
the module ``bpy`` (``pip install "bpy<5"`` for Python 3.11).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from diffmocap.errors import MotionFileError, SetupError
from diffmocap.motion.export.animated_skeleton import AnimatedSkeleton, Skin
from diffmocap.motion.export.gltf import write_glb

#: Environment variable that names Blender, or a Python with the module bpy.
VARIABLE = "DIFFMOCAP_BLENDER"
SCRIPT = Path(__file__).with_name("blender_fbx.py")
#: Blender needs a few seconds to start, and some for an hour of motion [s].
TIMEOUT_S = 1800.0
_ADVICE = (
    f"install Blender (https://www.blender.org), or name it or a Python that has the module bpy with {VARIABLE}=PATH; "
    "most tools that read FBX also read --format glb, which needs neither"
)


def blender_command(program: str | Path | None = None) -> list[str]:
    """How to start Blender with a script, whose path and arguments are to be added.

    Looked for are ``program``, then the variable ``DIFFMOCAP_BLENDER``, the module ``bpy`` in this Python, and
    ``blender`` on the path.

    Raises:
        SetupError: there is none.
    """
    named = str(program) if program else os.environ.get(VARIABLE, "")
    if named:
        found = shutil.which(os.path.expanduser(named))
        if found is None:
            raise SetupError(f"there is no program {named!r} to write FBX with; {_ADVICE}")
        return [found] if "python" in Path(found).name else _of_blender(found)
    if importlib.util.find_spec("bpy") is not None:
        return [sys.executable]
    if found := shutil.which("blender"):
        return _of_blender(found)
    raise SetupError(f"FBX is written by Blender, which was not found; {_ADVICE}")


def _of_blender(program: str) -> list[str]:
    return [program, "--background", "--factory-startup", "--python-exit-code", "1", "--python"]


def write_fbx(
    path: Path, skeleton: AnimatedSkeleton, skin: Skin, up: str, unit_m: float, name: str, command: list[str]
) -> None:
    """Writes the file.

    Args:
        path: of the file.
        skeleton: what moves, y up (Blender turns it), in the file's unit; skin: bound to it.
        up: axis of the file that points up.
        unit_m: the file's unit [m].
        name: of the animation.
        command: of :func:`blender_command`.

    Raises:
        MotionFileError: Blender failed; the message has what it said.
    """
    with tempfile.TemporaryDirectory(prefix="diffmocap-") as folder:
        source = Path(folder) / f"{name}.glb"
        write_glb(source, skeleton, skin, name)
        arguments = [str(SCRIPT), "--", str(source), str(path.resolve()), repr(skeleton.fps), up, repr(unit_m)]
        # Blender's Python must find its own modules, not those of this one.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        try:
            told = subprocess.run(
                [*command, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, cwd=folder
            )
        except subprocess.TimeoutExpired as error:
            raise MotionFileError(f"Blender did not write {path} within {TIMEOUT_S:.0f} s") from error
    if told.returncode or not path.is_file():
        said = [line for line in (told.stderr + told.stdout).splitlines() if line.strip()]
        raise MotionFileError(f"Blender ({command[0]}) could not write {path}: {' | '.join(said[-3:]) or 'no message'}")
