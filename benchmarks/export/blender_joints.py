"""Runs inside Blender: opens an exported motion as a user would and says where the joints are.

    python blender_joints.py -- FILE FPS OUT.json       # or blender --background --python blender_joints.py -- ...

OUT.json holds ``names`` and ``joints`` [T][J][3]: the heads of the armature's bones in Blender's world (z up, metres),
at every frame of the file. Importers are left at their own settings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy


def load(path: str, fps: float) -> bpy.types.Object:
    """An empty scene with the file in it; returns its armature."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = max(1, round(fps))
    scene.render.fps_base = scene.render.fps / fps
    suffix = Path(path).suffix.lower()
    if suffix == ".bvh":
        bpy.ops.import_anim.bvh(filepath=path, update_scene_fps=True, update_scene_duration=True)
    elif suffix == ".glb":
        bpy.ops.import_scene.gltf(filepath=path)
    elif suffix == ".fbx":
        bpy.ops.import_scene.fbx(filepath=path)
    else:
        bpy.ops.wm.usd_import(filepath=path)
    (armature,) = [o for o in bpy.data.objects if o.type == "ARMATURE"]
    return armature


def frames_of(armature: bpy.types.Object) -> range:
    """Whole frames from the first key to the last."""
    first, last = armature.animation_data.action.frame_range
    return range(round(first), round(last) + 1)


def main(path: str, fps: float, out: str) -> None:
    armature = load(path, fps)
    frames = frames_of(armature)
    for mesh in [o for o in bpy.data.objects if o.type == "MESH"]:
        bpy.data.objects.remove(mesh)  # bones alone are asked for
    joints = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        world = armature.matrix_world
        joints.append([list(world @ bone.head) for bone in armature.pose.bones])
    scene = bpy.context.scene
    told = {
        "names": [bone.name for bone in armature.pose.bones],
        "joints": joints,
        "fps": scene.render.fps / scene.render.fps_base,
        "blender": bpy.app.version_string,
    }
    Path(out).write_text(json.dumps(told))


if __name__ == "__main__":
    path_, fps_, out_ = sys.argv[sys.argv.index("--") + 1 :]
    main(path_, float(fps_), out_)
