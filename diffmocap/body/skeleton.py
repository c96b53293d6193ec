"""Names, order and symmetry of SMPL's 24 joints and OpenPose's 25 keypoints."""

from __future__ import annotations

JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2",
    "left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck",
    "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip

#: The URDF's root, at the pelvis' origin: a frame without mass, where poses are published.
ROOT_LINK = "human"

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

NUM_JOINTS = len(JOINT_NAMES)

#: Joints at equal depth can be composed in one batched product.
LEVELS = (
    (0,), (1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12, 13, 14), (15, 16, 17), (18, 19), (20, 21), (22, 23),
)  # fmt: skip

#: Index of the joint on the other side of the body.
JOINT_MIRROR = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22)

#: The 12 joints that pose benchmarks of limbs are reported over.
LIMB_JOINTS = (1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21)

KEYPOINT_NAMES = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip",
    "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar",
    "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel",
)  # fmt: skip

NUM_KEYPOINTS = len(KEYPOINT_NAMES)

KEYPOINT_MIRROR = (0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21)

#: Lines between keypoints that draw a person.
KEYPOINT_EDGES = (
    (0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (10, 11),
    (8, 12), (12, 13), (13, 14), (0, 15), (15, 17), (0, 16), (16, 18), (14, 19), (19, 20),
    (14, 21), (11, 22), (22, 23), (11, 24),
)  # fmt: skip

#: SMPL joints that are keypoints themselves: keypoint index -> joint index.
KEYPOINT_FROM_JOINT = {
    2: 17, 3: 19, 4: 21, 5: 16, 6: 18, 7: 20, 9: 2, 10: 5, 11: 8, 12: 1, 13: 4, 14: 7,
}  # fmt: skip

#: Keypoints halfway between two joints, as OpenPose labels them: keypoint -> (joint, joint).
KEYPOINT_FROM_MIDPOINT = {1: (16, 17), 8: (1, 2)}

#: Keypoints on the skin: keypoint index -> name of the vertex in the body model's ``vertex_ids``
#: (smplx's names, so that a user's own SMPL works with the ids smplx ships).
KEYPOINT_FROM_VERTEX = {
    0: "nose", 15: "reye", 16: "leye", 17: "rear", 18: "lear", 19: "LBigToe", 20: "LSmallToe",
    21: "LHeel", 22: "RBigToe", 23: "RSmallToe", 24: "RHeel",
}  # fmt: skip
