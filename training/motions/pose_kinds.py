"""The kinds of poses that are made up for training: ranges of anatomical angles, what carries the body, how often.

Angles are degrees. Those of legs: flexion of the hip, its abduction and outward rotation, flexion of the knee and
plantarflexion of the ankle. Those of the trunk: pitch (forward) and roll (to the right) of the pelvis in the world,
flexion, side bend (to the right) and twist (to the left) of the spine and again of neck and head together. Those of an
arm follow the ISB's recommendation for the shoulder (Wu et al. 2005): the plane of elevation (0 sideways, 90 forward,
beyond across the chest, negative backward), the elevation from hanging down, the outward turn of the upper arm, then
flexion of the elbow, pronation of the forearm and extension of the wrist.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.body.skeleton import JOINT_NAMES

Range = tuple[float, float]

LEG_ANGLES = ("hip", "abduction", "rotation", "knee", "ankle")
TRUNK_ANGLES = (
    "pitch",
    "roll",
    "trunk_flexion",
    "trunk_side",
    "trunk_twist",
    "neck_flexion",
    "neck_side",
    "neck_twist",
)
ARM_ANGLES = ("plane", "elevation", "turn", "elbow", "pronation", "wrist_extension")

#: Where nothing else is said.
DEFAULTS: dict[str, Range] = {
    "hip": (0, 20), "abduction": (-3, 15), "rotation": (-8, 20), "knee": (0, 20), "ankle": (-10, 30),
    "pitch": (-8, 12), "roll": (-6, 6), "trunk_flexion": (-10, 25),
    "trunk_side": (-15, 15), "trunk_twist": (-25, 25), "neck_flexion": (-25, 35), "neck_side": (-15, 15),
    "neck_twist": (-45, 45), "plane": (0, 90), "elevation": (5, 45), "turn": (-30, 20), "elbow": (5, 60),
    "pronation": (-40, 40), "wrist_extension": (-30, 40),
}  # fmt: skip

#: What carries the body: the feet, put flat below its centre of mass; whatever lies lowest once the body has settled on
#: a floor; a seat that is not modelled, with the feet lowest; nothing, as in a jump.
FEET, FLOOR, SEAT, NOTHING = "feet", "floor", "seat", "nothing"

SEAT_JOINTS = ("pelvis", "left_hip", "right_hip")
KNEES, HANDS = ("left_knee", "right_knee"), ("left_hand", "right_hand")
FEET_JOINTS = ("left_ankle", "right_ankle", "left_foot", "right_foot")
BOTH_KNEES = (KNEES[:1], KNEES[1:])


@dataclass(frozen=True)
class LegsAndTrunk:
    """One way to place legs and trunk.

    Attributes:
        kind: the family that :data:`SHARES` counts; the ways of a family are equally likely.
        legs: ranges of both legs, or of the left one where ``right`` is given; what is missing is in :data:`DEFAULTS`.
        right: ranges of the right leg.
        trunk: ranges of pelvis, spine and neck.
        carried_by: :data:`FEET`, :data:`FLOOR`, :data:`SEAT` or :data:`NOTHING`.
        upright: range of the angle between the line from pelvis to neck and the vertical, once the body is placed.
        touching: of each of these groups of joints one lies on the floor.
        supports: joints through which the floor is laid, if any are given; else the body settles as a stiff one would.
        level: largest angle between the line through the hips and the horizontal.
        same_sides: how often both legs, and both arms, do about the same.
        arms: names in :data:`ARMS`, equally likely.
    """

    kind: str
    legs: dict[str, Range]
    right: dict[str, Range] | None = None
    trunk: dict[str, Range] | None = None
    carried_by: str = NOTHING
    upright: Range = (0, 180)
    touching: tuple[tuple[str, ...], ...] = ()
    supports: tuple[str, ...] = ()
    level: float = 90.0
    same_sides: float = 0.5
    arms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(name in JOINT_NAMES for group in self.touching for name in group)


#: Share of each kind.
SHARES = {
    "chair": 0.13, "floor_sitting": 0.12, "kneeling": 0.10, "squatting": 0.10, "bent": 0.12, "standing": 0.09,
    "kicking": 0.10, "lying": 0.10, "all_fours": 0.06, "inverted": 0.03, "free": 0.05,
}  # fmt: skip

ARMS: dict[str, dict[str, Range]] = {
    "hanging": {"plane": (-20, 70), "elevation": (3, 28), "turn": (-40, 15), "elbow": (3, 50)},
    "folded": {"plane": (55, 95), "elevation": (22, 50), "turn": (-75, -35), "elbow": (85, 130)},
    "on_hips": {"plane": (-45, 15), "elevation": (30, 60), "turn": (-85, -35), "elbow": (75, 125)},
    "at_head": {"plane": (0, 90), "elevation": (80, 150), "turn": (0, 70), "elbow": (95, 150)},
    "forward": {"plane": (50, 125), "elevation": (55, 130), "turn": (-40, 30), "elbow": (0, 50)},
    "up": {"plane": (10, 100), "elevation": (120, 172), "turn": (-30, 40), "elbow": (0, 70)},
    "sideways": {"plane": (-25, 45), "elevation": (55, 125), "turn": (-40, 50), "elbow": (0, 80)},
    "behind": {"plane": (-85, -40), "elevation": (15, 50), "turn": (-70, 10), "elbow": (5, 90)},
    "gesturing": {"plane": (0, 100), "elevation": (10, 65), "turn": (-60, 30), "elbow": (50, 145)},
    "low": {"plane": (50, 110), "elevation": (15, 80), "turn": (-50, 20), "elbow": (0, 60)},
    "supporting": {
        "plane": (70, 105), "elevation": (65, 110), "turn": (-30, 20), "elbow": (0, 35),
        "pronation": (45, 88), "wrist_extension": (45, 88),
    },
    "overhead": {"plane": (20, 100), "elevation": (150, 175), "turn": (-20, 30), "elbow": (0, 25)},
    "free": {"plane": (-60, 130), "elevation": (0, 170), "turn": (-80, 70), "elbow": (0, 150)},
}  # fmt: skip

_SITTING = ("left_hip", "right_hip", "left_ankle", "right_ankle")
_KNEELING = (*KNEES, "left_foot", "right_foot")
_EASY = ("hanging", "folded", "on_hips", "at_head", "forward", "up", "sideways", "behind", "gesturing", "low", "free")
_SEATED = ("folded", "on_hips", "at_head", "forward", "up", "sideways", "gesturing", "low", "low", "free")
_FLOOR_SEATED = (*_SEATED, "behind", "behind")

_ON_THE_FLOOR = dict(
    carried_by=FLOOR, upright=(0, 55), level=20, touching=(SEAT_JOINTS, FEET_JOINTS), supports=_SITTING, same_sides=0.6,
    arms=_FLOOR_SEATED,
)  # fmt: skip
_BENT_TRUNK = {"pitch": (25, 75), "trunk_flexion": (15, 65), "neck_flexion": (-45, 35)}

WAYS: tuple[LegsAndTrunk, ...] = (
    LegsAndTrunk(
        "chair",
        dict(hip=(65, 125), abduction=(-8, 35), rotation=(-25, 30), knee=(35, 130)),
        trunk=dict(pitch=(-25, 35), trunk_flexion=(-10, 55)),
        arms=_SEATED,
        carried_by=SEAT,
        upright=(0, 75),
    ),
    LegsAndTrunk(  # one leg over the other, or its ankle on the other's knee
        "chair",
        dict(hip=(75, 115), abduction=(-15, 40), rotation=(-5, 48), knee=(50, 125)),
        right=dict(hip=(70, 105), abduction=(-5, 15), knee=(50, 110)),
        trunk=dict(pitch=(-25, 20), trunk_flexion=(0, 45)),
        arms=_SEATED,
        carried_by=SEAT,
        upright=(0, 60),
    ),
    LegsAndTrunk(  # legs in front
        "floor_sitting",
        dict(hip=(55, 120), abduction=(-2, 45), rotation=(-15, 35), knee=(0, 50)),
        trunk=dict(pitch=(-30, 30), trunk_flexion=(0, 60)),
        **_ON_THE_FLOOR,
    ),
    LegsAndTrunk(  # cross-legged
        "floor_sitting",
        dict(hip=(85, 125), abduction=(20, 50), rotation=(25, 50), knee=(80, 120)),
        right=dict(hip=(90, 128), abduction=(20, 55), rotation=(25, 50), knee=(115, 147)),
        trunk=dict(pitch=(-25, 30), trunk_flexion=(0, 60)),
        **_ON_THE_FLOOR,
    ),
    LegsAndTrunk(  # knees drawn up
        "floor_sitting",
        dict(hip=(85, 128), abduction=(-5, 35), rotation=(-20, 20), knee=(60, 145)),
        trunk=dict(pitch=(-35, 20), trunk_flexion=(0, 60)),
        **_ON_THE_FLOOR,
    ),
    LegsAndTrunk(  # each leg for itself
        "floor_sitting",
        dict(hip=(60, 125), abduction=(-5, 55), rotation=(-40, 48), knee=(0, 145)),
        right=dict(hip=(60, 125), abduction=(-5, 55), rotation=(-40, 48), knee=(0, 145)),
        trunk=dict(pitch=(-30, 30), trunk_flexion=(0, 60)),
        **_ON_THE_FLOOR,
    ),
    LegsAndTrunk(  # both knees, upright to bowing
        "kneeling",
        dict(hip=(-10, 70), abduction=(-2, 25), rotation=(-20, 20), knee=(80, 130), ankle=(-10, 60)),
        trunk=dict(pitch=(-10, 50), trunk_flexion=(-10, 50)),
        carried_by=FLOOR,
        upright=(0, 65),
        touching=BOTH_KNEES,
        supports=_KNEELING,
        level=20,
        same_sides=0.8,
        arms=_EASY,
    ),
    LegsAndTrunk(  # on the heels
        "kneeling",
        dict(hip=(65, 120), abduction=(-2, 30), rotation=(-25, 20), knee=(130, 153), ankle=(20, 65)),
        trunk=dict(pitch=(-10, 60), trunk_flexion=(0, 60)),
        carried_by=FLOOR,
        upright=(0, 80),
        touching=BOTH_KNEES,
        supports=_KNEELING,
        level=20,
        same_sides=0.8,
        arms=_SEATED,
    ),
    LegsAndTrunk(  # one knee
        "kneeling",
        dict(hip=(-15, 40), abduction=(-2, 15), knee=(70, 125), ankle=(-10, 55)),
        right=dict(hip=(65, 125), abduction=(-5, 30), knee=(60, 125), ankle=(-25, 25)),
        trunk=dict(pitch=(-10, 35), trunk_flexion=(-5, 50)),
        carried_by=FLOOR,
        upright=(0, 65),
        touching=(KNEES[:1], FEET_JOINTS[1::2]),
        supports=("left_knee", "left_foot", "right_ankle"),
        level=25,
        arms=_EASY,
    ),
    LegsAndTrunk(
        "squatting",
        dict(hip=(50, 128), abduction=(0, 40), rotation=(-10, 35), knee=(55, 145)),
        trunk=dict(pitch=(0, 55), trunk_flexion=(0, 55)),
        carried_by=FEET,
        upright=(0, 85),
        level=30,
        same_sides=0.7,
        arms=_EASY,
    ),
    LegsAndTrunk(  # lunges
        "squatting",
        dict(hip=(50, 110), abduction=(-3, 25), knee=(40, 115)),
        right=dict(hip=(-25, 20), abduction=(-3, 25), knee=(5, 90)),
        trunk=dict(pitch=(-5, 40), trunk_flexion=(-5, 40)),
        carried_by=FEET,
        upright=(0, 70),
        arms=_EASY,
    ),
    LegsAndTrunk(
        "bent",
        dict(hip=(25, 110), abduction=(-3, 30), knee=(0, 45)),
        trunk=_BENT_TRUNK,
        carried_by=FEET,
        upright=(45, 125),
        arms=("low", "low", *_EASY),
    ),
    LegsAndTrunk(
        "bent",
        dict(hip=(40, 120), abduction=(0, 35), knee=(30, 110)),
        trunk=_BENT_TRUNK | {"trunk_twist": (-40, 40), "trunk_side": (-25, 25)},
        carried_by=FEET,
        upright=(45, 120),
        arms=("low", "low", *_EASY),
    ),
    LegsAndTrunk(
        "standing",
        {},
        trunk=dict(trunk_side=(-30, 30), trunk_twist=(-45, 45), trunk_flexion=(-30, 30)),
        carried_by=FEET,
        upright=(0, 45),
        arms=_EASY,
    ),
    LegsAndTrunk(
        "standing",
        dict(hip=(-15, 35), abduction=(-5, 40), rotation=(-15, 40), knee=(0, 45)),
        carried_by=FEET,
        upright=(0, 45),
        arms=_EASY,
    ),
    LegsAndTrunk(  # to the front, straight or drawn up
        "kicking",
        dict(hip=(50, 125), abduction=(-10, 30), rotation=(-20, 30), knee=(0, 120)),
        right=dict(hip=(-5, 20), knee=(0, 30)),
        trunk=dict(pitch=(-35, 10), trunk_flexion=(-10, 35)),
        carried_by=FEET,
        upright=(0, 60),
        arms=_EASY,
    ),
    LegsAndTrunk(  # to the side
        "kicking",
        dict(hip=(0, 100), abduction=(40, 64), rotation=(-25, 35), knee=(0, 110)),
        right=dict(hip=(-5, 20), knee=(0, 30)),
        trunk=dict(pitch=(-20, 25), roll=(0, 45), trunk_side=(-30, 25)),
        carried_by=FEET,
        upright=(0, 75),
        arms=_EASY,
    ),
    LegsAndTrunk(  # to the back, the scale of a dancer
        "kicking",
        dict(hip=(-43, -5), abduction=(-5, 40), knee=(0, 110)),
        right=dict(hip=(0, 80), knee=(0, 30)),
        trunk=dict(pitch=(10, 70), trunk_flexion=(-35, 20)),
        carried_by=FEET,
        upright=(0, 105),
        arms=_EASY,
    ),
    LegsAndTrunk(  # on the back
        "lying",
        dict(hip=(-5, 115), abduction=(-8, 45), rotation=(-25, 45), knee=(0, 135)),
        trunk=dict(pitch=(-105, -70), roll=(-25, 25)),
        carried_by=FLOOR,
        upright=(55, 125),
        arms=_EASY,
    ),
    LegsAndTrunk(  # flat, on the back
        "lying",
        dict(hip=(-5, 25), knee=(0, 35), abduction=(-5, 35)),
        trunk=dict(pitch=(-100, -80), trunk_flexion=(-5, 20)),
        carried_by=FLOOR,
        upright=(55, 125),
        arms=_EASY,
    ),
    LegsAndTrunk(  # on the belly
        "lying",
        dict(hip=(-15, 35), abduction=(-5, 45), rotation=(-30, 40), knee=(0, 110), ankle=(0, 65)),
        trunk=dict(pitch=(75, 105), roll=(-20, 20), trunk_flexion=(-45, 15), neck_flexion=(-55, 10)),
        carried_by=FLOOR,
        upright=(45, 125),
        arms=_EASY,
    ),
    LegsAndTrunk(  # on the side
        "lying",
        dict(hip=(-10, 110), abduction=(-15, 30), knee=(0, 135)),
        right=dict(hip=(-10, 110), abduction=(-10, 20), knee=(0, 135)),
        trunk=dict(pitch=(-25, 25), roll=(65, 115), trunk_flexion=(-15, 45)),
        carried_by=FLOOR,
        upright=(50, 125),
        arms=_EASY,
    ),
    LegsAndTrunk(  # hands and knees
        "all_fours",
        dict(hip=(50, 115), abduction=(-3, 25), knee=(60, 115), ankle=(0, 65)),
        trunk=dict(pitch=(65, 100), trunk_flexion=(-30, 35), neck_flexion=(-50, 25)),
        carried_by=FLOOR,
        upright=(55, 110),
        touching=(KNEES, HANDS),
        supports=(*KNEES, *HANDS),
        level=20,
        same_sides=0.8,
        arms=("supporting",),
    ),
    LegsAndTrunk(  # hands and feet: a bear's walk, the press-up
        "all_fours",
        dict(hip=(-10, 115), abduction=(-3, 25), knee=(0, 80), ankle=(-40, 20)),
        trunk=dict(pitch=(65, 120), trunk_flexion=(-20, 35), neck_flexion=(-50, 25)),
        carried_by=FLOOR,
        upright=(50, 140),
        touching=(FEET_JOINTS, HANDS),
        supports=("left_foot", "right_foot", *HANDS),
        level=25,
        same_sides=0.8,
        arms=("supporting", "supporting", "forward"),
    ),
    LegsAndTrunk(  # handstands, cartwheels, somersaults
        "inverted",
        dict(hip=(-35, 80), abduction=(-5, 55), rotation=(-20, 40), knee=(0, 90), ankle=(-10, 65)),
        trunk=dict(pitch=(130, 230), roll=(-35, 35), trunk_flexion=(-30, 40), neck_flexion=(-50, 30)),
        upright=(110, 180),
        arms=("overhead", "overhead", "forward", "on_hips", "up"),
    ),
    LegsAndTrunk(
        "free",
        dict(hip=(-25, 125), abduction=(-20, 60), rotation=(-40, 48), knee=(0, 145), ankle=(-35, 65)),
        trunk=dict(
            pitch=(-30, 60),
            roll=(-25, 25),
            trunk_flexion=(-35, 85),
            trunk_side=(-40, 40),
            trunk_twist=(-60, 60),
            neck_flexion=(-60, 60),
            neck_side=(-35, 35),
            neck_twist=(-70, 70),
        ),
        arms=("free", *_EASY),
    ),
)
