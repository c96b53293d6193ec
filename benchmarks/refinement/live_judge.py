"""What is judged of a published motion: jitter, foot skate, errors; and the motions that no refinement made."""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.refinement.filters import OneEuro
from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.evaluation.motion_metrics import (
    acceleration_variation,
    foot_skate_percent,
    mpjpe_global_mm,
    mpjpe_root_mm,
)
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.window.body_points import BodyPoints
from training.motions.live_streams import FPS, UP, LiveStream

#: Frames at the beginning of a track that do not count.
WARM_UP = 12

Poses = tuple[torch.Tensor, torch.Tensor]


class Judge:
    """Figures of published motions."""

    def __init__(self, body: BodyModel) -> None:
        self.body = body
        self.contacts = ContactPoints.from_body(body)
        segments = BodySegments.from_urdf(read_urdf())
        self.points = BodyPoints.from_body(body, segments, self.contacts).to(dtype=torch.float32)

    def figures(self, poses: Poses, stream: LiveStream, first: int) -> dict[str, float]:
        """Of poses [N] that belong to the frames from ``first`` on."""
        skip = max(WARM_UP - first, 0)
        soles, joints = self._places((poses[0][skip:], poses[1][skip:]))
        frames = slice(first + skip, first + len(poses[1]))
        true_soles, true_joints = self._places((stream.rotations[frames], stream.pelvis[frames]))
        skate, true_skate = (
            foot_skate_percent(s, up=UP, height=stream.ground_height) for s in (soles, true_soles)
        )  # fmt: skip
        return {
            "tv": acceleration_variation(joints, FPS), "skate": skate, "excess": skate - true_skate,
            "mpjpe": mpjpe_root_mm(joints, true_joints), "mpjpe_g": mpjpe_global_mm(joints, true_joints),
            "jump": 1e3 * float(np.linalg.norm(np.diff(joints, axis=0), axis=-1).max()),
        }  # fmt: skip

    def _places(self, poses: Poses) -> tuple[np.ndarray, np.ndarray]:
        """Soles [N, 2, P, 3] and joints [N, 24, 3] m."""
        turned, joints = global_poses(*poses, self.points.bones)
        soles = self.contacts.centres(turned, joints)[:, self.contacts.feet].unflatten(1, (2, -1))
        return soles.numpy(), joints.numpy()

    def refined(
        self, stream: LiveStream, settings: LiveSettings, live: FixedLagRefiner | None = None
    ) -> tuple[Poses, int, list[float]]:
        """Published poses, the frame of the first, and ms of CPU time a frame; ``live``: default, one that is given the
        floor."""
        live = live or FixedLagRefiner(self.points, settings, torch.tensor(UP), stream.ground_height)
        results, taken = [], []
        for step in stream.steps():
            started = time.process_time()
            results.append(live.step(*step))
            taken.append(1e3 * (time.process_time() - started))
        found = [r for r in results if r is not None]
        poses = torch.stack([r.rotations for r in found]), torch.stack([r.pelvis for r in found])
        first = results.index(found[0]) - found[0].age
        return poses, first, taken[settings.window_frames :]


def unrefined(stream: LiveStream) -> Poses:
    """The heaviest hypothesis of every frame."""
    best = [int(f.log_weights.argmax()) for f in stream.frames]
    rotations = torch.stack([f.rotations[k] for f, k in zip(stream.frames, best, strict=True)])
    return rotations, torch.stack([f.pelvis[k] for f, k in zip(stream.frames, best, strict=True)])


def one_euro(stream: LiveStream, settings: OneEuro) -> Poses:
    """The filter on the unrefined poses."""
    rotations, pelvis = settings(tuple(x[None] for x in unrefined(stream)), 1 / FPS)
    return rotations[0], pelvis[0]
