"""What other tools call the 24 joints of SMPL.

Only the names change: bones keep SMPL's lengths, axes and rest pose, a T-pose. A tool that knows the names can put the
motion on its own characters by itself (Unity's humanoids, Unreal's IK retargeter, VRM); that step is left to it.
"""

from __future__ import annotations

from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.errors import SettingsError

_MIXAMO = (
    "Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot", "Spine2",
    "LeftToeBase", "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm",
    "LeftForeArm", "RightForeArm", "LeftHand", "RightHand", "LeftHandMiddle1", "RightHandMiddle1",
)  # fmt: skip
#: SMPL's joints 22 and 23, the hands, stand where the middle finger begins.
SKELETONS = {
    "smpl": JOINT_NAMES,
    "mixamo": tuple(f"mixamorig:{name}" for name in _MIXAMO),
    "metahuman": (
        "pelvis", "thigh_l", "thigh_r", "spine_01", "calf_l", "calf_r", "spine_02", "foot_l", "foot_r", "spine_03",
        "ball_l", "ball_r", "neck_01", "clavicle_l", "clavicle_r", "head", "upperarm_l", "upperarm_r", "lowerarm_l",
        "lowerarm_r", "hand_l", "hand_r", "middle_01_l", "middle_01_r",
    ),
    "vrm": (
        "hips", "leftUpperLeg", "rightUpperLeg", "spine", "leftLowerLeg", "rightLowerLeg", "chest", "leftFoot",
        "rightFoot", "upperChest", "leftToes", "rightToes", "neck", "leftShoulder", "rightShoulder", "head",
        "leftUpperArm", "rightUpperArm", "leftLowerArm", "rightLowerArm", "leftHand", "rightHand",
        "leftMiddleProximal", "rightMiddleProximal",
    ),
}  # fmt: skip
#: Of the bone on the floor that carries the way, where one is asked for.
ROOT_BONE = "root"


def joint_names(skeleton: str) -> tuple[str, ...]:
    """The 24 names in SMPL's order.

    Raises:
        SettingsError: the skeleton is unknown.
    """
    if skeleton not in SKELETONS:
        raise SettingsError(f"the skeleton {skeleton!r} is unknown; expected one of {', '.join(SKELETONS)}")
    return SKELETONS[skeleton]
