"""Runs inside Blender: draws frames of an exported motion with Cycles on the CPU.

    python blender_picture.py -- FILE FPS OUT FRAME [FRAME ...]

Writes ``OUT-<frame>.png`` for each share FRAME (0 to 1) of the motion. A file without a mesh is drawn as sticks along
its bones.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import bpy
from mathutils import Vector

sys.path.insert(0, str(Path(__file__).resolve().parent))
from blender_joints import frames_of, load  # noqa: E402  # there is no package inside Blender

SIZE, SAMPLES = 420, 16


def main(path: str, fps: float, out: str, shares: list[float]) -> None:
    armature = load(path, fps)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", SAMPLES
    scene.cycles.use_denoising = False
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0.75, 0.82, 0.9, 1.0)
    scene.view_settings.view_transform = "Standard"
    bpy.ops.mesh.primitive_plane_add(size=30.0)
    paint(bpy.context.object, (0.35, 0.37, 0.4, 1.0))
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 3.0, (math.radians(40), 0.0, math.radians(30))
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    for thing in (sun, camera):
        scene.collection.objects.link(thing)
    scene.camera = camera
    skinned = any(o.type == "MESH" and o.find_armature() for o in bpy.data.objects)
    frames = frames_of(armature)
    for share in shares:
        frame = frames[round(share * (len(frames) - 1))]
        scene.frame_set(frame)
        hips = armature.matrix_world @ armature.pose.bones[0].head
        centre = Vector((hips.x, hips.y, 0.9))
        camera.location = centre + Vector((1.1, -3.1, 0.7))
        camera.rotation_euler = (centre - camera.location).to_track_quat("-Z", "Y").to_euler()
        sticks = [] if skinned else draw_sticks(armature)
        scene.render.filepath = f"{out}-{frame}.png"
        bpy.ops.render.render(write_still=True)
        for stick in sticks:
            bpy.data.objects.remove(stick)


def paint(thing: bpy.types.Object, colour: tuple[float, float, float, float]) -> None:
    """Gives an object one matt colour."""
    material = bpy.data.materials.new("matt")
    material.use_nodes = True
    surface = material.node_tree.nodes["Principled BSDF"].inputs
    surface["Base Color"].default_value, surface["Roughness"].default_value = colour, 0.9
    thing.data.materials.append(material)


def draw_sticks(armature: bpy.types.Object) -> list[bpy.types.Object]:
    """A cylinder from the head of each bone to its tail."""
    sticks = []
    for bone in armature.pose.bones:
        head, tail = armature.matrix_world @ bone.head, armature.matrix_world @ bone.tail
        along = tail - head
        if along.length > 1e-4:
            bpy.ops.mesh.primitive_cylinder_add(
                radius=0.018, depth=along.length, location=(head + tail) / 2,
                rotation=along.to_track_quat("Z", "Y").to_euler(),
            )  # fmt: skip
            paint(bpy.context.object, (0.9, 0.25, 0.03, 1.0))
            sticks.append(bpy.context.object)
    return sticks


if __name__ == "__main__":
    path_, fps_, out_, *shares_ = sys.argv[sys.argv.index("--") + 1 :]
    main(path_, float(fps_), out_, [float(share) for share in shares_])
