"""The body: rest joints, forward kinematics, keypoints and skin from local rotations.

The maths is SMPL's (Loper et al. 2015): ``v = LBS(template + shape(betas) + pose(R), joints, R)``. ``smplx`` is the
reference implementation, and the tests hold the two together. This class computes only what is asked: live use needs
joints and 25 keypoints, not 13,718 vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from diffmocap import compiler
from diffmocap.body.kinematics import forward_kinematics
from diffmocap.body.skeleton import (
    KEYPOINT_FROM_JOINT,
    KEYPOINT_FROM_MIDPOINT,
    KEYPOINT_FROM_VERTEX,
    NUM_JOINTS,
    NUM_KEYPOINTS,
)
from diffmocap.body.smpl_data import SmplData, read_smpl_npz
from diffmocap.resources import verified_model

DEFAULT_BODY = "body_anny.npz"
#: Keypoints of no more poses than these come from machine code where the skin changes with the pose.
FEW_POSES = 64


@dataclass(frozen=True)
class KeypointParts:
    """P points that each follow one joint; a keypoint is the weighted sum of its parts.

    Attributes:
        keypoint: [P] which keypoint a part belongs to; joint: [P] which joint it follows.
        weight: [P], of sum 1 over the parts of a keypoint.
        template: [P, 3] place in the rest pose [m].
        shape_dirs: [P, 3, 10] derivative of that place by the shape [m].
        pose_dirs: [P, 3, 207] derivative by the pose feature [m], None where the body has no pose-dependent shape.
    """

    keypoint: torch.Tensor
    joint: torch.Tensor
    weight: torch.Tensor
    template: torch.Tensor
    shape_dirs: torch.Tensor
    pose_dirs: torch.Tensor | None

    def to(self, device: torch.device | str) -> KeypointParts:
        """The same on another device."""
        return KeypointParts(**{name: None if v is None else v.to(device) for name, v in vars(self).items()})


class BodyModel:
    """An SMPL-format body on one device, float32.

    Attributes:
        template [V, 3] m, shape_dirs [V, 3, 10] m, skin_weights [V, 24], faces [F, 3] int64,
        vertex_ids: smplx's names of the keypoint vertices.
    """

    def __init__(self, data: SmplData, device: torch.device | str = "cpu") -> None:
        def tensor(x: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(x, device=device)

        self.data = data
        self.device = torch.device(device)
        self.template = tensor(data.v_template)
        self.shape_dirs = tensor(data.shapedirs)
        self.pose_dirs = None if data.posedirs is None else tensor(data.posedirs)
        self.skin_weights = tensor(data.weights)
        self.faces = tensor(data.faces)
        self.vertex_ids = dict(data.vertex_ids)
        # In double precision, so that sums over vertices round to the same numbers on every processor.
        regressor = tensor(data.regressor).double()
        self._joint_template = (regressor @ self.template.double()).float()
        self._joint_shape_dirs = torch.einsum("jv,vas->jas", regressor, self.shape_dirs.double()).float()
        self._prepare_keypoints()

    @classmethod
    def load(cls, path: str | Path | None = None, device: torch.device | str = "cpu") -> BodyModel:
        """The shipped body (``None`` or an empty string), or a user's SMPL as npz.

        Raises:
            ModelFileError: the file is missing, corrupt or not SMPL; the message says where to get one.
        """
        return cls(read_smpl_npz(path or verified_model(DEFAULT_BODY)), device)

    def _prepare_keypoints(self) -> None:
        ids = torch.tensor([self.vertex_ids[n] for n in KEYPOINT_FROM_VERTEX.values()], device=self.device)
        self._kp_template = self.template[ids]
        self._kp_shape_dirs = self.shape_dirs[ids]
        self._kp_pose_dirs = None if self.pose_dirs is None else self.pose_dirs[ids]
        self._kp_weights = self.skin_weights[ids]
        # One matrix gathers all 25 from [24 joints, 11 skin points]: a row a keypoint, halves for midpoints.
        gather = torch.zeros(NUM_KEYPOINTS, NUM_JOINTS + len(ids), device=self.device)
        for k, j in KEYPOINT_FROM_JOINT.items():
            gather[k, j] = 1.0
        for k, pair in KEYPOINT_FROM_MIDPOINT.items():
            gather[k, list(pair)] = 0.5
        for i, k in enumerate(KEYPOINT_FROM_VERTEX):
            gather[k, NUM_JOINTS + i] = 1.0
        self._kp_gather = gather
        pose_dirs = self._kp_template.new_zeros(len(ids), 3, 0) if self._kp_pose_dirs is None else self._kp_pose_dirs
        constants = self._joint_template, self._kp_template, pose_dirs, self._kp_weights, gather
        self._kp_constants = tuple(x.detach().cpu().contiguous().numpy() for x in constants)

    def keypoint_parts(self) -> KeypointParts:
        """What the keypoints are weighted sums of: points that each follow one joint."""
        from_joint, from_skin = self._kp_gather.split((NUM_JOINTS, len(self._kp_template)), 1)
        keypoint, joint = from_joint.nonzero(as_tuple=True)
        skin, skin_joint = self._kp_weights.nonzero(as_tuple=True)
        pose_dirs = None
        if self._kp_pose_dirs is not None:
            pose_dirs = torch.cat([self._kp_pose_dirs.new_zeros(len(joint), 3, 9 * (NUM_JOINTS - 1)),
                                   self._kp_pose_dirs[skin]])  # fmt: skip
        return KeypointParts(
            torch.cat([keypoint, from_skin.argmax(0)[skin]]),
            torch.cat([joint, skin_joint]),
            torch.cat([from_joint[keypoint, joint], self._kp_weights[skin, skin_joint]]),
            torch.cat([self._joint_template[joint], self._kp_template[skin]]),
            torch.cat([self._joint_shape_dirs[joint], self._kp_shape_dirs[skin]]),
            pose_dirs,
        )

    @cached_property
    def height_m(self) -> float:
        """Height of the mean shape standing straight, from soles to crown."""
        return float(self.template[:, 1].max() - self.template[:, 1].min())

    def rest_joints(self, betas: torch.Tensor | None = None) -> torch.Tensor:
        """Joints of the rest pose [B or 1, 24, 3] m in the body frame, for betas [B, 10] or the mean shape."""
        if betas is None:
            return self._joint_template[None]
        return self._joint_template + torch.einsum("jas,bs->bja", self._joint_shape_dirs, betas)

    def forward_kinematics(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, betas: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Global rotations [B, 24, 3, 3], joints [B, 24, 3] for local rotations [B, 24, 3, 3], pelvis joint [B, 3]."""
        return forward_kinematics(rotations, pelvis, self.rest_joints(betas))

    def keypoints(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, betas: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The 25 BODY_25 keypoints [B, 25, 3] m in the frame that ``rotations[:, 0]`` and ``pelvis`` are given in."""
        return self.joints_and_keypoints(rotations, pelvis, betas)[1]

    def joints_and_keypoints(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, betas: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Joints [B, 24, 3] and keypoints [B, 25, 3] from one pass of kinematics."""
        rest = self.rest_joints(betas)
        global_rotations, joints = forward_kinematics(rotations, pelvis, rest)
        # The skin's changes with many poses are one large matrix product, which torch is better at.
        few = self._kp_pose_dirs is None or len(rotations) <= FEW_POSES
        if betas is None and few and compiler.serves(rotations):
            return joints, self._keypoints_by_machine_code(rotations, global_rotations, joints)
        skin = _skin(
            self._kp_template, self._kp_shape_dirs, self._kp_pose_dirs, self._kp_weights,
            rotations, global_rotations, joints, rest, betas,
        )  # fmt: skip
        return joints, self._kp_gather @ torch.cat([joints, skin], 1)

    def _keypoints_by_machine_code(
        self, rotations: torch.Tensor, global_rotations: torch.Tensor, joints: torch.Tensor
    ) -> torch.Tensor:
        from diffmocap.body.kinematics_kernel import keypoints_of

        posed = (rotations.to(joints.dtype), global_rotations, joints)
        keypoints = np.empty((len(joints), NUM_KEYPOINTS, 3), posed[2].numpy().dtype)
        keypoints_of(*(x.detach().contiguous().numpy() for x in posed), *self._kp_constants, keypoints)
        return torch.from_numpy(keypoints)

    def vertices(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, betas: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Skin [B, V, 3] m."""
        rest = self.rest_joints(betas)
        global_rotations, joints = forward_kinematics(rotations, pelvis, rest)
        return _skin(
            self.template, self.shape_dirs, self.pose_dirs, self.skin_weights,
            rotations, global_rotations, joints, rest, betas,
        )  # fmt: skip


def _skin(
    template, shape_dirs, pose_dirs, weights, rotations, global_rotations, joints, rest, betas
) -> torch.Tensor:  # fmt: skip
    """Linear blend skinning of the given vertices (SMPL, eq. 2 to 9)."""
    v = template[None]
    if betas is not None:
        v = v + torch.einsum("vas,bs->bva", shape_dirs, betas)
    if pose_dirs is not None:
        feature = (rotations[:, 1:] - torch.eye(3, device=rotations.device)).flatten(1)
        v = v + torch.einsum("vap,bp->bva", pose_dirs, feature)
    translation = joints - (global_rotations @ rest[..., None])[..., 0]
    transforms = torch.cat([global_rotations, translation[..., None]], -1).flatten(2)
    blended = (weights @ transforms).unflatten(-1, (3, 4))
    return (blended[..., :3] @ v[..., None])[..., 0] + blended[..., 3]
