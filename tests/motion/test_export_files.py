"""Exported files, read back by code of their own: SciPy's rotations and what each format's definition says."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, rotations_from_angles
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.motion.export.formats import export_motion, options_for
from diffmocap.motion.export.options import PRESETS
from tests.motion.motions import lively_motion, with_everything

BODY = BodyModel.load()
MOTION = with_everything(lively_motion(frame="y_up"))
JOINTS = MOTION.joints(BODY).double().numpy()


def exported(tmp_path: Path, name: str, tool: str | None = None, **asked) -> Path:
    path = tmp_path / f"turn.{name}"
    export_motion(MOTION, BODY, path, name, options_for(name, PRESETS[tool] if tool else None, asked))
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "nothing half-written stays"
    return path


# --- BVH --------------------------------------------------------------------------------------------------------


def read_bvh(path: Path) -> tuple[list[str], np.ndarray, float]:
    """Names, [T, J, 3] joints and the time of a frame, by BVH's definition."""
    head, _, motion = path.read_text().partition("MOTION\n")
    names, parents, offsets, channels, open_joints = [], [], [], [], []
    for line in head.splitlines()[1:]:
        words = line.split()
        if words[0] in ("ROOT", "JOINT"):
            parents.append(open_joints[-1] if open_joints else -1)
            open_joints.append(len(names))
            names.append(words[1])
        elif words[0] == "End":
            open_joints.append(-2)
        elif words[0] == "OFFSET" and open_joints[-1] >= 0:
            offsets.append([float(word) for word in words[1:]])
        elif words[0] == "CHANNELS":
            assert int(words[1]) == len(words[2:])
            channels.append(words[2:])
        elif words[0] == "}":
            open_joints.pop()
    frames, time = re.match(r"Frames: (\d+)\nFrame Time: ([0-9.]+)\n", motion).groups()
    table = np.loadtxt(io.StringIO(motion.split("\n", 2)[2]), ndmin=2)
    assert table.shape == (int(frames), sum(map(len, channels))) and not open_joints
    places, turns, column = np.zeros((len(table), len(names), 3)), [], 0
    for j, own in enumerate(channels):
        values = dict(zip(own, table[:, column : column + len(own)].T))
        column += len(own)
        order = "".join(name[0] for name in own if name.endswith("rotation"))
        turn = Rotation.from_euler(order, np.stack([values[f"{a}rotation"] for a in order], 1), degrees=True)
        place = np.tile(offsets[j], (len(table), 1))
        for k, axis in enumerate("XYZ"):
            place[:, k] += values.get(f"{axis}position", 0.0)
        above = parents[j]
        places[:, j] = place if above < 0 else places[:, above] + turns[above].apply(place)
        turns.append(turn if above < 0 else turns[above] * turn)
    return names, places, float(time)


def test_bvh_has_the_joints_at_its_times(tmp_path) -> None:
    names, joints, time = read_bvh(exported(tmp_path, "bvh"))
    assert sorted(names) == sorted(JOINT_NAMES) and time == pytest.approx(1 / 30.0)
    np.testing.assert_allclose(joints[:, [names.index(name) for name in JOINT_NAMES]], JOINTS, atol=1e-5)


def test_bvh_of_unreal_is_in_centimetres_with_z_up_and_a_root_bone(tmp_path) -> None:
    names, joints, _ = read_bvh(exported(tmp_path, "bvh", "unreal"))
    assert names[:3] == ["root", "pelvis", "thigh_l"]
    np.testing.assert_allclose(joints[:, 1, 2], 100 * JOINTS[:, 0, 1], atol=1e-3)
    np.testing.assert_allclose(joints[:, 1, 1], -100 * JOINTS[:, 0, 2], atol=1e-3)
    np.testing.assert_allclose(joints[:, names.index("hand_r"), 0], 100 * JOINTS[:, 21, 0], atol=1e-3)


def test_bvh_angles_do_not_jump_by_whole_turns(tmp_path) -> None:
    path = exported(tmp_path, "bvh")
    table = np.loadtxt(io.StringIO(path.read_text().partition("MOTION\n")[2].split("\n", 2)[2]))
    assert np.abs(np.diff(table[:, 3:], axis=0)).max() <= 180.0


# --- glTF -------------------------------------------------------------------------------------------------------


def read_glb(path: Path):
    """The parsed file, and a function that gives an accessor's array."""
    import pygltflib

    content = pygltflib.GLTF2().load_binary(str(path))
    blob = content.binary_blob()
    types = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
    widths = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}

    def array(index: int) -> np.ndarray:
        accessor = content.accessors[index]
        view = content.bufferViews[accessor.bufferView]
        width = widths[accessor.type]
        values = np.frombuffer(blob, types[accessor.componentType], accessor.count * width, view.byteOffset)
        return values.reshape(accessor.count, width)

    return content, array


def pose_glb(content, array) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Places [T, 3] of the joints by name, and [T, J, 4, 4] skinning matrices, by glTF's definition."""
    curves = {}
    (animation,) = content.animations
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        curves[channel.target.node, channel.target.path] = array(sampler.output)
    frames = len(array(animation.samplers[0].input))
    (skin,) = content.skins
    above = {child: j for j, node in enumerate(content.nodes) for child in node.children or []}
    world: dict[int, np.ndarray] = {}
    for j in skin.joints:
        node = content.nodes[j]
        local = np.tile(np.eye(4), (frames, 1, 1))
        if (j, "rotation") in curves:
            local[:, :3, :3] = Rotation.from_quat(curves[j, "rotation"]).as_matrix()
        local[:, :3, 3] = curves.get((j, "translation"), np.array(node.translation))
        world[j] = world[above[j]] @ local if j in above else local
    bind = array(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1).astype(float)
    matrices = np.stack([world[j] @ bind[k] for k, j in enumerate(skin.joints)], 1)
    return {content.nodes[j].name: world[j][:, :3, 3] for j in skin.joints}, matrices


@pytest.mark.parametrize("tool", [None, "unity", "unreal"])
def test_glb_has_the_joints_and_the_skin(tool, tmp_path) -> None:
    from diffmocap.motion.export.joint_names import SKELETONS

    content, array = read_glb(exported(tmp_path, "glb", tool))
    places, matrices = pose_glb(content, array)
    names = SKELETONS[PRESETS[tool].skeleton if tool else "smpl"]
    np.testing.assert_allclose(np.stack([places[name] for name in names], 1), JOINTS, atol=2e-6)

    times = array(content.animations[0].samplers[0].input)[:, 0]
    np.testing.assert_allclose(times, np.arange(len(MOTION)) / 30.0, atol=1e-6)
    (primitive,) = content.meshes[0].primitives
    vertices = array(primitive.attributes.POSITION).astype(float)
    weights, joints = array(primitive.attributes.WEIGHTS_0), array(primitive.attributes.JOINTS_0)
    np.testing.assert_array_equal(array(primitive.indices).reshape(-1, 3), BODY.faces.numpy())
    chosen = [0, 7]
    blended = np.einsum("vk,tvkab->tvab", weights, matrices[chosen][:, joints])
    homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], 1)
    skin = np.einsum("tvab,vb->tva", blended, homogeneous)[..., :3]
    truth = BODY.vertices(MOTION.rotations[chosen], MOTION.pelvis[chosen], MOTION.betas[None]).numpy()
    distance = np.linalg.norm(skin - truth, axis=-1)
    assert np.median(distance) < 1e-5 and distance.mean() < 5e-4, "but for vertices that follow more than four joints"


def test_quaternions_take_the_short_way(tmp_path) -> None:
    content, array = read_glb(exported(tmp_path, "glb"))
    for channel in content.animations[0].channels:
        if channel.target.path == "rotation":
            turns = array(content.animations[0].samplers[channel.sampler].output)
            assert (turns[1:] * turns[:-1]).sum(1).min() > 0
            np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1.0, atol=1e-6)


# --- Tables -----------------------------------------------------------------------------------------------------


def test_csv_has_joints_turns_and_what_was_seen(tmp_path) -> None:
    path = exported(tmp_path, "csv", unit="cm")
    table = np.genfromtxt(path, delimiter=",", names=True)
    assert table.dtype.names[:4] == ("frame", "time_s", "tracked", "pelvis_x_cm") and len(table) == len(MOTION)
    np.testing.assert_array_equal(table["tracked"], MOTION.tracked.numpy())
    np.testing.assert_allclose(table["time_s"], np.arange(len(MOTION)) / 30.0, atol=1e-6)
    for joint, name in enumerate(JOINT_NAMES):
        places = np.stack([table[f"{name}_{a}_cm"] for a in "xyz"], 1)
        np.testing.assert_allclose(places, 100 * JOINTS[:, joint], atol=1e-3)
        turn = Rotation.from_quat(np.stack([table[f"{name}_q{p}"] for p in "xyzw"], 1)).as_matrix()
        np.testing.assert_allclose(turn, MOTION.rotations[:, joint], atol=1e-5)


def test_trc_has_markers_in_opensims_axes(tmp_path) -> None:
    lines = exported(tmp_path, "trc").read_text().split("\n")
    assert lines[0].split("\t") == ["PathFileType", "4", "(X/Y/Z)", "turn.trc"]
    assert lines[2].split("\t") == ["30", "30", "20", "35", "mm", "30", "1", "20"]
    labels = lines[3].split("\t")
    assert lines[5] == "" and len(lines[6].split("\t")) == 2 + 3 * 35 == len(lines[4].split("\t"))
    rows = np.array([[float(value) for value in line.split("\t")] for line in lines[6:-1]])
    hand = rows[:, labels.index("right_hand") :][:, :3]
    x, y, z = JOINTS[:, 23].T * 1000
    np.testing.assert_allclose(hand, np.stack([z, y, -x], 1), atol=1e-2)
    heel = rows[:, labels.index("LHeel") :][:, :3]
    keypoints = 1000 * BODY.keypoints(MOTION.rotations, MOTION.pelvis, MOTION.betas[None]).numpy()
    np.testing.assert_allclose(heel[:, 1], keypoints[:, 21, 1], atol=1e-2)


def test_mot_holds_the_whole_pose(tmp_path) -> None:
    head, _, table = exported(tmp_path, "mot").read_text().partition("endheader\n")
    assert "nRows=20\nnColumns=76\ninDegrees=yes" in head and head.startswith("turn\nversion=1\n")
    names = table.split("\n", 1)[0].split("\t")
    rows = dict(zip(names, np.loadtxt(io.StringIO(table), skiprows=1).T))
    angles = torch.from_numpy(np.radians(np.stack([rows[name] for name in JOINT_ANGLE_NAMES], 1)))
    np.testing.assert_allclose(rotations_from_angles(angles), MOTION.rotations[:, 1:], atol=1e-5)
    # OpenSim: x forward, y up, z right, so that the body's left is -z.
    turn = Rotation.from_euler("ZXY", np.stack([rows[f"pelvis_{n}"] for n in ("tilt", "list", "rotation")], 1), True)
    left, up = turn.apply([0.0, 0.0, -1.0]), turn.apply([0.0, 1.0, 0.0])
    np.testing.assert_allclose(left[:, 1], MOTION.rotations[:, 0, 1, 0], atol=1e-5)
    np.testing.assert_allclose(left[:, 0], MOTION.rotations[:, 0, 2, 0], atol=1e-5)
    np.testing.assert_allclose(up[:, 2], -MOTION.rotations[:, 0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(rows["pelvis_tz"], -JOINTS[:, 0, 0], atol=1e-5)
