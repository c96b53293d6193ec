"""USD with UsdSkel: the skinned body, its skeleton and an animation on one stage, by Pixar's package ``usd-core``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from diffmocap.errors import MotionFileError, SetupError
from diffmocap.motion.export.animated_skeleton import INFLUENCES, AnimatedSkeleton, Skin
from diffmocap.motion.export.gltf import continuous_quaternions

_COLOUR = (0.56, 0.36, 0.27)


def write_usd(path: Path, skeleton: AnimatedSkeleton, skin: Skin, up: str, unit_m: float) -> None:
    """Writes the file, binary (``.usdc``) or text (``.usda``) as its suffix says; ``.usd`` is binary.

    Args:
        path: of the file.
        skeleton: what moves; skin: bound to it.
        up: axis of the file that points up.
        unit_m: the file's unit [m].

    Raises:
        SetupError: the package usd-core is not installed. MotionFileError: the file cannot be written.
    """
    try:
        from pxr import Gf, Tf, Usd, UsdGeom, UsdSkel, Vt
    except ModuleNotFoundError as error:
        raise SetupError("writing USD needs the package usd-core: run `pip install usd-core`") from error

    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y if up == "y" else UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, unit_m)
    stage.SetTimeCodesPerSecond(skeleton.fps)
    stage.SetFramesPerSecond(skeleton.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(skeleton) - 1)
    root = UsdSkel.Root.Define(stage, "/body")
    stage.SetDefaultPrim(root.GetPrim())

    joints = joint_paths(skeleton)
    rig = UsdSkel.Skeleton.Define(stage, "/body/skeleton")
    rig.CreateJointsAttr(joints)
    rig.CreateBindTransformsAttr(Vt.Matrix4dArray([_moved(Gf, place) for place in skeleton.rest]))
    rig.CreateRestTransformsAttr(Vt.Matrix4dArray([_moved(Gf, offset) for offset in skeleton.offsets()]))

    animation = UsdSkel.Animation.Define(stage, "/body/skeleton/animation")
    animation.CreateJointsAttr(joints)
    turns, ways, scales = (
        animation.CreateRotationsAttr(), animation.CreateTranslationsAttr(), animation.CreateScalesAttr()
    )  # fmt: skip
    scales.Set(Vt.Vec3hArray.FromNumpy(np.ones((len(joints), 3), np.float16)))
    quaternions = continuous_quaternions(skeleton.rotations).astype(np.float32)
    translations = skeleton.translations.astype(np.float32)
    for frame in range(len(skeleton)):
        turns.Set(Vt.QuatfArray([Gf.Quatf(float(w), float(x), float(y), float(z))
                                 for x, y, z, w in quaternions[frame]]), frame)  # fmt: skip
        ways.Set(Vt.Vec3fArray.FromNumpy(translations[frame]), frame)
    UsdSkel.BindingAPI.Apply(rig.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])

    mesh = UsdGeom.Mesh.Define(stage, "/body/mesh")
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(skin.vertices))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(skin.normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(skin.faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(skin.faces.reshape(-1).astype(np.int32)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([skin.vertices.min(0), skin.vertices.max(0)])))
    mesh.CreateDisplayColorAttr([Gf.Vec3f(*_COLOUR)])
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([rig.GetPath()])
    binding.CreateJointIndicesPrimvar(False, INFLUENCES).Set(
        Vt.IntArray.FromNumpy(skin.joints.reshape(-1).astype(np.int32))
    )
    binding.CreateJointWeightsPrimvar(False, INFLUENCES).Set(Vt.FloatArray.FromNumpy(skin.weights.reshape(-1)))
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    try:
        stage.GetRootLayer().Save()
    except Tf.ErrorException as error:
        raise MotionFileError(f"USD could not write {path.name}: check that its folder has free space") from error


def joint_paths(skeleton: AnimatedSkeleton) -> list[str]:
    """USD's names: the path of joints down to each, of letters, digits and underscores."""
    paths: list[str] = []
    for name, parent in zip(skeleton.names, skeleton.parents):
        plain = re.sub(r"\W", "_", name)
        paths.append(plain if parent < 0 else f"{paths[parent]}/{plain}")
    return paths


def _moved(Gf, place: np.ndarray):
    return Gf.Matrix4d(1.0).SetTranslate(Gf.Vec3d(*place.tolist()))
