"""How the poses of ``made_poses.npz`` were drawn: ``python -m benchmarks.lifting.made_poses_drawing OUT``.

A body is put together from directions in the world: the pelvis' orientation, where each thigh and shank points, where
each wrist is meant to be. Hips, shoulders and hinges follow from those by frames along the bones. (Training makes poses
too, in :mod:`training.motions.made_poses`, from other rules: angles drawn per joint, then a body that settles.)

World: y up, the body faces +z; x is its left. The floor of the floor poses is y = 0. Angles are degrees.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from benchmarks.lifting.made_poses import FAMILIES, made_camera
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, PARENTS
from diffmocap.lifting.network.condition import FACING
from training.lifting.plausibility import self_intersects, within_limits

SEED = 20_260
POSES_A_FAMILY = 100
UP, LEFT, FORWARD = np.eye(3)[1], np.eye(3)[0], np.eye(3)[2]
J = {name: i for i, name in enumerate(JOINT_NAMES)}
#: Height above the floor of joints that lie on it [m]: flesh below the hip, knee and ankle; the ankle over a flat sole.
HIP_LYING_M, KNEE_LYING_M, ANKLE_LYING_M, ANKLE_STANDING_M = 0.085, 0.055, 0.06, 0.075
#: Free space that the joints of limbs, trunk and head need above the floor [m].
ABOVE_FLOOR_M = {"wrist": 0.02, "hand": 0.0, "elbow": 0.03, "knee": 0.04, "ankle": 0.03, "foot": 0.0, "head": 0.07,
                 "spine1": 0.07, "spine2": 0.07, "spine3": 0.07, "neck": 0.04, "shoulder": 0.04,
                 "hip": 0.06}  # fmt: skip
#: Wrists in the frame of the chest about the shoulder [m], for the left arm: (outward, up, forward), low to high.
WRISTS_M = {
    "hanging": ((0.0, -0.52, -0.10), (0.22, -0.42, 0.20)),
    "waist": ((-0.20, -0.42, 0.15), (0.10, -0.20, 0.35)),
    "face": ((-0.20, 0.0, 0.18), (0.05, 0.28, 0.32)),
    "chest": ((-0.28, -0.22, 0.15), (0.0, -0.05, 0.35)),
    "ahead": ((-0.15, -0.20, 0.38), (0.25, 0.20, 0.50)),
    "aside": ((0.30, -0.25, -0.10), (0.50, 0.20, 0.25)),
    "overhead": ((-0.05, 0.30, -0.05), (0.30, 0.48, 0.25)),
    "behind": ((-0.05, -0.45, -0.28), (0.25, -0.25, -0.12)),
    "across": ((-0.38, -0.25, 0.12), (-0.20, 0.05, 0.30)),
    "knees": ((-0.05, -0.45, 0.20), (0.15, -0.25, 0.42)),
}  # fmt: skip


class Figure:
    """A body that is being put together; ``rotations`` [24, 3, 3] are local, root in the world."""

    def __init__(self, rng: np.random.Generator, rest: np.ndarray) -> None:
        self.rng, self.rest = rng, rest
        self.rotations = np.tile(np.eye(3), (24, 1, 1))
        self.upper_leg, self.shank = (np.linalg.norm(rest[a] - rest[b]) for a, b in ((1, 4), (4, 7)))

    def uniform(self, low: float, high: float) -> float:
        """One number."""
        return self.rng.uniform(low, high)

    def orientation(self, joint: int) -> np.ndarray:
        """Of a joint in the world [3, 3]."""
        R = self.rotations[joint]
        while (joint := PARENTS[joint]) >= 0:
            R = self.rotations[joint] @ R
        return R

    def position(self, joint: int) -> np.ndarray:
        """Of a joint about the pelvis, in the world [3]."""
        x = np.zeros(3)
        while (parent := PARENTS[joint]) >= 0:
            x = x + self.orientation(parent) @ (self.rest[joint] - self.rest[parent])
            joint = parent
        return x

    def face(self, joint: int, world: np.ndarray) -> None:
        """Gives a joint an orientation in the world [3, 3]."""
        parent = np.eye(3) if PARENTS[joint] < 0 else self.orientation(PARENTS[joint])
        self.rotations[joint] = parent.T @ world

    def trunk(self, pelvis: Rotation, flexion: float, side: float = 0.0, twist: float = 0.0) -> None:
        """Pelvis in the world; flexion, side bend and twist over the spine, and a head that looks somewhere."""
        self.rotations[0] = pelvis.as_matrix()
        for name, share in (("spine1", 0.5), ("spine2", 0.28), ("spine3", 0.22)):
            bend = np.array([share * flexion, twist / 3, side / 3])
            self.rotations[J[name]] = Rotation.from_rotvec(np.deg2rad(bend)).as_matrix()
        nod, turn, tilt = self.uniform(-25, 20), self.uniform(-35, 35), self.uniform(-10, 10)
        for name in ("neck", "head"):
            self.rotations[J[name]] = Rotation.from_rotvec(np.deg2rad([nod / 2, turn / 2, tilt / 2])).as_matrix()

    def leg(
        self, side: str, thigh: np.ndarray, shank: np.ndarray, flat: bool = False, pointed: tuple = (-5, 45)
    ) -> None:  # fmt: skip
        """Thigh and shank along directions in the world [3]; the sole level, or the foot pointed by some degrees."""
        hip, knee, ankle = (J[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        thigh, shank = unit(thigh), unit(shank)
        across = np.cross(thigh, shank)  # the axis that the knee bends about; +x where it bends as knees do
        if np.linalg.norm(across) < 1e-3:
            across = self.orientation(0)[:, 0]
        x = unit(across - thigh * (across @ thigh))
        self.face(hip, np.stack([x, -thigh, np.cross(x, -thigh)], 1))
        bend = np.arctan2(np.linalg.norm(np.cross(thigh, shank)), thigh @ shank)
        self.rotations[knee] = Rotation.from_rotvec([bend, 0, 0]).as_matrix()
        if not flat:
            self.rotations[ankle] = Rotation.from_euler("x", self.uniform(*pointed), degrees=True).as_matrix()
            return
        toes = unit(self.orientation(knee)[:, 2] * (1.0, 0.0, 1.0))
        self.face(ankle, np.stack([np.cross(UP, toes), UP, toes], 1))

    def arm(self, side: str, where: str) -> None:
        """Wrist somewhere in a box of :data:`WRISTS_M`, the elbow below or outward of the line from the shoulder."""
        out = 1.0 if side == "left" else -1.0
        shoulder, elbow, wrist = (J[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        low, high = WRISTS_M[where]
        target = self.rng.uniform(low, high)
        upper, fore = (np.linalg.norm(self.rest[a] - self.rest[b]) for a, b in ((elbow, shoulder), (wrist, elbow)))
        distance = min(np.linalg.norm(target), 0.995 * (upper + fore))
        line = unit(target)
        # The elbow hangs down and outward, and is lifted now and then.
        pole = np.array([self.uniform(0.1, 1.0), self.uniform(-1.0, 0.3), self.uniform(-0.7, 0.1)])
        pole = unit(pole - line * (pole @ line))
        opening = np.arccos(np.clip((upper**2 + distance**2 - fore**2) / (2 * upper * distance), -1, 1))
        first = np.cos(opening) * line + np.sin(opening) * pole
        second = unit(distance * line - upper * first)
        flip = np.array([out, 1.0, 1.0])
        first, second = first * flip, second * flip
        # The upper arm's frame: x along the bone towards the left hand, z where the forearm bends to.
        bend = unit(second - first * (first @ second))
        x = out * first
        world = np.stack([x, np.cross(bend, x), bend], 1)
        self.face(shoulder, self.orientation(J["spine3"]) @ world)
        flexion = np.arccos(np.clip(first @ second, -1, 1))
        twist = Rotation.from_euler("x", out * self.uniform(-35, 60), degrees=True)
        self.rotations[elbow] = (Rotation.from_rotvec([0, -out * flexion, 0]) * twist).as_matrix()
        tilt = [0, self.uniform(-10, 10), out * self.uniform(-25, 25)]
        self.rotations[wrist] = Rotation.from_rotvec(np.deg2rad(tilt)).as_matrix()

    def arms(self, *places: str) -> None:
        """Both arms in places out of those given; more often than not in the same."""
        left = self.rng.choice(places)
        self.arm("left", left)
        self.arm("right", left if self.rng.random() < 0.35 else self.rng.choice(places))


def unit(v: np.ndarray) -> np.ndarray:
    """[3] of length 1."""
    return v / np.linalg.norm(v)


def direction(down: float, out: float = 0.0, side: str = "left", about: Rotation | None = None) -> np.ndarray:
    """[3] a direction ``down`` degrees forward of straight down and ``out`` degrees to the side's outside."""
    a, b = np.deg2rad(down), np.deg2rad(out)
    v = np.array([(1.0 if side == "left" else -1.0) * np.sin(a) * np.sin(b), -np.cos(a), np.sin(a) * np.cos(b)])
    return v if about is None else about.apply(v)


def pitched(pitch: float, roll: float = 0.0, yaw: float = 0.0) -> Rotation:
    """Pelvis that is pitched forward, rolled to the right and turned to the left."""
    return Rotation.from_euler("YXZ", [yaw, pitch, roll], degrees=True)


def seated(f: Figure) -> None:
    """On a chair or in a squat: hips and knees bent by 90 to 130."""
    hip, knee, out = f.uniform(90, 130), f.uniform(90, 130), f.uniform(0, 45)
    chair = f.rng.random() < 0.5
    # On a chair the pelvis goes with the thighs, which lie about level; in a squat the shank leans over flat feet.
    pitch = hip - f.uniform(65, 115) if chair else hip - knee + f.uniform(5, 35)
    pelvis = pitched(pitch, f.uniform(-6, 6))
    f.trunk(pelvis, f.uniform(-10, 75), f.uniform(-30, 30), f.uniform(-50, 50))
    spread = 8 if f.rng.random() < 0.4 else 40
    for side in ("left", "right"):
        a = np.clip(hip + f.uniform(-spread, spread), 90, 130)
        thigh = direction(a, out + f.uniform(-spread, spread) / 2, side, pelvis)
        k = np.clip(knee + f.uniform(-spread, spread), 90, 130)
        # The shank: the thigh turned by the knee's bend in the upright plane through the thigh.
        axis = unit(np.cross(UP, thigh) + 0.6 * f.uniform(-1, 1) * UP)
        axis = unit(axis - thigh * (axis @ thigh))
        shank = Rotation.from_rotvec(np.deg2rad(k) * axis).apply(thigh)
        f.leg(side, thigh, shank, flat=not chair or f.rng.random() < 0.6)
    f.arms("waist", "chest", "across", "face", "ahead", "aside", "overhead", "behind", "knees", "knees")


def bent(f: Figure) -> None:
    """Standing with the trunk 60 to 100 degrees from upright."""
    tilt, flexion = f.uniform(60, 100), f.uniform(10, 55)
    pelvis = pitched(tilt - 0.6 * flexion, f.uniform(-8, 8), f.uniform(-10, 10))
    f.trunk(pelvis, flexion, f.uniform(-25, 25), f.uniform(-45, 45))
    leaning = f.position(J["neck"])
    more = tilt - np.rad2deg(np.arctan2(np.linalg.norm(leaning[[0, 2]]), leaning[1]))
    f.rotations[0] = Rotation.from_rotvec(np.deg2rad(more) * unit(np.cross(UP, leaning))).as_matrix() @ f.rotations[0]
    out, back, knee = f.uniform(0, 40), f.uniform(0, 22), f.uniform(0, 80)
    stride = 8 if f.rng.random() < 0.4 else 22
    for side in ("left", "right"):
        thigh = direction(back + f.uniform(-stride, stride) + 0.35 * knee, 0)
        thigh = unit(thigh + np.sin(np.deg2rad(out / 2 + 3)) * (LEFT if side == "left" else -LEFT))
        shank = Rotation.from_rotvec(np.deg2rad(max(knee + f.uniform(-stride, stride), 1)) * LEFT).apply(thigh)
        f.leg(side, thigh, shank, flat=True)
    f.arms("hanging", "knees", "ahead", "waist", "across", "aside", "behind", "face", "overhead")


def kick(f: Figure) -> None:
    """On one leg, the thigh of the other 60 to 110 degrees from the trunk's axis, to the front or to the side."""
    kicking, standing = ("left", "right") if f.rng.random() < 0.5 else ("right", "left")
    to_the_side = f.rng.random() < 0.5
    angle = f.uniform(60, 110)
    lean = (1 if kicking == "left" else -1) * (f.uniform(0, 45) if to_the_side else f.uniform(-10, 10))
    pelvis = pitched(f.uniform(-40, 15), lean)
    f.trunk(pelvis, f.uniform(-15, 45), f.uniform(-25, 25), f.uniform(-50, 50))
    thigh = direction(angle, f.uniform(35, 80) if to_the_side else f.uniform(-10, 20), kicking, pelvis)
    bend = f.uniform(2, 115)
    axis = unit(np.cross(UP, thigh) + (f.uniform(-0.6, 0.6) if to_the_side else 0.0) * UP)
    axis = unit(axis - thigh * (axis @ thigh))
    f.leg(kicking, thigh, Rotation.from_rotvec(np.deg2rad(bend) * axis).apply(thigh))
    knee = f.uniform(2, 28)
    thigh = unit(
        direction(0.5 * knee + f.uniform(-3, 5)) + (-LEFT if standing == "right" else LEFT) * f.uniform(-0.2, 0.1)
    )
    f.leg(standing, thigh, Rotation.from_rotvec(np.deg2rad(knee) * LEFT).apply(thigh), flat=True)
    f.arms("waist", "chest", "across", "ahead", "aside", "aside", "hanging", "face", "overhead", "behind")


def cross_legged(f: Figure) -> float:
    """On the floor, the knees apart and the ankles before the pelvis; the height of the pelvis [m]."""
    pelvis = pitched(f.uniform(-35, 10), f.uniform(-4, 4))
    f.trunk(pelvis, f.uniform(0, 60), f.uniform(-20, 20), f.uniform(-40, 40))
    height = HIP_LYING_M - min(f.position(1)[1], f.position(2)[1])
    before = f.uniform(0.22, 0.36)
    for side, hip, step in (("left", 1, f.uniform(-0.04, 0.0)), ("right", 2, f.uniform(0.08, 0.14))):
        outward = LEFT if side == "left" else -LEFT
        ankle = (before + step) * FORWARD + f.uniform(-0.12, 0.10) * outward + (ANKLE_LYING_M - height) * UP
        line = ankle - f.position(hip)
        distance = np.linalg.norm(line)
        pole = outward + f.uniform(0.5, 1.5) * UP + f.uniform(0.0, 0.6) * FORWARD
        pole = unit(pole - line * (pole @ line) / distance**2)
        opening = np.arccos((f.upper_leg**2 + distance**2 - f.shank**2) / (2 * f.upper_leg * distance))
        thigh = np.cos(opening) * line / distance + np.sin(opening) * pole
        f.leg(side, thigh, line - f.upper_leg * thigh)
    f.arms("waist", "chest", "across", "face", "ahead", "aside", "behind", "behind", "knees", "overhead")
    return height


def sitting(f: Figure) -> float:
    """On the floor, from legs stretched out to knees drawn up; the height of the pelvis [m]."""
    pelvis = pitched(f.uniform(-35, 15), f.uniform(-4, 4))
    f.trunk(pelvis, f.uniform(0, 60), f.uniform(-20, 20), f.uniform(-40, 40))
    hip = HIP_LYING_M
    same, height, out = f.rng.random() < 0.6, f.uniform(0, 1), f.uniform(-5, 45)
    for side in ("left", "right"):
        if not same:
            height, out = f.uniform(0, 1), f.uniform(-5, 50)
        # From the legs stretched out to the knees drawn up; the ankle is on the floor.
        f.leg(side, *_knee_over_floor(f, side, hip, KNEE_LYING_M + 0.34 * height, out), flat=height > 0.6)
    f.arms("waist", "chest", "across", "face", "ahead", "aside", "behind", "behind", "knees", "overhead")
    return hip - min(f.position(1)[1], f.position(2)[1])


def _knee_over_floor(f: Figure, side: str, hip: float, knee: float, out: float) -> tuple[np.ndarray, np.ndarray]:
    """Thigh and shank with the knee and the ankle at given heights, ``out`` degrees to the outside."""
    rise = np.clip((knee - hip) / f.upper_leg, -0.3, 0.95)
    thigh = direction(90 + np.rad2deg(np.arcsin(rise)), out, side)
    drop = np.arcsin(np.clip((knee - ANKLE_LYING_M) / f.shank, -0.2, 0.97))
    level = f.uniform(-25, 25) if knee > 0.15 and f.rng.random() < 0.7 else out + f.uniform(-5, 5)
    forward = drop < np.deg2rad(55) or f.rng.random() < 0.5
    shank = direction(np.rad2deg(np.pi / 2 - drop) * (1 if forward else -1), out if forward else level, side)
    return thigh, shank


def kneeling(f: Figure) -> float:
    """On both knees, upright to sitting on the heels, or on one; the height of the pelvis [m]."""
    one = f.rng.random() < 0.4
    lean = f.uniform(-5, 25) if one else f.uniform(-5, 62)
    pelvis = pitched(f.uniform(-8, 40) + 0.3 * max(lean, 0), f.uniform(-8, 8))
    f.trunk(pelvis, f.uniform(-15, 55), f.uniform(-20, 20), f.uniform(-40, 40))
    apart, kneeling = f.uniform(2, 20), f.rng.choice(["left", "right"])
    for side in ("left", "right"):
        outward = LEFT if side == "left" else -LEFT
        if one and side != kneeling:
            f.leg(side, direction(f.uniform(75, 95), f.uniform(0, 25), side), direction(f.uniform(-18, 18)), flat=True)
            continue
        thigh = unit(direction(lean) + np.tan(np.deg2rad(apart)) * outward)
        f.leg(side, thigh, unit(-FORWARD + 0.12 * f.uniform(-1, 1) * outward), pointed=(30, 70))
    knee = J[f"{kneeling}_knee"]
    f.arms("waist", "chest", "across", "face", "ahead", "aside", "hanging", "behind", "knees", "overhead")
    return KNEE_LYING_M - f.position(knee)[1]


def lying(f: Figure) -> float:
    """On the back, the belly or the side; the height of the pelvis [m]."""
    way = f.rng.choice(["back", "belly", "side"])
    if way == "side":
        pelvis = pitched(0, -90 + f.uniform(-15, 15))  # on the left side, the head towards +x
        f.trunk(pelvis, f.uniform(-10, 45), f.uniform(-5, 12), f.uniform(-30, 30))
        for side in ("left", "right"):
            hip, knee = f.uniform(5, 100), f.uniform(5, 110)
            thigh = pelvis.apply(direction(hip, 0))
            thigh = unit(thigh + (0.0 if side == "left" else -0.12) * UP)
            f.leg(side, thigh, Rotation.from_rotvec(np.deg2rad(knee) * pelvis.apply(LEFT)).apply(thigh))
        f.arms("chest", "face", "ahead", "across", "waist", "overhead", "knees")
        return 0.15 - f.position(1)[1] + f.position(0)[1] - 0.02
    belly = way == "belly"
    pelvis = pitched(90 if belly else -90, f.uniform(-6, 6))
    f.trunk(pelvis, f.uniform(-40, 5) if belly else f.uniform(-10, 30), f.uniform(-20, 20), f.uniform(-20, 20))
    hip = 0.10
    for side in ("left", "right"):
        outward, head = (LEFT if side == "left" else -LEFT), pelvis.apply(UP)
        if belly:
            thigh = unit(-head + np.tan(np.deg2rad(f.uniform(0, 30))) * outward - 0.08 * UP)
            bend = f.uniform(0, 105)
            f.leg(side, thigh, Rotation.from_rotvec(np.deg2rad(bend) * pelvis.apply(LEFT)).apply(thigh))
            continue
        knee = KNEE_LYING_M + (0.33 * f.uniform(0, 1) if f.rng.random() < 0.7 else 0.0)
        thigh, shank = _knee_over_floor(f, side, hip, knee, f.uniform(0, 35))
        f.leg(side, thigh, shank)
    f.arms("hanging", "aside", "overhead", "face", *(() if belly else ("waist", "chest")))
    return hip - min(f.position(1)[1], f.position(2)[1])


#: Makers of each family, which take turns.
MAKERS = {
    "seated": (seated,),
    "bent": (bent,),
    "kick": (kick,),
    "floor": (sitting, kneeling, lying, cross_legged, kneeling, lying),
}


def _could_be(body: BodyModel, rotations: np.ndarray, family: str, height: float | None) -> bool:
    """Within the limits, apart from itself, above the floor, with the angles that the family promises."""
    pose = torch.as_tensor(rotations, dtype=torch.float32)[None]
    if not bool(within_limits(pose).all()) or bool(self_intersects(body, pose)[0]):
        return False
    joints = body.forward_kinematics(pose, torch.zeros(1, 3))[1][0].numpy()
    head_free = min(np.linalg.norm(joints[[4, 5, 7, 8]][:, None] - joints[[6, 9, 12, 15]], axis=-1).ravel()) > 0.15
    elbows_out = np.linalg.norm(joints[[18, 19]][:, None] - joints[[0, 3, 6, 9, 12, 15]], axis=-1).min() > 0.13
    if not (head_free and elbows_out):
        return False
    if family == "bent" and not 60 <= trunk_tilt_deg(joints) <= 100:
        return False
    if family in ("bent", "kick"):  # the trunk stands over the feet
        foot = joints[[7, 8]][joints[[7, 8], 1].argmin()] if family == "kick" else joints[[7, 8]].mean(0)
        middle = joints[[0, 3, 6, 9, 12]].mean(0)
        if np.linalg.norm((middle - foot)[[0, 2]]) > (0.32 if family == "kick" else 0.42):
            return False
    if height is None:
        lowest = joints[[7, 8, 10, 11], 1].min()
        return bool((joints[[20, 21, 22, 23], 1] > lowest).all())
    free = np.array([ABOVE_FLOOR_M.get(n.removeprefix("left_").removeprefix("right_"), 0.0) for n in JOINT_NAMES])
    return bool((joints[:, 1] + height >= free - 0.02).all())


def trunk_tilt_deg(joints: np.ndarray) -> float:
    """Angle between the vertical and the line from pelvis to neck, of joints [24, 3] in the y-up world."""
    trunk = joints[J["neck"]] - joints[0]
    return float(np.rad2deg(np.arccos(np.clip(trunk[1] / np.linalg.norm(trunk), -1, 1))))


def draw_family(body: BodyModel, rng: np.random.Generator, family: str, count: int) -> np.ndarray:
    """Local rotations [count, 24, 3, 3] with the root in the y-up world; the body faces +z."""
    rest = body.rest_joints()[0].numpy().astype(float)
    makers, poses = MAKERS[family], []
    while len(poses) < count:
        figure = Figure(rng, rest)
        height = makers[len(poses) % len(makers)](figure)
        if _could_be(body, figure.rotations, family, height):
            poses.append(figure.rotations)
    return np.stack(poses)


def draw(body: BodyModel, seed: int = SEED, each: int = POSES_A_FAMILY) -> dict[str, np.ndarray]:
    """The arrays of the file; see :class:`~benchmarks.lifting.made_poses.MadePoseSet`."""
    rng = np.random.default_rng(seed)
    rotations = np.concatenate([draw_family(body, rng, family, each) for family in FAMILIES])
    families = np.arange(len(FAMILIES), dtype=np.int8).repeat(each)
    count = len(rotations)
    yaw = Rotation.from_euler("y", rng.uniform(0, 360, (count, 1)), degrees=True).as_matrix()
    pitch = Rotation.from_euler("x", rng.uniform(10, 30, (count, 1)), degrees=True).as_matrix()
    R_camera_world = pitch @ np.diag(FACING)
    rotations[:, 0] = R_camera_world @ yaw @ rotations[:, 0]
    tensor = torch.as_tensor(rotations, dtype=torch.float32)
    points = body.keypoints(tensor, torch.zeros(count, 3)).numpy()
    # The person's middle near the optical axis, anywhere within half of what the image leaves free.
    middle = 0.5 * (points.min(1) + points.max(1))
    distance = rng.uniform(3.0, 4.0, count)
    reach = distance * made_camera().width / (2 * made_camera().fx) - 0.5 * np.ptp(points[..., 0], axis=1)
    offset = np.stack([rng.uniform(-0.5, 0.5, count) * reach.clip(0), rng.uniform(-0.3, 0.3, count), distance], -1)
    rotvecs = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(count, 24, 3)
    return {
        "rotvecs": rotvecs.astype(np.float32), "pelvis": (offset - middle).astype(np.float32),
        "R_camera_world": R_camera_world.astype(np.float32), "family": families,
    }  # fmt: skip


def main() -> None:
    """Command line."""
    path = Path(sys.argv[1])
    np.savez_compressed(path, **draw(BodyModel.load()))
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
