"""In which frames of a lifted motion a person is seen, by the gate that decides what is published live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.output.gate import Decision, PersonGate
from diffmocap.output.gate_settings import GateSettings
from diffmocap.output.pose_limits import LiftedPose
from diffmocap.types import Keypoints2D


def person_seen(
    rotations: torch.Tensor, pelvis: torch.Tensor, score: torch.Tensor, lifted: torch.Tensor,
    keypoints: Sequence[Keypoints2D], body: BodyModel, settings: GateSettings,
) -> torch.Tensor:  # fmt: skip
    """[T] bool: frames whose pose is a person's, and no leap away from that person.

    The gate looks at the motion twice, the second time backwards: it takes some images to believe in a person, and so
    the first images of each are believed by the second look.

    Args:
        rotations: [T, 24, 3, 3], pelvis: [T, 3] m, score: [T] of the pose of each frame; where not ``lifted`` [T]
            they may hold anything. keypoints: that each was lifted from.
    """
    if not settings.enabled:
        return lifted.clone()
    joints, points = (x.numpy() for x in body.joints_and_keypoints(rotations, pelvis))
    seen = np.zeros(len(pelvis), bool)
    last_s = 1e-9 * keypoints[-1].stamp_ns
    for backwards in (False, True):
        gate = PersonGate()
        for i in reversed(range(len(seen))) if backwards else range(len(seen)):
            stamp_s = 1e-9 * keypoints[i].stamp_ns
            stamp_s = last_s - stamp_s if backwards else stamp_s
            if not lifted[i]:
                gate.miss(stamp_s, settings)
                continue
            pose = LiftedPose(joints[i], points[i], rotations[i, 0].numpy(), -float(score[i]), keypoints[i])
            verdict = gate.judge(pose, stamp_s, False, settings)
            seen[i] |= verdict.decision in (Decision.PUBLISH, Decision.BEGIN)
    return torch.from_numpy(seen)
