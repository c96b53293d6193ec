"""What the terms of the loss take of what is known of a window, computed once."""

from __future__ import annotations

import numpy as np
import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.camera.projection import NEAREST_M
from diffmocap.compiler import array
from diffmocap.physics.contact_forces import ground_axes
from diffmocap.physics.contact_state import ContactLevels, activity_rates
from diffmocap.refinement.kernels.records import Given
from diffmocap.refinement.window.window import Window

#: Errors of the joints of one hypothesis go together: 24 count as this many.
INDEPENDENT_JOINTS = 6


def given_of(window: Window, pelvis: torch.Tensor, touching: torch.Tensor, levels: ContactLevels) -> list[Given]:
    """One for each window of the batch.

    Args:
        pelvis: [B, T, 3] m of the reference. touching: [B, T, P] bool, its contacts. levels: of contacts.
    """
    held = touching.to(window.pelvis)
    both = held[:, 1:] * held[:, :-1]
    # Shares of each contact in the mean over all contacts of the window; none: no mean, no cost.
    held = held / held.sum((1, 2), keepdim=True).clamp_min(1.0)
    held_steps = both / both.sum((1, 2), keepdim=True).clamp_min(1.0)
    ground, rates = window.ground, np.array(activity_rates(levels))
    parts = (
        ground.up, ground_axes(ground.up.double()), ground.gravity[:, 0], *_reprojection(window, pelvis),
        *_hypotheses(window), held, held_steps,
    )  # fmt: skip
    rows = zip(ground.height.tolist(), touching[:, 1:-1].cpu().numpy(), *(map(array, part) for part in parts))
    return [
        Given(float(window.dt_s), up, height, *others, np.ascontiguousarray(may_push), rates)
        for height, may_push, up, *others in rows
    ]


def _reprojection(window: Window, pelvis: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Camera, observations, confidence and metres of a pixel."""
    seen = window.confidence > 0
    observed = torch.where(seen[..., None], window.points_px, 0.0)
    focal = 0.5 * (window.K[:, 0, 0] + window.K[:, 1, 1])
    depth = pelvis @ window.T_camera_motion[:, 2, :3, None] + window.T_camera_motion[:, 2, 3, None, None]
    return (
        window.K @ window.T_camera_motion, observed.transpose(-1, -2),
        window.confidence / (window.frames * observed.shape[-2]), depth[..., 0].clamp_min(NEAREST_M) / focal[:, None],
    )  # fmt: skip


def _hypotheses(window: Window) -> tuple[torch.Tensor, ...]:
    """Targets, constant, places, precision, normalised log-weights, and shares of frames that were lifted."""
    believed = window.log_weights.transpose(1, 2)
    believed = torch.where(believed.isnan(), -torch.inf, believed)
    lifted = window.lifted & (believed > -torch.inf).any(-1)
    believed = torch.where(lifted[..., None], believed, 0.0).log_softmax(-1)
    used = lifted[..., None] & (believed > -torch.inf)
    rotations = window.rotations.transpose(1, 2).flatten(-2)  # [B, T, K, 24, 9]
    rotations = torch.where(used[..., None, None], rotations, 0.0)
    spread = torch.where(lifted[..., None], window.rotation_spread, 1.0)
    precision = (INDEPENDENT_JOINTS / NUM_JOINTS) / spread.square() * lifted[..., None]  # [B, T, 24]
    return (
        (rotations * precision[:, :, None, :, None]).flatten(-2), 3.0 * precision.sum(-1),
        torch.where(used[..., None], window.pelvis.transpose(1, 2), 0.0),
        torch.where(lifted[..., None, None], 0.5 * (window.pelvis_precision + window.pelvis_precision.mT), 0.0),
        believed, lifted.to(believed) / window.frames,
    )  # fmt: skip
