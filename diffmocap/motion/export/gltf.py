"""glTF 2.0 in one binary file (``.glb``): the skinned body, its skeleton and one animation.

glTF has y up, metres, seconds and quaternions (x, y, z, w). A joint's inverse bind matrix is its place in the rest
pose, negated: joints are unturned there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import roma
import torch

from diffmocap import __version__
from diffmocap.errors import SetupError
from diffmocap.motion.export.animated_skeleton import AnimatedSkeleton, Skin

_BYTE, _SHORT, _INT, _FLOAT = 5121, 5123, 5125, 5126
_VERTEX_DATA, _INDEX_DATA = 34962, 34963
_COMPONENTS = {np.dtype(np.uint8): _BYTE, np.dtype(np.uint16): _SHORT, np.dtype(np.uint32): _INT,
               np.dtype(np.float32): _FLOAT}  # fmt: skip
#: Colour of the body, linear red, green, blue, alpha; and how rough it is.
_COLOUR, _ROUGHNESS = (0.56, 0.36, 0.27, 1.0), 0.75


def write_glb(path: Path, skeleton: AnimatedSkeleton, skin: Skin, name: str = "motion") -> None:
    """Writes the file.

    Args:
        path: of the file.
        skeleton: what moves; its up axis must be y. Its lengths are written as they are: glTF's are metres.
        skin: bound to it.
        name: of the animation.

    Raises:
        SetupError: the package pygltflib is not installed.
    """
    try:
        import pygltflib as g
    except ModuleNotFoundError as error:
        raise SetupError("writing glTF needs the package pygltflib: run `pip install pygltflib`") from error

    joints = len(skeleton.names)
    data = _Data(g)
    nodes = [
        g.Node(name=joint, translation=offset.astype(np.float32).tolist(),
               children=[c for c, parent in enumerate(skeleton.parents) if parent == j] or None)
        for j, (joint, offset) in enumerate(zip(skeleton.names, skeleton.offsets()))
    ]  # fmt: skip
    nodes.append(g.Node(name="body", mesh=0, skin=0))
    bind = np.tile(np.eye(4, dtype=np.float32), (joints, 1, 1))
    bind[:, 3, :3] = -skeleton.rest  # glTF stores columns one after the other
    index_type = np.uint16 if len(skin.vertices) < 65535 else np.uint32
    primitive = g.Primitive(
        attributes=g.Attributes(
            POSITION=data.add(skin.vertices, "VEC3", _VERTEX_DATA, bounds=True),
            NORMAL=data.add(skin.normals, "VEC3", _VERTEX_DATA),
            JOINTS_0=data.add(skin.joints.astype(np.uint8), "VEC4", _VERTEX_DATA),
            WEIGHTS_0=data.add(skin.weights, "VEC4", _VERTEX_DATA),
        ),
        indices=data.add(skin.faces.reshape(-1).astype(index_type), "SCALAR", _INDEX_DATA),
        material=0,
    )
    material = g.Material(
        name="body", doubleSided=False,
        pbrMetallicRoughness=g.PbrMetallicRoughness(
            baseColorFactor=list(_COLOUR), metallicFactor=0.0, roughnessFactor=_ROUGHNESS
        ),
    )  # fmt: skip
    content = g.GLTF2(
        asset=g.Asset(version="2.0", generator=f"diffmocap {__version__}"),
        scene=0,
        scenes=[g.Scene(name=name, nodes=[0, joints])],
        nodes=nodes,
        meshes=[g.Mesh(name="body", primitives=[primitive])],
        materials=[material],
        skins=[g.Skin(name="skeleton", skeleton=0, joints=list(range(joints)),
                      inverseBindMatrices=data.add(bind.reshape(joints, 16), "MAT4"))],
        animations=[_animation(g, data, skeleton, name)],
    )  # fmt: skip
    content.accessors, content.bufferViews = data.accessors, data.views
    content.buffers = [g.Buffer(byteLength=len(data.bytes))]
    content.set_binary_blob(bytes(data.bytes))
    content.save_binary(str(path))


def _animation(g, data: _Data, skeleton: AnimatedSkeleton, name: str):
    """Turns of every joint that turns, and ways of those that move in their parents."""
    times = data.add((np.arange(len(skeleton)) / skeleton.fps).astype(np.float32), "SCALAR", bounds=True)
    quaternions = continuous_quaternions(skeleton.rotations).astype(np.float32)
    animation = g.Animation(name=name, samplers=[], channels=[])
    for joint in range(len(skeleton.names)):
        curves = []
        if joint >= skeleton.smpl_first:
            curves.append(("rotation", quaternions[:, joint], "VEC4"))
        if joint <= skeleton.smpl_first:
            curves.append(("translation", skeleton.translations[:, joint].astype(np.float32), "VEC3"))
        for what, values, kind in curves:
            target = g.AnimationChannelTarget(node=joint, path=what)
            animation.channels.append(g.AnimationChannel(sampler=len(animation.samplers), target=target))
            output = data.add(np.ascontiguousarray(values), kind)
            animation.samplers.append(g.AnimationSampler(input=times, output=output, interpolation="LINEAR"))
    return animation


def continuous_quaternions(rotations: np.ndarray) -> np.ndarray:
    """[T, J, 4] unit quaternions (x, y, z, w) of [T, J, 3, 3]: of the two that are one turn, the one near the last."""
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(rotations)).numpy()
    against = (quaternions[1:] * quaternions[:-1]).sum(-1, keepdims=True) < 0
    flipped = np.cumsum(np.pad(against, [(1, 0), (0, 0), (0, 0)]), 0) % 2 == 1
    return np.where(flipped, -quaternions, quaternions)


class _Data:
    """The binary part of the file, and the accessors into it."""

    def __init__(self, g) -> None:
        self._g = g
        self.bytes = bytearray()
        self.views: list = []
        self.accessors: list = []

    def add(self, values: np.ndarray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Appends an array, one element a row; returns the index of its accessor."""
        raw = np.ascontiguousarray(values).tobytes()
        self.views.append(self._g.BufferView(buffer=0, byteOffset=len(self.bytes), byteLength=len(raw), target=target))
        self.bytes += raw + b"\0" * (-len(raw) % 4)  # the next one is aligned
        rows = values.reshape(len(values), -1)
        limits = {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()} if bounds else {}
        self.accessors.append(
            self._g.Accessor(bufferView=len(self.views) - 1, componentType=_COMPONENTS[values.dtype],
                             count=len(values), type=kind, **limits)
        )  # fmt: skip
        return len(self.accessors) - 1
