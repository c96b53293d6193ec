"""Runs inside Blender: reads a glTF file and writes it as FBX.

Started as a process of its own (see :mod:`diffmocap.motion.export.fbx`), with nothing of this package:

    blender --background --factory-startup --python blender_fbx.py -- IN.glb OUT.fbx FPS UP UNIT
    python blender_fbx.py -- IN.glb OUT.fbx FPS UP UNIT            # a Python that has the module bpy

``UNIT`` is the length in metres of one unit in IN.glb, which OUT.fbx has, too.
"""

from __future__ import annotations

import sys

import bpy

#: Blender's names for the axes of a file in which the rest pose looks forward; +x is the subject's left.
_FORWARD = {"y": "-Z", "z": "Y"}


def main(source: str, out: str, fps: float, up: str, unit_m: float) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    # Keys lie on whole frames: Blender has whole rates with a divisor.
    scene.render.fps = max(1, round(fps))
    scene.render.fps_base = scene.render.fps / fps
    # Bones keep the axes that the file has, so that names and angles mean the same in all exported files.
    bpy.ops.import_scene.gltf(filepath=source, bone_heuristic="BLENDER", guess_original_bind_pose=False)
    # Now: the importer would take the unit into account, and IN.glb has it already.
    scene.unit_settings.system = "METRIC"
    scene.unit_settings.scale_length = unit_m
    for stray in [o for o in bpy.data.objects if o.type not in ("ARMATURE", "MESH")]:
        bpy.data.objects.remove(stray)
    for shape in [o for o in bpy.data.objects if o.type == "MESH" and not o.find_armature()]:
        bpy.data.objects.remove(shape)  # what the importer draws bones with
    frames = [int(k.co[0]) for action in bpy.data.actions for curve in action.fcurves for k in curve.keyframe_points]
    scene.frame_start, scene.frame_end = min(frames), max(frames)
    bpy.ops.export_scene.fbx(
        filepath=out,
        object_types={"ARMATURE", "MESH"},
        axis_up=up.upper(),
        axis_forward=_FORWARD[up],
        apply_unit_scale=True,
        # A file in metres says so; one in centimetres has FBX's own unit.
        apply_scale_options="FBX_SCALE_UNITS" if unit_m == 1.0 else "FBX_SCALE_NONE",
        add_leaf_bones=False,
        bake_anim=True,
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,
        bake_anim_force_startend_keying=True,
        bake_anim_simplify_factor=0.0,
        mesh_smooth_type="FACE",
    )


if __name__ == "__main__":
    source_, out_, fps_, up_, unit_ = sys.argv[sys.argv.index("--") + 1 :]
    main(source_, out_, float(fps_), up_, float(unit_))
