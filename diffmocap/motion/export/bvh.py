"""BVH (Biovision hierarchy): a skeleton and its angles as text, read by every animation tool.

The first joint has six channels and no offset, so that its position is the one in the file whether a reader adds the
offset or not. Angles are in degrees, turned about Z, then X, then Y of the turned axes. A BVH names neither its unit
nor the axis that points up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import roma
import torch

from diffmocap.motion.export.animated_skeleton import AnimatedSkeleton, Skin

_ANGLES = ("Zrotation", "Xrotation", "Yrotation")
_PLACE = ("Xposition", "Yposition", "Zposition")
#: A vertex belongs to the tip of a leaf joint where it follows that joint by more than this.
_OWN_WEIGHT = 0.5
#: Length of a tip that has no skin, as a share of the bone before it.
_TIP_SHARE = 0.5


def write_bvh(path: Path, skeleton: AnimatedSkeleton, skin: Skin) -> None:
    """Writes the file.

    Args:
        path: of the file.
        skeleton: what moves.
        skin: says how far hands, feet and head reach beyond their joints.
    """
    placed = placed_joints(skeleton)
    angles = roma.rotmat_to_euler("ZXY", torch.from_numpy(skeleton.rotations), degrees=True).numpy()
    angles = np.unwrap(angles, period=360.0, axis=0)  # curves without jumps
    order = _depth_first(skeleton.parents)
    columns = [
        part for j in order for part in ((skeleton.translations[:, j],) if j in placed else ()) + (angles[:, j],)
    ]
    with open(path, "w", encoding="ascii", newline="\n") as f:
        f.write("HIERARCHY\n" + "\n".join(_hierarchy(skeleton, tips(skeleton, skin), placed)) + "\n")
        f.write(f"MOTION\nFrames: {len(skeleton)}\nFrame Time: {1.0 / skeleton.fps:.9f}\n")
        np.savetxt(f, np.concatenate(columns, 1), fmt="%.6f")


def placed_joints(skeleton: AnimatedSkeleton) -> tuple[int, ...]:
    """Joints that move in their parent's axes: the root bone, where there is one, and the pelvis."""
    return tuple(range(skeleton.smpl_first + 1))


def tips(skeleton: AnimatedSkeleton, skin: Skin) -> dict[int, np.ndarray]:
    """Where the bone of each joint without children ends, [3] from the joint in the rest pose."""
    found = {}
    for joint in sorted(set(range(len(skeleton.parents))) - set(skeleton.parents)):
        bone = skeleton.rest[joint] - skeleton.rest[skeleton.parents[joint]]
        direction = bone / np.linalg.norm(bone)
        own = ((skin.joints == joint) * skin.weights).sum(1) > _OWN_WEIGHT
        reach = ((skin.vertices[own] - skeleton.rest[joint]) @ direction).max(initial=0.0)
        found[joint] = direction * max(float(reach), _TIP_SHARE * float(np.linalg.norm(bone)))
    return found


def _depth_first(parents: tuple[int, ...]) -> list[int]:
    """Joints in the order in which the hierarchy, and so each line of the motion, has them."""
    order: list[int] = []
    waiting = [0]
    while waiting:
        joint = waiting.pop()
        order.append(joint)
        waiting += reversed([child for child, parent in enumerate(parents) if parent == joint])
    return order


def _hierarchy(skeleton: AnimatedSkeleton, ends: dict[int, np.ndarray], placed: tuple[int, ...]) -> list[str]:
    offsets = skeleton.offsets()

    def lines(joint: int, indent: str) -> list[str]:
        channels = (_PLACE if joint in placed else ()) + _ANGLES
        offset = np.zeros(3) if joint in placed else offsets[joint]
        inside = [_offset(offset), f"CHANNELS {len(channels)} {' '.join(channels)}"]
        if joint in ends:
            inside += ["End Site", "{", f"\t{_offset(ends[joint])}", "}"]
        body = [f"{indent}\t{line}" for line in inside]
        for child, parent in enumerate(skeleton.parents):
            if parent == joint:
                body += lines(child, indent + "\t")
        kind = "JOINT" if joint else "ROOT"
        return [f"{indent}{kind} {skeleton.names[joint]}", f"{indent}{{", *body, f"{indent}}}"]

    return lines(0, "")


def _offset(place: np.ndarray) -> str:
    return "OFFSET " + " ".join(f"{value:.6f}" for value in place)
