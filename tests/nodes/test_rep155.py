"""A body of REP-155: by the kinematics of its own URDF, its limbs are where the person's are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.errors import RobotError
from diffmocap.nodes.hri.rep155 import SMPL_FROM_LINK, BodyAngles, Proportions, body_id, human_urdf, joint_names
from tests.robots.standing_person import Person

#: As the standard's model names them, in any order.
JOINTS = {
    "waist", "r_head", "y_head", "p_head",
    *(f"{s}_{n}" for s in "lr" for n in ("y_shoulder", "p_shoulder", "r_shoulder", "elbow")),
    *(f"{s}_{n}" for s in "lr" for n in ("y_hip", "p_hip", "r_hip", "knee")),
}  # fmt: skip
PERSON = Person()


def link_frames(urdf: str, angles: dict[str, float]) -> dict[str, np.ndarray]:
    """T_body_link [4, 4] of every link: the chain of the URDF's origins and axes."""
    root = ElementTree.fromstring(urdf)
    joints = {j.find("child").get("link"): j for j in root.findall("joint")}
    found: dict[str, np.ndarray] = {}

    def frame(link: str) -> np.ndarray:
        if link not in joints:
            return np.eye(4)
        if link not in found:
            joint = joints[link]
            step = np.eye(4)
            step[:3, 3] = np.array(joint.find("origin").get("xyz").split(), float)
            if joint.find("axis") is not None:
                axis = np.array(joint.find("axis").get("xyz").split(), float)
                step[:3, :3] = Rotation.from_rotvec(axis * angles[joint.get("name")]).as_matrix()
            found[link] = frame(joint.find("parent").get("link")) @ step
        return found[link]

    return {link: frame(link) for link in joints}


def test_names_are_those_of_the_standard() -> None:
    assert {name.removesuffix("_abcde") for name in joint_names("abcde")} == JOINTS
    root = ElementTree.fromstring(human_urdf("abcde", Proportions.of(PERSON.frame().positions)))
    moving = [j.get("name") for j in root.findall("joint") if j.get("type") == "revolute"]
    assert sorted(moving) == sorted(joint_names("abcde"))
    children = {j.find("child").get("link") for j in root.findall("joint")}
    assert {link.get("name") for link in root.findall("link")} - children == {"body_abcde"}


def test_ids_are_short_letters_and_differ() -> None:
    ids = {body_id(seed, track) for seed in ("/human", "/alice") for track in range(300)}
    assert len(ids) == 600 and all(re.fullmatch("[a-z]{5}", name) for name in ids)
    assert body_id("/human", 3) == body_id("/human", 3)


@pytest.mark.parametrize("seed", range(25))
def test_limbs_are_where_the_persons_are(seed) -> None:
    g = np.random.default_rng(seed)
    turns = {
        "left_shoulder": (g.uniform(-1, 1), g.uniform(-1, 0.5), g.uniform(-1.4, 1.2)),
        "right_shoulder": (g.uniform(-1, 1), g.uniform(-0.5, 1), g.uniform(-1.2, 1.4)),
        "left_elbow": (0.0, g.uniform(-2.0, -0.2), 0.0), "right_elbow": (0.0, g.uniform(0.2, 2.0), 0.0),
        "left_hip": (g.uniform(-1.5, 0.4), g.uniform(-0.4, 0.4), g.uniform(0.0, 0.5)),
        "right_hip": (g.uniform(-1.5, 0.4), g.uniform(-0.4, 0.4), g.uniform(-0.5, 0.0)),
        "left_knee": (g.uniform(0.0, 2.0), 0.0, 0.0), "right_knee": (g.uniform(0.0, 2.0), 0.0, 0.0),
        "spine1": (g.uniform(0.0, 0.4), 0.0, 0.0), "pelvis": tuple(g.uniform(-0.3, 0.3, 3)),
        "neck": tuple(g.uniform(-0.4, 0.4, 3)),
    }  # fmt: skip
    person = PERSON.frame(turns, yaw=g.uniform(-3, 3), place=(1.0, 2.0))
    angles = dict(zip(joint_names("x"), BodyAngles().of(person.positions, person.rotations), strict=True))
    frames = link_frames(human_urdf("x", Proportions.of(person.positions)), angles)
    body = person.rotations[0] @ SMPL_FROM_LINK
    hips = 0.5 * (person.positions[1] + person.positions[2])
    at = {name: (person.positions[n] - hips) @ body for n, name in enumerate(JOINT_NAMES)}
    for side, name in (("l", "left"), ("r", "right")):
        for a, b, link, end in (
            ("shoulder", "elbow", "shoulder", "elbow"), ("elbow", "wrist", "elbow", "wrist"),
            ("hip", "knee", "hip", "knee"), ("knee", "ankle", "knee", "ankle"),
        ):  # fmt: skip
            wanted = at[f"{name}_{b}"] - at[f"{name}_{a}"]
            found = frames[f"{side}_{end}_x"][:3, 3] - frames[f"{side}_{link}_x"][:3, 3]
            cosine = wanted @ found / np.linalg.norm(wanted) / np.linalg.norm(found)
            # A hinge holds the shank in the plane of the thigh, beside which SMPL's joints lie by up to 7 degrees.
            assert cosine > (0.99 if a == "knee" else 0.995), (side, a, b)
        assert np.linalg.norm(frames[f"{side}_ankle_x"][:3, 3] - at[f"{name}_ankle"]) < 0.08
    head = person.rotations[JOINT_NAMES.index("head")] @ SMPL_FROM_LINK
    assert np.allclose(body @ frames["head_x"][:3, :3], head, atol=1e-9)


def test_straight_limbs_keep_their_plane() -> None:
    """An arm that hangs straight down has no plane: it does not whirl."""
    angles = BodyAngles()
    names = joint_names("x")
    bent = PERSON.frame({"left_elbow": (0.0, -1.0, 0.0)})
    before = angles.of(bent.positions, bent.rotations)
    g = np.random.default_rng(0)
    r = names.index("l_r_shoulder_x")
    for _ in range(20):
        frame = PERSON.frame({"left_elbow": tuple(g.normal(0.0, 0.02, 3))})
        assert abs(angles.of(frame.positions, frame.rotations)[r] - before[r]) < 1e-9


def test_thighs_that_are_none_are_refused() -> None:
    frame = PERSON.frame()
    with pytest.raises(RobotError, match="the left hip and knee lie in one point"):
        BodyAngles().of(np.zeros_like(frame.positions), frame.rotations)
    rotations = frame.rotations.copy()
    hip = JOINT_NAMES.index("left_hip")
    rotations[hip] = rotations[hip] @ Rotation.from_euler("z", 0.5 * np.pi).as_matrix()
    thigh = frame.positions[JOINT_NAMES.index("left_knee")] - frame.positions[hip]
    positions = frame.positions.copy()
    positions[JOINT_NAMES.index("left_knee")] = positions[hip] + np.linalg.norm(thigh) * rotations[hip][:, 0]
    with pytest.raises(RobotError, match="rotation of the left thigh"):
        BodyAngles().of(positions, rotations)
