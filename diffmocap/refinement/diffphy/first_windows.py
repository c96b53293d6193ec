"""Windows of a motion as problems of their own, as a run of :mod:`diffmocap.refinement.diffphy.horizon` begins with
them: what optimizers are trained on and compared by."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diffmocap.physics.self_contact import SelfContact
from diffmocap.physics.simulation import BodyMotionState, Simulator
from diffmocap.refinement.diffphy.controls import JOINT_SETS, ControlTrajectory
from diffmocap.refinement.diffphy.feedforward import first_knots
from diffmocap.refinement.diffphy.horizon import state_at, window_frames
from diffmocap.refinement.diffphy.observation import SeenKeypoints
from diffmocap.refinement.diffphy.observed_motion import ObservedMotion
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.diffphy.task import DiffphyTask
from diffmocap.refinement.window.body_points import BodyPoints


def first_windows(
    simulator: Simulator, motion: ObservedMotion, starts: Sequence[int], dt_s: float, settings: SimulationSettings,
    points: BodyPoints, self_contact: SelfContact,
) -> tuple[DiffphyTask, torch.Tensor]:  # fmt: skip
    """The windows of a motion whose first frames are ``starts`` [B], side by side, and the first guess [B, N].

    Args:
        simulator: on the motion's ground. motion: whole windows of it lie behind each start. points, self_contact: of
            the body.
    """
    spacing, _, length = window_frames(settings, dt_s)
    parts = [motion.frames(slice(start, start + length)) for start in starts]
    own = [vars(state_at(motion.rotations, motion.pelvis, start, dt_s, simulator)).values() for start in starts]
    controls = ControlTrajectory.every(length, spacing, JOINT_SETS[settings.joints])
    seen = None
    if motion.seen is not None:
        seen = SeenKeypoints(*(torch.cat(x) for x in zip(*(vars(part.seen).values() for part in parts))))
    task = DiffphyTask(
        simulator, torch.stack([part.rotations for part in parts]), torch.stack([part.pelvis for part in parts]), dt_s,
        controls, start=BodyMotionState(*(torch.cat(x) for x in zip(*own))),
        touching=torch.stack([part.touching for part in parts]), points=points, seen=seen, self_contact=self_contact,
        free_start=settings.free_start,
    )  # fmt: skip
    x = task.init(len(parts))
    none = x.new_zeros(0, controls.shape[1])
    task.knots(x)[:] = torch.cat([first_knots(controls, part.leading, none) for part in parts])
    return task, x
