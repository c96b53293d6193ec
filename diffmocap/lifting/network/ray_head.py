"""From depths along the keypoints' rays to local rotations.

A network that gives rotations directly has to learn inverse kinematics, and is centimetres off even where keypoints
and depths say exactly where every joint is. Here it places each keypoint along its ray (the observed one, moved by what
it takes for noise) and gives a whole pose besides; that pose's bones are then turned onto the placed ones
(``swing.py``). The result is differentiable, exact where the placed keypoints are, and keeps the given pose's twists.

Frames: the crop frame of ``condition.py`` for placed keypoints, the network's (the root as :func:`root_to_network` has
it) for rotations.
"""

from __future__ import annotations

import torch
from torch import nn

from diffmocap.body.kinematics import forward_kinematics
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import (
    KEYPOINT_FROM_JOINT,
    KEYPOINT_FROM_MIDPOINT,
    NUM_JOINTS,
    NUM_KEYPOINTS,
    PARENTS,
)
from diffmocap.lifting.network.condition import FACING
from diffmocap.lifting.network.swing import two_vector_turns, vector_table

#: Numbers that the trunk gives the head: distance, and for each keypoint its depth, the trust in a depth that is told,
#: and its move in the image.
HEAD_SIZE = 1 + 4 * NUM_KEYPOINTS
#: Units of the trunk's outputs: depth beyond the mid-hip [m], moves over the box's half-size of keypoints that are
#: seen and of those that are missing.
DEPTH_M, MOVE_SEEN, MOVE_MISSING = 0.3, 0.05, 0.5
#: A person fills the box at this distance [m] times its half-size at depth 1: where the network's distance starts from.
REACH_M = 0.9
#: Joints that carry the keypoints on the skin: head, and the foot of each side.
_SKIN_JOINT = {0: 15, 15: 15, 16: 15, 17: 15, 18: 15, 19: 7, 20: 7, 21: 7, 22: 8, 23: 8, 24: 8}
_CARRIER = _SKIN_JOINT | KEYPOINT_FROM_JOINT | {k: pair[0] for k, pair in KEYPOINT_FROM_MIDPOINT.items()}
#: The joint that carries each keypoint.
CARRIERS = tuple(_CARRIER[k] for k in range(NUM_KEYPOINTS))


class RayHead(nn.Module):
    """Turns a pose so that its bones point as keypoints that are placed along rays do.

    Buffers hold the body: ``rest_joints`` [24, 3] m and ``offsets`` [25, 3] m of each keypoint from its joint at rest.
    """

    def __init__(self) -> None:
        super().__init__()
        primary, secondary, has_secondary, turn_of = vector_table()
        self.register_buffer("rest_joints", torch.zeros(NUM_JOINTS, 3))
        self.register_buffer("offsets", torch.zeros(NUM_KEYPOINTS, 3))
        constants = {
            "carrier": torch.tensor(CARRIERS),
            "vectors": torch.cat([primary, secondary]),
            "has_secondary": has_secondary,
            "turn_of": turn_of,
            "parents": torch.tensor(PARENTS[1:]),
            "facing": torch.tensor(FACING),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def set_body(self, body: BodyModel) -> None:
        """Takes over the mean shape of a body."""
        rest = body.rest_joints()[0]
        still = torch.eye(3, device=rest.device).expand(1, NUM_JOINTS, 3, 3)
        keypoints = body.keypoints(still, rest[:1])[0]
        self.rest_joints.copy_(rest)
        self.offsets.copy_(keypoints - rest[self.carrier.to(rest.device)])

    def place(
        self, raw: torch.Tensor, points: torch.Tensor, half_size: torch.Tensor, depth: torch.Tensor,
        depth_known: torch.Tensor, seen: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """Keypoints [B, 25, 3] m in the crop frame.

        Args:
            raw: [B, HEAD_SIZE] of the trunk. points: [B, 25, 2] over the half-size. half_size: [B] at depth 1.
            depth: [B, 25] m beyond the mid-hip, where ``depth_known`` [B, 25] is 1. seen: [B, 25] bool.
        """
        distance, beyond, trust, move = raw.split([1, NUM_KEYPOINTS, NUM_KEYPOINTS, 2 * NUM_KEYPOINTS], -1)
        move = move.unflatten(-1, (NUM_KEYPOINTS, 2)) * torch.where(seen, MOVE_SEEN, MOVE_MISSING)[..., None]
        rays = (points + move) * half_size[:, None, None]
        z = REACH_M / half_size[:, None] * distance.clamp(-1.5, 1.5).exp()
        # Trust begins near 1: a told depth is right until the network learns when it is not.
        z = z + DEPTH_M * beyond + torch.sigmoid(trust + 2.0) * depth_known * depth
        return torch.cat([rays, torch.ones_like(rays[..., :1])], -1) * z[..., None]

    def turn(self, rotations: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
        """Local rotations [B, 24, 3, 3] whose bones point as ``placed`` [B, 25, 3] do.

        ``rotations`` [B, 24, 3, 3] give the twists, and what no keypoint tells.
        """
        turned, joints = forward_kinematics(rotations, torch.zeros_like(placed[:, 0]), self.rest_joints[None])
        skin = (turned.index_select(1, self.carrier) @ self.offsets[..., None])[..., 0]
        own = joints.index_select(1, self.carrier) + skin
        half = len(self.has_secondary)
        own = self.vectors @ own
        wanted = self.vectors @ (placed * self.facing)
        turns = two_vector_turns(
            own[:, :half], wanted[:, :half], own[:, half:], wanted[:, half:], self.has_secondary
        ).index_select(1, self.turn_of)  # fmt: skip
        turned = turns @ turned
        local = turned.index_select(1, self.parents).transpose(-1, -2) @ turned[:, 1:]
        return torch.cat([turned[:, :1], local], 1)
